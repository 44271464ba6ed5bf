"""The loops that dominate the profile, compiled; each has a readable NumPy twin that the tests hold it to.

Arrays `rows` name rows of the state and are distinct, so rows can be served in parallel. Sums run in one fixed
order (eight partial sums for dot products), so results do not depend on the batch.
"""

from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import Signature
from numba.extending import intrinsic

from recsim_lab.compile import kernel

_LANES = 8


def _sum_of_products(typing_context, left, right):  # type: ignore[no-untyped-def]
    """Dot product of two float32 vectors in eight partial sums, one a lane of a vector register.

    Written as vector instructions because the compiler may not reorder a float32 sum by itself: so the order is
    one and the same everywhere, and fast. Components beyond the last multiple of eight go to the first sum.
    """

    def generate(context, builder, signature: Signature, arguments):  # type: ignore[no-untyped-def]
        single, index = ir.FloatType(), ir.IntType(64)
        vector = ir.VectorType(single, _LANES)
        arrays = [
            context.make_array(kind)(context, builder, value)
            for kind, value in zip(signature.args, arguments, strict=True)
        ]
        length = builder.extract_value(arrays[0].shape, 0)
        data = [array.data for array in arrays]

        def product(start, kind):  # type: ignore[no-untyped-def]
            loaded = []
            for pointer in data:
                place = builder.bitcast(builder.gep(pointer, [start]), kind.as_pointer())
                loaded.append(builder.load(place, align=4))
            return builder.fmul(*loaded)

        sums = cgutils.alloca_once_value(builder, ir.Constant(vector, [0.0] * _LANES))
        num_blocks = builder.udiv(length, index(_LANES))
        with cgutils.for_range(builder, num_blocks) as loop:
            start = builder.mul(loop.index, index(_LANES))
            builder.store(builder.fadd(builder.load(sums), product(start, vector)), sums)
        whole = builder.mul(num_blocks, index(_LANES))
        with cgutils.for_range(builder, builder.sub(length, whole)) as loop:
            first = builder.extract_element(builder.load(sums), ir.IntType(32)(0))
            first = builder.fadd(first, product(builder.add(whole, loop.index), single))
            builder.store(builder.insert_element(builder.load(sums), first, ir.IntType(32)(0)), sums)
        total = builder.load(sums)
        s = [builder.extract_element(total, ir.IntType(32)(lane)) for lane in range(_LANES)]
        even = builder.fadd(builder.fadd(s[0], s[4]), builder.fadd(s[2], s[6]))
        odd = builder.fadd(builder.fadd(s[1], s[5]), builder.fadd(s[3], s[7]))
        return builder.fadd(even, odd)

    return types.float32(left, right), generate


_dot: Any = intrinsic(_sum_of_products)


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
def choose_one(utility, examination, habit, no_click, uniform, weights, clicks):  # type: ignore[no-untyped-def]
    """Mark the slot that a multinomial logit picks: weights examination * exp(utility), exp(no_click) for none.

    `clicks` comes in as all False; `weights` is scratch of the same shape. In float32 a utility that is 104 or more
    below the best has weight zero.
    """
    for r in numba.prange(len(utility)):
        num_slots = utility.shape[1]
        best = no_click
        for k in range(num_slots):
            best = max(best, utility[r, k])
        total = np.exp(no_click - best)
        for k in range(num_slots):
            weights[r, k] = examination[habit[r], k] * np.exp(utility[r, k] - best)
            total += weights[r, k]
        left = uniform[r] * total
        chosen = -1
        for k in range(num_slots):
            if weights[r, k] > 0:
                left -= weights[r, k]
                chosen = k
                if left < 0:
                    break
        if chosen >= 0 and (left < 0 or no_click == -np.inf):
            clicks[r, chosen] = True


@kernel
def mark_void(items, rows, tick, release, void, num_void):  # type: ignore[no-untyped-def]
    """void[r, k]: the item stands in an earlier slot too, or is released after tick[rows[r]]; num_void counts them."""
    for r in numba.prange(len(items)):
        count = 0
        for k in range(items.shape[1]):
            bad = release[items[r, k]] > tick[rows[r]]
            for j in range(k):
                bad |= items[r, j] == items[r, k]
            void[r, k] = bad
            count += bad
        num_void[r] = count


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
    """Append the clicked items on the right of the histories, and the slate to what the session has shown.

    Histories have room for one item or more, `shown` for a whole number of slates.
    """
    for r in numba.prange(len(rows)):
        row, num_slots = rows[r], slate.shape[1]
        width = clicked.shape[1]
        for k in range(num_slots):
            if clicks[r, k]:
                for j in range(width - 1):
                    clicked[row, j] = clicked[row, j + 1]
                    clicked_tick[row, j] = clicked_tick[row, j + 1]
                clicked[row, width - 1] = slate[r, k]
                clicked_tick[row, width - 1] = tick[row]
        start = step[row] * num_slots
        step[row] += 1
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
