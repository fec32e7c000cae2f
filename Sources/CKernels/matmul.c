// The matrix product c = activation(a w + bias), a block of columns at a time.
//
// Weights stay in the type and layout of the checkpoint. A task packs KC x (panels x NR) of them, widened to float32,
// into scratch that stays in the L2 cache, and runs every row of A over it; with few rows it reads them in place.
#include "families.h"

enum {
    PANELS = 4,         // panels of a task: A is streamed once per PANELS * NR columns
    DEPTH_BLOCK = 1024, // KC: 4 AVX-512 panels of 1024 x 32 floats fill 512 KB of L2, and C is seldom loaded again
    DOTS_ROWS = 8,      // up to this many rows, packing costs more than reading the weights once per four rows
    DOTS_COLUMNS = 8,   // rows of blocks that are dequantised side by side for the dots
    DOTS_DEPTH = 1024,  // and how much of them at a time: 32 KB
    DOTS_STRIDE = DOTS_DEPTH + 16,  // not a multiple of 4 KB, or all rows would share the same sets of L1
    // Up to NARROW_ROWS rows the time goes into reading weights: panels are taken one by one, in blocks that fill
    // 32 KB of L1, so that reading walks NR rows of weights from end to end and the processor can fetch ahead.
    NARROW_ROWS = 48,
    NARROW_DEPTH_BLOCK = 256,
};

int64_t vlm_product_task_columns(const vlm_kernels *k) { return PANELS * k->tile_columns; }

// The panels of a task, and what a panel is packed from where weights are stored in blocks.
size_t vlm_product_scratch(const vlm_kernels *k) {
    return (size_t)vlm_max((PANELS + 1) * DEPTH_BLOCK * k->tile_columns, DOTS_COLUMNS * DOTS_STRIDE);
}

/// `rows` is room for a panel's weights, [tile_columns][DEPTH_BLOCK]; only blocks need it.
static void pack(
    const vlm_kernels *k, const vlm_product *p, int64_t j, int64_t columns, int64_t depth_start, int64_t depth,
    float *rows, float *panel) {
    if (vlm_is_block(p->w_type) && p->w_layout == VLM_IN_OUT) {
        // Row by row: the blocks that the columns touch are dequantised, and the columns copied.
        int64_t unit = vlm_block_elements(p->w_type), nr = k->tile_columns, begin = j / unit * unit;
        int64_t span = (j + columns + unit - 1) / unit * unit - begin;
        for (int64_t i = 0; i < depth; i++) {
            k->widen(p->w_type, span, vlm_at(p->w_type, p->w, (depth_start + i) * p->ldw + begin), rows);
            memcpy(panel + i * nr, rows + j - begin, (size_t)columns * 4);
            memset(panel + i * nr + columns, 0, (size_t)(nr - columns) * 4);
        }
    } else if (vlm_is_block(p->w_type)) {
        for (int64_t i = 0; i < columns; i++)
            k->widen(
                p->w_type, depth, vlm_at(p->w_type, p->w, (j + i) * p->ldw + depth_start), rows + i * DEPTH_BLOCK);
        k->pack_out_in(VLM_F32, columns, depth, rows, DEPTH_BLOCK, panel);
    } else if (p->w_layout == VLM_OUT_IN)
        k->pack_out_in(
            p->w_type, columns, depth, vlm_at(p->w_type, p->w, j * p->ldw + depth_start), p->ldw, panel);
    else
        k->pack_in_out(
            p->w_type, columns, depth, vlm_at(p->w_type, p->w, depth_start * p->ldw + j), p->ldw, panel);
}

/// Columns [j, end), at most PANELS panels of them, in blocks of `block_depth`.
static void block(
    const vlm_kernels *k, const vlm_product *p, int64_t j, int64_t end, int64_t block_depth, float *scratch) {
    int64_t nr = k->tile_columns;
    float *rows_of_panel = scratch + PANELS * DEPTH_BLOCK * nr;
    for (int64_t start = 0; start < p->depth; start += block_depth) {
        int64_t depth = vlm_min(block_depth, p->depth - start);
        int last = start + depth == p->depth;
        for (int64_t n = j; n < end; n += nr)
            pack(k, p, n, vlm_min(nr, end - n), start, depth, rows_of_panel, scratch + (n - j) * block_depth);
        for (int64_t row = 0, rows; row < p->rows; row += rows) {
            rows = vlm_next_rows(p->rows - row, k->tile_rows);
            const float *a[VLM_MAX_TILE_ROWS];
            for (int64_t r = 0; r < rows; r++) a[r] = p->a + (row + r) * p->lda + start;
            for (int64_t n = j; n < end; n += nr) {
                int64_t columns = vlm_min(nr, end - n);
                float *c = p->c + row * p->ldc + n, *panel = scratch + (n - j) * block_depth;
                int adds = start > 0 || p->accumulate;
                if (last && vlm_has_epilogue(&p->epilogue)) {
                    _Alignas(64) float tile[VLM_MAX_TILE_ROWS * VLM_MAX_TILE_COLUMNS];
                    for (int64_t r = 0; adds && r < rows; r++)
                        memcpy(tile + r * columns, c + r * p->ldc, (size_t)columns * 4);
                    k->product_tile(rows, columns, depth, a, panel, tile, columns, adds);
                    vlm_finish(k, &p->epilogue, row, rows, n, columns, tile, columns, p->c, p->ldc);
                } else
                    k->product_tile(rows, columns, depth, a, panel, c, p->ldc, adds);
            }
        }
    }
}

/// Columns [first, end) of few rows with weights stored in blocks: pieces of rows of weights are dequantised into
/// scratch that stays in L1, and their dots added up.
static void dots_of_blocks(const vlm_kernels *k, const vlm_product *p, int64_t first, int64_t end, float *scratch) {
    float part[DOTS_ROWS * DOTS_COLUMNS];
    for (int64_t j = first; j < end; j += DOTS_COLUMNS)
        for (int64_t start = 0; start < p->depth; start += DOTS_DEPTH) {
            int64_t columns = vlm_min(DOTS_COLUMNS, end - j), depth = vlm_min(DOTS_DEPTH, p->depth - start);
            for (int64_t i = 0; i < columns; i++)
                k->widen(
                    p->w_type, depth, vlm_at(p->w_type, p->w, (j + i) * p->ldw + start), scratch + i * DOTS_STRIDE);
            k->product_dots(
                VLM_F32, p->rows, columns, depth, p->a + start, p->lda, scratch, DOTS_STRIDE,
                start > 0 ? part : p->c + j, start > 0 ? DOTS_COLUMNS : p->ldc);
            if (start == 0) continue;
            for (int64_t r = 0; r < p->rows; r++)
                for (int64_t i = 0; i < columns; i++) p->c[r * p->ldc + j + i] += part[r * DOTS_COLUMNS + i];
        }
}

void vlm_product_columns(
    const vlm_kernels *k, const vlm_product *p, int64_t first, int64_t end, float *scratch) {
    if (p->rows <= DOTS_ROWS && !p->row_invariant && !p->accumulate && p->w_layout == VLM_OUT_IN && p->depth > 0) {
        if (vlm_is_block(p->w_type))
            dots_of_blocks(k, p, first, end, scratch);
        else
            k->product_dots(
                p->w_type, p->rows, end - first, p->depth, p->a, p->lda, vlm_at(p->w_type, p->w, first * p->ldw),
                p->ldw, p->c + first, p->ldc);
        vlm_finish(k, &p->epilogue, 0, p->rows, first, end - first, p->c + first, p->ldc, p->c, p->ldc);
        return;
    }
    if (p->depth == 0) {
        for (int64_t r = 0; r < p->rows && !p->accumulate; r++) memset(p->c + r * p->ldc + first, 0, (size_t)(end - first) * 4);
        vlm_finish(k, &p->epilogue, 0, p->rows, first, end - first, p->c + first, p->ldc, p->c, p->ldc);
        return;
    }
    int narrow = p->rows <= NARROW_ROWS;
    int64_t step = narrow ? k->tile_columns : vlm_product_task_columns(k);
    int64_t depth = narrow ? NARROW_DEPTH_BLOCK : DEPTH_BLOCK;
    for (int64_t j = first; j < end; j += step) block(k, p, j, vlm_min(j + step, end), depth, scratch);
}

// ---- the gradient of a weight ------------------------------------------------------------------------------------

enum {
    OUTER_TILES = 16,   // tiles of rows of a task: a panel of B is packed once per OUTER_TILES * MR rows
    OUTER_DEPTH = 512,  // 4 AVX-512 panels of 512 x 32 floats fill 256 KB of L2, a tile's columns of A 24 KB of L1
};

int64_t vlm_outer_task_rows(const vlm_kernels *k) { return OUTER_TILES * k->tile_rows; }
int64_t vlm_outer_task_columns(const vlm_kernels *k) { return PANELS * k->tile_columns; }
size_t vlm_outer_scratch(const vlm_kernels *k) {
    return (size_t)(OUTER_DEPTH * (PANELS * k->tile_columns + k->tile_rows));
}

void vlm_outer_block(
    const vlm_kernels *k, const vlm_outer *p, int64_t row, int64_t end_row, int64_t column, int64_t end_column,
    float *scratch) {
    int64_t nr = k->tile_columns;
    float *columns_of_a = scratch + PANELS * OUTER_DEPTH * nr;
    if (p->depth == 0)
        for (int64_t r = row; r < end_row && !p->accumulate; r++)
            memset(p->c + r * p->ldc + column, 0, (size_t)(end_column - column) * 4);
    for (int64_t start = 0; start < p->depth; start += OUTER_DEPTH) {
        int64_t depth = vlm_min(OUTER_DEPTH, p->depth - start);
        for (int64_t j = column; j < end_column; j += nr)
            k->pack_in_out(
                VLM_F32, vlm_min(nr, end_column - j), depth, p->b + start * p->ldb + j, p->ldb,
                scratch + (j - column) * OUTER_DEPTH);
        for (int64_t r = row, rows; r < end_row; r += rows) {
            rows = vlm_next_rows(end_row - r, k->tile_rows);
            // Together, or each step would wait for a cache line of its own.
            for (int64_t i = 0; i < depth; i++)
                memcpy(columns_of_a + i * rows, p->a + (start + i) * p->lda + r, (size_t)rows * 4);
            for (int64_t j = column; j < end_column; j += nr)
                k->outer_tile(
                    rows, vlm_min(nr, end_column - j), depth, columns_of_a, rows, scratch + (j - column) * OUTER_DEPTH,
                    p->c + r * p->ldc + j, p->ldc, start > 0 || p->accumulate);
        }
    }
}
