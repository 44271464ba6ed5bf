"""What lists are made of, whoever likes them: how much of the catalogue they cover, how little known and how unlike
each other their items are."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from recsim_lab.policy import FeatureTable, top_items

A = np.ndarray

LIST_METRICS = ("coverage", "novelty", "diversity")
"""Names that take a cut-off, as in `coverage@10`."""


def first_items(
    scores: Float[A, "rows items"], eligible: Bool[A, "rows items"], num: int, luck: Float32[A, "rows items"]
) -> Int[A, "rows num"]:
    """The eligible items of highest score, best first; equal scores in order of their `luck`.

    A scorer that is indifferent has lists drawn at random, not the same items for all.

    Raises:
        ValueError: if a row has fewer than `num` eligible items.
    """
    first = top_items(scores, eligible, num)
    last = np.take_along_axis(scores, first[:, -1:], axis=1)
    best = np.take_along_axis(scores, first, axis=1)
    tied_inside = (best[:, 1:] == best[:, :-1]).any(axis=1)
    tied = np.flatnonzero(tied_inside | (((scores == last) & eligible).sum(axis=1) > 1))
    if len(tied):
        order = np.lexsort((luck[tied], scores[tied], eligible[tied]), axis=-1)
        first[tied] = order[:, : -num - 1 : -1]
    return first


def list_metrics(
    lists: Int[A, "rows places"],
    num_eligible: int,
    popularity: Int[A, " items"],
    features: FeatureTable,
    cutoffs: Sequence[int],
) -> dict[str, Float[A, " rows"]]:
    """`coverage@k`, `novelty@k` and `diversity@k` of lists, best item first; k is cut to their length.

    - `coverage@k`: the share of the `num_eligible` items that stands in any of the lists; the same for every row.
    - `novelty@k`: the mean self-information of the list's items, -log2 of an item's share of all clicks in
      `popularity`, in bits, one click added to each item (Zhou et al., PNAS 2010).
    - `diversity@k`: the mean over pairs of the list of the share of the items' categorical fields in which the two
      differ, from 0 to 1 (intra-list distance; Ziegler et al., WWW 2005), where there are pairs and such fields.
    """
    shares = (popularity + 1.0) / (popularity.sum() + len(popularity))
    information = -np.log2(shares)[lists]
    fields = [features.items[field.name] for field in features.item_fields if field.kind == "categorical"]
    codes = np.stack(fields, axis=-1)[lists] if fields else np.zeros((*lists.shape, 0))
    differ = (codes[:, :, None] != codes[:, None]).sum(axis=-1) / max(len(fields), 1)
    found = {}
    for cutoff in cutoffs:
        k = min(cutoff, lists.shape[1])
        covered = len(np.unique(lists[:, :k])) / max(num_eligible, 1)
        found[f"coverage@{cutoff}"] = np.full(len(lists), covered)
        found[f"novelty@{cutoff}"] = information[:, :k].mean(axis=1)
        if cutoff > 1 and fields:
            found[f"diversity@{cutoff}"] = differ[:, :k, :k].sum(axis=(1, 2)) / max(k * (k - 1), 1)
    return found
