// GELU, quick GELU, SiLU, the gated product, and the epilogue of a product tile.
#include "families.h"

#include <math.h>

// ---- portable ----------------------------------------------------------------------------------------------------

static float activation_portable(vlm_activation activation, float x) {
    switch (activation) {
    case VLM_IDENTITY: return x;
    case VLM_GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case VLM_QUICK_GELU: return x / (1 + expf(-1.702f * x));
    case VLM_SILU: return x / (1 + expf(-x));
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
    int64_t rows, int64_t columns, float *c, int64_t ldc, const float *bias, vlm_activation activation) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            float x = c[r * ldc + j] + (bias ? bias[j] : 0);
            c[r * ldc + j] = activation_portable(activation, x);
        }
}
