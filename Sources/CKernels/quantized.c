// The driver of products of rows rounded to 8 bits (quantized_rows.c, int8.c) with weights of integers: packed ones
// (quantized_tile.c), opened ones (opened_tile.c), and those that are read where they lie (open_rows.c).
#include "quantized.h"

#pragma STDC FP_CONTRACT OFF

enum {
    PIECE = 64,       // groups between which rows continue with their outliers, in every form: whole blocks of every type
    FEW_GROUPS = 16,  // those that are opened for few rows: they stay in the first cache
};

/// The next run of whole `unit`s of groups (1 or 8), at or after *group, in which a row has a rest. Moves *group to its first, and
/// returns how many groups it has; 0 if there is none before `end`.
static int64_t next_outliers(
    const vlm_quantized_product *p, int64_t row, int64_t unit, int64_t *group, int64_t end) {
    const uint64_t *words = p->outliers + row * vlm_outlier_words(p->depth), whole = unit == 8 ? 0xff : 1;
    while (*group < end) {
        int64_t word = *group / 64, at = *group % 64;
        uint64_t bits = words[word] >> at << at;
        if (!bits) {
            *group = 64 * (word + 1);
            continue;
        }
        int64_t first = __builtin_ctzll(bits) / unit * unit, last = first;
        while (last < 64 && bits >> last & whole) last += unit;
        *group = 64 * word + first;
        return last - first;
    }
    return 0;
}

/// Where a panel keeps the groups from `group` on.
static const uint8_t *stored_groups(const vlm_quantized_product *p, int64_t column, int64_t group) {
    return p->panels + column / VLM_PANEL_COLUMNS * vlm_quantized_panel_bytes(p->w_type, p->depth)
        + 32 * group / vlm_block_elements(p->w_type) * vlm_panel_block_bytes(p->w_type);
}

/// Bytes of a row of blocks, and of so many groups of it.
static int64_t group_bytes(const vlm_quantized_product *p, int64_t groups) {
    return 32 * groups / vlm_block_elements(p->w_type) * (int64_t)vlm_block_bytes(p->w_type);
}

/// The row of the weight that a column is, and bytes from it to the next column's.
static const uint8_t *row_of(const vlm_quantized_product *p, int64_t column) {
    const int64_t half = p->run / 2, place = half ? column % p->run : 0;
    return p->weight + (half ? column - place + 2 * (place % half) + place / half : column) * group_bytes(p, p->depth / 32);
}
static int64_t row_step(const vlm_quantized_product *p) { return group_bytes(p, p->depth / 32) * (p->run ? 2 : 1); }

enum { LONGEST_GROUP = 34 };  // bytes, of Q8_0

/// `count` groups, at most a piece, of the 16 rows of the weight from `column` on. Where these are fewer, a copy that has zeros as
/// the others.
static vlm_stored_rows rows_at(
    const vlm_quantized_product *p, int64_t column, int64_t group, int64_t count,
    uint8_t copy[VLM_PANEL_COLUMNS * PIECE * LONGEST_GROUP]) {
    const int64_t row_bytes = group_bytes(p, p->depth / 32), stride = row_step(p);
    const int64_t at = group_bytes(p, group), there = p->columns - column;
    const uint8_t *first = row_of(p, column) + at;
    if (there >= VLM_PANEL_COLUMNS)
        return (vlm_stored_rows){first, stride, row_bytes - at, VLM_PANEL_COLUMNS * stride - row_bytes};
    const int64_t bytes = group_bytes(p, count);
    for (int64_t j = 0; j < there; j++) memcpy(copy + j * bytes, first + j * stride, (size_t)bytes);
    memset(copy + there * bytes, 0, (size_t)((VLM_PANEL_COLUMNS - there) * bytes));
    return (vlm_stored_rows){copy, bytes, bytes, 0};
}

/// Opens `count` groups, at most a piece, of the 16 columns from `column` on, from their panel or from the rows of the weight.
static void open_groups(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t column, int64_t group, int64_t count, uint8_t *opened) {
    if (p->panels) {
        k->open_panel(p->w_type, 32 * count, stored_groups(p, column, group), opened);
        return;
    }
    uint8_t copy[VLM_PANEL_COLUMNS * PIECE * LONGEST_GROUP];
    const vlm_stored_rows rows = rows_at(p, column, group, count, copy);
    k->open_rows(p->w_type, 32 * count, &rows, opened);
}

/// The product of few rows with `count` groups of up to 16 columns.
static void few_rows(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t rows, int64_t column, int64_t columns, int64_t group,
    int64_t count, const int8_t *q, const vlm_row_block *blocks, float *c, int accumulate, uint8_t *opened) {
    const int64_t ldb = p->depth / 32;
    if (p->panels) {
        k->quantized_tile(
            p->w_type, rows, columns, 32 * count, q, p->ldq, blocks, ldb, stored_groups(p, column, group), c, p->ldc,
            accumulate);
        return;
    }
    if (rows == 1 && k->row_product) {
        uint8_t copy[VLM_PANEL_COLUMNS * PIECE * LONGEST_GROUP];
        const vlm_stored_rows w = rows_at(p, column, group, count, copy);
        k->row_product(p->w_type, columns, 32 * count, q, blocks, &w, c, accumulate);
        return;
    }
    for (int64_t start = 0, n; start < count; start += n) {
        n = vlm_min(FEW_GROUPS, count - start);
        open_groups(k, p, column, group + start, n, opened);
        for (int64_t r = 0, some; r < rows; r += some) {
            some = vlm_next_rows(rows - r, VLM_OPENED_ROWS);
            k->opened_tile(
                p->w_type, some, columns, n, NULL, q + r * p->ldq + 32 * start, p->ldq, blocks + r * ldb + start, ldb,
                opened, 0, c + r * p->ldc, p->ldc, accumulate || start > 0);
        }
    }
}

/// Bytes of rows that are multiplied with one panel after another while they stay in the L2 cache.
enum { ROW_BLOCK_BYTES = 1 << 19 };

/// Columns [j, j + columns) of rows [first, end).
static void quantized_panel(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t j, int64_t columns, int64_t first, int64_t end,
    float *scratch) {
    uint8_t *opened = (uint8_t *)scratch;
    const int64_t groups = p->depth / 32, unit = vlm_block_elements(p->w_type) / 32;
    for (int64_t row = first, rows; row < end; row += rows) {
        rows = vlm_next_rows(end - row, k->quantized_rows);
        float *c = p->c + row * p->ldc + j;
        const int8_t *q = p->q + row * p->ldq;
        if (p->w_type == VLM_I8) {
            _Alignas(64) float sums[VLM_MAX_TILE_ROWS * 2 * VLM_PANEL_COLUMNS];
            int ends = !vlm_has_epilogue(&p->epilogue);
            float *tile = ends ? c : sums;
            int64_t ldt = ends ? p->ldc : columns;
            const uint8_t *panel = p->panels + j / VLM_PANEL_COLUMNS * vlm_int8_panel_bytes(p->depth);
            vlm_expect_tile(&p->epilogue, row, rows, j, columns, p->c, p->ldc);
            k->int8_tile(rows, columns, p->depth, q, p->ldq, p->blocks + row, panel, tile, ldt);
            vlm_finish(k, &p->epilogue, row, rows, j, columns, tile, ldt, p->c, p->ldc);
            continue;
        }
        for (int64_t start = 0; start < groups; start += PIECE) {
            int64_t count = vlm_min(PIECE, groups - start);
            few_rows(
                k, p, rows, j, columns, start, count, q + 32 * start, p->blocks + row * groups + start, c, start > 0, opened);
            for (int64_t r = 0; p->outliers && r < rows; r++) {
                int64_t at = p->rows + row + r;
                for (int64_t g = start, n; (n = next_outliers(p, row + r, unit, &g, start + count)); g += n)
                    few_rows(
                        k, p, 1, j, columns, g, n, p->q + at * p->ldq + 32 * g, p->blocks + at * groups + g, c + r * p->ldc, 1,
                        opened);
            }
        }
        vlm_finish(k, &p->epilogue, row, rows, j, columns, c, p->ldc, p->c, p->ldc);
    }
}

// Many rows: panels are opened piece by piece along the depth, two beside each other, and stay in the L2 cache.
enum {
    FEW_ROWS = 16,        // up to this many, opening a panel costs more than it saves
    OPENED_BLOCK = 516,   // rows that share an opened panel at most
    OPENED_COLUMNS = 2 * VLM_PANEL_COLUMNS,
};

static int is_opened(const vlm_kernels *k, const vlm_quantized_product *p) {
    return k->opened_tile && p->w_type != VLM_I8 && p->rows > FEW_ROWS;
}

/// Rows of a block: as few blocks as there must be, of equal numbers of whole tiles.
static int64_t opened_block(int64_t rows) {
    int64_t blocks = (rows + OPENED_BLOCK - 1) / OPENED_BLOCK, block = (rows + blocks - 1) / blocks;
    return (block + VLM_OPENED_ROWS - 1) / VLM_OPENED_ROWS * VLM_OPENED_ROWS;
}

static int64_t opened_panel_bytes(const vlm_quantized_product *p) {
    return vlm_min(p->depth / 32, PIECE) * vlm_opened_group_bytes(p->w_type);
}

size_t vlm_quantized_scratch(const vlm_kernels *k, const vlm_quantized_product *p) {
    if (is_opened(k, p)) return (size_t)(2 * opened_panel_bytes(p) / 4);
    return p->panels ? 0 : (size_t)(FEW_GROUPS * vlm_opened_group_bytes(p->w_type) / 4);
}

/// Adds products of one group with what rounding left of it in those of rows [first, end) that have a rest there.
static void opened_outliers(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t group, int64_t j, int64_t columns, int64_t first,
    int64_t end, const uint8_t *opened, int64_t panel_bytes) {
    const int64_t groups = p->depth / 32;
    const int32_t *list = p->outlier_rows + p->outlier_starts[group], *last = p->outlier_rows + p->outlier_starts[group + 1];
    while (list < last && *list < first) list++;
    while (list < last && last[-1] >= end) last--;
    for (int64_t rows; list < last; list += rows) {
        rows = vlm_next_rows(last - list, VLM_OPENED_ROWS);
        k->opened_tile(
            p->w_type, rows, columns, 1, list, p->q + p->rows * p->ldq + 32 * group, p->ldq, p->blocks + p->rows * groups + group,
            groups, opened, panel_bytes, p->c + j, p->ldc, 1);
    }
}

enum { LINE = 64 };

/// What memory is asked for before it is opened: `runs` of so many lines, `step` bytes apart.
typedef struct next_piece {
    const uint8_t *first;
    int64_t runs, lines, step;
} next_piece;

/// The groups from `group` on of two panels: a run for each, or for each of their rows.
static next_piece piece_at(const vlm_quantized_product *p, int64_t column, int64_t group) {
    int64_t count = vlm_min(PIECE, p->depth / 32 - group);
    if (p->panels) {
        int64_t bytes = 32 * count / vlm_block_elements(p->w_type) * vlm_panel_block_bytes(p->w_type);
        return (next_piece){
            stored_groups(p, column, group), 2, (bytes + LINE - 1) / LINE, vlm_quantized_panel_bytes(p->w_type, p->depth)};
    }
    return (next_piece){
        row_of(p, column) + group_bytes(p, group), OPENED_COLUMNS, group_bytes(p, count) / LINE + 1, row_step(p)};
}

/// Columns [j, j + columns), at most two panels, of rows [first, end). The two panels after them are asked for meanwhile, if
/// `is_last` is not set: opening would wait for memory.
static void opened_columns(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t j, int64_t columns, int64_t first, int64_t end,
    int is_last, float *scratch) {
    const int64_t groups = p->depth / 32, panel_bytes = opened_panel_bytes(p);
    const int64_t tiles = (end - first + VLM_OPENED_ROWS - 1) / VLM_OPENED_ROWS;
    uint8_t *opened = (uint8_t *)scratch;
    for (int64_t start = 0; start < groups; start += PIECE) {
        int64_t count = vlm_min(PIECE, groups - start);
        for (int64_t i = 0; i < columns; i += VLM_PANEL_COLUMNS)
            open_groups(k, p, j + i, start, count, opened + i / VLM_PANEL_COLUMNS * panel_bytes);
        // What is opened next, a part of it with every tile.
        int is_more = start + count < groups;
        const next_piece next = is_more ? piece_at(p, j, start + count) : piece_at(p, j + OPENED_COLUMNS, 0);
        const int64_t share = next.runs * next.lines / tiles + 1;
        int64_t run = is_more || !is_last ? 0 : next.runs, line = 0;
        for (int64_t row = first, rows; row < end; row += rows) {
            rows = vlm_next_rows(end - row, VLM_OPENED_ROWS);
            for (int64_t n = 0; n < share && run < next.runs; n++) {
                __builtin_prefetch(next.first + run * next.step + line * LINE, 0, 2);
                if (++line == next.lines) {
                    line = 0;
                    run++;
                }
            }
            k->opened_tile(
                p->w_type, rows, columns, count, NULL, p->q + row * p->ldq + 32 * start, p->ldq, p->blocks + row * groups + start,
                groups, opened, panel_bytes, p->c + row * p->ldc + j, p->ldc, start > 0);
        }
        for (int64_t g = start; p->outliers && g < start + count; g++)
            opened_outliers(
                k, p, g, j, columns, first, end, opened + (g - start) * vlm_opened_group_bytes(p->w_type), panel_bytes);
    }
    vlm_finish(k, &p->epilogue, first, end - first, j, columns, p->c + first * p->ldc + j, p->ldc, p->c, p->ldc);
}

void vlm_quantized_columns(
    const vlm_kernels *k, const vlm_quantized_product *p, int64_t first, int64_t end, float *scratch) {
    if (is_opened(k, p)) {
        int64_t block = opened_block(p->rows);
        for (int64_t row = 0; row < p->rows; row += block)
            for (int64_t j = first; j < end; j += OPENED_COLUMNS)
                opened_columns(
                    k, p, j, vlm_min(OPENED_COLUMNS, end - j), row, vlm_min(p->rows, row + block), j + OPENED_COLUMNS >= end,
                    scratch);
        return;
    }
    int64_t columns = p->w_type == VLM_I8 ? 2 * VLM_PANEL_COLUMNS : VLM_PANEL_COLUMNS;
    // Whole tiles, so that blocks split rows where the tiles would.
    int64_t block = vlm_max(1, ROW_BLOCK_BYTES / (p->depth * k->quantized_rows)) * k->quantized_rows;
    for (int64_t row = 0; row < p->rows; row += block)
        for (int64_t j = first; j < end; j += columns)
            quantized_panel(k, p, j, vlm_min(columns, end - j), row, vlm_min(p->rows, row + block), scratch);
}
