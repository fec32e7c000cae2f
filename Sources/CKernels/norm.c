// Layer normalisation and root-mean-square normalisation of one row.
#include "families.h"

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
