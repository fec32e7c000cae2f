// Sums, products, rotary embedding, and widening of stored types.
#include "simd.h"

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_add_scaled_portable(int64_t n, const float *a, float scale, const float *b, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + scale * b[i];
}

void vlm_scale_portable(int64_t n, float scale, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = scale * x[i];
}

void vlm_multiply_portable(int64_t n, const float *a, const float *b, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

void vlm_rotate_half_portable(int64_t head_size, const float *x, const float *cosine, const float *sine, float *y) {
    int64_t half = head_size / 2;
    for (int64_t j = 0; j < half; j++) {
        float first = x[j], second = x[j + half];
        y[j] = first * cosine[j] - second * sine[j];
        y[j + half] = second * cosine[j] + first * sine[j];
    }
}

void vlm_widen_portable(vlm_element type, int64_t n, const void *x, float *y) {
    if (vlm_is_block(type)) {
        vlm_dequantize_portable(type, n, x, y);
        return;
    }
    for (int64_t i = 0; i < n; i++) y[i] = vlm_load(type, x, i);
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_AVX2 void vlm_add_scaled_avx2(int64_t n, const float *a, float scale, const float *b, float *y) {
    __m256 s = _mm256_set1_ps(scale);
    VLM_EACH(8, i, n, store8(y + i, count, _mm256_fmadd_ps(s, load8(b + i, count), load8(a + i, count))););
}

VLM_AVX2 void vlm_scale_avx2(int64_t n, float scale, const float *x, float *y) {
    __m256 s = _mm256_set1_ps(scale);
    VLM_EACH(8, i, n, store8(y + i, count, _mm256_mul_ps(s, load8(x + i, count))););
}

VLM_AVX2 void vlm_multiply_avx2(int64_t n, const float *a, const float *b, float *y) {
    VLM_EACH(8, i, n, store8(y + i, count, _mm256_mul_ps(load8(a + i, count), load8(b + i, count))););
}

VLM_AVX2 void vlm_rotate_half_avx2(
    int64_t head_size, const float *x, const float *cosine, const float *sine, float *y) {
    int64_t half = head_size / 2;
    VLM_EACH(8, j, half, {
        __m256 first = load8(x + j, count), second = load8(x + half + j, count);
        __m256 c = load8(cosine + j, count), s = load8(sine + j, count);
        store8(y + j, count, _mm256_fmsub_ps(first, c, _mm256_mul_ps(second, s)));
        store8(y + half + j, count, _mm256_fmadd_ps(second, c, _mm256_mul_ps(first, s)));
    });
}

VLM_AVX2 void vlm_widen_avx2(vlm_element type, int64_t n, const void *x, float *y) {
#define RUN(t) VLM_EACH(8, i, n, store8(y + i, count, widen8(t, x, i, count));)
    switch (type) {
    case VLM_F32: RUN(VLM_F32); break;
    case VLM_BF16: RUN(VLM_BF16); break;
    case VLM_F16: RUN(VLM_F16); break;
    default: vlm_dequantize_avx2(type, n, x, y); break;
    }
#undef RUN
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

VLM_AVX512 void vlm_add_scaled_avx512(int64_t n, const float *a, float scale, const float *b, float *y) {
    __m512 s = _mm512_set1_ps(scale);
    VLM_EACH(16, i, n, store16(y + i, count, _mm512_fmadd_ps(s, load16(b + i, count), load16(a + i, count))););
}

VLM_AVX512 void vlm_scale_avx512(int64_t n, float scale, const float *x, float *y) {
    __m512 s = _mm512_set1_ps(scale);
    VLM_EACH(16, i, n, store16(y + i, count, _mm512_mul_ps(s, load16(x + i, count))););
}

VLM_AVX512 void vlm_multiply_avx512(int64_t n, const float *a, const float *b, float *y) {
    VLM_EACH(16, i, n, store16(y + i, count, _mm512_mul_ps(load16(a + i, count), load16(b + i, count))););
}

VLM_AVX512 void vlm_rotate_half_avx512(
    int64_t head_size, const float *x, const float *cosine, const float *sine, float *y) {
    int64_t half = head_size / 2;
    VLM_EACH(16, j, half, {
        __m512 first = load16(x + j, count), second = load16(x + half + j, count);
        __m512 c = load16(cosine + j, count), s = load16(sine + j, count);
        store16(y + j, count, _mm512_fmsub_ps(first, c, _mm512_mul_ps(second, s)));
        store16(y + half + j, count, _mm512_fmadd_ps(second, c, _mm512_mul_ps(first, s)));
    });
}

VLM_AVX512 void vlm_widen_avx512(vlm_element type, int64_t n, const void *x, float *y) {
#define RUN(t) VLM_EACH(16, i, n, store16(y + i, count, widen16(t, x, i, count));)
    switch (type) {
    case VLM_F32: RUN(VLM_F32); break;
    case VLM_BF16: RUN(VLM_BF16); break;
    case VLM_F16: RUN(VLM_F16); break;
    default: vlm_dequantize_avx512(type, n, x, y); break;
    }
#undef RUN
}

#endif
