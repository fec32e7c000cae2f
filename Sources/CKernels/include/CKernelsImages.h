// Pictures of 8 bits, RGB interleaved: resampling with the fixed-point arithmetic of Pillow 10 (22 fractional bits), and turns,
// mirrors and crops.
#ifndef CKERNELS_IMAGES_H
#define CKERNELS_IMAGES_H

#include "CKernels.h"

#ifdef __cplusplus
extern "C" {
#endif

/// Taps of one axis: output i reads inputs [first[i], first[i] + count[i]) with weights
/// weights[i * stride ...], each round(w 2^22).
typedef struct vlm_resample_taps {
    int64_t outputs, stride;
    const int32_t *first, *count, *weights;
} vlm_resample_taps;

/// Rows [first, end) of the horizontal pass: input [rows][width][3] -> output [rows][taps.outputs][3].
void vlm_resample_horizontal(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output);
/// Output rows [first, end) of the vertical pass: input [*][width][3] -> output [taps.outputs][width][3].
void vlm_resample_vertical(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output);

/// The plain versions, which the others must equal to the byte.
void vlm_resample_horizontal_portable(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output);
void vlm_resample_vertical_portable(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output);

/// output[r][c] = input[start + r row_step + c column_step] for r in [first, end), c < columns; everything counts pixels
/// of three bytes. Turns, mirrors and crops.
void vlm_gather_pixels(
    const uint8_t *input, int64_t start, int64_t row_step, int64_t column_step, int64_t columns, int64_t first,
    int64_t end, uint8_t *output);

#ifdef __cplusplus
}
#endif
#endif
