// Convolution by window strips (im2win, arXiv 2306.14320), in NHWC, beside two other routes to the same product.
//
// The window tensor holds, for every output row, the input rows it needs, column-major inside the strip:
//     window[m][k][u][c] = input[m s + u - top][k - left][c].
// Window x is then the contiguous run of K = Wf Hf C values at x s Hf C: neighbours overlap in memory, and the
// product's row pointers simply advance by less than K. im2col stores each window whole instead; row runs use that
// the Wf C values of one filter row are contiguous in the input already.
#include "families.h"

static int64_t padded_width(const vlm_convolution *c) {
    return vlm_max(c->padding_left + c->width, (c->output_width - 1) * c->stride_width + c->filter_width);
}

int64_t vlm_im2win_row_floats(const vlm_convolution *c) {
    return padded_width(c) * c->filter_height * c->channels;
}

static int64_t filter_depth(const vlm_convolution *c) { return c->filter_height * c->filter_width * c->channels; }

static void clear_pixels(int64_t count, int64_t channels, float *out, int64_t stride) {
    for (int64_t i = 0; i < count; i++) memset(out + i * stride, 0, (size_t)channels * 4);
}

/// Copies pixels [x, x + count) of input row y to `out`, `stride` floats apart; zero outside the image.
static void copy_pixels(
    const vlm_convolution *c, const float *input, int64_t y, int64_t x, int64_t count, float *out, int64_t stride) {
    int64_t channels = c->channels;
    int inside = y >= 0 && y < c->height;
    int64_t begin = inside ? vlm_min(count, vlm_max(0, -x)) : count;
    int64_t end = inside ? vlm_max(begin, vlm_min(count, c->width - x)) : count;
    clear_pixels(begin, channels, out, stride);
    clear_pixels(count - end, channels, out + end * stride, stride);
    if (begin == end) return;

    const float *pixel = input + (y * c->width + x + begin) * channels;
    out += begin * stride;
    if (stride == channels)
        memcpy(out, pixel, (size_t)((end - begin) * channels) * 4);
    else if (channels == 3)  // the usual image: worth more than a call per pixel
        for (int64_t i = begin; i < end; i++, pixel += 3, out += stride)
            out[0] = pixel[0], out[1] = pixel[1], out[2] = pixel[2];
    else
        for (int64_t i = begin; i < end; i++, pixel += channels, out += stride)
            memcpy(out, pixel, (size_t)channels * 4);
}

void vlm_im2win_rows(const vlm_convolution *c, const float *input, int64_t first, int64_t end, float *window) {
    for (int64_t m = first; m < end; m++)
        for (int64_t u = 0; u < c->filter_height; u++)
            copy_pixels(
                c, input, m * c->stride_height + u - c->padding_top, -c->padding_left, padded_width(c),
                window + (m - first) * vlm_im2win_row_floats(c) + u * c->channels, c->filter_height * c->channels);
}

void vlm_im2col_rows(const vlm_convolution *c, const float *input, int64_t first, int64_t end, float *columns) {
    for (int64_t m = first; m < end; m++)
        for (int64_t x = 0; x < c->output_width; x++)
            for (int64_t u = 0; u < c->filter_height; u++) {
                copy_pixels(
                    c, input, m * c->stride_height + u - c->padding_top, x * c->stride_width - c->padding_left,
                    c->filter_width, columns, c->channels);
                columns += c->filter_width * c->channels;
            }
}

void vlm_convolution_pack(
    const vlm_kernels *k, const vlm_convolution *c, vlm_convolution_route route, vlm_element type,
    const void *filters, float *panels) {
    int64_t nr = k->tile_columns, depth = filter_depth(c), hf = c->filter_height, wf = c->filter_width;
    for (int64_t j = 0; j < c->filters; j += nr)
        for (int64_t u = 0; u < hf; u++)
            for (int64_t v = 0; v < wf; v++)
                for (int64_t ch = 0; ch < c->channels; ch++) {
                    int64_t at = (route == VLM_IM2WIN ? v * hf + u : u * wf + v) * c->channels + ch;
                    float *panel = panels + j * depth + at * nr;
                    for (int64_t i = 0; i < nr; i++) {
                        int64_t source = (((j + i) * c->channels + ch) * hf + u) * wf + v;
                        panel[i] = j + i < c->filters ? vlm_load(type, filters, source) : 0;
                    }
                }
}

size_t vlm_convolution_scratch(const vlm_convolution *c, vlm_convolution_route route, int64_t rows) {
    switch (route) {
    case VLM_IM2WIN: return (size_t)(rows * vlm_im2win_row_floats(c));
    case VLM_ROW_RUN: return 0;
    case VLM_IM2COL: return (size_t)(rows * c->output_width * filter_depth(c));
    }
    return 0;
}

/// The window of output pixel (m, x), as far as one run of it goes.
static const float *window_of(
    const vlm_convolution *c, vlm_convolution_route route, const float *input, const float *scratch, int64_t first,
    int64_t m, int64_t x) {
    switch (route) {
    case VLM_IM2WIN:
        return scratch + (m - first) * vlm_im2win_row_floats(c) + x * c->stride_width * c->filter_height * c->channels;
    case VLM_ROW_RUN: return input + (m * c->stride_height * c->width + x * c->stride_width) * c->channels;
    case VLM_IM2COL: return scratch + ((m - first) * c->output_width + x) * filter_depth(c);
    }
    return scratch;
}

void vlm_convolution_rows(
    const vlm_kernels *k, const vlm_convolution *c, vlm_convolution_route route, const float *input,
    const float *panels, const float *bias, vlm_activation activation, int64_t first, int64_t end, float *scratch,
    float *output) {
    if (route == VLM_IM2WIN) vlm_im2win_rows(c, input, first, end, scratch);
    if (route == VLM_IM2COL) vlm_im2col_rows(c, input, first, end, scratch);

    // A row run is one product per filter row; the other routes have the whole window in one run.
    int64_t runs = route == VLM_ROW_RUN ? c->filter_height : 1, depth = filter_depth(c), run = depth / runs;
    int64_t nr = k->tile_columns, pixels = (end - first) * c->output_width, ldc = c->filters;
    for (int64_t j = 0; j < c->filters; j += nr) {
        int64_t columns = vlm_min(nr, c->filters - j);
        for (int64_t p = 0, rows; p < pixels; p += rows) {
            rows = vlm_next_rows(pixels - p, k->tile_rows);
            const float *a[VLM_MAX_TILE_ROWS];
            for (int64_t r = 0; r < rows; r++)
                a[r] = window_of(
                    c, route, input, scratch, first, first + (p + r) / c->output_width, (p + r) % c->output_width);
            float *out = output + (first * c->output_width + p) * ldc + j;
            for (int64_t u = 0; u < runs; u++) {
                k->product_tile(rows, columns, run, a, panels + j * depth + u * run * nr, out, ldc, u > 0);
                for (int64_t r = 0; r < rows; r++) a[r] += c->width * c->channels;
            }
            if (bias || activation != VLM_IDENTITY)
                k->finish_tile(rows, columns, out, ldc, bias ? bias + j : NULL, activation);
        }
    }
}
