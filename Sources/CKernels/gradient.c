// Gradients of the operations on rows and elements, and the optimiser's step.
//
// The vector forms are written once, in gradient_simd.h, and compiled for each instruction set.
#include "simd_math.h"

#include <math.h>

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_layer_norm_backward_portable(
    int64_t n, const float *x, const float *weight, float epsilon, const float *dy, float *dx, int accumulate,
    float *dweight, float *dbias) {
    float mean = 0, variance = 0, sum = 0, dot = 0;
    for (int64_t i = 0; i < n; i++) mean += x[i];
    mean /= (float)n;
    for (int64_t i = 0; i < n; i++) variance += (x[i] - mean) * (x[i] - mean);
    float scale = 1 / sqrtf(variance / (float)n + epsilon);
    for (int64_t i = 0; i < n; i++) {
        float normal = (x[i] - mean) * scale;
        sum += dy[i] * weight[i];
        dot += dy[i] * weight[i] * normal;
        if (dweight) dweight[i] += dy[i] * normal;
        if (dbias) dbias[i] += dy[i];
    }
    if (!dx) return;
    for (int64_t i = 0; i < n; i++) {
        float d = scale * (dy[i] * weight[i] - sum / (float)n - (x[i] - mean) * scale * dot / (float)n);
        dx[i] = accumulate ? dx[i] + d : d;
    }
}

void vlm_rms_norm_backward_portable(
    int64_t n, const float *x, const float *weight, float epsilon, const float *dy, float *dx, int accumulate,
    float *dweight) {
    float square = 0, dot = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    float scale = 1 / sqrtf(square / (float)n + epsilon);
    for (int64_t i = 0; i < n; i++) {
        dot += dy[i] * weight[i] * x[i];
        if (dweight) dweight[i] += dy[i] * x[i] * scale;
    }
    if (!dx) return;
    for (int64_t i = 0; i < n; i++) {
        float d = scale * (dy[i] * weight[i] - x[i] * scale * scale * dot / (float)n);
        dx[i] = accumulate ? dx[i] + d : d;
    }
}

static float derivative_portable(vlm_activation activation, float x) {
    switch (activation) {
    case VLM_IDENTITY: return 1;
    case VLM_GELU: return 0.5f * (1 + erff(x * 0.70710678f)) + x * 0.39894228f * expf(-0.5f * x * x);
    case VLM_QUICK_GELU: {
        float s = 1 / (1 + expf(-1.702f * x));
        return s + 1.702f * x * s * (1 - s);
    }
    case VLM_SILU: {
        float s = 1 / (1 + expf(-x));
        return s + x * s * (1 - s);
    }
    case VLM_RELU: return x > 0 ? 1 : 0;
    }
    return 1;
}

void vlm_activate_backward_portable(
    vlm_activation activation, int64_t n, const float *x, const float *dy, float *dx) {
    for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * derivative_portable(activation, x[i]);
}

void vlm_silu_gate_backward_portable(
    int64_t n, const float *gate, const float *up, const float *dy, float *dgate, float *dup) {
    for (int64_t i = 0; i < n; i++) {
        float d = dy[i], u = up[i], s = gate[i] / (1 + expf(-gate[i]));
        dgate[i] = d * u * derivative_portable(VLM_SILU, gate[i]);
        dup[i] = d * s;
    }
}

void vlm_softmax_backward_portable(int64_t n, const float *y, const float *dy, float *dx) {
    float dot = 0;
    for (int64_t i = 0; i < n; i++) dot += y[i] * dy[i];
    for (int64_t i = 0; i < n; i++) dx[i] = y[i] * (dy[i] - dot);
}

void vlm_attention_gradient_portable(int64_t n, float *s, float *dp, float log_sum, float delta) {
    for (int64_t i = 0; i < n; i++) {
        s[i] = exp2f(s[i] - log_sum);
        dp[i] = s[i] * (dp[i] - delta);
    }
}

void vlm_add_product_portable(int64_t n, const float *a, const float *b, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] += a[i] * b[i];
}

void vlm_adamw_portable(const vlm_adamw_step *step, int64_t n, const float *g, float *m, float *v, float *x) {
    for (int64_t i = 0; i < n; i++) {
        float d = g[i] * step->gradient_scale;
        m[i] = step->beta1 * m[i] + (1 - step->beta1) * d;
        v[i] = step->beta2 * v[i] + (1 - step->beta2) * d * d;
        x[i] = x[i] * step->decay - step->rate * m[i] / (sqrtf(v[i]) * step->root_scale + step->epsilon);
    }
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

#define ISA VLM_AVX2
#define NAME(f) f##_avx2
#define V __m256
#define EACH(i, n, ...) VLM_EACH(8, i, n, __VA_ARGS__)
#define LOAD load8
#define STORE store8
#define SET _mm256_set1_ps
#define ADD _mm256_add_ps
#define SUB _mm256_sub_ps
#define MUL _mm256_mul_ps
#define DIV _mm256_div_ps
#define SQRT _mm256_sqrt_ps
#define FMA _mm256_fmadd_ps    // a b + c
#define FNMA _mm256_fnmadd_ps  // c - a b
#define KEEP(v, count) (count >= 8 ? v : _mm256_and_ps(v, _mm256_castsi256_ps(lanes8(count))))
#define SUM sum8
#define ABS(v) _mm256_andnot_ps(_mm256_set1_ps(-0.0f), v)
/// a where x > 0, else b.
#define IF_POSITIVE(x, a, b) _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ))
#define EXP exp_8
#define EXP2 exp2_8
#define NORMAL_TAIL normal_tail8
#include "gradient_simd.h"

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

#define ISA VLM_AVX512
#define NAME(f) f##_avx512
#define V __m512
#define EACH(i, n, ...) VLM_EACH(16, i, n, __VA_ARGS__)
#define LOAD load16
#define STORE store16
#define SET _mm512_set1_ps
#define ADD _mm512_add_ps
#define SUB _mm512_sub_ps
#define MUL _mm512_mul_ps
#define DIV _mm512_div_ps
#define SQRT _mm512_sqrt_ps
#define FMA _mm512_fmadd_ps
#define FNMA _mm512_fnmadd_ps
#define KEEP(v, count) _mm512_maskz_mov_ps(lanes16(count), v)
#define SUM(v) sum8(fold16(v))
#define ABS _mm512_abs_ps
#define IF_POSITIVE(x, a, b) _mm512_mask_blend_ps(_mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), b, a)
#define EXP exp_16
#define EXP2 exp2_16
#define NORMAL_TAIL normal_tail16
#include "gradient_simd.h"

#endif
