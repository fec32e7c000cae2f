// Layer normalisation and root-mean-square normalisation of one row.
#include "simd.h"

#include <math.h>

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_layer_norm_portable(
    int64_t n, const float *x, const float *weight, const float *bias, float epsilon, float *y) {
    float mean = 0, variance = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i];
    mean /= (float)n;
    for (int64_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
    float scale = 1 / sqrtf(variance / (float)n + epsilon);
    for (int64_t i = 0; i < n; i++) y[i] = (x[i] - mean) * scale * weight[i] + bias[i];
}

void vlm_rms_norm_portable(int64_t n, const float *x, const float *weight, float epsilon, float *y) {
    float square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    float scale = 1 / sqrtf(square / (float)n + epsilon);
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * scale * weight[i];
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_AVX2 void vlm_layer_norm_avx2(
    int64_t n, const float *x, const float *weight, const float *bias, float epsilon, float *y) {
    __m256 total = _mm256_setzero_ps(), squares = _mm256_setzero_ps();
    VLM_EACH(8, i, n, total = _mm256_add_ps(total, load8(x + i, count)););
    __m256 mean = _mm256_set1_ps(sum8(total) / (float)n);
    VLM_EACH(8, i, n, {
        __m256 d = _mm256_sub_ps(load8(x + i, count), mean);
        d = count >= 8 ? d : _mm256_and_ps(d, _mm256_castsi256_ps(lanes8(count)));
        squares = _mm256_fmadd_ps(d, d, squares);
    });
    __m256 scale = _mm256_set1_ps(1 / sqrtf(sum8(squares) / (float)n + epsilon));
    VLM_EACH(8, i, n, {
        __m256 d = _mm256_mul_ps(_mm256_sub_ps(load8(x + i, count), mean), scale);
        store8(y + i, count, _mm256_fmadd_ps(d, load8(weight + i, count), load8(bias + i, count)));
    });
}

VLM_AVX2 void vlm_rms_norm_avx2(int64_t n, const float *x, const float *weight, float epsilon, float *y) {
    __m256 squares = _mm256_setzero_ps();
    VLM_EACH(8, i, n, {
        __m256 v = load8(x + i, count);
        squares = _mm256_fmadd_ps(v, v, squares);
    });
    __m256 scale = _mm256_set1_ps(1 / sqrtf(sum8(squares) / (float)n + epsilon));
    VLM_EACH(8, i, n, {
        __m256 v = _mm256_mul_ps(load8(x + i, count), scale);
        store8(y + i, count, _mm256_mul_ps(v, load8(weight + i, count)));
    });
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

VLM_AVX512 void vlm_layer_norm_avx512(
    int64_t n, const float *x, const float *weight, const float *bias, float epsilon, float *y) {
    __m512 total = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    VLM_EACH(16, i, n, total = _mm512_add_ps(total, load16(x + i, count)););
    __m512 mean = _mm512_set1_ps(sum8(fold16(total)) / (float)n);
    VLM_EACH(16, i, n, {
        __m512 d = _mm512_sub_ps(load16(x + i, count), mean);
        d = _mm512_maskz_mov_ps(lanes16(count), d);
        squares = _mm512_fmadd_ps(d, d, squares);
    });
    __m512 scale = _mm512_set1_ps(1 / sqrtf(sum8(fold16(squares)) / (float)n + epsilon));
    VLM_EACH(16, i, n, {
        __m512 d = _mm512_mul_ps(_mm512_sub_ps(load16(x + i, count), mean), scale);
        store16(y + i, count, _mm512_fmadd_ps(d, load16(weight + i, count), load16(bias + i, count)));
    });
}

VLM_AVX512 void vlm_rms_norm_avx512(int64_t n, const float *x, const float *weight, float epsilon, float *y) {
    __m512 squares = _mm512_setzero_ps();
    VLM_EACH(16, i, n, {
        __m512 v = load16(x + i, count);
        squares = _mm512_fmadd_ps(v, v, squares);
    });
    __m512 scale = _mm512_set1_ps(1 / sqrtf(sum8(fold16(squares)) / (float)n + epsilon));
    VLM_EACH(16, i, n, {
        __m512 v = _mm512_mul_ps(load16(x + i, count), scale);
        store16(y + i, count, _mm512_mul_ps(v, load16(weight + i, count)));
    });
}

#endif
