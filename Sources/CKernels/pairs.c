// Products of bfloat16 in pairs, `vdpbf16ps`: sums stay in float32, and factors have 8 significant bits. Twice as fast as
// float32 where a processor has the units for it, and slower where it only has the instruction: a trial at the start decides.
//
// A panel holds pairs of steps of the depth, [depth / 2][columns of the tile][2]: an odd depth ends with a zero.
#include "families.h"
#include "simd.h"

#include <math.h>
#include <time.h>

#ifdef VLM_X86

#define VLM_PAIRS __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,f16c")))

enum { COLUMNS = VLM_TILE_COLUMNS_AVX512, ROWS = VLM_TILE_ROWS_AVX512 };

VLM_INLINE VLM_PAIRS __m512i rounded16(__m512 high, __m512 low) { return (__m512i)_mm512_cvtne2ps_pbh(high, low); }

VLM_PAIRS void vlm_round_pairs(int64_t n, const float *x, uint16_t *y) {
    for (int64_t i = 0; i < n; i += 16) {
        const __m256i pairs = (__m256i)_mm512_cvtneps_pbh(load16(x + i, n - i));
        _mm256_mask_storeu_epi16(y + i, (__mmask16)(lanes16(n - i + (n & 1))), pairs);
    }
}

VLM_PAIRS void vlm_pack_pairs_out_in(int64_t columns, int64_t depth, const float *w, int64_t ldw, uint16_t *panel) {
    for (int64_t k = 0; k < depth; k += 32)
        for (int64_t j = 0; j < COLUMNS; j += 16) {
            // 16 rows of 16 pairs, which are words, and a transpose of them.
            __m512i v[16], t[16];
            VLM_UNROLL for (int r = 0; r < 16; r++) {
                const float *row = w + (j + r) * ldw + k;
                v[r] = j + r < columns
                    ? rounded16(load16(row + 16, depth - k - 16), load16(row, depth - k)) : _mm512_setzero_si512();
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
            uint16_t *out = panel + k * COLUMNS + 2 * j;
            VLM_UNROLL for (int i = 0; i < 16; i++)
                if (2 * i < depth - k) _mm512_storeu_si512(out + 2 * i * COLUMNS, t[i]);
        }
}

VLM_PAIRS void vlm_pack_pairs_in_out(int64_t columns, int64_t depth, const float *w, int64_t ldw, uint16_t *panel) {
    const __m512i order = _mm512_set_epi16(
        31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    for (int64_t k = 0; k < depth; k += 2, panel += 2 * COLUMNS)
        VLM_UNROLL for (int j = 0; j < COLUMNS; j += 16) {
            const __m512 even = load16(w + k * ldw + j, columns - j);
            const __m512 odd = k + 1 < depth ? load16(w + (k + 1) * ldw + j, columns - j) : _mm512_setzero_ps();
            _mm512_storeu_si512(panel + 2 * j, _mm512_permutexvar_epi16(order, rounded16(odd, even)));
        }
}

VLM_INLINE VLM_PAIRS void tile(
    int rows, int vectors, int64_t columns, int64_t depth, const uint16_t *const *a, const uint16_t *panel, float *c,
    int64_t ldc, int accumulate) {
    __m512 sum[ROWS][2];
    const uint16_t *row[ROWS];
    VLM_UNROLL for (int r = 0; r < rows; r++) {
        row[r] = a[r];
        VLM_UNROLL for (int v = 0; v < vectors; v++)
            sum[r][v] = accumulate ? load16(c + r * ldc + 16 * v, columns - 16 * v) : _mm512_setzero_ps();
    }
    VLM_NO_UNROLL for (int64_t k = 0; k < depth; k += 2, panel += 2 * COLUMNS) {
        __m512bh b[2];
        VLM_UNROLL for (int v = 0; v < vectors; v++) b[v] = (__m512bh)_mm512_loadu_si512(panel + 32 * v);
        VLM_UNROLL for (int r = 0; r < rows; r++) {
            int32_t pair;
            memcpy(&pair, row[r] + k, 4);
            const __m512bh x = (__m512bh)_mm512_set1_epi32(pair);
            VLM_UNROLL for (int v = 0; v < vectors; v++) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], x, b[v]);
        }
    }
    VLM_UNROLL for (int r = 0; r < rows; r++)
        VLM_UNROLL for (int v = 0; v < vectors; v++) store16(c + r * ldc + 16 * v, columns - 16 * v, sum[r][v]);
}

VLM_PAIRS void vlm_pair_tile(
    int64_t rows, int64_t columns, int64_t depth, const uint16_t *const *a, const uint16_t *panel, float *c, int64_t ldc,
    int accumulate) {
#define VLM_CASE(r)                                                                                                  \
    case r:                                                                                                          \
        if (columns > 16)                                                                                            \
            tile(r, 2, columns, depth, a, panel, c, ldc, accumulate);                                                \
        else                                                                                                         \
            tile(r, 1, columns, depth, a, panel, c, ldc, accumulate);                                                \
        break;
    switch (rows) {
        VLM_CASE(1) VLM_CASE(2) VLM_CASE(3) VLM_CASE(4) VLM_CASE(5) VLM_CASE(6)
        VLM_CASE(7) VLM_CASE(8) VLM_CASE(9) VLM_CASE(10) VLM_CASE(11) VLM_CASE(12)
    }
#undef VLM_CASE
}

// ---- the trial ---------------------------------------------------------------------------------------------------

enum { CHAINS = 12, STEPS = 256 };

/// Seconds that many steps of independent chains take: of multiply-adds of float32, or of dot products of pairs.
static __attribute__((noinline)) VLM_PAIRS double trial(int pairs) {
    struct timespec start, end;
    __m512 sum[CHAINS];
    VLM_UNROLL for (int i = 0; i < CHAINS; i++) sum[i] = _mm512_setzero_ps();
    const __m512 x = _mm512_set1_ps(0.5f);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int step = 0; step < STEPS; step++)
        VLM_UNROLL for (int i = 0; i < CHAINS; i++) {
            sum[i] = pairs ? _mm512_dpbf16_ps(sum[i], (__m512bh)x, (__m512bh)x) : _mm512_fmadd_ps(sum[i], x, x);
            __asm__ volatile("" : "+v"(sum[i]));  // or compilers see that nothing is done with it
        }
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}

int vlm_pairs_are_fast(void) {
    if (!__builtin_cpu_supports("avx512bf16")) return 0;
    double single = 1, pair = 1;
    for (int i = 0; i < 20; i++) {
        single = fmin(single, trial(0));
        pair = fmin(pair, trial(1));
    }
    // A step of pairs does the work of two. Units that do it in one step take as long as those of float32, others twice as long
    // or more: either is far from this.
    return pair < 1.4 * single;
}
#endif
