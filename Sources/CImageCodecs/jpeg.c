// JPEG through libjpeg or libjpeg-turbo: baseline and progressive, gray, YCbCr, RGB, CMYK and YCCK.
#include <setjmp.h>
#include <stdio.h>  // jpeglib.h uses FILE without including it

#include <jerror.h>
#include <jpeglib.h>

#include "report.h"

/// Work memory of one decoder. A progressive picture keeps all of its coefficients, two bytes each: enough for three
/// whole components at the pixel limit.
enum { WORK_BYTES = 1280 << 20 };
/// Scans of one picture; encoders write about ten. Each costs a walk over all coefficients.
enum { SCANS = 100 };

typedef struct {
    struct jpeg_decompress_struct decoder;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    jmp_buf leave;
    vlm_image_status status;
    vlm_image_report *report;
} jpeg_reader;

static jpeg_reader *reader_of(j_common_ptr decoder) { return decoder->client_data; }

static void give_up(jpeg_reader *reader, vlm_image_status status) {
    reader->status = status;
    longjmp(reader->leave, 1);
}

static vlm_image_status status_of(int code) {
    switch (code) {
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_J_COLORSPACE:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED: return VLM_IMAGE_UNSUPPORTED;
    case JERR_IMAGE_TOO_BIG:
    case JERR_NO_BACKING_STORE:
    case JERR_OUT_OF_MEMORY:
    case JERR_WIDTH_OVERFLOW: return VLM_IMAGE_TOO_LARGE;
    default: return VLM_IMAGE_DAMAGED;
    }
}

static void fail(j_common_ptr decoder) {
    jpeg_reader *reader = reader_of(decoder);
    vlm_image_status status = status_of(decoder->err->msg_code);
    if (status == VLM_IMAGE_TOO_LARGE && decoder->err->msg_code != JERR_IMAGE_TOO_BIG) {
        vlm_report(reader->report, "decoding it takes more than %d MiB of work memory", WORK_BYTES >> 20);
    } else {
        char text[JMSG_LENGTH_MAX];
        decoder->err->format_message(decoder, text);
        vlm_report(reader->report, "%s", text);
    }
    give_up(reader, status);
}

static void report_truncation(jpeg_reader *reader) {
    struct jpeg_decompress_struct *decoder = &reader->decoder;
    if (decoder->input_scan_number == 0)
        vlm_report(reader->report, "inside its header");
    else if (jpeg_has_multiple_scans(decoder))
        vlm_report(
            reader->report, "in scan %d at row %u of %u", decoder->input_scan_number,
            decoder->input_iMCU_row * decoder->max_v_samp_factor * DCTSIZE, decoder->image_height);
    else
        vlm_report(
            reader->report, "with %u of %u rows", decoder->output_scanline, decoder->image_height);
    give_up(reader, VLM_IMAGE_TRUNCATED);
}

static void hear(j_common_ptr decoder, int level) {
    if (level >= 0) return;  // traces
    jpeg_reader *reader = reader_of(decoder);
    // The end marker in the middle of a scan: the rest of the picture would silently be gray.
    if (decoder->err->msg_code == JWRN_HIT_MARKER && reader->decoder.unread_marker == JPEG_EOI)
        report_truncation(reader);
    if (reader->report->warnings++ == 0) {
        char text[JMSG_LENGTH_MAX];
        decoder->err->format_message(decoder, text);
        vlm_report(reader->report, "%s", text);
    }
}

static void say_nothing(j_common_ptr decoder) { (void)decoder; }
static void do_nothing(j_decompress_ptr decoder) { (void)decoder; }

static boolean refill(j_decompress_ptr decoder) {
    report_truncation(reader_of((j_common_ptr)decoder));
    return FALSE;
}

static void skip(j_decompress_ptr decoder, long count) {
    if (count <= 0) return;
    if ((unsigned long)count > decoder->src->bytes_in_buffer) refill(decoder);
    decoder->src->next_input_byte += count;
    decoder->src->bytes_in_buffer -= (size_t)count;
}

static void count_scans(j_common_ptr decoder) {
    jpeg_reader *reader = reader_of(decoder);
    if (reader->decoder.input_scan_number <= SCANS) return;
    vlm_report(reader->report, "it has more than %d scans", SCANS);
    give_up(reader, VLM_IMAGE_UNSUPPORTED);
}

/// Reads the header; leaves by longjmp on an error.
static void open_jpeg(jpeg_reader *reader, const uint8_t *bytes, size_t count) {
    struct jpeg_decompress_struct *decoder = &reader->decoder;
    jpeg_create_decompress(decoder);
    decoder->mem->max_memory_to_use = WORK_BYTES;
    decoder->progress = &reader->progress;
    reader->progress.progress_monitor = count_scans;
    reader->source = (struct jpeg_source_mgr){
        .next_input_byte = bytes, .bytes_in_buffer = count, .init_source = do_nothing, .fill_input_buffer = refill,
        .skip_input_data = skip, .resync_to_restart = jpeg_resync_to_restart, .term_source = do_nothing};
    decoder->src = &reader->source;
    jpeg_read_header(decoder, TRUE);
}

static vlm_image_mode mode_of(jpeg_reader *reader) {
    switch (reader->decoder.jpeg_color_space) {
    case JCS_GRAYSCALE: return VLM_IMAGE_GRAY;
    case JCS_RGB: return VLM_IMAGE_RGB;
    case JCS_YCbCr: return VLM_IMAGE_YCBCR;
    case JCS_CMYK: return VLM_IMAGE_CMYK;
    case JCS_YCCK: return VLM_IMAGE_YCCK;
    default:
        vlm_report(reader->report, "it has %d colour components", reader->decoder.num_components);
        give_up(reader, VLM_IMAGE_UNSUPPORTED);
        return VLM_IMAGE_RGB;
    }
}

static void fill_header(jpeg_reader *reader, size_t count, vlm_image_header *header) {
    struct jpeg_decompress_struct *decoder = &reader->decoder;
    header->width = decoder->image_width;
    header->height = decoder->image_height;
    header->mode = mode_of(reader);
    header->bit_depth = decoder->data_precision;
    header->is_progressive = decoder->progressive_mode;
    // Every block's first coefficient takes a Huffman code of one bit or more; arithmetic coding has no such bound.
    header->pixel_bytes = (int64_t)count;
    int64_t blocks = 0;
    for (int c = 0; c < decoder->num_components; c++)
        blocks += (int64_t)decoder->comp_info[c].width_in_blocks * decoder->comp_info[c].height_in_blocks;
    header->least_bytes = decoder->arith_code ? 0 : blocks / 8;
}

static inline int product_255(int a, int b) {
    int t = a * b + 128;
    return (t + (t >> 8)) >> 8;
}

/// Pillow takes every CMYK JPEG for inverted, as Adobe writes them, so 255 - c, m, y, k are the inks;
/// then r = (255 - k) - c (255 - k) / 255, rounded.
static void convert_cmyk(const uint8_t *cmyk, uint8_t *rgb, int64_t width) {
    for (int64_t x = 0; x < width; x++, cmyk += 4, rgb += 3)
        for (int i = 0; i < 3; i++) {
            int light = cmyk[3], ink = 255 - cmyk[i];
            rgb[i] = (uint8_t)(light - product_255(ink, light));
        }
}

/// Reads all rows; leaves by longjmp on an error. Its memory is the decoder's.
static void read_pixels(jpeg_reader *reader, uint8_t *rgb, size_t rgb_count) {
    struct jpeg_decompress_struct *decoder = &reader->decoder;
    vlm_image_mode mode = mode_of(reader);
    int is_cmyk = mode == VLM_IMAGE_CMYK || mode == VLM_IMAGE_YCCK;
    decoder->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    decoder->dct_method = JDCT_ISLOW;
    decoder->do_fancy_upsampling = TRUE;
    jpeg_start_decompress(decoder);
    int64_t width = decoder->output_width, height = decoder->output_height;
    if ((uint64_t)(width * height * 3) != rgb_count || decoder->output_components != (is_cmyk ? 4 : 3)) {
        vlm_report(reader->report, "the size of its pixels is not that of its header");
        give_up(reader, VLM_IMAGE_DAMAGED);
    }
    JSAMPARRAY inks = NULL;
    if (is_cmyk)
        inks = decoder->mem->alloc_sarray((j_common_ptr)decoder, JPOOL_IMAGE, (JDIMENSION)(width * 4), 1);
    while (decoder->output_scanline < decoder->output_height) {
        JSAMPROW row = rgb + decoder->output_scanline * width * 3;
        jpeg_read_scanlines(decoder, is_cmyk ? inks : &row, 1);
        if (is_cmyk) convert_cmyk(inks[0], row, width);
    }
    jpeg_finish_decompress(decoder);
}

/// Reads the header into `header`, or if that is NULL the pixels into `rgb`. The function that the jump comes back to;
/// its own variables do not change.
static void read_part(
    jpeg_reader *reader, const uint8_t *bytes, size_t count, vlm_image_header *header, uint8_t *rgb, size_t rgb_count) {
    if (setjmp(reader->leave)) return;
    open_jpeg(reader, bytes, count);
    if (header != NULL)
        fill_header(reader, count, header);
    else
        read_pixels(reader, rgb, rgb_count);
}

static vlm_image_status read_jpeg(
    const uint8_t *bytes, size_t count, vlm_image_header *header, uint8_t *rgb, size_t rgb_count,
    vlm_image_report *report) {
    jpeg_reader reader = {.report = report};
    vlm_report_clear(report);
    reader.decoder.err = jpeg_std_error(&reader.errors);
    reader.decoder.client_data = &reader;
    reader.errors.error_exit = fail;
    reader.errors.emit_message = hear;
    reader.errors.output_message = say_nothing;
    read_part(&reader, bytes, count, header, rgb, rgb_count);
    jpeg_destroy_decompress(&reader.decoder);
    return reader.status;
}

vlm_image_status vlm_jpeg_header(
    const uint8_t *bytes, size_t count, vlm_image_header *header, vlm_image_report *report) {
    return read_jpeg(bytes, count, header, NULL, 0, report);
}

vlm_image_status vlm_jpeg_decode(
    const uint8_t *bytes, size_t count, uint8_t *rgb, size_t rgb_count, vlm_image_report *report) {
    return read_jpeg(bytes, count, NULL, rgb, rgb_count, report);
}
