"""Offline protocols: which requests, against which candidates, scored as production would score them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from recsim_lab.evaluation.ranking import mean_metrics, ranking_metrics
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Policy

A = np.ndarray

Restrict = Callable[[Observation, int], Observation]
"""Applies the business rules of production to rebuilt requests with slates of the given length."""


@dataclass(frozen=True)
class Candidates:
    """The items that compete with the clicked ones: all eligible items, or `num_sampled` of them, uniformly."""

    num_sampled: int | None = None

    def __post_init__(self) -> None:
        if self.num_sampled is not None and self.num_sampled < 1:
            raise ValueError(f"num_sampled must be at least 1 or None, got {self.num_sampled}")

    @property
    def name(self) -> str:
        return "full" if self.num_sampled is None else f"sampled{self.num_sampled}"


@dataclass(frozen=True)
class Requests:
    """Requests of a log with what was clicked, ready for any policy of the same catalogue.

    A request is one logged slate with a click; its `relevant` items are those clicked in it. The candidates are
    the items that production could have shown at that moment (on offer and allowed by the rules).
    """

    observation: Observation
    relevant: Bool[A, "rows items"]
    eligible: Bool[A, "rows items"]
    sampling_order: Float32[A, "rows items"]

    def __len__(self) -> int:
        return len(self.observation)

    def candidates(self, kind: Candidates) -> Bool[A, "rows items"]:
        """The candidates of each request; relevant items are always among them."""
        if kind.num_sampled is None:
            return self.eligible | self.relevant
        # The smallest keys of a uniform draw are a uniform sample.
        keys = np.where(self.eligible & ~self.relevant, self.sampling_order, np.inf)
        num_sampled = min(kind.num_sampled, keys.shape[1] - 1)
        bound = np.partition(keys, num_sampled, axis=1)[:, num_sampled, None]
        return (keys < bound) | self.relevant


def rebuild_requests(
    log: InteractionLog, test: Bool[A, " rows"], restrict: Restrict, max_requests: int = 1000, seed: int = 0
) -> Requests:
    """The slates with a click among the rows marked in `test`, or a random `max_requests` of them.

    Requests are rebuilt from the whole log as of their moment: a policy sees the user's past and nothing later.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(test & log.clicks.any(axis=1))
    if len(rows) > max_requests:
        rows = np.sort(rng.choice(rows, max_requests, replace=False))
    observation = restrict(log.observations(rows), log.num_slots)
    relevant = np.zeros((len(rows), log.features.num_items), bool)
    row, slot = np.nonzero(log.clicks[rows])
    relevant[row, log.slate[rows][row, slot]] = True
    order = rng.random(relevant.shape, dtype=np.float32)
    return Requests(observation, relevant, observation.eligible(), order)


def offline_scores(policy: Policy, observation: Observation) -> Float32[A, "rows items"]:
    """The scores of the policy's ranker; a policy that has none (such as random) is indifferent between all items.

    Exploration on top of a ranker does not change them: offline metrics judge the order, not the gamble.
    """
    if policy.ranker is not None:
        return policy.ranker.scores(observation).astype(np.float32)
    return np.zeros((len(observation), observation.features.num_items), np.float32)


def offline_metrics(
    policy: Policy,
    requests: Requests,
    kinds: tuple[Candidates, ...],
    cutoffs: tuple[int, ...] = (5, 10, 20),
    batch: int = 512,
) -> dict[str, dict[str, float]]:
    """Mean metrics of each kind of candidates; scores are computed once for all kinds."""
    collected: dict[str, list[dict[str, A]]] = {kind.name: [] for kind in kinds}
    masks = {kind.name: requests.candidates(kind) for kind in kinds} if len(requests) else {}
    for start in range(0, len(requests), batch):
        part = slice(start, start + batch)
        scores = offline_scores(policy, requests.observation.take(part))
        for name, mask in masks.items():
            relevant, valid = requests.relevant[part], mask[part]
            collected[name].append(ranking_metrics(scores, relevant, cutoffs, valid))
    return {
        name: mean_metrics({key: np.concatenate([part[key] for part in parts]) for key in parts[0]}) if parts else {}
        for name, parts in collected.items()
    }
