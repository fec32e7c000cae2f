// Sums, products, rotary embedding, and widening of stored types.
#include "families.h"

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
    for (int64_t i = 0; i < n; i++) y[i] = vlm_load(type, x, i);
}
