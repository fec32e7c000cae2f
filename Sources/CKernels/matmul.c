// The matrix product c = activation(a w + bias), a block of columns at a time.
//
// Weights stay in the type and layout of the checkpoint. A task packs KC x (panels x NR) of them, widened to float32,
// into scratch that stays in the L2 cache, and runs every row of A over it; with few rows it reads them in place.
#include "families.h"

enum {
    PANELS = 4,        // panels of a task: A is streamed once per PANELS * NR columns
    DEPTH_BLOCK = 256, // KC: one AVX-512 panel of 256 x 32 floats fills 32 KB of L1
    DOTS_ROWS = 8,     // up to this many rows, packing costs more than reading the weights once per four rows
    NARROW_ROWS = 64,  // up to this many rows, A stays in L2 and panels are better taken one by one (see `block`)
};

int64_t vlm_product_task_columns(const vlm_kernels *k) { return PANELS * k->tile_columns; }

size_t vlm_product_scratch(const vlm_kernels *k) { return (size_t)(PANELS * DEPTH_BLOCK * k->tile_columns); }

static void finish(const vlm_kernels *k, const vlm_product *p, int64_t row, int64_t rows, int64_t j, int64_t columns) {
    if (!p->bias && p->activation == VLM_IDENTITY) return;
    k->finish_tile(
        rows, columns, p->c + row * p->ldc + j, p->ldc, p->bias ? p->bias + j : NULL, p->activation);
}

static void pack(
    const vlm_kernels *k, const vlm_product *p, int64_t j, int64_t columns, int64_t depth_start, int64_t depth,
    float *panel) {
    if (p->w_layout == VLM_OUT_IN)
        k->pack_out_in(
            p->w_type, columns, depth, vlm_at(p->w_type, p->w, j * p->ldw + depth_start), p->ldw, panel);
    else
        k->pack_in_out(
            p->w_type, columns, depth, vlm_at(p->w_type, p->w, depth_start * p->ldw + j), p->ldw, panel);
}

/// Columns [j, end), at most PANELS panels of them. With few rows the time goes into reading weights: one panel at a
/// time walks NR rows of weights from end to end, which the processor can follow and fetch ahead.
static void block(const vlm_kernels *k, const vlm_product *p, int64_t j, int64_t end, float *scratch) {
    int64_t nr = k->tile_columns;
    for (int64_t start = 0; start < p->depth; start += DEPTH_BLOCK) {
        int64_t depth = vlm_min(DEPTH_BLOCK, p->depth - start);
        int last = start + depth == p->depth;
        for (int64_t n = j; n < end; n += nr)
            pack(k, p, n, vlm_min(nr, end - n), start, depth, scratch + (n - j) * DEPTH_BLOCK);
        for (int64_t row = 0, rows; row < p->rows; row += rows) {
            rows = vlm_next_rows(p->rows - row, k->tile_rows);
            const float *a[VLM_MAX_TILE_ROWS];
            for (int64_t r = 0; r < rows; r++) a[r] = p->a + (row + r) * p->lda + start;
            for (int64_t n = j; n < end; n += nr) {
                int64_t columns = vlm_min(nr, end - n);
                k->product_tile(
                    rows, columns, depth, a, scratch + (n - j) * DEPTH_BLOCK, p->c + row * p->ldc + n, p->ldc,
                    start > 0);
                if (last) finish(k, p, row, rows, n, columns);
            }
        }
    }
}

void vlm_product_columns(
    const vlm_kernels *k, const vlm_product *p, int64_t first, int64_t end, float *scratch) {
    if (p->rows <= DOTS_ROWS && !p->row_invariant && p->w_layout == VLM_OUT_IN && p->depth > 0) {
        k->product_dots(
            p->w_type, p->rows, end - first, p->depth, p->a, p->lda, vlm_at(p->w_type, p->w, first * p->ldw), p->ldw,
            p->c + first, p->ldc);
        finish(k, p, 0, p->rows, first, end - first);
        return;
    }
    if (p->depth == 0) {
        for (int64_t r = 0; r < p->rows; r++) memset(p->c + r * p->ldc + first, 0, (size_t)(end - first) * 4);
        finish(k, p, 0, p->rows, first, end - first);
        return;
    }
    int64_t step = p->rows <= NARROW_ROWS ? k->tile_columns : vlm_product_task_columns(k);
    for (int64_t j = first; j < end; j += step) block(k, p, j, vlm_min(j + step, end), scratch);
}
