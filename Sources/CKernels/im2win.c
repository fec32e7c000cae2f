// Convolution by window strips (im2win, arXiv 2306.14320), in NHWC, beside two other routes to the same product.
//
// The window tensor holds, for every output row, the input rows it needs, column-major inside the strip:
//     window[m][k][u][c] = input[m s + u - top][k - left][c].
// Window x is then the contiguous run of K = Wf Hf C values at x s Hf C: neighbours overlap in memory, and the
// product's row pointers simply advance by less than K. im2col stores each window whole instead; row runs use that
// the Wf C values of one filter row are contiguous in the input already, and copy nothing: the tile walks from run to
// run with its sums in registers.
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

/// Where windows are: the first one, and the distances between neighbours in a row and between rows.
typedef struct windows {
    const float *first;
    int64_t pixel, row;
} windows;

static windows windows_of(
    const vlm_convolution *c, vlm_convolution_route route, const float *input, const float *scratch, int64_t first) {
    int64_t image_row = c->width * c->channels;
    switch (route) {
    case VLM_IM2WIN: {
        windows w = {scratch, c->stride_width * c->filter_height * c->channels, vlm_im2win_row_floats(c)};
        return w;
    }
    case VLM_ROW_RUN: {
        windows w = {
            input + first * c->stride_height * image_row, c->stride_width * c->channels, c->stride_height * image_row};
        return w;
    }
    default: {
        windows w = {scratch, filter_depth(c), c->output_width * filter_depth(c)};
        return w;
    }
    }
}

// Tiles that pass through all filters together: a panel is read from L2 once for so many, and where it is short what
// they write is still in L1 when the next panel comes.
enum { BLOCK_TILES = 8 };

void vlm_convolution_rows(
    const vlm_kernels *k, const vlm_convolution *c, vlm_convolution_route route, const float *input,
    const float *panels, const float *bias, vlm_activation activation, int64_t first, int64_t end,
    int64_t first_filter, int64_t end_filter, float *scratch, float *output) {
    if (route == VLM_IM2WIN) vlm_im2win_rows(c, input, first, end, scratch);
    if (route == VLM_IM2COL) vlm_im2col_rows(c, input, first, end, scratch);

    // A row run is one run per filter row; the other routes have the whole window in one.
    int64_t runs = route == VLM_ROW_RUN ? c->filter_height : 1, depth = filter_depth(c);
    int64_t nr = k->tile_columns, pixels = (end - first) * c->output_width, ldc = c->filters;
    windows w = windows_of(c, route, input, scratch, first);
    const float *row = w.first, *a[BLOCK_TILES * VLM_MAX_TILE_ROWS];
    int64_t rows[BLOCK_TILES], x = 0;
    for (int64_t p = 0, count; p < pixels; p += count) {
        int64_t tiles = 0;
        for (count = 0; tiles < BLOCK_TILES && p + count < pixels; tiles++) {
            rows[tiles] = vlm_next_rows(pixels - p - count, k->tile_rows);
            for (int64_t r = 0; r < rows[tiles]; r++) {
                a[count + r] = row + x * w.pixel;
                if (++x == c->output_width) x = 0, row += w.row;
            }
            count += rows[tiles];
        }
        for (int64_t j = first_filter; j < end_filter; j += nr) {
            int64_t columns = vlm_min(nr, end_filter - j);
            float *out = output + (first * c->output_width + p) * ldc + j;
            const vlm_epilogue epilogue = {.bias = bias ? bias + j : NULL, .activation = activation};
            for (int64_t t = 0, q = 0; t < tiles; q += rows[t], t++) {
                k->window_tile(
                    rows[t], columns, runs, depth / runs, a + q, c->width * c->channels, panels + j * depth,
                    out + q * ldc, ldc);
                vlm_finish(k, &epilogue, q, rows[t], 0, columns, out + q * ldc, ldc, out, ldc);
            }
        }
    }
}
