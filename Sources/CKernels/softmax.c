// Softmax of a row, and one step of the online softmax of FlashAttention-2.
#include "families.h"

#include <math.h>

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_softmax_portable(int64_t n, float *x) {
    float maximum = x[0], sum = 0;
    for (int64_t i = 1; i < n; i++) maximum = fmaxf(maximum, x[i]);
    for (int64_t i = 0; i < n; i++) sum += x[i] = expf(x[i] - maximum);
    for (int64_t i = 0; i < n; i++) x[i] /= sum;
}

float vlm_online_softmax_portable(int64_t n, float *x, float *maximum, float *sum) {
    float m = *maximum, s = 0;
    for (int64_t i = 0; i < n; i++) m = fmaxf(m, x[i]);
    for (int64_t i = 0; i < n; i++) s += x[i] = exp2f(x[i] - m);
    float correction = exp2f(*maximum - m);
    *sum = *sum * correction + s;
    *maximum = m;
    return correction;
}
