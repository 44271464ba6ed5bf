"""The loops that dominate the profile, compiled; each has a readable NumPy twin that the tests hold it to.

Arrays `rows` name rows of the state and are distinct, so rows can be served in parallel. Sums run in one fixed
order (eight partial sums for dot products), so results do not depend on the batch.
"""

import numba
import numpy as np

from recsim_lab.compile import compiled, kernel


@compiled
def _dot(a, b):  # type: ignore[no-untyped-def]
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = np.float32(0.0)
    whole = len(a) - len(a) % 8
    for k in range(0, whole, 8):
        s0 += a[k] * b[k]
        s1 += a[k + 1] * b[k + 1]
        s2 += a[k + 2] * b[k + 2]
        s3 += a[k + 3] * b[k + 3]
        s4 += a[k + 4] * b[k + 4]
        s5 += a[k + 5] * b[k + 5]
        s6 += a[k + 6] * b[k + 6]
        s7 += a[k + 7] * b[k + 7]
    for k in range(whole, len(a)):
        s0 += a[k] * b[k]
    return ((s0 + s4) + (s2 + s6)) + ((s1 + s5) + (s3 + s7))


@kernel
def pair_dot(items, rows, left, right, weight, out):  # type: ignore[no-untyped-def]
    """out[r, k] = weight * left[rows[r]] . right[items[r, k]]"""
    for r in numba.prange(len(items)):
        vector = left[rows[r]]
        for k in range(items.shape[1]):
            out[r, k] = weight * _dot(vector, right[items[r, k]])


@kernel
def add_pairs(items, rows, table, column, weight, out):  # type: ignore[no-untyped-def]
    """out[r, k] += weight * table[rows[r], column[items[r, k]]]"""
    for r in numba.prange(len(items)):
        for k in range(items.shape[1]):
            out[r, k] += weight * table[rows[r], column[items[r, k]]]


@kernel
def add_crosses(  # type: ignore[no-untyped-def]
    items,
    age,
    part,
    device,
    genre,
    length,
    language,
    age_genre,
    part_length,
    age_part_language,
    device_length,
    weight,
    out,
):
    """Add the table entries of each request's and item's public features, see `Crosses`."""
    for r in numba.prange(len(items)):
        a, p, d = age[r], part[r], device[r]
        for k in range(items.shape[1]):
            item = items[r, k]
            out[r, k] += weight * (
                age_genre[a, genre[item]]
                + part_length[p, length[item]]
                + age_part_language[a, p, language[item]]
                + device_length[d, length[item]]
            )


@kernel
def choose_one(utility, examination, habit, no_click, uniform, out):  # type: ignore[no-untyped-def]
    """The slot that a multinomial logit picks, -1 for none: weights examination * exp(utility), exp(no_click)."""
    for r in numba.prange(len(utility)):
        num_slots = utility.shape[1]
        best = no_click
        for k in range(num_slots):
            best = max(best, utility[r, k])
        total = np.exp(no_click - best)
        for k in range(num_slots):
            total += examination[habit[r], k] * np.exp(utility[r, k] - best)
        left = uniform[r] * total
        chosen = -1
        for k in range(num_slots):
            weight = examination[habit[r], k] * np.exp(utility[r, k] - best)
            if weight > 0:
                left -= weight
                chosen = k
                if left < 0:
                    break
        if left >= 0 and no_click > -np.inf:
            chosen = -1
        out[r] = chosen


@kernel
def mark_void(items, on_offer, out):  # type: ignore[no-untyped-def]
    """out[r, k]: the item stands in an earlier slot too, or is not on offer."""
    for r in numba.prange(len(items)):
        for k in range(items.shape[1]):
            void = not on_offer[items[r, k]]
            for j in range(k):
                void |= items[r, j] == items[r, k]
            out[r, k] = void


@kernel
def pull(rows, clicks, slate, vectors, targets, rate):  # type: ignore[no-untyped-def]
    """Move each row's vector by `rate` toward the vector of each clicked item, keeping its length."""
    for r in numba.prange(len(rows)):
        for k in range(slate.shape[1]):
            if clicks[r, k]:
                vector, target = vectors[rows[r]], targets[slate[r, k]]
                before = np.sqrt(_dot(vector, vector))
                for j in range(len(vector)):
                    vector[j] += rate * (target[j] - vector[j])
                after = np.sqrt(_dot(vector, vector))
                if after > 0:
                    for j in range(len(vector)):
                        vector[j] *= before / after


@kernel
def decay_and_count(rows, clicks, slate, table, column, decay):  # type: ignore[no-untyped-def]
    """table[rows[r]] *= decay, then add one to the column of each clicked item."""
    for r in numba.prange(len(rows)):
        counts = table[rows[r]]
        for j in range(len(counts)):
            counts[j] *= decay
        for k in range(slate.shape[1]):
            if clicks[r, k]:
                counts[column[slate[r, k]]] += np.float32(1.0)


@kernel
def remember(rows, clicks, slate, tick, step, clicked, clicked_tick, shown):  # type: ignore[no-untyped-def]
    """Append the clicked items on the right of the histories, and the slate to what the session has shown."""
    for r in numba.prange(len(rows)):
        row, num_slots = rows[r], slate.shape[1]
        width = clicked.shape[1]
        for k in range(num_slots):
            if clicks[r, k]:
                for j in range(width - 1):
                    clicked[row, j] = clicked[row, j + 1]
                    clicked_tick[row, j] = clicked_tick[row, j + 1]
                clicked[row, width - 1] = slate[r, k]
                clicked_tick[row, width - 1] = tick[r]
        start = step[r] * num_slots
        if start + num_slots > shown.shape[1]:
            start = shown.shape[1] - num_slots
            for j in range(start):
                shown[row, j] = shown[row, j + num_slots]
        for k in range(num_slots):
            shown[row, start + k] = slate[r, k]


@kernel
def add_intent(  # type: ignore[no-untyped-def]
    items, rows, intent, last_item, topic, continues, topic_weight, series_weight, out
):
    """Add `topic_weight` to items of the intended topic, `series_weight` to what continues the last item."""
    for r in numba.prange(len(items)):
        wanted, last = intent[rows[r]], last_item[rows[r]]
        for k in range(items.shape[1]):
            item = items[r, k]
            if topic[item] == wanted:
                out[r, k] += topic_weight
            if last >= 0 and continues[item] == last:
                out[r, k] += series_weight
