// PNG through libpng: pixels only, every ancillary chunk is skipped.
#include <png.h>
#include <string.h>

#include "report.h"

enum { CHUNK_BYTES = 8 << 20 };

/// No deflate stream expands more than this: a 258 byte match can take two bits.
enum { DEFLATE_RATIO = 1032 };

typedef struct {
    const uint8_t *bytes;
    size_t count, position;
    vlm_image_status status;
    vlm_image_report *report;
    int64_t row, rows;
    int pass, passes;
} png_source;

static void fail(png_structp png, png_const_charp message) {
    png_source *source = png_get_error_ptr(png);
    // The reason given first is the cause.
    if (source->status == VLM_IMAGE_OK) {
        source->status = VLM_IMAGE_DAMAGED;
        vlm_report(source->report, "%s", message);
    }
    png_longjmp(png, 1);
}

static void warn(png_structp png, png_const_charp message) {
    png_source *source = png_get_error_ptr(png);
    if (source->report->warnings++ == 0) vlm_report(source->report, "%s", message);
}

static void read_bytes(png_structp png, png_bytep into, size_t count) {
    png_source *source = png_get_io_ptr(png);
    if (count > source->count - source->position) {
        source->status = VLM_IMAGE_TRUNCATED;
        if (source->rows == 0)
            vlm_report(source->report, "inside its header");
        else if (source->passes > 1 && source->pass < source->passes)
            vlm_report(source->report, "in pass %d of %d", source->pass + 1, source->passes);
        else
            vlm_report(
                source->report, "with %lld of %lld rows", (long long)source->row, (long long)source->rows);
        png_error(png, "truncated");
    }
    memcpy(into, source->bytes + source->position, count);
    source->position += count;
}

/// Reads everything before the pixels; 0 with `source->status` set if that failed.
static int read_info(png_structp png, png_infop info, png_source *source) {
    if (setjmp(png_jmpbuf(png))) return 0;
    png_set_read_fn(png, source, read_bytes);
    // Sizes are judged by the caller, who can say more than libpng does.
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_chunk_malloc_max(png, CHUNK_BYTES);
    png_set_chunk_cache_max(png, 16);
    png_set_benign_errors(png, 1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, -1);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, (png_const_bytep) "tRNS", 1);
    png_read_info(png, info);
    return 1;
}

/// A reader that has read the header; NULL with `source->status` set if that failed.
static png_structp open_png(png_source *source, png_infop *info) {
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, source, fail, warn);
    *info = NULL;
    if (png == NULL || (*info = png_create_info_struct(png)) == NULL) {
        png_destroy_read_struct(&png, NULL, NULL);
        source->status = VLM_IMAGE_TOO_LARGE;
        vlm_report(source->report, "libpng could not be set up: out of memory or another version");
        return NULL;
    }
    if (!read_info(png, *info, source)) png_destroy_read_struct(&png, info, NULL);
    return png;
}

/// Bytes in all IDAT chunks, as far as they are there.
static int64_t data_bytes(const uint8_t *bytes, size_t count) {
    int64_t sum = 0;
    for (size_t offset = 8; offset <= count && count - offset >= 8;) {
        size_t length = png_get_uint_32(bytes + offset), left = count - offset - 8;
        if (memcmp(bytes + offset + 4, "IDAT", 4) == 0) sum += (int64_t)(length < left ? length : left);
        if (length > left) break;
        offset += 12 + length;
    }
    return sum;
}

static void fill_header(png_structp png, png_infop info, vlm_image_header *header) {
    static const vlm_image_mode modes[] = {
        [PNG_COLOR_TYPE_GRAY] = VLM_IMAGE_GRAY, [PNG_COLOR_TYPE_GRAY_ALPHA] = VLM_IMAGE_GRAY_ALPHA,
        [PNG_COLOR_TYPE_PALETTE] = VLM_IMAGE_PALETTE, [PNG_COLOR_TYPE_RGB] = VLM_IMAGE_RGB,
        [PNG_COLOR_TYPE_RGBA] = VLM_IMAGE_RGBA,
    };
    header->width = png_get_image_width(png, info);
    header->height = png_get_image_height(png, info);
    header->mode = modes[png_get_color_type(png, info)];
    header->bit_depth = png_get_bit_depth(png, info);
    header->is_progressive = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
    int64_t row_bits = header->width * header->bit_depth * png_get_channels(png, info);
    // In double, because a forged header's product overflows.
    header->least_bytes = (int64_t)((double)(row_bits / 8) * (double)header->height / DEFLATE_RATIO);
}

vlm_image_status vlm_png_header(
    const uint8_t *bytes, size_t count, vlm_image_header *header, vlm_image_report *report) {
    png_source source = {.bytes = bytes, .count = count, .report = report};
    vlm_report_clear(report);
    png_infop info;
    png_structp png = open_png(&source, &info);
    if (png == NULL) return source.status;
    fill_header(png, info, header);
    header->pixel_bytes = data_bytes(bytes, count);
    png_destroy_read_struct(&png, &info, NULL);
    return VLM_IMAGE_OK;
}

/// Has every row delivered as 8-bit RGB, or for palettes as one index a byte.
static void choose_layout(png_structp png, png_infop info) {
    int type = png_get_color_type(png, info);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        png_set_packing(png);
        return;
    }
    if (png_get_bit_depth(png, info) == 16) png_set_strip_16(png);
    if (type & PNG_COLOR_MASK_ALPHA) png_set_strip_alpha(png);
    if (!(type & PNG_COLOR_MASK_COLOR)) {
        png_set_expand_gray_1_2_4_to_8(png);
        png_set_gray_to_rgb(png);
    }
}

/// Replaces the indices in the last third of each row by their colours; an index that the palette lacks becomes
/// black, as in Pillow.
static void look_up(png_structp png, png_infop info, uint8_t *rgb, int64_t width, int64_t height) {
    uint8_t table[256][3] = {{0}};
    png_colorp palette = NULL;
    int colours = 0;
    png_get_PLTE(png, info, &palette, &colours);
    for (int i = 0; i < colours; i++)
        table[i][0] = palette[i].red, table[i][1] = palette[i].green, table[i][2] = palette[i].blue;
    for (int64_t y = 0; y < height; y++) {
        uint8_t *row = rgb + y * width * 3;
        const uint8_t *indices = row + width * 2;
        // Pixel x ends at 3x + 2, which never reaches an index that is still to be read.
        for (int64_t x = 0; x < width; x++) memmove(row + 3 * x, table[indices[x]], 3);
    }
}

/// Reads all rows; leaves by longjmp on an error, so it keeps nothing that would need to be freed.
static void read_rows(png_structp png, png_infop info, png_source *source, uint8_t *rgb, size_t rgb_count) {
    int64_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    int is_palette = png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE;
    choose_layout(png, info);
    source->passes = png_set_interlace_handling(png);
    source->rows = height;
    png_read_update_info(png, info);
    int64_t row_bytes = is_palette ? width : width * 3;
    if ((int64_t)png_get_rowbytes(png, info) != row_bytes || (uint64_t)(width * height * 3) != rgb_count)
        png_error(png, "the size of its pixels is not that of its header");
    for (source->pass = 0; source->pass < source->passes; source->pass++)
        for (source->row = 0; source->row < height; source->row++)
            png_read_row(png, rgb + source->row * width * 3 + (is_palette ? width * 2 : 0), NULL);
    png_read_end(png, NULL);
    if (is_palette) look_up(png, info, rgb, width, height);
}

/// The function that the jump comes back to; its own variables do not change.
static void read_pixels(png_structp png, png_infop info, png_source *source, uint8_t *rgb, size_t rgb_count) {
    if (setjmp(png_jmpbuf(png)) == 0) read_rows(png, info, source, rgb, rgb_count);
}

vlm_image_status vlm_png_decode(
    const uint8_t *bytes, size_t count, uint8_t *rgb, size_t rgb_count, vlm_image_report *report) {
    png_source source = {.bytes = bytes, .count = count, .report = report};
    vlm_report_clear(report);
    png_infop info;
    png_structp png = open_png(&source, &info);
    if (png == NULL) return source.status;
    read_pixels(png, info, &source, rgb, rgb_count);
    png_destroy_read_struct(&png, &info, NULL);
    return source.status;
}
