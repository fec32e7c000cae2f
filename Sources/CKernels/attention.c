// FlashAttention-2 (arXiv 2307.08691) on the CPU: query blocks outer, key/value blocks inner, online softmax in base 2.
//
// The G query heads that share a key/value head are stacked as extra rows, so each key block is packed once per task.
// The output stays unnormalised until the last block; only the log-sum-exp is kept for a backward pass.
#include "attention.h"

#include <math.h>

enum {
    KEY_BLOCK = 608,     // Bc: a tile of 12 x 608 scores fits a 32 KB L1, and the 577 tokens of CLIP are one block
    LEAST_ROWS = 192,    // G x Br of a task, about: fewer, and packing keys anew costs more than waiting for others
    MOST_ROWS = 512,     // more do not stay in L2 beside the keys
    DIRECT_ROWS = 8,     // up to this many rows (decode) keys and values are read in place instead of packed
    PART_KEYS = 256,     // and in parts of so many keys, or threads wait where there are fewer heads than tasks should be
    VALUE_LIMIT = 2047,  // values as integers: 11 bits, so that weights keep as many where all keys weigh the same
};

int64_t vlm_attention_task_queries(const vlm_attention *a, int64_t least_tasks) {
    int64_t rows = a->queries * a->group, most = vlm_max(LEAST_ROWS, vlm_min(MOST_ROWS, rows / vlm_max(1, least_tasks)));
    // Tasks of equal size: each packs the keys it sees, which one left-over query must not cause.
    int64_t tasks = vlm_max(1, (rows + most / 2) / most);
    return vlm_max(1, (a->queries + tasks - 1) / tasks);
}

/// By the whole call and not by the task, so that bytes do not depend on how queries were split into tasks.
static int is_direct(const vlm_attention *a) { return a->queries * a->group <= DIRECT_ROWS; }

int vlm_attention_rounds(const vlm_kernels *k, const vlm_attention *a) {
    return a->may_round && k->pair_tile && a->head_size % 2 == 0 && !is_direct(a);
}

/// The largest integers of queries and keys, so that a score of them stays within 32 bits whatever they are.
static float score_limit(const vlm_attention *a) {
    return fminf(floorf(sqrtf(0x7FFFp16f / (float)a->head_size)), INT16_MAX);
}

/// Rounds the weights of a row, which sees `hull`, for columns [low, high), and returns their scale. Each is multiplied by the scale
/// of its value first. Weights are at most 1, and add up to `sum` at most: so their product with values stays within 31 bits.
static float round_weights(
    const vlm_kernels *k, const float *p, run hull, float sum, const float *value_scales, int64_t low, int64_t high, int16_t *y) {
    const int64_t keys = vlm_max(0, hull.end - hull.first);
    float ignored, largest = k->pair_scale(keys, value_scales + hull.first, 1, &ignored);
    float limit = fminf(0x1p30f / VALUE_LIMIT / fminf(sum, (float)keys), INT16_MAX);
    float factor = largest > 0 && isfinite(largest) ? limit / largest : 0;
    k->round_pairs(high - low, p + low, value_scales + low, factor, y + low);
    return largest / limit;
}

size_t vlm_attention_scratch(const vlm_kernels *k, const vlm_attention *a, int64_t queries) {
    int64_t rows = queries * a->group, d = a->head_size, nr = k->tile_columns;
    int64_t keys = vlm_panels(KEY_BLOCK, k) * nr;
    int64_t packed = keys * d + KEY_BLOCK * vlm_panels(d, k) * nr;
    size_t floats = (size_t)(2 * rows * d + 2 * rows + packed + VLM_MAX_TILE_ROWS * keys);
    if (!vlm_attention_rounds(k, a)) return floats;
    // Panels of pairs take half of the room; rows of queries and of weights as pairs come on top, and scales.
    return floats + (size_t)((rows * d + VLM_MAX_TILE_ROWS * keys) / 2 + rows + 3 * keys);
}

/// The working set of one task. Row r is query head r / positions of the group at position first + r % positions.
typedef struct task {
    const vlm_kernels *k;
    const vlm_attention *a;
    int64_t first, positions, rows;
    float *q, *o, *maximum, *sum, *keys, *values, *scores;
    int16_t *q_pairs, *weights;  // rows of integers, in pairs; NULL where products are of float32
    float *q_scales, *key_scales, *value_scales, *factors;
} task;

static int64_t position_of(const task *t, int64_t row) { return t->first + row % t->positions; }

/// Scores of `rows` rows against the key block, masks them, and folds them into the running softmax and output.
static void rows_by_block(const task *t, int64_t row, int64_t rows, int64_t block, int64_t length, int direct) {
    const vlm_attention *a = t->a;
    const vlm_kernels *k = t->k;
    int64_t d = a->head_size, nr = k->tile_columns, lds = vlm_panels(KEY_BLOCK, k) * nr;

    visible v[VLM_MAX_TILE_ROWS];  // columns of the block
    for (int64_t r = 0; r < rows; r++) v[r] = clipped(keys_of(a, position_of(t, row + r)), block, length);
    run runs[2];  // of columns that any row sees, from the beginning of a panel
    int count = runs_of(v, rows, nr, runs);
    if (count == 0) return;

    const float *q_rows[VLM_MAX_TILE_ROWS], *p_rows[VLM_MAX_TILE_ROWS];
    const int16_t *pairs[VLM_MAX_TILE_ROWS];
    for (int64_t r = 0; r < rows; r++) q_rows[r] = t->q + (row + r) * d;
    for (int64_t r = 0; t->q_pairs && r < rows; r++) pairs[r] = t->q_pairs + (row + r) * d;
    for (int n = 0; n < count; n++) {
        int64_t low = runs[n].first, high = runs[n].end;
        if (direct)
            k->product_dots(
                VLM_F32, rows, high - low, d, t->q + row * d, d, a->k + (block + low) * a->ldk, a->ldk,
                t->scores + low, lds);
        else if (t->q_pairs)
            for (int64_t j = low; j < high; j += nr)
                k->pair_tile(
                    rows, vlm_min(nr, high - j), d, pairs, t->q_scales + row, (const int16_t *)t->keys + j * d,
                    t->key_scales + j, t->scores + j, lds, 0);
        else
            for (int64_t j = low; j < high; j += nr)
                k->product_tile(rows, vlm_min(nr, high - j), d, q_rows, t->keys + j * d, t->scores + j, lds, 0);
    }

    int64_t lengths[VLM_MAX_TILE_ROWS];
    float *scores[VLM_MAX_TILE_ROWS], corrections[VLM_MAX_TILE_ROWS];
    for (int64_t r = 0; r < rows; r++) {
        float *s = t->scores + r * lds;
        run hull = hull_of(v[r]);
        // What lies between the two ranges weighs 2^-1e30 = 0.
        if (!is_empty(v[r].first) && !is_empty(v[r].own))
            for (int64_t j = v[r].first.end; j < v[r].own.first; j++) s[j] = NO_KEY;
        scores[r] = s + hull.first;
        lengths[r] = vlm_max(0, hull.end - hull.first);
    }
    k->online_softmax(rows, lengths, scores, t->maximum + row, t->sum + row, corrections);
    for (int64_t r = 0; r < rows; r++) {
        float *o = t->o + (row + r) * d;
        if (corrections[r] != 1) k->scale(d, corrections[r], o, o);
        clear_outside(t->scores + r * lds, hull_of(v[r]), runs, count);
    }

    for (int n = 0; n < count; n++) {
        int64_t low = runs[n].first, high = runs[n].end;
        for (int64_t r = 0; r < rows; r++) p_rows[r] = t->scores + r * lds + low;
        if (direct)
            for (int64_t r = 0; r < rows; r++)
                k->weighted_sum(
                    high - low, d, p_rows[r], a->v + (block + low) * a->ldv, a->ldv, t->o + (row + r) * d);
        else if (t->q_pairs) {
            float scales[VLM_MAX_TILE_ROWS];
            for (int64_t r = 0; r < rows; r++) {
                int16_t *weights = t->weights + r * lds;
                scales[r] = round_weights(
                    k, t->scores + r * lds, hull_of(v[r]), t->sum[row + r], t->value_scales, low, high, weights);
                pairs[r] = weights + low;
            }
            for (int64_t j = 0; j < d; j += nr)
                k->pair_tile(
                    rows, vlm_min(nr, d - j), high - low, pairs, scales,
                    (const int16_t *)t->values + j * KEY_BLOCK + low * nr, NULL, t->o + row * d + j, d, 1);
        } else
            for (int64_t j = 0; j < d; j += nr)
                k->product_tile(
                    rows, vlm_min(nr, d - j), high - low, p_rows, t->values + j * KEY_BLOCK + low * nr,
                    t->o + row * d + j, d, 1);
    }
}

void vlm_attention_visible(
    const vlm_attention *a, int64_t first, int64_t end, int64_t *first_key, int64_t *end_key) {
    int64_t low = a->keys, high = 0;
    for (int64_t i = first; i < end; i++) {
        run hull = hull_of(keys_of(a, i));
        if (is_empty(hull)) continue;
        low = vlm_min(low, hull.first);
        high = vlm_max(high, hull.end);
    }
    *first_key = vlm_min(low, high);
    *end_key = high;
}

/// The task of query positions [first, end), before any key. `sums` is for outputs, maxima and sums: rows x (d + 2).
static task begin(
    const vlm_kernels *k, const vlm_attention *a, int64_t first, int64_t end, float *sums, float *scratch) {
    int64_t d = a->head_size, nr = k->tile_columns, positions = end - first, rows = positions * a->group;
    task t = {.k = k, .a = a, .first = first, .positions = positions, .rows = rows};
    t.o = sums;
    t.maximum = t.o + rows * d;
    t.sum = t.maximum + rows;
    t.q = scratch;
    t.keys = t.q + rows * d;
    t.values = t.keys + vlm_panels(KEY_BLOCK, k) * nr * d;
    t.scores = t.values + KEY_BLOCK * vlm_panels(d, k) * nr;
    if (vlm_attention_rounds(k, a)) {
        t.q_scales = t.scores + VLM_MAX_TILE_ROWS * vlm_panels(KEY_BLOCK, k) * nr;
        t.key_scales = t.q_scales + rows;
        t.value_scales = t.key_scales + vlm_panels(KEY_BLOCK, k) * nr;
        t.factors = t.value_scales + vlm_panels(KEY_BLOCK, k) * nr;
        t.q_pairs = (int16_t *)(t.factors + vlm_panels(KEY_BLOCK, k) * nr);
        t.weights = t.q_pairs + rows * d;
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t head = r / positions;
        k->scale(d, a->scale * LOG2_E, a->q + position_of(&t, r) * a->ldq + head * d, t.q + r * d);
        if (t.q_pairs) {
            float factor;
            t.q_scales[r] = k->pair_scale(d, t.q + r * d, score_limit(a), &factor);
            k->round_pairs(d, t.q + r * d, NULL, factor, t.q_pairs + r * d);
        }
        t.maximum[r] = NO_KEY;
        t.sum[r] = 0;
    }
    memset(t.o, 0, (size_t)(rows * d) * 4);
    return t;
}

/// Goes on with the keys [block, block + length).
static void read_block(const task *t, int64_t block, int64_t length) {
    const vlm_kernels *k = t->k;
    const vlm_attention *a = t->a;
    int64_t d = a->head_size, nr = k->tile_columns;
    int direct = is_direct(a);
    if (t->q_pairs) {
        const float *keys = a->k + block * a->ldk, *values = a->v + block * a->ldv;
        for (int64_t j = 0; j < length; j++)
            t->key_scales[j] = k->pair_scale(d, keys + j * a->ldk, score_limit(a), t->factors + j);
        for (int64_t j = 0; j < length; j += nr)
            k->pack_pairs_out_in(
                vlm_min(nr, length - j), d, keys + j * a->ldk, a->ldk, t->factors + j, (int16_t *)t->keys + j * d);
        for (int64_t j = 0; j < length; j++)
            t->value_scales[j] = k->pair_scale(d, values + j * a->ldv, VALUE_LIMIT, t->factors + j);
        for (int64_t j = 0; j < d; j += nr)
            k->pack_pairs_in_out(
                vlm_min(nr, d - j), length, values + j, a->ldv, t->factors, (int16_t *)t->values + j * KEY_BLOCK);
    } else if (!direct) {
        for (int64_t j = 0; j < length; j += nr)
            k->pack_out_in(
                VLM_F32, vlm_min(nr, length - j), d, a->k + (block + j) * a->ldk, a->ldk, t->keys + j * d);
        for (int64_t j = 0; j < d; j += nr)
            k->pack_in_out(
                VLM_F32, vlm_min(nr, d - j), length, a->v + block * a->ldv + j, a->ldv, t->values + j * KEY_BLOCK);
    }
    for (int64_t row = 0, rows; row < t->rows; row += rows) {
        rows = vlm_next_rows(t->rows - row, k->tile_rows);
        rows_by_block(t, row, rows, block, length, direct);
    }
}

/// Writes what the sums have come to.
static void end(const task *t) {
    const vlm_attention *a = t->a;
    int64_t d = a->head_size;
    for (int64_t r = 0; r < t->rows; r++) {
        int64_t head = r / t->positions, i = position_of(t, r);
        int seen = t->maximum[r] != NO_KEY;
        t->k->scale(d, seen ? 1 / t->sum[r] : 0, t->o + r * d, a->output + i * a->ldo + head * d);
        if (a->log_sum_exp)
            a->log_sum_exp[head * a->ldl + i] = seen ? (t->maximum[r] + log2f(t->sum[r])) * LN_2 : -INFINITY;
    }
}

void vlm_attention_queries(
    const vlm_kernels *k, const vlm_attention *a, int64_t first, int64_t last, float *scratch) {
    int64_t rows = (last - first) * a->group;
    task t = begin(k, a, first, last, scratch, scratch + rows * (a->head_size + 2));
    int64_t low, high;
    vlm_attention_visible(a, first, last, &low, &high);
    // Blocks start at multiples of KEY_BLOCK whatever the task, so that a row's sums do not depend on its neighbours.
    for (int64_t block = low / KEY_BLOCK * KEY_BLOCK; block < high; block += KEY_BLOCK)
        read_block(&t, block, vlm_min(KEY_BLOCK, high - block));
    end(&t);
}

// ---- few queries over many keys ----------------------------------------------------------------------------------

int64_t vlm_attention_parts(const vlm_attention *a) {
    return is_direct(a) ? vlm_max(1, (a->keys + PART_KEYS - 1) / PART_KEYS) : 1;
}

int64_t vlm_attention_part_floats(const vlm_attention *a) { return a->queries * a->group * (a->head_size + 2); }

void vlm_attention_part(const vlm_kernels *k, const vlm_attention *a, int64_t part, float *sums, float *scratch) {
    task t = begin(k, a, 0, a->queries, sums + part * vlm_attention_part_floats(a), scratch);
    int64_t first = part * PART_KEYS;
    read_block(&t, first, vlm_min(PART_KEYS, a->keys - first));
}

void vlm_attention_join(const vlm_kernels *k, const vlm_attention *a, int64_t parts, float *sums) {
    int64_t d = a->head_size, rows = a->queries * a->group;
    task t = {.k = k, .a = a, .positions = a->queries, .rows = rows, .o = sums};
    t.maximum = t.o + rows * d;
    t.sum = t.maximum + rows;
    for (int64_t part = 1; part < parts; part++)
        for (int64_t r = 0; r < rows; r++) {
            const float *o = sums + part * vlm_attention_part_floats(a), *maximum = o + rows * d, *sum = maximum + rows;
            float top = fmaxf(t.maximum[r], maximum[r]);
            float kept = exp2f(t.maximum[r] - top), added = exp2f(maximum[r] - top);
            k->scale(d, kept, t.o + r * d, t.o + r * d);
            k->add_scaled(d, t.o + r * d, added, o + r * d, t.o + r * d);
            t.sum[r] = kept * t.sum[r] + added * sum[r];
            t.maximum[r] = top;
        }
    end(&t);
}
