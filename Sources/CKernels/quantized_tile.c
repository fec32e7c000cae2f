// The register tiles of the product of 8-bit rows with packed block-quantised weights (layout: quantized.h).
//
// With q the codes of a row, a the integers of the row, s the row's scale of the group and S = s (sum a):
//
//     c = sum over groups of (d (sum (q - center) a)) s + m S
//
// and in Q6_K, whose groups have a scale for each half, (d1 (sum of the first half) + d2 (sum of the last)) s.
// The sums of integers are exact, and each is less than 2^24, so that its conversion is too. Then d times it is rounded,
// and each of the additions is one fused multiply-add. Groups follow each other in ascending order in one chain for
// each element: every version gives the same bits, however the product is split into tiles.
#include <math.h>

#include "group_avx2.h"
#include "quantized.h"
#include "simd.h"

#pragma STDC FP_CONTRACT OFF

// ---- portable ----------------------------------------------------------------------------------------------------

static float half_at(const uint8_t *p) {
    uint16_t h;
    memcpy(&h, p, 2);
    return vlm_half_float(h);
}

/// sum of code times integer over half a group: `half` 0 or 1.
static int32_t half_dot(vlm_element type, const uint8_t *codes, int64_t j, const int8_t *a, int half) {
    int32_t sum = 0;
    for (int i = 16 * half; i < 16 * half + 16; i++) {
        int byte = vlm_has_nibbles(type) ? i % 16 : i;
        int code = codes[byte / 4 * 64 + 4 * j + byte % 4];
        if (vlm_has_nibbles(type)) code = half ? code >> 4 : code & 15;
        sum += (code - vlm_code_center(type)) * a[i];
    }
    return sum;
}

void vlm_quantized_tile_portable(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *blocks,
    int64_t ldb, const uint8_t *panel, float *c, int64_t ldc, int accumulate) {
    int64_t per_block = vlm_block_elements(type) / 32;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            const uint8_t *head = panel;
            float sum = accumulate ? c[r * ldc + j] : 0;
            for (int64_t g = 0; g < depth / 32; g++) {
                if (g > 0 && g % per_block == 0) head += vlm_panel_block_bytes(type);
                const uint8_t *codes = head + vlm_head_bytes(type) + g % per_block * vlm_group_bytes(type);
                const uint8_t *scales = codes + vlm_codes_bytes(type);
                const int8_t *a = q + r * ldq + 32 * g;
                const vlm_row_block *block = blocks + r * ldb + g;
                int32_t first = half_dot(type, codes, j, a, 0), last = half_dot(type, codes, j, a, 1);
                float d = half_at((vlm_has_groups(type) ? head : scales) + 2 * j), m = 0, value;
                if (type == VLM_Q6_K) {
                    value = (float)first * (d * (float)(int8_t)scales[j]);
                    value = fmaf((float)last, d * (float)(int8_t)scales[16 + j], value);
                } else if (vlm_has_groups(type)) {
                    d *= (float)scales[j];
                    m = -(half_at(head + 32 + 2 * j) * (float)scales[16 + j]);
                } else if (vlm_has_minimum(type))
                    m = half_at(scales + 32 + 2 * j);
                if (type != VLM_Q6_K) value = (float)(first + last) * d;
                sum = fmaf(value, block->scale, sum);
                if (vlm_has_minimum(type)) sum = fmaf(m, block->scaled_sum, sum);
            }
            c[r * ldc + j] = sum;
        }
}

#ifdef VLM_X86

// Each tile is compiled for itself, its type and its rows constant.
#define VLM_CASE(t, r)                                                                                               \
    case r: tile(t, r, columns, depth, q, ldq, blocks, ldb, panel, c, ldc, accumulate); break;

/// Few rows wait for memory: how far ahead of the codes it is asked for. (Each set's own: half as far took a Zen 3 7 % less time.)
enum { AHEAD_AVX2 = 2048, AHEAD_AVX512 = 4096, STREAMED_ROWS = 2 };

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX2 void tile_avx2(
    vlm_element type, int rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *blocks,
    int64_t ldb, const uint8_t *panel, float *c, int64_t ldc, int accumulate) {
    const int groups = (int)vlm_block_elements(type) / 32;
    const int8_t *row_q[VLM_QUANTIZED_ROWS_AVX2];
    const vlm_row_block *row_blocks[VLM_QUANTIZED_ROWS_AVX2];
    _Alignas(32) float sums[VLM_QUANTIZED_ROWS_AVX2 * 16];
    VLM_UNROLL for (int r = 0; r < rows; r++) {
        row_q[r] = q + r * ldq;
        row_blocks[r] = blocks + r * ldb;
        VLM_UNROLL for (int v = 0; v < 2; v++)
            _mm256_store_ps(
                sums + 16 * r + 8 * v, accumulate ? load8(c + r * ldc + 8 * v, columns - 8 * v) : _mm256_setzero_ps());
    }
    for (int64_t g = 0; g < depth / 32;) {
        const uint8_t *head = panel;
        panel += vlm_head_bytes(type);
        for (int i = 0; i < groups; i++, g++, panel += vlm_group_bytes(type)) {
            if (rows <= STREAMED_ROWS)
                VLM_UNROLL for (int64_t n = 0; n < vlm_group_bytes(type); n += 64)
                    _mm_prefetch((const char *)panel + AHEAD_AVX2 + n, _MM_HINT_T0);
            const vlm_group_scales scales = packed_scales8(type, head, panel + vlm_codes_bytes(type));
            add_group8(type, 0, rows, panel, &scales, row_q, row_blocks, g, sums);
        }
    }
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < 2; v++)
            store8(c + r * ldc + 8 * v, columns - 8 * v, _mm256_load_ps(sums + 16 * r + 8 * v));
}

VLM_AVX2 void vlm_quantized_tile_avx2(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *blocks,
    int64_t ldb, const uint8_t *panel, float *c, int64_t ldc, int accumulate) {
#define tile tile_avx2
#define ROWS(t, rows)                                                                                                \
    switch (rows) {                                                                                                  \
        VLM_CASE(t, 1) VLM_CASE(t, 2) VLM_CASE(t, 3) VLM_CASE(t, 4) VLM_CASE(t, 5) VLM_CASE(t, 6)                    \
    }
    VLM_BLOCK_TYPES(ROWS, rows)
#undef ROWS
#undef tile
}

// ---- AVX-512 with VNNI -------------------------------------------------------------------------------------------

/// A power of two times an integer, in all lanes. (Through a general register it would cost the port of `vpdpbusd`.)
VLM_INLINE VLM_VNNI __m512i times(int power, int32_t integer) {
    return _mm512_slli_epi32(_mm512_set1_epi32(integer), (unsigned)__builtin_ctz((unsigned)power));
}

VLM_INLINE VLM_VNNI void tile_avx512(
    vlm_element type, int rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *blocks,
    int64_t ldb, const uint8_t *panel, float *c, int64_t ldc, int accumulate) {
    const int groups = (int)vlm_block_elements(type) / 32, center = vlm_code_center(type);
    __m512 sum[VLM_QUANTIZED_ROWS_AVX512];
    VLM_UNROLL for (int r = 0; r < rows; r++)
        sum[r] = accumulate ? load16(c + r * ldc, columns) : _mm512_setzero_ps();
    for (int64_t g = 0; g < depth / 32;) {
        __m512 d, last_d, m, head_d, head_m;
        if (vlm_has_groups(type)) {
            head_d = half16(panel);
            if (vlm_has_minimum(type)) head_m = half16(panel + 32);
            panel += vlm_head_bytes(type);
        }
        for (int i = 0; i < groups; i++, g++, panel += vlm_group_bytes(type)) {
            if (rows <= STREAMED_ROWS)
                VLM_UNROLL for (int64_t n = 0; n < vlm_group_bytes(type); n += 64)
                    _mm_prefetch((const char *)panel + AHEAD_AVX512 + n, _MM_HINT_T0);
            const uint8_t *scales = panel + vlm_codes_bytes(type);
            if (type == VLM_Q6_K) {
                d = _mm512_mul_ps(head_d, signed16(scales));
                last_d = _mm512_mul_ps(head_d, signed16(scales + 16));
            } else if (vlm_has_groups(type)) {
                d = _mm512_mul_ps(head_d, byte16(scales));
                m = _mm512_sub_ps(_mm512_set1_ps(-0.0f), _mm512_mul_ps(head_m, byte16(scales + 16)));
            } else {
                d = half16(scales);
                if (vlm_has_minimum(type)) m = half16(scales + 32);
            }
            __m512i b[8];
            VLM_UNROLL for (int t = 0; t < 8; t++) {
                b[t] = _mm512_loadu_si512(panel + 64 * (vlm_has_nibbles(type) ? t % 4 : t));
                if (vlm_has_nibbles(type))
                    b[t] = _mm512_and_si512(t < 4 ? b[t] : _mm512_srli_epi16(b[t], 4), _mm512_set1_epi8(15));
            }
            if (vlm_has_minimum(type)) {
                VLM_UNROLL for (int r = 0; r < rows; r++) {
                    const int8_t *a = q + r * ldq + 32 * g;
                    const vlm_row_block *block = blocks + r * ldb + g;
                    __m512i dot = _mm512_setzero_si512();
                    VLM_UNROLL for (int t = 0; t < 8; t++) dot = _mm512_dpbusd_epi32(dot, b[t], four16(a + 4 * t));
                    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), d);
                    sum[r] = _mm512_fmadd_ps(value, _mm512_set1_ps(block->scale), sum[r]);
                    sum[r] = _mm512_fmadd_ps(m, _mm512_set1_ps(block->scaled_sum), sum[r]);
                }
                continue;
            }
            // Four rows at a time: their sums grow side by side, so that none waits for its own last step. (With the rows of
            // types above it takes longer.)
            VLM_UNROLL for (int first = 0; first < rows; first += 4) {
                __m512i dot[4], last[4];
                const int end = rows - first < 4 ? rows - first : 4;
                VLM_UNROLL for (int r = 0; r < end; r++) {
                    const vlm_row_block *block = blocks + (first + r) * ldb + g;
                    // The codes are not centred: -center times the sum of the row's integers is where their sum begins.
                    dot[r] = times(center, type == VLM_Q6_K ? block->minus_half_sum[0] : block->minus_sum);
                    if (type == VLM_Q6_K) last[r] = times(center, block->minus_half_sum[1]);
                }
                VLM_UNROLL for (int t = 0; t < 8; t++)
                    VLM_UNROLL for (int r = 0; r < end; r++) {
                        __m512i *own = type == VLM_Q6_K && t >= 4 ? last + r : dot + r;
                        *own = _mm512_dpbusd_epi32(*own, b[t], four16(q + (first + r) * ldq + 32 * g + 4 * t));
                    }
                VLM_UNROLL for (int r = 0; r < end; r++) {
                    const vlm_row_block *block = blocks + (first + r) * ldb + g;
                    __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[r]), d);
                    if (type == VLM_Q6_K) value = _mm512_fmadd_ps(_mm512_cvtepi32_ps(last[r]), last_d, value);
                    sum[first + r] = _mm512_fmadd_ps(value, _mm512_set1_ps(block->scale), sum[first + r]);
                }
            }
        }
    }
    VLM_UNROLL for (int r = 0; r < rows; r++) store16(c + r * ldc, columns, sum[r]);
}

VLM_VNNI void vlm_quantized_tile_avx512(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const int8_t *q, int64_t ldq, const vlm_row_block *blocks,
    int64_t ldb, const uint8_t *panel, float *c, int64_t ldc, int accumulate) {
#define tile tile_avx512
#define ROWS(t, rows)                                                                                                \
    switch (rows) {                                                                                                  \
        VLM_CASE(t, 1) VLM_CASE(t, 2) VLM_CASE(t, 3) VLM_CASE(t, 4) VLM_CASE(t, 5) VLM_CASE(t, 6)                    \
        VLM_CASE(t, 7) VLM_CASE(t, 8) VLM_CASE(t, 9) VLM_CASE(t, 10) VLM_CASE(t, 11) VLM_CASE(t, 12)                 \
    }
    VLM_BLOCK_TYPES(ROWS, rows)
#undef ROWS
#undef tile
}

#endif
