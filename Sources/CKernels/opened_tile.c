// Products of many rows: panels of block-quantised weights are opened, once for hundreds of rows, into what their
// register tile wants to load: a byte a code, scales as float32. Two panels share every value that is broadcast, and six
// rows keep twelve sums growing side by side. The sums are those of quantized_tile.c, in the same order: the same bits.
//
// For each group of 32 elements an opened panel holds
//     scales: d, float [16]; in Q6_K that of the first and that of the last 16 elements, float [16] each
//     in types with an offset m, float [16]
//     codes, [8][16][4] bytes: unsigned, but centred and signed in Q8_0 for AVX2
// With VNNI a row and a group take eight dot products beside one multiplication and one (with an offset two) multiply-adds,
// which want the same units: 8 in 10 (8 in 11) of the peak is what a tile can reach. AVX2 has vectors of half the length and
// two instructions for a dot product: of nibbles it does about twice the multiply-adds of float32 (group_avx2.h).
#include "group_avx2.h"
#include "quantized.h"
#include "simd.h"

#pragma STDC FP_CONTRACT OFF

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX2 void open_panel_avx2(vlm_element type, int64_t depth, const uint8_t *panel, uint8_t *opened) {
    const int groups = (int)vlm_block_elements(type) / 32;
    for (int64_t block = 0; block < depth / vlm_block_elements(type); block++) {
        const uint8_t *head = panel;
        panel += vlm_head_bytes(type);
        for (int g = 0; g < groups; g++, panel += vlm_group_bytes(type), opened += vlm_opened_group_bytes(type)) {
            const vlm_group_scales scales = packed_scales8(type, head, panel + vlm_codes_bytes(type));
            float *out = (float *)(void *)opened;
            VLM_UNROLL for (int v = 0; v < 2; v++) {
                _mm256_storeu_ps(out + 8 * v, scales.d[v]);
                if (type == VLM_Q6_K) _mm256_storeu_ps(out + 16 + 8 * v, scales.last_d[v]);
                if (vlm_has_minimum(type)) _mm256_storeu_ps(out + 16 + 8 * v, scales.m[v]);
                VLM_UNROLL for (int t = 0; t < 8; t++)
                    _mm256_storeu_si256(
                        (__m256i *)(opened + vlm_opened_scale_bytes(type) + 64 * t + 32 * v), codes8(type, 0, panel, t, v));
            }
        }
    }
}

VLM_AVX2 void vlm_open_panel_avx2(vlm_element type, int64_t depth, const uint8_t *panel, uint8_t *opened) {
    VLM_BLOCK_TYPES(open_panel_avx2, depth, panel, opened)
}

/// One panel of 16 columns. `list` names the rows of q, blocks and c, if it is not NULL.
VLM_INLINE VLM_AVX2 void tile_avx2(
    vlm_element type, int rows, int64_t columns, int64_t groups, const int32_t *list, const int8_t *q, int64_t ldq,
    const vlm_row_block *blocks, int64_t ldb, const uint8_t *opened, float *c, int64_t ldc, int accumulate) {
    const int8_t *row_q[VLM_OPENED_ROWS];
    const vlm_row_block *row_blocks[VLM_OPENED_ROWS];
    float *row_c[VLM_OPENED_ROWS];
    _Alignas(32) float sums[VLM_OPENED_ROWS * 16];
    VLM_UNROLL for (int r = 0; r < rows; r++) {
        const int64_t row = list ? list[r] : r;
        row_q[r] = q + row * ldq;
        row_blocks[r] = blocks + row * ldb;
        row_c[r] = c + row * ldc;
        VLM_UNROLL for (int v = 0; v < 2; v++)
            _mm256_store_ps(
                sums + 16 * r + 8 * v, accumulate ? load8(row_c[r] + 8 * v, columns - 8 * v) : _mm256_setzero_ps());
    }
    VLM_NO_UNROLL for (int64_t g = 0; g < groups; g++, opened += vlm_opened_group_bytes(type)) {
        vlm_group_scales scales;
        const float *in = (const float *)(const void *)opened;
        VLM_UNROLL for (int v = 0; v < 2; v++) {
            scales.d[v] = _mm256_loadu_ps(in + 8 * v);
            if (type == VLM_Q6_K) scales.last_d[v] = _mm256_loadu_ps(in + 16 + 8 * v);
            if (vlm_has_minimum(type)) scales.m[v] = _mm256_loadu_ps(in + 16 + 8 * v);
        }
        add_group8(type, 1, rows, opened + vlm_opened_scale_bytes(type), &scales, row_q, row_blocks, g, sums);
    }
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < 2; v++)
            store8(row_c[r] + 8 * v, columns - 8 * v, _mm256_load_ps(sums + 16 * r + 8 * v));
}

#define VLM_EACH_TYPE(X) X(VLM_Q8_0) X(VLM_Q4_0) X(VLM_Q4_1) X(VLM_Q5_0) X(VLM_Q5_1) X(VLM_Q4_K) X(VLM_Q5_K) X(VLM_Q6_K)
#define VLM_EACH_ROWS(X, t) X(t, 1) X(t, 2) X(t, 3) X(t, 4) X(t, 5) X(t, 6)

// A function of its own for every tile: compilers find registers for one at a time.
#define VLM_TILE(t, r)                                                                                               \
    static __attribute__((noinline)) VLM_AVX2 void tile_##t##_##r(                                                   \
        int64_t columns, int64_t groups, const int32_t *list, const int8_t *q, int64_t ldq, const vlm_row_block *blocks, \
        int64_t ldb, const uint8_t *opened, float *c, int64_t ldc, int accumulate) {                                 \
        tile_avx2(t, r, columns, groups, list, q, ldq, blocks, ldb, opened, c, ldc, accumulate);                     \
    }
#define VLM_TILES(t) VLM_EACH_ROWS(VLM_TILE, t)
VLM_EACH_TYPE(VLM_TILES)

VLM_AVX2 void vlm_opened_tile_avx2(
    vlm_element type, int64_t rows, int64_t columns, int64_t groups, const int32_t *list, const int8_t *q, int64_t ldq,
    const vlm_row_block *blocks, int64_t ldb, const uint8_t *opened, int64_t panel_bytes, float *c, int64_t ldc,
    int accumulate) {
    for (; columns > 0; columns -= VLM_PANEL_COLUMNS, opened += panel_bytes, c += VLM_PANEL_COLUMNS)
        switch (type) {
#define VLM_CASE(t, r)                                                                                               \
    case r: tile_##t##_##r(columns, groups, list, q, ldq, blocks, ldb, opened, c, ldc, accumulate); break;
#define VLM_OPEN(t)                                                                                                  \
    case t:                                                                                                          \
        switch (rows) { VLM_EACH_ROWS(VLM_CASE, t) }                                                                 \
        break;
            VLM_EACH_TYPE(VLM_OPEN)
        default: break;
        }
#undef VLM_OPEN
#undef VLM_CASE
}

// ---- AVX-512 with VNNI -------------------------------------------------------------------------------------------

VLM_INLINE VLM_VNNI void open_panel(vlm_element type, int64_t depth, const uint8_t *panel, uint8_t *opened) {
    const int groups = (int)vlm_block_elements(type) / 32;
    for (int64_t block = 0; block < depth / vlm_block_elements(type); block++) {
        __m512 head_d, head_m;
        if (vlm_has_groups(type)) {
            head_d = half16(panel);
            if (vlm_has_minimum(type)) head_m = half16(panel + 32);
            panel += vlm_head_bytes(type);
        }
        for (int g = 0; g < groups; g++, panel += vlm_group_bytes(type), opened += vlm_opened_group_bytes(type)) {
            const uint8_t *scales = panel + vlm_codes_bytes(type);
            float *out = (float *)(void *)opened;
            if (type == VLM_Q6_K) {
                _mm512_storeu_ps(out, _mm512_mul_ps(head_d, signed16(scales)));
                _mm512_storeu_ps(out + 16, _mm512_mul_ps(head_d, signed16(scales + 16)));
            } else if (vlm_has_groups(type)) {
                __m512 m = _mm512_mul_ps(head_m, byte16(scales + 16));
                _mm512_storeu_ps(out, _mm512_mul_ps(head_d, byte16(scales)));
                _mm512_storeu_ps(out + 16, _mm512_sub_ps(_mm512_set1_ps(-0.0f), m));
            } else {
                _mm512_storeu_ps(out, half16(scales));
                if (vlm_has_minimum(type)) _mm512_storeu_ps(out + 16, half16(scales + 32));
            }
            uint8_t *codes = opened + vlm_opened_scale_bytes(type);
            VLM_UNROLL for (int t = 0; t < 8; t++) {
                __m512i b = _mm512_loadu_si512(panel + 64 * (vlm_has_nibbles(type) ? t % 4 : t));
                if (vlm_has_nibbles(type))
                    b = _mm512_and_si512(t < 4 ? b : _mm512_srli_epi16(b, 4), _mm512_set1_epi8(15));
                _mm512_storeu_si512(codes + 64 * t, b);
            }
        }
    }
}

VLM_VNNI void vlm_open_panel_avx512(vlm_element type, int64_t depth, const uint8_t *panel, uint8_t *opened) {
    VLM_BLOCK_TYPES(open_panel, depth, panel, opened)
}

/// What a type's groups have beside one scale.
typedef enum { PLAIN, MINIMUM, HALVES } form;

/// `dot` of rows [first, end), two panels, goes on by steps [t, t_end) of a group.
#define VLM_DOTS(first, end, t_first, t_end)                                                                         \
    VLM_UNROLL for (int t = t_first; t < t_end; t++) {                                                               \
        __m512i b[2];                                                                                                \
        VLM_UNROLL for (int p = 0; p < panels; p++) b[p] = _mm512_loadu_si512(codes + p * panel_bytes + 64 * t);     \
        VLM_UNROLL for (int r = first; r < end; r++) {                                                               \
            const __m512i a = is_operand(r, panels) ? b[0] : four16(row_q[r] + 4 * t);                               \
            VLM_UNROLL for (int p = 0; p < panels; p++)                                                              \
                dot[p][r - first] = is_operand(r, panels) ? dot_bytes_at(row_q[r] + 4 * t, b[p], dot[p][r - first])  \
                                                          : _mm512_dpbusd_epi32(dot[p][r - first], b[p], a);         \
        }                                                                                                            \
    }

/// Codes are not centred: `dot` begins at -center times the sum of the row's integers.
#define VLM_BEGIN(first, end, field)                                                                                 \
    VLM_UNROLL for (int r = first; r < end; r++) {                                                                   \
        __m512i begin = form == MINIMUM ? _mm512_setzero_si512()                                                     \
                                        : _mm512_slli_epi32(_mm512_set1_epi32(row_block[r][g].field), center_bits);  \
        VLM_UNROLL for (int p = 0; p < panels; p++) dot[p][r - first] = begin;                                       \
    }

/// `list` names the rows of q, blocks and c, if it is not NULL.
VLM_INLINE VLM_VNNI void tile_avx512(
    form form, int rows, int panels, unsigned center_bits, int64_t columns, int64_t groups, const int32_t *list, const int8_t *q,
    int64_t ldq, const vlm_row_block *blocks, int64_t ldb, const uint8_t *opened, int64_t panel_bytes, float *c, int64_t ldc,
    int accumulate) {
    const int64_t scale_bytes = form == PLAIN ? 64 : 128;
    const int8_t *row_q[VLM_OPENED_ROWS];
    const vlm_row_block *row_block[VLM_OPENED_ROWS];
    float *row_c[VLM_OPENED_ROWS];
    __m512 sum[2][VLM_OPENED_ROWS];
    VLM_UNROLL for (int r = 0; r < rows; r++) {
        const int64_t row = list ? list[r] : r;
        row_q[r] = q + row * ldq;
        row_block[r] = blocks + row * ldb;
        row_c[r] = c + row * ldc;
        VLM_UNROLL for (int p = 0; p < panels; p++)
            sum[p][r] = accumulate ? load16(row_c[r] + 16 * p, columns - 16 * p) : _mm512_setzero_ps();
    }
    VLM_NO_UNROLL for (int64_t g = 0; g < groups; g++, opened += scale_bytes + 512) {
        const uint8_t *codes = opened + scale_bytes;
        if (form == HALVES) {
            // Three rows at a time: both halves' sums of six would not fit the registers.
            VLM_UNROLL for (int first = 0; first < rows; first += 3) {
                const int end = rows - first < 3 ? rows : first + 3;
                __m512i dot[2][3];
                __m512 value[2][3];
                VLM_BEGIN(first, end, minus_half_sum[0])
                VLM_DOTS(first, end, 0, 4)
                VLM_UNROLL for (int p = 0; p < panels; p++)
                    VLM_UNROLL for (int r = 0; r < end - first; r++)
                        value[p][r] = _mm512_mul_ps(
                            _mm512_cvtepi32_ps(dot[p][r]), _mm512_loadu_ps(opened + p * panel_bytes));
                VLM_BEGIN(first, end, minus_half_sum[1])
                VLM_DOTS(first, end, 4, 8)
                VLM_UNROLL for (int p = 0; p < panels; p++)
                    VLM_UNROLL for (int r = first; r < end; r++) {
                        value[p][r - first] = _mm512_fmadd_ps(
                            _mm512_cvtepi32_ps(dot[p][r - first]), _mm512_loadu_ps(opened + p * panel_bytes + 64),
                            value[p][r - first]);
                        sum[p][r] = _mm512_fmadd_ps(value[p][r - first], _mm512_set1_ps(row_block[r][g].scale), sum[p][r]);
                    }
            }
            VLM_ADVANCE(rows, row_q, 32)
            continue;
        }
        __m512i dot[2][VLM_OPENED_ROWS];
        VLM_BEGIN(0, rows, minus_sum)
        VLM_DOTS(0, rows, 0, 8)
        VLM_UNROLL for (int p = 0; p < panels; p++) {
            __m512 d = _mm512_loadu_ps(opened + p * panel_bytes);
            VLM_UNROLL for (int r = 0; r < rows; r++) {
                __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[p][r]), d);
                sum[p][r] = _mm512_fmadd_ps(value, _mm512_set1_ps(row_block[r][g].scale), sum[p][r]);
                if (form == MINIMUM)
                    sum[p][r] = _mm512_fmadd_ps(
                        _mm512_loadu_ps(opened + p * panel_bytes + 64), _mm512_set1_ps(row_block[r][g].scaled_sum),
                        sum[p][r]);
            }
        }
        VLM_ADVANCE(rows, row_q, 32)
    }
    VLM_UNROLL for (int p = 0; p < panels; p++)
        VLM_UNROLL for (int r = 0; r < rows; r++) store16(row_c[r] + 16 * p, columns - 16 * p, sum[p][r]);
}

VLM_VNNI void vlm_opened_tile_avx512(
    vlm_element type, int64_t rows, int64_t columns, int64_t groups, const int32_t *list, const int8_t *q, int64_t ldq,
    const vlm_row_block *blocks, int64_t ldb, const uint8_t *opened, int64_t panel_bytes, float *c, int64_t ldc,
    int accumulate) {
    const int center = vlm_code_center(type);
    const unsigned bits = center ? (unsigned)__builtin_ctz((unsigned)center) : 0;
#define VLM_RUN(f, r, p)                                                                                             \
    tile_avx512(f, r, p, bits, columns, groups, list, q, ldq, blocks, ldb, opened, panel_bytes, c, ldc, accumulate)
#define VLM_CASE(f, r)                                                                                               \
    case r:                                                                                                          \
        if (columns > VLM_PANEL_COLUMNS)                                                                             \
            VLM_RUN(f, r, 2);                                                                                        \
        else                                                                                                         \
            VLM_RUN(f, r, 1);                                                                                        \
        break;
#define VLM_ROWS(f)                                                                                                  \
    switch (rows) { VLM_CASE(f, 1) VLM_CASE(f, 2) VLM_CASE(f, 3) VLM_CASE(f, 4) VLM_CASE(f, 5) VLM_CASE(f, 6) }
    if (type == VLM_Q6_K) {
        VLM_ROWS(HALVES)
    } else if (vlm_has_minimum(type)) {
        VLM_ROWS(MINIMUM)
    } else {
        VLM_ROWS(PLAIN)
    }
#undef VLM_ROWS
#undef VLM_CASE
#undef VLM_RUN
}

#endif
