// The way back of the convolution, on the same register tiles: filters from window strips, the input by columns.
#include "families.h"

static int64_t filter_depth(const vlm_convolution *c) { return c->filter_height * c->filter_width * c->channels; }

size_t vlm_convolution_filters_scratch(const vlm_kernels *k, const vlm_convolution *c, int64_t rows) {
    return (size_t)(rows * (vlm_im2win_row_floats(c) + c->output_width * k->tile_columns));
}

void vlm_convolution_filters_backward(
    const vlm_kernels *k, const vlm_convolution *c, const float *input, const float *dy, int64_t first, int64_t end,
    float *scratch, float *dfilters) {
    int64_t nr = k->tile_columns, depth = filter_depth(c), row_floats = vlm_im2win_row_floats(c);
    int64_t pixels = (end - first) * c->output_width, step = c->stride_width * c->filter_height * c->channels;
    float *window = scratch, *panel = scratch + (end - first) * row_floats;
    vlm_im2win_rows(c, input, first, end, window);
    for (int64_t j = 0; j < depth; j += nr) {
        int64_t columns = vlm_min(nr, depth - j);
        // The windows of an output row lie a constant distance apart, overlapping.
        for (int64_t m = 0; m < end - first; m++)
            k->pack_in_out(
                VLM_F32, columns, c->output_width, window + m * row_floats + j, step,
                panel + m * c->output_width * nr);
        for (int64_t r = 0, rows; r < c->filters; r += rows) {
            rows = vlm_next_rows(c->filters - r, k->tile_rows);
            k->outer_tile(
                rows, columns, pixels, dy + first * c->output_width * c->filters + r, c->filters, panel,
                dfilters + r * depth + j, depth, 1);
        }
    }
}

size_t vlm_convolution_input_scratch(const vlm_convolution *c) {
    return (size_t)(c->output_width * filter_depth(c));
}

/// Adds the gradients of the windows of output row m, [Wo][Hf][Wf][C], to the input's rows [first, end).
static void scatter_row(
    const vlm_kernels *k, const vlm_convolution *c, const float *windows, int64_t m, int64_t first, int64_t end,
    float *dx) {
    for (int64_t x = 0; x < c->output_width; x++) {
        int64_t column = x * c->stride_width - c->padding_left;
        int64_t begin = vlm_max(0, -column), stop = vlm_min(c->filter_width, c->width - column);
        if (stop <= begin) continue;
        for (int64_t u = 0; u < c->filter_height; u++) {
            int64_t y = m * c->stride_height + u - c->padding_top;
            if (y < first || y >= end) continue;
            float *target = dx + (y * c->width + column + begin) * c->channels;
            const float *source = windows + ((x * c->filter_height + u) * c->filter_width + begin) * c->channels;
            k->add_scaled((stop - begin) * c->channels, target, 1, source, target);
        }
    }
}

void vlm_convolution_input_backward(
    const vlm_kernels *k, const vlm_convolution *c, const float *dy, const float *panels, int64_t first, int64_t end,
    float *scratch, float *dx) {
    int64_t nr = k->tile_columns, depth = filter_depth(c), filters = c->filters;
    for (int64_t m = 0; m < c->output_height; m++) {
        int64_t top = m * c->stride_height - c->padding_top;
        if (top >= end || top + c->filter_height <= first) continue;
        for (int64_t x = 0, rows; x < c->output_width; x += rows) {
            rows = vlm_next_rows(c->output_width - x, k->tile_rows);
            const float *a[VLM_MAX_TILE_ROWS];
            for (int64_t r = 0; r < rows; r++) a[r] = dy + (m * c->output_width + x + r) * filters;
            for (int64_t j = 0; j < depth; j += nr)
                k->product_tile(
                    rows, vlm_min(nr, depth - j), filters, a, panels + j * filters, scratch + x * depth + j, depth, 0);
        }
        scatter_row(k, c, scratch, m, first, end, dx);
    }
}
