// Micro-kernels of the float32 matrix product: register tile, panel packing, dot products for few rows.
#include "families.h"

// ---- portable ----------------------------------------------------------------------------------------------------

void vlm_product_tile_portable(
    int64_t rows, int64_t columns, int64_t depth, const float *const *a, const float *panel, float *c, int64_t ldc,
    int accumulate) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            float sum = accumulate ? c[r * ldc + j] : 0;
            for (int64_t k = 0; k < depth; k++) sum += a[r][k] * panel[k * VLM_TILE_COLUMNS_PORTABLE + j];
            c[r * ldc + j] = sum;
        }
}

void vlm_pack_out_in_portable(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < VLM_TILE_COLUMNS_PORTABLE; j++)
            panel[k * VLM_TILE_COLUMNS_PORTABLE + j] = j < columns ? vlm_load(type, w, j * ldw + k) : 0;
}

void vlm_pack_in_out_portable(
    vlm_element type, int64_t columns, int64_t depth, const void *w, int64_t ldw, float *panel) {
    for (int64_t k = 0; k < depth; k++)
        for (int64_t j = 0; j < VLM_TILE_COLUMNS_PORTABLE; j++)
            panel[k * VLM_TILE_COLUMNS_PORTABLE + j] = j < columns ? vlm_load(type, w, k * ldw + j) : 0;
}

void vlm_product_dots_portable(
    vlm_element type, int64_t rows, int64_t columns, int64_t depth, const float *a, int64_t lda, const void *w,
    int64_t ldw, float *c, int64_t ldc) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < columns; j++) {
            float sum = 0;
            for (int64_t k = 0; k < depth; k++) sum += a[r * lda + k] * vlm_load(type, w, j * ldw + k);
            c[r * ldc + j] = sum;
        }
}

void vlm_weighted_sum_portable(
    int64_t count, int64_t width, const float *weights, const float *values, int64_t ldv, float *out) {
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < width; j++) out[j] += weights[i] * values[i * ldv + j];
}
