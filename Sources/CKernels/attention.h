// What the forward and the backward pass of attention share: which keys a query sees.
#ifndef VLM_ATTENTION_H
#define VLM_ATTENTION_H

#include "families.h"

// Stands for "no key seen": finite, so that the difference of two of them is 0 and not NaN.
static const float NO_KEY = -1e30f;
static const float LOG2_E = 1.44269504088896341f;
static const float LN_2 = 0.69314718055994531f;

/// Keys [first, end); empty if end <= first.
typedef struct run { int64_t first, end; } run;
/// The keys a query sees: two runs, the second at or behind the end of the first.
typedef struct visible { run first, own; } visible;

static inline int64_t vlm_panels(int64_t columns, const vlm_kernels *k) {
    return (columns + k->tile_columns - 1) / k->tile_columns;
}

static inline visible keys_of(const vlm_attention *a, int64_t query) {
    visible v = {
        {a->first_key ? a->first_key[query] : 0, a->end_key ? a->end_key[query] : a->keys},
        {a->own_first ? a->own_first[query] : 0, a->own_first ? a->own_end[query] : 0},
    };
    return v;
}

static inline int is_empty(run r) { return r.end <= r.first; }

static inline run hull_of(visible v) {
    if (is_empty(v.own)) return v.first;
    if (is_empty(v.first)) return v.own;
    run hull = {v.first.first, v.own.end};
    return hull;
}

static inline run clipped_run(run r, int64_t block, int64_t length) {
    run c = {vlm_max(0, r.first - block), vlm_min(length, r.end - block)};
    run none = {0, 0};
    return is_empty(c) ? none : c;
}

/// The columns of a block of keys that are seen.
static inline visible clipped(visible v, int64_t block, int64_t length) {
    visible c = {clipped_run(v.first, block, length), clipped_run(v.own, block, length)};
    return c;
}

/// The columns that any of the rows sees, as at most two runs that begin with a panel; returns how many.
static inline int runs_of(const visible *v, int64_t rows, int64_t panel_columns, run runs[2]) {
    run part[2] = {{INT64_MAX, 0}, {INT64_MAX, 0}};
    for (int64_t r = 0; r < rows; r++) {
        const run both[2] = {v[r].first, v[r].own};
        for (int i = 0; i < 2; i++) {
            if (is_empty(both[i])) continue;
            part[i].first = vlm_min(part[i].first, both[i].first);
            part[i].end = vlm_max(part[i].end, both[i].end);
        }
    }
    int count = 0;
    for (int i = 0; i < 2; i++)
        if (!is_empty(part[i])) runs[count++] = part[i];
    for (int i = 0; i < count; i++) runs[i].first = runs[i].first / panel_columns * panel_columns;
    // Runs that meet, or lie the other way round in rows of different sequences, are one.
    if (count == 2 && runs[1].first <= runs[0].end) {
        runs[0].first = vlm_min(runs[0].first, runs[1].first);
        runs[0].end = vlm_max(runs[0].end, runs[1].end);
        count = 1;
    }
    return count;
}

/// Zeroes what a row holds in the runs but outside its hull.
static inline void clear_outside(float *row, run hull, const run *runs, int count) {
    for (int i = 0; i < count; i++) {
        int64_t begin = is_empty(hull) ? runs[i].end : vlm_max(runs[i].first, vlm_min(runs[i].end, hull.first));
        int64_t end = is_empty(hull) ? runs[i].end : vlm_max(begin, vlm_min(runs[i].end, hull.end));
        memset(row + runs[i].first, 0, (size_t)(begin - runs[i].first) * 4);
        memset(row + end, 0, (size_t)(runs[i].end - end) * 4);
    }
}

#endif
