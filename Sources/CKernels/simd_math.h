// Exponentials and the Gaussian tail over vectors.
//
// exp2(y) = 2^n p(f) with n = round(y), f = y - n in [-1/2, 1/2] and p of degree 5 with p(0) = 1 exactly: 2.04 ulp over
// [-126, 0]. Below -126 the result is 0, never subnormal: subnormal factors would slow the sums that follow.
// exp(x) takes f = x log2(e) - n with log2(e) split in two floats; a single product would cost up to 64 ulp at -87.
//
// GELU uses x Phi(x) = max(x, 0) - |x| Phi(-|x|), where Phi(-z) = erfc(z / sqrt 2) / 2 is written 2^-q(z). q is a
// polynomial of degree 8 with q(0) = 1, fitted here to -log2(Phi(-z)) on [0, 13] by linear programming so as to
// minimise the largest error of z Phi(-z): below 5e-8 with float32 evaluation, where 2e-7 of erf is asked for. The
// negative tail falls off as it should (relative error 2e-4 down to -4, 4 % at -6) where x/2 (1 + erf) ends in rounding
// noise. q grows monotonically beyond 13, so every larger |x| gives exactly max(x, 0).
#ifndef VLM_SIMD_MATH_H
#define VLM_SIMD_MATH_H

#include "simd.h"

#ifdef VLM_X86

#define VLM_EXP2_1 0.69314700f
#define VLM_EXP2_2 0.24022243f
#define VLM_EXP2_3 0.055507336f
#define VLM_EXP2_4 0.0096715130f
#define VLM_EXP2_5 0.0013264727f

#define VLM_LOG2E_HIGH 1.44269502f
#define VLM_LOG2E_LOW 1.9259630e-8f

#define VLM_TAIL_1 1.15112150f
#define VLM_TAIL_2 0.459083587f
#define VLM_TAIL_3 0.0528428257f
#define VLM_TAIL_4 -0.00753318192f
#define VLM_TAIL_5 0.000479317387f
#define VLM_TAIL_6 4.98090703e-05f
#define VLM_TAIL_7 -1.15591577e-05f
#define VLM_TAIL_8 5.71692283e-07f

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX2 __m256 exp2_of_parts8(__m256 y, __m256 n, __m256 f) {
    __m256 p = _mm256_fmadd_ps(f, _mm256_set1_ps(VLM_EXP2_5), _mm256_set1_ps(VLM_EXP2_4));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(VLM_EXP2_3));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(VLM_EXP2_2));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(VLM_EXP2_1));
    p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(1));
    // 2^n by its exponent bits; n = 128 makes infinity. What lies below -126 is cleared by the comparison.
    __m256 bounded = _mm256_min_ps(_mm256_max_ps(n, _mm256_set1_ps(-126)), _mm256_set1_ps(128));
    __m256i bits = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(bounded), _mm256_set1_epi32(127)), 23);
    __m256 normal = _mm256_cmp_ps(y, _mm256_set1_ps(-126), _CMP_NLT_UQ);
    return _mm256_and_ps(normal, _mm256_mul_ps(p, _mm256_castsi256_ps(bits)));
}

VLM_INLINE VLM_AVX2 __m256 exp2_8(__m256 y) {
    __m256 n = _mm256_round_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return exp2_of_parts8(y, n, _mm256_sub_ps(y, n));
}

VLM_INLINE VLM_AVX2 __m256 exp_8(__m256 x) {
    __m256 high = _mm256_set1_ps(VLM_LOG2E_HIGH), y = _mm256_mul_ps(x, high);
    __m256 n = _mm256_round_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 f = _mm256_fmadd_ps(x, _mm256_set1_ps(VLM_LOG2E_LOW), _mm256_fmsub_ps(x, high, n));
    return exp2_of_parts8(y, n, f);
}

/// x / (1 + e^-(slope x)).
VLM_INLINE VLM_AVX2 __m256 sigmoid_times8(__m256 x, float slope) {
    __m256 e = exp_8(_mm256_mul_ps(x, _mm256_set1_ps(-slope)));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1), e));
}

/// Phi(-z) for z >= 0: the upper tail of the normal distribution.
VLM_INLINE VLM_AVX2 __m256 normal_tail8(__m256 z) {
    __m256 q = _mm256_fmadd_ps(z, _mm256_set1_ps(VLM_TAIL_8), _mm256_set1_ps(VLM_TAIL_7));
    q = _mm256_fmadd_ps(q, z, _mm256_set1_ps(VLM_TAIL_6));
    q = _mm256_fmadd_ps(q, z, _mm256_set1_ps(VLM_TAIL_5));
    q = _mm256_fmadd_ps(q, z, _mm256_set1_ps(VLM_TAIL_4));
    q = _mm256_fmadd_ps(q, z, _mm256_set1_ps(VLM_TAIL_3));
    q = _mm256_fmadd_ps(q, z, _mm256_set1_ps(VLM_TAIL_2));
    q = _mm256_fmadd_ps(q, z, _mm256_set1_ps(VLM_TAIL_1));
    return exp2_8(_mm256_fnmsub_ps(q, z, _mm256_set1_ps(1)));
}

VLM_INLINE VLM_AVX2 __m256 gelu8(__m256 x) {
    __m256 z = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x);
    return _mm256_fnmadd_ps(z, normal_tail8(z), _mm256_max_ps(_mm256_setzero_ps(), x));
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX512 __m512 exp2_of_parts16(__m512 y, __m512 n, __m512 f) {
    __m512 p = _mm512_fmadd_ps(f, _mm512_set1_ps(VLM_EXP2_5), _mm512_set1_ps(VLM_EXP2_4));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(VLM_EXP2_3));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(VLM_EXP2_2));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(VLM_EXP2_1));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1));
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(y, _mm512_set1_ps(-126), _CMP_NLT_UQ), p, n);
}

VLM_INLINE VLM_AVX512 __m512 exp2_16(__m512 y) {
    __m512 n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    return exp2_of_parts16(y, n, _mm512_sub_ps(y, n));
}

VLM_INLINE VLM_AVX512 __m512 exp_16(__m512 x) {
    __m512 high = _mm512_set1_ps(VLM_LOG2E_HIGH), y = _mm512_mul_ps(x, high);
    __m512 n = _mm512_roundscale_ps(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_fmadd_ps(x, _mm512_set1_ps(VLM_LOG2E_LOW), _mm512_fmsub_ps(x, high, n));
    return exp2_of_parts16(y, n, f);
}

/// x / (1 + e^-(slope x)).
VLM_INLINE VLM_AVX512 __m512 sigmoid_times16(__m512 x, float slope) {
    __m512 e = exp_16(_mm512_mul_ps(x, _mm512_set1_ps(-slope)));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1), e));
}

/// Phi(-z) for z >= 0: the upper tail of the normal distribution.
VLM_INLINE VLM_AVX512 __m512 normal_tail16(__m512 z) {
    __m512 q = _mm512_fmadd_ps(z, _mm512_set1_ps(VLM_TAIL_8), _mm512_set1_ps(VLM_TAIL_7));
    q = _mm512_fmadd_ps(q, z, _mm512_set1_ps(VLM_TAIL_6));
    q = _mm512_fmadd_ps(q, z, _mm512_set1_ps(VLM_TAIL_5));
    q = _mm512_fmadd_ps(q, z, _mm512_set1_ps(VLM_TAIL_4));
    q = _mm512_fmadd_ps(q, z, _mm512_set1_ps(VLM_TAIL_3));
    q = _mm512_fmadd_ps(q, z, _mm512_set1_ps(VLM_TAIL_2));
    q = _mm512_fmadd_ps(q, z, _mm512_set1_ps(VLM_TAIL_1));
    return exp2_16(_mm512_fnmsub_ps(q, z, _mm512_set1_ps(1)));
}

VLM_INLINE VLM_AVX512 __m512 gelu16(__m512 x) {
    __m512 z = _mm512_abs_ps(x);
    return _mm512_fnmadd_ps(z, normal_tail16(z), _mm512_max_ps(_mm512_setzero_ps(), x));
}

#endif
#endif
