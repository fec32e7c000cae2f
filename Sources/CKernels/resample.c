// The two passes of Pillow 10's 8-bit resampling: 22-bit fixed-point weights, rounded to a byte after each pass.
#include "families.h"

enum { PRECISION = 22 };

static uint8_t clip8(int32_t sum) {
    int32_t value = sum >> PRECISION;
    return (uint8_t)(value < 0 ? 0 : value > 255 ? 255 : value);
}

void vlm_resample_horizontal(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output) {
    for (int64_t y = first; y < end; y++)
        for (int64_t x = 0; x < taps->outputs; x++) {
            const int32_t *weights = taps->weights + x * taps->stride;
            const uint8_t *pixel = input + (y * width + taps->first[x]) * 3;
            int32_t r = 1 << (PRECISION - 1), g = r, b = r;
            for (int64_t i = 0; i < taps->count[x]; i++, pixel += 3) {
                r += weights[i] * pixel[0];
                g += weights[i] * pixel[1];
                b += weights[i] * pixel[2];
            }
            uint8_t *out = output + (y * taps->outputs + x) * 3;
            out[0] = clip8(r), out[1] = clip8(g), out[2] = clip8(b);
        }
}

void vlm_resample_vertical(
    const vlm_resample_taps *taps, const uint8_t *input, int64_t width, int64_t first, int64_t end, uint8_t *output) {
    for (int64_t y = first; y < end; y++) {
        const int32_t *weights = taps->weights + y * taps->stride;
        const uint8_t *rows = input + (int64_t)taps->first[y] * width * 3;
        for (int64_t x = 0; x < width * 3; x++) {
            int32_t sum = 1 << (PRECISION - 1);
            for (int64_t i = 0; i < taps->count[y]; i++) sum += weights[i] * rows[i * width * 3 + x];
            output[y * width * 3 + x] = clip8(sum);
        }
    }
}

void vlm_gather_pixels(
    const uint8_t *input, int64_t start, int64_t row_step, int64_t column_step, int64_t columns, int64_t first,
    int64_t end, uint8_t *output) {
    for (int64_t r = first; r < end; r++) {
        const uint8_t *pixel = input + (start + r * row_step) * 3;
        uint8_t *out = output + r * columns * 3;
        if (column_step == 1) {
            memcpy(out, pixel, (size_t)columns * 3);
            continue;
        }
        for (int64_t c = 0; c < columns; c++, pixel += column_step * 3, out += 3)
            out[0] = pixel[0], out[1] = pixel[1], out[2] = pixel[2];
    }
}
