// Moving whole pixels: turns, mirrors and crops.
#include "families.h"

void vlm_gather_pixels(
    const uint8_t *input, int64_t start, int64_t row_step, int64_t column_step, int64_t columns, int64_t first,
    int64_t end, uint8_t *output) {
    if (column_step == 1) {
        for (int64_t r = first; r < end; r++)
            memcpy(output + r * columns * 3, input + (start + r * row_step) * 3, (size_t)columns * 3);
        return;
    }
    // In blocks, so that a turn uses all pixels of the cache lines it touches.
    enum { BLOCK = 32 };
    for (int64_t block = 0; block < columns; block += BLOCK)
        for (int64_t r = first; r < end; r++)
            for (int64_t c = block; c < vlm_min(block + BLOCK, columns); c++) {
                const uint8_t *pixel = input + (start + r * row_step + c * column_step) * 3;
                uint8_t *out = output + (r * columns + c) * 3;
                out[0] = pixel[0], out[1] = pixel[1], out[2] = pixel[2];
            }
}
