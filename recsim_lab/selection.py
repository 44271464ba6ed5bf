"""The best items of each row, in one pass: blocks in which nothing is above the best so far are passed over."""

import numba
import numpy as np

from recsim_lab.compile import compiled, kernel

_SPARE = 16
"""Places of the shortlist beyond twice the slots: short slates are then cut down less often."""
_BLOCK = 16
"""Scores that are compared at once; most blocks hold none of the best."""


@compiled
def _before(score, item, other_score, other_item):  # type: ignore[no-untyped-def]
    return score > other_score or (score == other_score and item < other_item)


@compiled
def _bring_forward(scores, items, count, num_best):  # type: ignore[no-untyped-def]
    """Move the best of the first `count` pairs to the front, in any order; their lowest score.

    Quickselect (Hoare, CACM 1961, algorithm 65): takes time proportional to `count`.
    """
    low, high = 0, count - 1
    while low < high:
        score, item = scores[(low + high) // 2], items[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while _before(scores[left], items[left], score, item):
                left += 1
            while _before(score, item, scores[right], items[right]):
                right -= 1
            if left <= right:
                scores[left], scores[right] = scores[right], scores[left]
                items[left], items[right] = items[right], items[left]
                left += 1
                right -= 1
        if num_best <= right:
            high = right
        elif num_best >= left:
            low = left
        else:
            break
    lowest = scores[0]
    for place in range(1, num_best):
        lowest = min(lowest, scores[place])
    return lowest


@compiled
def _sort(scores, items, count):  # type: ignore[no-untyped-def]
    """Put the first `count` pairs in order, best first (Shell's sort)."""
    gap = count
    while gap > 1:
        gap = max(1, gap * 5 // 11)
        for place in range(gap, count):
            score, item = scores[place], items[place]
            while place >= gap and _before(score, item, scores[place - gap], items[place - gap]):
                scores[place], items[place] = scores[place - gap], items[place - gap]
                place -= gap
            scores[place], items[place] = score, item


@compiled
def _any_above(row, start, end, lowest):  # type: ignore[no-untyped-def]
    """Whether a score in [start, end) is above `lowest` or is NaN; without branches, so in vector instructions.

    An index that could be negative would count from the end, which takes another comparison for each score.
    """
    found = False
    for item in range(numba.uint64(start), numba.uint64(end)):
        found |= not row[item] <= lowest
    return found


@kernel
def select_best(scores, eligible, best, num_found):  # type: ignore[no-untyped-def]
    """best[r]: the eligible items of highest score, best first, equal scores in order of the item, then -1.

    `num_found[r]` is at least the number of slots where `best[r]` is filled, below it where there are fewer eligible
    items, and -1 where an eligible item's score is NaN. One row of `eligible` may stand for all.
    """
    num_slots = best.shape[1]
    size = 2 * num_slots + _SPARE
    for r in numba.prange(len(scores)):
        row, allowed = scores[r], eligible[0] if len(eligible) == 1 else eligible[r]
        listed, items = np.empty(size, scores.dtype), np.empty(size, np.int32)
        # Nothing is below NaN, so until the shortlist is full for the first time every item goes onto it.
        lowest, count, missing = scores.dtype.type(np.nan), 0, False
        for start in range(0, len(row), _BLOCK):
            end = min(start + _BLOCK, len(row))
            if not _any_above(row, start, end, lowest):
                continue
            for item in range(numba.uint64(start), numba.uint64(end)):
                score = row[item]
                # Written always and counted where it belongs there: that is faster than a branch.
                listed[count], items[count] = score, item
                count += allowed[item] & (not score <= lowest)
                missing |= allowed[item] & (score != score)
                if count == size:
                    lowest = _bring_forward(listed, items, count, num_slots)
                    count = num_slots
        num_found[r] = -1 if missing else count
        if count >= num_slots:
            _bring_forward(listed, items, count, num_slots)
        num_filled = min(count, num_slots)
        _sort(listed, items, num_filled)
        best[r, :num_filled], best[r, num_filled:] = items[:num_filled], -1
