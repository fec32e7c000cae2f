// PNG and JPEG in memory to interleaved 8-bit RGB, through libpng and libjpeg.
//
// Both libraries leave on an error by longjmp, which must not cross Swift frames, so all of their use is in this
// target. Nothing is printed, nothing leaks on a failure, no state is kept between calls, calls may run in parallel.
//
// The pixels are those of Pillow 10.2's `Image.open(f).convert('RGB')`: alpha and tRNS dropped without compositing,
// palettes looked up, gray scaled to 0...255 and replicated, gamma and colour profiles ignored, the high byte of 16-bit
// samples; JPEG by the integer "islow" transform with fancy upsampling, CMYK and YCCK inverted and converted without a
// profile. One difference is on purpose: 16-bit gray keeps its high byte too, where Pillow clips it to 255.
#ifndef CIMAGECODECS_H
#define CIMAGECODECS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum vlm_image_status {
    VLM_IMAGE_OK = 0,
    VLM_IMAGE_TRUNCATED = 1,    // the bytes end before the picture does
    VLM_IMAGE_DAMAGED = 2,      // the bytes are not what the format allows
    VLM_IMAGE_UNSUPPORTED = 3,  // allowed by the format, but not by the library or by us
    VLM_IMAGE_TOO_LARGE = 4,    // would take more memory than the limit
} vlm_image_status;

typedef enum vlm_image_mode {
    VLM_IMAGE_GRAY = 0,
    VLM_IMAGE_GRAY_ALPHA = 1,
    VLM_IMAGE_PALETTE = 2,
    VLM_IMAGE_RGB = 3,
    VLM_IMAGE_RGBA = 4,
    VLM_IMAGE_YCBCR = 5,
    VLM_IMAGE_CMYK = 6,
    VLM_IMAGE_YCCK = 7,
} vlm_image_mode;

/// What a file says about its picture before any pixel is decoded.
typedef struct vlm_image_header {
    int64_t width, height;
    vlm_image_mode mode;
    int32_t bit_depth;        // bits of one sample, or of one palette index
    int32_t is_progressive;   // Adam7 or progressive JPEG
    int64_t pixel_bytes;      // bytes that may hold pixels
    /// No complete picture of this size has fewer of them: refuse before allocating. 0 for a JPEG with arithmetic coding,
    /// in which a whole block may take the thousandth part of a bit; there the limit of pixels must do.
    int64_t least_bytes;
} vlm_image_header;

/// Where the libraries' words go: the reason of a failure, or after a success the first warning (empty if none).
typedef struct vlm_image_report {
    char *message;            // of the caller, always terminated
    size_t capacity;          // at least 1
    int64_t warnings;         // how many there were
} vlm_image_report;

vlm_image_status vlm_png_header(
    const uint8_t *bytes, size_t count, vlm_image_header *header, vlm_image_report *report);
/// Decodes to rgb [height][width][3], which must have exactly the size of the header (`rgb_count` bytes).
vlm_image_status vlm_png_decode(
    const uint8_t *bytes, size_t count, uint8_t *rgb, size_t rgb_count, vlm_image_report *report);

/// Encodes rgb [height][width][3] as a PNG. With `out` NULL only sets `*count` to a size that will do; otherwise writes
/// at most `*count` bytes and sets `*count` to how many there are.
vlm_image_status vlm_png_encode(
    const uint8_t *rgb, int64_t width, int64_t height, uint8_t *out, size_t *count, vlm_image_report *report);

vlm_image_status vlm_jpeg_header(
    const uint8_t *bytes, size_t count, vlm_image_header *header, vlm_image_report *report);
/// Decodes to rgb [height][width][3], which must have exactly the size of the header (`rgb_count` bytes).
///
/// Damage that leaves the rest of the picture in place is a warning, as in Pillow; data that ends before the last
/// row is `VLM_IMAGE_TRUNCATED`, whether or not an end marker was put behind it.
vlm_image_status vlm_jpeg_decode(
    const uint8_t *bytes, size_t count, uint8_t *rgb, size_t rgb_count, vlm_image_report *report);

#ifdef __cplusplus
}
#endif
#endif
