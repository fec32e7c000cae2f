// GELU, quick GELU, SiLU, ReLU, the gated product, and the epilogue of a product tile.
#include "simd_math.h"

#include <math.h>

// ---- portable ----------------------------------------------------------------------------------------------------

static float activation_portable(vlm_activation activation, float x) {
    switch (activation) {
    case VLM_IDENTITY: return x;
    case VLM_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case VLM_QUICK_GELU: return x / (1 + expf(-1.702f * x));
    case VLM_SILU: return x / (1 + expf(-x));
    case VLM_RELU: return x > 0 ? x : 0;
    }
    return x;
}

void vlm_activate_portable(vlm_activation activation, int64_t n, const float *x, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = activation_portable(activation, x[i]);
}

void vlm_silu_gate_portable(int64_t n, const float *gate, const float *up, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = activation_portable(VLM_SILU, gate[i]) * up[i];
}

void vlm_finish_tile_portable(
    int64_t rows, int64_t columns, const float *tile, int64_t ldt, const vlm_epilogue *e, float *c, int64_t ldc) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            float y = activation_portable(e->activation, tile[r * ldt + j] + (e->bias ? e->bias[j] : 0));
            if (e->factor) y *= e->factor[r * e->ldr + j];
            c[r * ldc + j] = e->residual ? y + e->residual[r * e->ldr + j] : y;
        }
}

#ifdef VLM_X86

// ---- AVX2 --------------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX2 __m256 activation8(vlm_activation activation, __m256 x) {
    switch (activation) {
    case VLM_IDENTITY: return x;
    case VLM_GELU: return gelu8(x);
    case VLM_QUICK_GELU: return sigmoid_times8(x, 1.702f);
    case VLM_SILU: return sigmoid_times8(x, 1);
    case VLM_RELU: return _mm256_max_ps(x, _mm256_setzero_ps());
    }
    return x;
}

VLM_AVX2 void vlm_activate_avx2(vlm_activation activation, int64_t n, const float *x, float *y) {
#define RUN(f) VLM_EACH(8, i, n, store8(y + i, count, activation8(f, load8(x + i, count)));)
    switch (activation) {
    case VLM_IDENTITY: RUN(VLM_IDENTITY); break;
    case VLM_GELU: RUN(VLM_GELU); break;
    case VLM_QUICK_GELU: RUN(VLM_QUICK_GELU); break;
    case VLM_SILU: RUN(VLM_SILU); break;
    case VLM_RELU: RUN(VLM_RELU); break;
    }
#undef RUN
}

VLM_AVX2 void vlm_silu_gate_avx2(int64_t n, const float *gate, const float *up, float *y) {
    VLM_EACH(8, i, n, {
        __m256 g = activation8(VLM_SILU, load8(gate + i, count));
        store8(y + i, count, _mm256_mul_ps(g, load8(up + i, count)));
    });
}

VLM_INLINE VLM_AVX2 void finish_avx2(
    vlm_activation activation, int64_t rows, int64_t columns, const float *tile, int64_t ldt, const vlm_epilogue *e, float *c,
    int64_t ldc) {
    // Four rows are loaded before any is stored: rows often lie a multiple of 4 KB apart, and the processor takes a load for
    // one of what was stored there just before.
    enum { ROWS = 4 };
    for (int64_t r = 0; r < rows; r += ROWS) {
        const int64_t some = vlm_min(ROWS, rows - r);
        VLM_EACH(8, i, columns, {
            __m256 b = e->bias ? load8(e->bias + i, count) : _mm256_setzero_ps();
            __m256 v[ROWS];
            VLM_UNROLL for (int n = 0; n < ROWS; n++) {
                if (n >= some) break;
                v[n] = activation8(activation, _mm256_add_ps(load8(tile + (r + n) * ldt + i, count), b));
                if (e->factor) v[n] = _mm256_mul_ps(v[n], load8(e->factor + (r + n) * e->ldr + i, count));
                if (e->residual) v[n] = _mm256_add_ps(v[n], load8(e->residual + (r + n) * e->ldr + i, count));
            }
            VLM_UNROLL for (int n = 0; n < ROWS; n++)
                if (n < some) store8(c + (r + n) * ldc + i, count, v[n]);
        });
    }
}

VLM_AVX2 void vlm_finish_tile_avx2(
    int64_t rows, int64_t columns, const float *tile, int64_t ldt, const vlm_epilogue *e, float *c, int64_t ldc) {
#define RUN(f) finish_avx2(f, rows, columns, tile, ldt, e, c, ldc)
    switch (e->activation) {
    case VLM_IDENTITY: RUN(VLM_IDENTITY); break;
    case VLM_GELU: RUN(VLM_GELU); break;
    case VLM_QUICK_GELU: RUN(VLM_QUICK_GELU); break;
    case VLM_SILU: RUN(VLM_SILU); break;
    case VLM_RELU: RUN(VLM_RELU); break;
    }
#undef RUN
}

// ---- AVX-512 -----------------------------------------------------------------------------------------------------

VLM_INLINE VLM_AVX512 __m512 activation16(vlm_activation activation, __m512 x) {
    switch (activation) {
    case VLM_IDENTITY: return x;
    case VLM_GELU: return gelu16(x);
    case VLM_QUICK_GELU: return sigmoid_times16(x, 1.702f);
    case VLM_SILU: return sigmoid_times16(x, 1);
    case VLM_RELU: return _mm512_max_ps(x, _mm512_setzero_ps());
    }
    return x;
}

VLM_AVX512 void vlm_activate_avx512(vlm_activation activation, int64_t n, const float *x, float *y) {
#define RUN(f) VLM_EACH(16, i, n, store16(y + i, count, activation16(f, load16(x + i, count)));)
    switch (activation) {
    case VLM_IDENTITY: RUN(VLM_IDENTITY); break;
    case VLM_GELU: RUN(VLM_GELU); break;
    case VLM_QUICK_GELU: RUN(VLM_QUICK_GELU); break;
    case VLM_SILU: RUN(VLM_SILU); break;
    case VLM_RELU: RUN(VLM_RELU); break;
    }
#undef RUN
}

VLM_AVX512 void vlm_silu_gate_avx512(int64_t n, const float *gate, const float *up, float *y) {
    VLM_EACH(16, i, n, {
        __m512 g = activation16(VLM_SILU, load16(gate + i, count));
        store16(y + i, count, _mm512_mul_ps(g, load16(up + i, count)));
    });
}

VLM_INLINE VLM_AVX512 void finish_avx512(
    vlm_activation activation, int64_t rows, int64_t columns, const float *tile, int64_t ldt, const vlm_epilogue *e, float *c,
    int64_t ldc) {
    // Four rows are loaded before any is stored: rows often lie a multiple of 4 KB apart, and the processor takes a load for
    // one of what was stored there just before.
    enum { ROWS = 4 };
    for (int64_t r = 0; r < rows; r += ROWS) {
        const int64_t some = vlm_min(ROWS, rows - r);
        VLM_EACH(16, i, columns, {
            __m512 b = e->bias ? load16(e->bias + i, count) : _mm512_setzero_ps();
            __m512 v[ROWS];
            VLM_UNROLL for (int n = 0; n < ROWS; n++) {
                if (n >= some) break;
                v[n] = activation16(activation, _mm512_add_ps(load16(tile + (r + n) * ldt + i, count), b));
                if (e->factor) v[n] = _mm512_mul_ps(v[n], load16(e->factor + (r + n) * e->ldr + i, count));
                if (e->residual) v[n] = _mm512_add_ps(v[n], load16(e->residual + (r + n) * e->ldr + i, count));
            }
            VLM_UNROLL for (int n = 0; n < ROWS; n++)
                if (n < some) store16(c + (r + n) * ldc + i, count, v[n]);
        });
    }
}

VLM_AVX512 void vlm_finish_tile_avx512(
    int64_t rows, int64_t columns, const float *tile, int64_t ldt, const vlm_epilogue *e, float *c, int64_t ldc) {
#define RUN(f) finish_avx512(f, rows, columns, tile, ldt, e, c, ldc)
    switch (e->activation) {
    case VLM_IDENTITY: RUN(VLM_IDENTITY); break;
    case VLM_GELU: RUN(VLM_GELU); break;
    case VLM_QUICK_GELU: RUN(VLM_QUICK_GELU); break;
    case VLM_SILU: RUN(VLM_SILU); break;
    case VLM_RELU: RUN(VLM_RELU); break;
    }
#undef RUN
}

#endif
