// The backward pass of FlashAttention-2 (arXiv 2307.08691, algorithm 2): probabilities are computed again from the
// log-sum-exp, a block of queries by a block of keys at a time, and never stored whole.
//
//     P = 2^(S - L)    dV += P^T dO    dP = dO V^T    dS = P (dP - D)    dQ += dS K    dK += dS^T Q,   D = sum dO O
//
// All five products run on the register tiles. A call covers a range of queries and adds to gradients of keys and
// values that belong to it alone; whoever splits the queries adds those up in a fixed order.
#include "attention.h"

#include <math.h>

enum {
    ROWS = 128,          // G x positions of a block, about
    KEYS = 256,          // keys of a block: P and dS take 128 KB each
    STRIDE = KEYS + 16,  // distance between rows of P, so that they do not share the same sets of L1
};

static int64_t block_positions(const vlm_attention *a) { return vlm_max(1, ROWS / a->group); }

/// The working set of a call; rows are numbered as in attention.c, query head by query head.
typedef struct work {
    const vlm_kernels *k;
    const vlm_attention *a;
    int64_t first, positions;              // of the block of queries
    float *q, *o_gradient, *q_gradient;    // [rows][d]
    float *q_panels, *o_panels;            // [d / nr][rows][nr]
    float *delta, *log_sum;                // [rows]
    float *k_columns, *v_columns;          // [KEYS / nr][d][nr]: of the keys transposed
    float *k_rows;                         // [d / nr][KEYS][nr]
    float *p, *ds;                         // [rows][STRIDE]
} work;

static int64_t assign(work *w, const vlm_kernels *k, const vlm_attention *a, float *scratch) {
    int64_t rows = block_positions(a) * a->group, d = a->head_size, nr = k->tile_columns;
    int64_t wide = vlm_panels(d, k) * nr, keys = vlm_panels(KEYS, k) * nr, used = 0;
#define TAKE(field, count)                                                                                           \
    w->field = scratch + used;                                                                                       \
    used += (count);
    TAKE(q, rows * d)
    TAKE(o_gradient, rows * d)
    TAKE(q_gradient, rows * d)
    TAKE(q_panels, rows * wide)
    TAKE(o_panels, rows * wide)
    TAKE(delta, rows)
    TAKE(log_sum, rows)
    TAKE(k_columns, keys * d)
    TAKE(v_columns, keys * d)
    TAKE(k_rows, KEYS * wide)
    TAKE(p, rows * STRIDE)
    TAKE(ds, rows * STRIDE)
#undef TAKE
    return used;
}

size_t vlm_attention_backward_scratch(const vlm_kernels *k, const vlm_attention_backward *b) {
    float start = 0;  // only distances from it are taken
    work w;
    return (size_t)assign(&w, k, &b->forward, &start);
}

static int64_t position_of(const work *w, int64_t row) { return w->first + row % w->positions; }

/// Gathers the rows of a block of queries, scaled for base 2, and what belongs to them.
static void load_rows(const work *w, const vlm_attention_backward *b, int64_t rows) {
    const vlm_attention *a = w->a;
    const vlm_kernels *k = w->k;
    int64_t d = a->head_size, nr = k->tile_columns;
    for (int64_t r = 0; r < rows; r++) {
        int64_t head = r / w->positions, i = position_of(w, r), at = i * a->ldo + head * d;
        const float *q = a->q + i * a->ldq + head * d;
        k->scale(d, a->scale * LOG2_E, q, w->q + r * d);
        k->scale(d, a->scale, q, w->q_gradient + r * d);  // only until it is packed
        memcpy(w->o_gradient + r * d, b->output_gradient + at, (size_t)d * 4);
        k->product_dots(VLM_F32, 1, 1, d, b->output_gradient + at, d, a->output + at, d, w->delta + r, 1);
        w->log_sum[r] = a->log_sum_exp[head * a->ldl + i] * LOG2_E;
    }
    for (int64_t j = 0; j < d; j += nr) {
        k->pack_in_out(VLM_F32, vlm_min(nr, d - j), rows, w->q_gradient + j, d, w->q_panels + j * rows);
        k->pack_in_out(VLM_F32, vlm_min(nr, d - j), rows, w->o_gradient + j, d, w->o_panels + j * rows);
    }
    memset(w->q_gradient, 0, (size_t)(rows * d) * 4);
}

static void load_keys(const work *w, int64_t block, int64_t length) {
    const vlm_attention *a = w->a;
    const vlm_kernels *k = w->k;
    int64_t d = a->head_size, nr = k->tile_columns;
    for (int64_t j = 0; j < length; j += nr) {
        int64_t columns = vlm_min(nr, length - j);
        k->pack_out_in(VLM_F32, columns, d, a->k + (block + j) * a->ldk, a->ldk, w->k_columns + j * d);
        k->pack_out_in(VLM_F32, columns, d, a->v + (block + j) * a->ldv, a->ldv, w->v_columns + j * d);
    }
    for (int64_t j = 0; j < d; j += nr)
        k->pack_in_out(VLM_F32, vlm_min(nr, d - j), length, a->k + block * a->ldk + j, a->ldk, w->k_rows + j * KEYS);
}

/// P and dS of a tile of rows against the block of keys, and what they add to dQ.
static void probabilities(const work *w, int64_t row, int64_t rows, const visible *v) {
    const vlm_kernels *k = w->k;
    int64_t d = w->a->head_size, nr = k->tile_columns;
    run runs[2];
    int count = runs_of(v, rows, nr, runs);
    const float *q[VLM_MAX_TILE_ROWS], *o[VLM_MAX_TILE_ROWS], *ds[VLM_MAX_TILE_ROWS];
    for (int64_t r = 0; r < rows; r++) {
        q[r] = w->q + (row + r) * d;
        o[r] = w->o_gradient + (row + r) * d;
    }
    for (int n = 0; n < count; n++)
        for (int64_t j = runs[n].first; j < runs[n].end; j += nr) {
            int64_t columns = vlm_min(nr, runs[n].end - j);
            k->product_tile(rows, columns, d, q, w->k_columns + j * d, w->p + row * STRIDE + j, STRIDE, 0);
            k->product_tile(rows, columns, d, o, w->v_columns + j * d, w->ds + row * STRIDE + j, STRIDE, 0);
        }
    for (int64_t r = 0; r < rows; r++) {
        float *p = w->p + (row + r) * STRIDE, *s = w->ds + (row + r) * STRIDE;
        const run both[2] = {v[r].first, v[r].own};
        for (int i = 0; i < 2; i++)
            if (!is_empty(both[i]))
                k->attention_gradient(
                    both[i].end - both[i].first, p + both[i].first, s + both[i].first, w->log_sum[row + r],
                    w->delta[row + r]);
        run hull = hull_of(v[r]);
        int64_t gap = is_empty(v[r].first) || is_empty(v[r].own) ? 0 : v[r].own.first - v[r].first.end;
        memset(p + v[r].first.end, 0, (size_t)gap * 4);
        memset(s + v[r].first.end, 0, (size_t)gap * 4);
        memset(p, 0, (size_t)(is_empty(hull) ? KEYS : hull.first) * 4);
        memset(s, 0, (size_t)(is_empty(hull) ? KEYS : hull.first) * 4);
        if (is_empty(hull)) continue;
        memset(p + hull.end, 0, (size_t)(KEYS - hull.end) * 4);
        memset(s + hull.end, 0, (size_t)(KEYS - hull.end) * 4);
    }
    for (int n = 0; n < count; n++) {
        int64_t low = runs[n].first;
        for (int64_t r = 0; r < rows; r++) ds[r] = w->ds + (row + r) * STRIDE + low;
        for (int64_t j = 0; j < d; j += nr)
            k->product_tile(
                rows, vlm_min(nr, d - j), runs[n].end - low, ds, w->k_rows + j * KEYS + low * nr,
                w->q_gradient + row * d + j, d, 1);
    }
}

/// Adds P^T dO and dS^T Q of the block to dv and dk, a tile of keys at a time, over the rows that see any of them.
static void keys_and_values(
    const work *w, int64_t rows, int64_t length, const visible *v, float *dk, float *dv) {
    const vlm_kernels *k = w->k;
    int64_t d = w->a->head_size, nr = k->tile_columns;
    int64_t begin[KEYS], end[KEYS];  // rows that see any key of a tile
    int64_t tiles = (length + k->tile_rows - 1) / k->tile_rows;
    for (int64_t t = 0; t < tiles; t++) begin[t] = rows, end[t] = 0;
    for (int64_t r = 0; r < rows; r++) {
        const run both[2] = {v[r].first, v[r].own};
        for (int i = 0; i < 2; i++) {
            if (is_empty(both[i])) continue;
            for (int64_t t = both[i].first / k->tile_rows; t <= (both[i].end - 1) / k->tile_rows; t++) {
                begin[t] = vlm_min(begin[t], r);
                end[t] = r + 1;
            }
        }
    }
    for (int64_t t = 0; t < tiles; t++) {
        if (end[t] <= begin[t]) continue;
        int64_t key = t * k->tile_rows, keys = vlm_min(k->tile_rows, length - key), depth = end[t] - begin[t];
        const float *p = w->p + begin[t] * STRIDE + key, *ds = w->ds + begin[t] * STRIDE + key;
        for (int64_t j = 0; j < d; j += nr) {
            int64_t columns = vlm_min(nr, d - j), at = j * rows + begin[t] * nr;
            k->outer_tile(keys, columns, depth, p, STRIDE, w->o_panels + at, dv + key * d + j, d, 1);
            k->outer_tile(keys, columns, depth, ds, STRIDE, w->q_panels + at, dk + key * d + j, d, 1);
        }
    }
}

void vlm_attention_backward_queries(
    const vlm_kernels *k, const vlm_attention_backward *b, int64_t first, int64_t end, int64_t first_key, float *dk,
    float *dv, float *scratch) {
    const vlm_attention *a = &b->forward;
    int64_t d = a->head_size;
    work w = {.k = k, .a = a};
    assign(&w, k, a, scratch);
    for (w.first = first; w.first < end; w.first += w.positions) {
        w.positions = vlm_min(block_positions(a), end - w.first);
        int64_t rows = w.positions * a->group, low, high;
        load_rows(&w, b, rows);
        vlm_attention_visible(a, w.first, w.first + w.positions, &low, &high);
        for (int64_t block = low; block < high; block += KEYS) {
            int64_t length = vlm_min(KEYS, high - block);
            visible v[rows];
            for (int64_t r = 0; r < rows; r++) v[r] = clipped(keys_of(a, position_of(&w, r)), block, length);
            load_keys(&w, block, length);
            for (int64_t row = 0, tile; row < rows; row += tile) {
                tile = vlm_next_rows(rows - row, k->tile_rows);
                probabilities(&w, row, tile, v + row);
            }
            keys_and_values(&w, rows, length, v, dk + (block - first_key) * d, dv + (block - first_key) * d);
        }
        for (int64_t r = 0; r < rows; r++)
            k->scale(
                d, a->scale, w.q_gradient + r * d,
                b->q_gradient + position_of(&w, r) * a->ldo + r / w.positions * d);
    }
}
