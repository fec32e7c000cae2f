// Declarations shared by the files of this target: each family names its versions here, dispatch.c builds the tables.
#ifndef VLM_FAMILIES_H
#define VLM_FAMILIES_H

#include "CKernels.h"

#include <string.h>

#if defined(__x86_64__)
#define VLM_X86 1
#define VLM_AVX2 __attribute__((target("avx2,fma,f16c")))
#define VLM_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define VLM_VNNI __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")))
#endif

#define VLM_UNROLL _Pragma("clang loop unroll(full)")
#define VLM_NO_UNROLL _Pragma("clang loop unroll(disable)")

static inline int64_t vlm_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t vlm_max(int64_t a, int64_t b) { return a > b ? a : b; }
/// Whether anything follows the sums.
static inline int vlm_has_epilogue(const vlm_epilogue *e) {
    return e->bias || e->factor || e->residual || e->activation != VLM_IDENTITY;
}
/// Asks for the lines of c that a tile will be written to, and of its residual, while its sums are computed: none of them has been
/// in the cache for long. (An instruction that is ignored where it is not known.)
static inline void vlm_expect_tile(
    const vlm_epilogue *e, int64_t row, int64_t rows, int64_t j, int64_t columns, const float *c, int64_t ldc) {
    enum { LINE = 16 };
    for (int64_t r = row; r < row + rows; r++)
        for (int64_t i = 0; i < columns; i += LINE) {
#ifdef VLM_X86
            __asm__ volatile("prefetchw %0" : : "m"(c[r * ldc + j + i]));
#endif
            if (e->residual) __builtin_prefetch(e->residual + r * e->ldr + j + i);
        }
}
/// Finishes a tile whose first element is c[row][j], from where its sums are: c, or memory of its own. Those are better: rows of c
/// often lie a multiple of 4 KB apart, and loads would wait until the stores of the other rows have reached the cache.
static inline void vlm_finish(
    const vlm_kernels *k, const vlm_epilogue *e, int64_t row, int64_t rows, int64_t j, int64_t columns, const float *tile,
    int64_t ldt, float *c, int64_t ldc) {
    if (!vlm_has_epilogue(e)) return;
    vlm_epilogue own = *e;
    if (e->bias) own.bias += j;
    if (e->factor) own.factor += row * e->ldr + j;
    if (e->residual) own.residual += row * e->ldr + j;
    k->finish_tile(rows, columns, tile, ldt, &own, c + row * ldc + j, ldc);
}
/// Rows of the next tile when `left` rows remain: the last two tiles share their rows evenly, because a tile of very
/// few rows waits for its own sums.
static inline int64_t vlm_next_rows(int64_t left, int64_t tile_rows) {
    return left >= 2 * tile_rows || left <= tile_rows ? vlm_min(left, tile_rows) : (left + 1) / 2;
}
/// Bytes of an element of a plain type.
static inline size_t vlm_element_bytes(vlm_element type) { return type == VLM_F32 ? 4 : 2; }
static inline int vlm_is_block(vlm_element type) { return type >= VLM_Q8_0; }
/// Elements of a block; 1 for plain types.
static inline int64_t vlm_block_elements(vlm_element type) {
    return type >= VLM_Q4_K ? 256 : vlm_is_block(type) ? 32 : 1;
}
/// Bytes of a block; of an element for plain types.
static inline size_t vlm_block_bytes(vlm_element type) {
    switch (type) {
    case VLM_Q8_0: return 2 + 32;
    case VLM_Q4_0: return 2 + 16;
    case VLM_Q4_1: return 2 + 2 + 16;
    case VLM_Q5_0: return 2 + 4 + 16;
    case VLM_Q5_1: return 2 + 2 + 4 + 16;
    case VLM_Q4_K: return 2 + 2 + 12 + 128;
    case VLM_Q5_K: return 2 + 2 + 12 + 32 + 128;
    case VLM_Q6_K: return 128 + 64 + 16 + 2;
    default: return vlm_element_bytes(type);
    }
}
/// Element `index` of a stored array, which begins a block in a type of blocks.
static inline const void *vlm_at(vlm_element type, const void *base, int64_t index) {
    return (const char *)base + (size_t)(index / vlm_block_elements(type)) * vlm_block_bytes(type);
}

static inline float vlm_bits_float(uint32_t bits) {
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}
static inline float vlm_half_float(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = (h >> 10) & 31, fraction = h & 1023;
    if (exponent == 31) return vlm_bits_float(sign | 0x7f800000u | fraction << 13);
    if (exponent != 0) return vlm_bits_float(sign | (exponent + 112) << 23 | fraction << 13);
    float subnormal = (float)fraction * 0x1p-24f;
    return sign ? -subnormal : subnormal;
}
/// Element `i` of a stored array, widened; reads bytes, so any alignment will do.
static inline float vlm_load(vlm_element type, const void *base, int64_t i) {
    if (type == VLM_F32) {
        float f;
        memcpy(&f, (const char *)base + 4 * i, 4);
        return f;
    }
    uint16_t h;
    memcpy(&h, (const char *)base + 2 * i, 2);
    return type == VLM_BF16 ? vlm_bits_float((uint32_t)h << 16) : vlm_half_float(h);
}

#define VLM_DECLARE_FAMILIES(isa)                                                                                    \
    void vlm_product_tile_##isa(                                                                                     \
        int64_t, int64_t, int64_t, const float *const *, const float *, float *, int64_t, int);                      \
    void vlm_window_tile_##isa(                                                                                      \
        int64_t, int64_t, int64_t, int64_t, const float *const *, int64_t, const float *, float *, int64_t);         \
    void vlm_outer_tile_##isa(                                                                                       \
        int64_t, int64_t, int64_t, const float *, int64_t, const float *, float *, int64_t, int);                    \
    void vlm_pack_out_in_##isa(vlm_element, int64_t, int64_t, const void *, int64_t, float *);                       \
    void vlm_pack_in_out_##isa(vlm_element, int64_t, int64_t, const void *, int64_t, float *);                       \
    void vlm_product_dots_##isa(                                                                                     \
        vlm_element, int64_t, int64_t, int64_t, const float *, int64_t, const void *, int64_t, float *, int64_t);    \
    void vlm_quantized_tile_##isa(                                                                                   \
        vlm_element, int64_t, int64_t, int64_t, const int8_t *, int64_t, const vlm_row_block *, int64_t,             \
        const uint8_t *, float *, int64_t, int);                                                                     \
    void vlm_int8_tile_##isa(                                                                                        \
        int64_t, int64_t, int64_t, const int8_t *, int64_t, const vlm_row_block *, const uint8_t *, float *,         \
        int64_t);                                                                                                    \
    void vlm_int8_row_##isa(int64_t, const float *, float *, int8_t *, vlm_row_block *);                                      \
    void vlm_quantize_row_##isa(int64_t, const float *, int8_t *, vlm_row_block *);                                  \
    void vlm_weighted_sum_##isa(int64_t, int64_t, const float *, const float *, int64_t, float *);                   \
    void vlm_finish_tile_##isa(int64_t, int64_t, const float *, int64_t, const vlm_epilogue *, float *, int64_t);    \
    void vlm_softmax_##isa(int64_t, float *);                                                                        \
    void vlm_online_softmax_##isa(int64_t, const int64_t *, float *const *, float *, float *, float *);               \
    void vlm_layer_norm_##isa(int64_t, const float *, const float *, const float *, float, float *);                 \
    void vlm_rms_norm_##isa(int64_t, const float *, const float *, float, float *);                                  \
    void vlm_activate_##isa(vlm_activation, int64_t, const float *, float *);                                        \
    void vlm_silu_gate_##isa(int64_t, const float *, const float *, float *);                                        \
    void vlm_add_scaled_##isa(int64_t, const float *, float, const float *, float *);                                \
    void vlm_scale_##isa(int64_t, float, const float *, float *);                                                    \
    void vlm_multiply_##isa(int64_t, const float *, const float *, float *);                                         \
    void vlm_rotate_half_##isa(int64_t, const float *, const float *, const float *, float *);                       \
    void vlm_layer_norm_backward_##isa(                                                                              \
        int64_t, const float *, const float *, float, const float *, float *, int, float *, float *);                \
    void vlm_rms_norm_backward_##isa(                                                                                \
        int64_t, const float *, const float *, float, const float *, float *, int, float *);                         \
    void vlm_activate_backward_##isa(vlm_activation, int64_t, const float *, const float *, float *);                \
    void vlm_silu_gate_backward_##isa(                                                                               \
        int64_t, const float *, const float *, const float *, float *, float *);                                     \
    void vlm_softmax_backward_##isa(int64_t, const float *, const float *, float *);                                 \
    void vlm_attention_gradient_##isa(int64_t, float *, float *, float, float);                                      \
    void vlm_add_product_##isa(int64_t, const float *, const float *, float *);                                      \
    void vlm_adamw_##isa(const vlm_adamw_step *, int64_t, const float *, float *, float *, float *);                 \
    void vlm_widen_##isa(vlm_element, int64_t, const void *, float *);                                               \
    void vlm_dequantize_##isa(vlm_element, int64_t, const void *, float *);

VLM_DECLARE_FAMILIES(portable)
#ifdef VLM_X86
VLM_DECLARE_FAMILIES(avx2)
VLM_DECLARE_FAMILIES(avx512)
void vlm_pair_tile(
    int64_t, int64_t, int64_t, const int16_t *const *, const float *, const int16_t *, const float *, float *, int64_t, int);
float vlm_pair_scale(int64_t, const float *, float, float *);
void vlm_round_pairs(int64_t, const float *, const float *, float, int16_t *);
void vlm_pack_pairs_out_in(int64_t, int64_t, const float *, int64_t, const float *, int16_t *);
void vlm_pack_pairs_in_out(int64_t, int64_t, const float *, int64_t, const float *, int16_t *);
void vlm_open_panel_avx2(vlm_element, int64_t, const uint8_t *, uint8_t *);
void vlm_open_rows_avx2(vlm_element, int64_t, const vlm_stored_rows *, uint8_t *);
void vlm_opened_tile_avx2(
    vlm_element, int64_t, int64_t, int64_t, const int32_t *, const int8_t *, int64_t, const vlm_row_block *, int64_t,
    const uint8_t *, int64_t, float *, int64_t, int);
void vlm_open_panel_avx512(vlm_element, int64_t, const uint8_t *, uint8_t *);
void vlm_open_rows_avx512(vlm_element, int64_t, const vlm_stored_rows *, uint8_t *);
void vlm_row_product(
    vlm_element, int64_t, int64_t, const int8_t *, const vlm_row_block *, const vlm_stored_rows *, float *, int);
void vlm_opened_tile_avx512(
    vlm_element, int64_t, int64_t, int64_t, const int32_t *, const int8_t *, int64_t, const vlm_row_block *, int64_t,
    const uint8_t *, int64_t, float *, int64_t, int);
#endif

enum {
    VLM_TILE_ROWS_PORTABLE = 4,
    VLM_TILE_COLUMNS_PORTABLE = 8,
    VLM_TILE_ROWS_AVX2 = 6,
    VLM_TILE_COLUMNS_AVX2 = 16,
    VLM_TILE_ROWS_AVX512 = 12,
    VLM_TILE_COLUMNS_AVX512 = 32,
    VLM_QUANTIZED_ROWS_PORTABLE = 4,
    VLM_QUANTIZED_ROWS_AVX2 = 6,
    VLM_QUANTIZED_ROWS_AVX512 = 12,
    VLM_OPENED_ROWS = 6,
};

#endif
