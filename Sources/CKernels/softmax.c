// Softmax of a row, and one step of the online softmax of FlashAttention-2 for the rows of a tile.
#include "simd_math.h"

#include <math.h>

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_softmax_portable(int64_t n, float *x) {
    float maximum = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) maximum = fmaxf(maximum, x[i]);
    for (int64_t i = 0; i < n; i++) sum += x[i] = expf(x[i] - maximum);
    for (int64_t i = 0; i < n; i++) x[i] /= sum;
}

void vlm_online_softmax_portable(
    int64_t rows, const int64_t *n, float *const *x, float *maximum, float *sum, float *correction) {
    for (int64_t r = 0; r < rows; r++) {
        float m = maximum[r], s = 0;
        for (int64_t i = 0; i < n[r]; i++) m = fmaxf(m, x[r][i]);
        for (int64_t i = 0; i < n[r]; i++) s += x[r][i] = exp2f(x[r][i] - m);
        correction[r] = exp2f(maximum[r] - m);
        sum[r] = sum[r] * correction[r] + s;
        maximum[r] = m;
    }
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

/// max(start, max x).
VLM_INLINE VLM_AVX2 float maximum_avx2(int64_t n, const float *x, float start) {
    __m256 m0 = _mm256_set1_ps(start), m1 = m0;
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        m0 = _mm256_max_ps(m0, _mm256_loadu_ps(x + i));
        m1 = _mm256_max_ps(m1, _mm256_loadu_ps(x + i + 8));
    }
    for (; i < n; i += 8) {
        __m256 lanes = _mm256_castsi256_ps(lanes8(n - i));
        m0 = _mm256_max_ps(m0, _mm256_blendv_ps(m0, load8(x + i, n - i), lanes));
    }
    return max8(_mm256_max_ps(m0, m1));
}

VLM_AVX2 void vlm_softmax_avx2(int64_t n, float *x) {
    __m256 m = _mm256_set1_ps(maximum_avx2(n, x, x[0])), sums = _mm256_setzero_ps();
    VLM_EACH(8, i, n, {
        __m256 e = exp_8(_mm256_sub_ps(load8(x + i, count), m));
        store8(x + i, count, e);
        sums = _mm256_add_ps(sums, count >= 8 ? e : _mm256_and_ps(e, _mm256_castsi256_ps(lanes8(count))));
    });
    vlm_scale_avx2(n, 1 / sum8(sums), x, x);
}

VLM_AVX2 void vlm_online_softmax_avx2(
    int64_t rows, const int64_t *n, float *const *x, float *maximum, float *sum, float *correction) {
    // All maxima first: none then waits for the other lanes of its row just when it is wanted.
    float top[VLM_MAX_TILE_ROWS];
    for (int64_t r = 0; r < rows; r++) top[r] = maximum_avx2(n[r], x[r], maximum[r]);
    for (int64_t r = 0; r < rows; r++) {
        __m256 m = _mm256_set1_ps(top[r]), sums = _mm256_setzero_ps();
        float *row = x[r];
        VLM_EACH(8, i, n[r], {
            __m256 e = exp2_8(_mm256_sub_ps(load8(row + i, count), m));
            store8(row + i, count, e);
            sums = _mm256_add_ps(sums, count >= 8 ? e : _mm256_and_ps(e, _mm256_castsi256_ps(lanes8(count))));
        });
        correction[r] = _mm256_cvtss_f32(exp2_8(_mm256_set1_ps(maximum[r] - top[r])));
        sum[r] = sum[r] * correction[r] + sum8(sums);
        maximum[r] = top[r];
    }
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

/// max(start, max x).
VLM_INLINE VLM_AVX512 float maximum_avx512(int64_t n, const float *x, float start) {
    __m512 m0 = _mm512_set1_ps(start), m1 = m0;
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        m0 = _mm512_max_ps(m0, _mm512_loadu_ps(x + i));
        m1 = _mm512_max_ps(m1, _mm512_loadu_ps(x + i + 16));
    }
    for (; i < n; i += 16) m0 = _mm512_mask_max_ps(m0, lanes16(n - i), m0, load16(x + i, n - i));
    m0 = _mm512_max_ps(m0, m1);
    return max8(_mm256_max_ps(_mm512_castps512_ps256(m0), _mm512_extractf32x8_ps(m0, 1)));
}

VLM_AVX512 void vlm_softmax_avx512(int64_t n, float *x) {
    __m512 m = _mm512_set1_ps(maximum_avx512(n, x, x[0])), sums = _mm512_setzero_ps();
    VLM_EACH(16, i, n, {
        __m512 e = exp_16(_mm512_sub_ps(load16(x + i, count), m));
        store16(x + i, count, e);
        sums = _mm512_mask_add_ps(sums, lanes16(count), sums, e);
    });
    vlm_scale_avx512(n, 1 / sum8(fold16(sums)), x, x);
}

VLM_AVX512 void vlm_online_softmax_avx512(
    int64_t rows, const int64_t *n, float *const *x, float *maximum, float *sum, float *correction) {
    // All maxima first: none then waits for the other lanes of its row just when it is wanted.
    float top[VLM_MAX_TILE_ROWS];
    for (int64_t r = 0; r < rows; r++) top[r] = maximum_avx512(n[r], x[r], maximum[r]);
    for (int64_t r = 0; r < rows; r++) {
        __m512 m = _mm512_set1_ps(top[r]), sums = _mm512_setzero_ps();
        float *row = x[r];
        VLM_EACH(16, i, n[r], {
            __m512 e = exp2_16(_mm512_sub_ps(load16(row + i, count), m));
            store16(row + i, count, e);
            sums = _mm512_mask_add_ps(sums, lanes16(count), sums, e);
        });
        correction[r] = _mm512_cvtss_f32(exp2_16(_mm512_set1_ps(maximum[r] - top[r])));
        sum[r] = sum[r] * correction[r] + sum8(fold16(sums));
        maximum[r] = top[r];
    }
}

#endif

// ---- cross entropy -----------------------------------------------------------------------------------------------

float vlm_cross_entropy(const vlm_kernels *k, int64_t n, const float *x, int64_t target, float *gradient) {
    const float log2_e = 1.44269504088896341f, ln_2 = 0.69314718055994531f;
    k->scale(n, log2_e, x, gradient);
    float maximum = -1e30f, sum = 0, own = gradient[target], correction;
    k->online_softmax(1, &n, &gradient, &maximum, &sum, &correction);
    k->scale(n, 1 / sum, gradient, gradient);
    gradient[target] -= 1;
    return (maximum - own + log2f(sum)) * ln_2;
}
