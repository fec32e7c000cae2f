// What is timed of oneDNN 2: its direct convolution, and its float32 product.
#ifndef CONEDNN_H
#define CONEDNN_H

#include <stdint.h>

/// A convolution of one image without padding, [H][W][C] -> [Ho][Wo][Co], float32.
typedef struct onednn_convolution onednn_convolution;

/// Prepares a convolution with filters [Co][C][extent][extent], which are copied in the order oneDNN likes best; NULL if
/// it has no such convolution.
onednn_convolution *onednn_convolution_create(
    int64_t channels, int64_t height, int64_t width, int64_t filters, int64_t extent, int64_t stride,
    const float *weights);
/// Computes `output` from `input`; 0 if it went well.
int onednn_convolution_run(onednn_convolution *c, float *input, float *output);
/// The name of the implementation that oneDNN chose.
const char *onednn_convolution_name(const onednn_convolution *c);
void onednn_convolution_destroy(onednn_convolution *c);

/// c [M][N] = a [M][K] w^T, w [N][K]; 0 if it went well.
int onednn_product(int64_t rows, int64_t columns, int64_t depth, const float *a, const float *w, float *c);

#endif
