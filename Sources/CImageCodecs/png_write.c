// Pixels to a PNG in memory, through libpng's simplified interface, which reports errors without jumping.
#include <png.h>
#include <string.h>

#include "report.h"

vlm_image_status vlm_png_encode(
    const uint8_t *rgb, int64_t width, int64_t height, uint8_t *out, size_t *count, vlm_image_report *report) {
    vlm_report_clear(report);
    png_image image;
    memset(&image, 0, sizeof image);
    image.version = PNG_IMAGE_VERSION;
    image.width = (png_uint_32)width;
    image.height = (png_uint_32)height;
    image.format = PNG_FORMAT_RGB;
    if (!out) {
        *count = PNG_IMAGE_PNG_SIZE_MAX(image);
        return VLM_IMAGE_OK;
    }
    png_alloc_size_t size = *count;
    if (!png_image_write_to_memory(&image, out, &size, 0, rgb, 0, NULL)) {
        vlm_report(report, "%s", image.message);
        return VLM_IMAGE_TOO_LARGE;
    }
    *count = size;
    return VLM_IMAGE_OK;
}
