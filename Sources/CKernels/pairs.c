// Products of integers of 16 bits in pairs, `vpdpwssd`: twice the multiply-adds of float32 wherever there is VNNI. Sums of integers
// are exact, so how a product is split changes nothing.
//
//     c = sum (b a) d s        integers b and their scale d of a column, integers a and their scale s of a row
//
// The caller sees to it that no sum can leave 32 bits. A panel holds pairs of steps of the depth,
// [depth / 2][columns of the tile][2]: an odd depth ends with a zero.
#include "quantized.h"
#include "simd.h"

#pragma STDC FP_CONTRACT OFF

#ifdef VLM_X86

enum { COLUMNS = VLM_TILE_COLUMNS_AVX512, ROWS = VLM_TILE_ROWS_AVX512 };

/// Values times a factor, to the nearest integer, halves to even; 0 where the factor is, whatever the values.
VLM_INLINE VLM_VNNI __m512i rounded16(__m512 x, __m512 factor) {
    const __mmask16 counts = _mm512_cmp_ps_mask(factor, _mm512_setzero_ps(), _CMP_NEQ_OQ);
    return _mm512_maskz_cvtps_epi32(counts, _mm512_mul_ps(x, factor));
}

VLM_VNNI float vlm_pair_scale(int64_t n, const float *x, float limit, float *factor) {
    __m512i top = _mm512_setzero_si512();
    VLM_EACH(16, i, n, { top = _mm512_max_epu32(top, _mm512_castps_si512(_mm512_abs_ps(load16(x + i, count)))); });
    return vlm_scale_of(_mm512_reduce_max_epu32(top), limit, factor);
}

VLM_INLINE VLM_VNNI void round_pairs(int64_t n, const float *x, const float *scales, float factor, int16_t *y) {
    const __m512 all = _mm512_set1_ps(factor);
    VLM_EACH(16, i, n, {
        const __m512 own = scales ? _mm512_mul_ps(load16(scales + i, count), all) : all;
        const __m512i codes = rounded16(load16(x + i, count), own);
        _mm256_mask_storeu_epi16(y + i, lanes16(count + (count & 1)), _mm512_cvtepi32_epi16(codes));
    });
}

VLM_VNNI void vlm_round_pairs(int64_t n, const float *x, const float *scales, float factor, int16_t *y) {
    if (scales)
        round_pairs(n, x, scales, factor, y);
    else
        round_pairs(n, x, NULL, factor, y);
}

VLM_VNNI void vlm_pack_pairs_out_in(
    int64_t columns, int64_t depth, const float *w, int64_t ldw, const float *factors, int16_t *panel) {
    for (int64_t k = 0; k < depth; k += 32)
        for (int64_t j = 0; j < COLUMNS; j += 16) {
            // 16 rows of 16 pairs, which are words, and a transpose of them.
            __m512i v[16], t[16];
            VLM_UNROLL for (int r = 0; r < 16; r++) {
                v[r] = _mm512_setzero_si512();
                if (j + r >= columns) continue;
                const float *row = w + (j + r) * ldw + k;
                const __m512 factor = _mm512_set1_ps(factors[j + r]);
                v[r] = _mm512_packs_epi32(
                    rounded16(load16(row, depth - k), factor), rounded16(load16(row + 16, depth - k - 16), factor));
            }
            VLM_UNROLL for (int i = 0; i < 16; i += 2) {
                t[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
                t[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
            }
            VLM_UNROLL for (int i = 0; i < 16; i += 4) {
                v[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
                v[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
                v[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
                v[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
            }
            // v[4 g + s]: of rows 4 g ..., words s, s + 4, s + 8 and s + 12 in its quarters.
            VLM_UNROLL for (int s = 0; s < 4; s++) {
                const __m512i a = _mm512_shuffle_i32x4(v[s], v[4 + s], 0x88), b = _mm512_shuffle_i32x4(v[8 + s], v[12 + s], 0x88);
                const __m512i c = _mm512_shuffle_i32x4(v[s], v[4 + s], 0xdd), d = _mm512_shuffle_i32x4(v[8 + s], v[12 + s], 0xdd);
                t[s] = _mm512_shuffle_i32x4(a, b, 0x88);
                t[s + 8] = _mm512_shuffle_i32x4(a, b, 0xdd);
                t[s + 4] = _mm512_shuffle_i32x4(c, d, 0x88);
                t[s + 12] = _mm512_shuffle_i32x4(c, d, 0xdd);
            }
            // Packing works on quarters: two words of a quarter are pairs of the first 16 elements, two of the last.
            VLM_UNROLL for (int i = 0; i < 16; i++) {
                const int pair = i / 4 * 2 + i % 2 + (i % 4 >= 2 ? 8 : 0);
                if (2 * pair < depth - k) _mm512_storeu_si512(panel + (k + 2 * pair) * COLUMNS + 2 * j, t[i]);
            }
        }
}

VLM_VNNI void vlm_pack_pairs_in_out(
    int64_t columns, int64_t depth, const float *w, int64_t ldw, const float *factors, int16_t *panel) {
    for (int64_t k = 0; k < depth; k += 2, panel += 2 * COLUMNS)
        VLM_UNROLL for (int j = 0; j < COLUMNS; j += 16) {
            const __m512i even = rounded16(load16(w + k * ldw + j, columns - j), _mm512_set1_ps(factors[k]));
            __m512i odd = _mm512_setzero_si512();
            if (k + 1 < depth) odd = rounded16(load16(w + (k + 1) * ldw + j, columns - j), _mm512_set1_ps(factors[k + 1]));
            _mm512_storeu_si512(panel + 2 * j, _mm512_mask_mov_epi16(even, 0xAAAAAAAA, _mm512_slli_epi32(odd, 16)));
        }
}

VLM_INLINE VLM_VNNI void tile(
    int rows, int vectors, int64_t columns, int64_t depth, const int16_t *const *a, const float *s, const int16_t *panel,
    const float *d, float *c, int64_t ldc, int accumulate) {
    __m512i sum[ROWS][2];
    const int16_t *row[ROWS];
    VLM_UNROLL for (int r = 0; r < rows; r++) {
        row[r] = a[r];
        VLM_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_setzero_si512();
    }
#define VLM_STEPS(steps)                                                                                             \
    VLM_UNROLL for (int i = 0; i < (steps); i += 2, panel += 2 * COLUMNS) {                                          \
        __m512i b[2];                                                                                                \
        VLM_UNROLL for (int v = 0; v < vectors; v++) b[v] = _mm512_loadu_si512(panel + 32 * v);                      \
        VLM_UNROLL for (int r = 0; r < rows; r++) {                                                                  \
            const __m512i x = is_operand(r, vectors) ? b[0] : four16(row[r] + i);                                    \
            VLM_UNROLL for (int v = 0; v < vectors; v++)                                                             \
                sum[r][v] = is_operand(r, vectors) ? dot_pairs_at(row[r] + i, b[v], sum[r][v])                       \
                                                   : dot_pairs(x, b[v], sum[r][v]);                                   \
        }                                                                                                            \
    }                                                                                                                \
    VLM_ADVANCE(rows, row, steps)
    int64_t left = depth;
    VLM_NO_UNROLL for (; left >= 8; left -= 8) { VLM_STEPS(8) }
    VLM_NO_UNROLL for (; left > 0; left -= 2) { VLM_STEPS(2) }
#undef VLM_STEPS
    VLM_UNROLL for (int v = 0; v < vectors; v++) {
        const __m512 scales = d ? load16(d + 16 * v, columns - 16 * v) : _mm512_set1_ps(1);
        VLM_UNROLL for (int r = 0; r < rows; r++) {
            float *to = c + r * ldc + 16 * v;
            const __m512 value = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[r][v]), scales), scale = _mm512_set1_ps(s[r]);
            store16(
                to, columns - 16 * v,
                accumulate ? _mm512_fmadd_ps(value, scale, load16(to, columns - 16 * v)) : _mm512_mul_ps(value, scale));
        }
    }
}

VLM_VNNI void vlm_pair_tile(
    int64_t rows, int64_t columns, int64_t depth, const int16_t *const *a, const float *s, const int16_t *panel, const float *d,
    float *c, int64_t ldc, int accumulate) {
#define VLM_CASE(r)                                                                                                  \
    case r:                                                                                                          \
        if (columns > 16)                                                                                            \
            tile(r, 2, columns, depth, a, s, panel, d, c, ldc, accumulate);                                          \
        else                                                                                                         \
            tile(r, 1, columns, depth, a, s, panel, d, c, ldc, accumulate);                                          \
        break;
    switch (rows) {
        VLM_CASE(1) VLM_CASE(2) VLM_CASE(3) VLM_CASE(4) VLM_CASE(5) VLM_CASE(6)
        VLM_CASE(7) VLM_CASE(8) VLM_CASE(9) VLM_CASE(10) VLM_CASE(11) VLM_CASE(12)
    }
#undef VLM_CASE
}

#endif
