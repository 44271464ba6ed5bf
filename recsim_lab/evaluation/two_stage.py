"""Where two stages lose, as no real platform can know it: what retrieval missed, and what ranking put wrong.

The slate that was shown is compared with two others: the best out of the candidates, and the best out of all items
that could be shown. The first difference is the ranker's doing, the second the retrievers'; together they are the
regret.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.evaluation.offline import Restrict
from recsim_lab.evaluation.oracle import Oracle
from recsim_lab.platform import Probe
from recsim_lab.policy import Observation, top_items
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World

A = np.ndarray

UNION = "union"
"""All retrievers together."""

Found = Mapping[str, Int[A, "rows _"]]
"""What each retriever found of each request, padded with -1."""
Worth = Callable[[Int[A, "rows slots"]], Float[A, " rows"]]
"""What slates are worth to their users."""


@dataclass(frozen=True)
class StageAccount:
    """Of each request: how much of the best was found, and what was lost where.

    `recall` is the share of the items of highest true utility that a retriever found, and all of them (`UNION`).
    `regret` is `retrieval` plus `ranking`, in the unit of what slates are worth. Both are at least 0 where the best
    items in order make the best slate.
    """

    recall: Mapping[str, Float[A, " rows"]]
    retrieval: Float[A, " rows"]
    ranking: Float[A, " rows"]

    @property
    def regret(self) -> Float[A, " rows"]:
        return self.retrieval + self.ranking


def account(
    utility: Float[A, "rows items"],
    eligible: Bool[A, "rows items"],
    found: Found | None,
    slates: Int[A, "rows slots"],
    depth: int,
    worth: Worth | None = None,
) -> StageAccount:
    """The account of slates that were shown.

    `found=None`: there was no first stage, and all eligible items were candidates. Items that were shown count as
    candidates of the second stage, as where empty slots were filled; they count for no retriever's recall. `depth` is
    how many of the best items recall is about, or all where fewer are eligible. `worth=None`: the mean true utility of
    a slate's items.

    Raises:
        ValueError: if a request has fewer eligible items than a slate has slots.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, got {depth}")
    num_slots = slates.shape[1]
    if worth is None:
        worth = _mean_utility(utility)
    best_first = np.argsort(np.where(eligible, -utility, np.inf), axis=1, kind="stable")[:, :depth]
    counts = np.take_along_axis(eligible, best_first, axis=1)
    everywhere = {} if found is None else {name: _marked(items, eligible.shape) for name, items in found.items()}
    union = eligible if found is None else np.logical_or.reduce([np.zeros_like(eligible), *everywhere.values()])
    recall = {
        name: (np.take_along_axis(marked, best_first, axis=1) & counts).sum(axis=1) / np.maximum(counts.sum(axis=1), 1)
        for name, marked in (everywhere | {UNION: union}).items()
    }
    best = worth(top_items(utility, eligible, num_slots))
    reachable = worth(top_items(utility, (union & eligible) | _marked(slates, eligible.shape), num_slots))
    return StageAccount(recall, best - reachable, reachable - worth(slates))


def _mean_utility(utility: Float[A, "rows items"]) -> Worth:
    def worth(slates: Int[A, "rows slots"]) -> Float[A, " rows"]:
        return np.take_along_axis(utility, slates.astype(np.int64), axis=1).mean(axis=1, dtype=np.float64)

    return worth


def _marked(items: Int[A, "rows listed"], shape: tuple[int, ...]) -> Bool[A, "rows items"]:
    """Which items are among the listed ones; -1 is none."""
    marked = np.zeros((shape[0], shape[1] + 1), bool)
    marked[np.arange(len(items))[:, None], items] = True
    return marked[:, :-1]


@dataclass
class StageProbe(Probe):
    """Keeps account of a share of the requests just before they are answered: a probe of the platform.

    `found` tells what the retrievers bring for requests under the rules that `restrict` applies; None for a policy of
    one stage. Regret is in clicks: the expected number on a slate, whose best is taken to be the items of highest
    utility in order, as for the oracle; where a choice model thinks otherwise, ranking may gain on it.
    """

    world: World
    restrict: Restrict
    found: Callable[[Observation], Found] | None
    depth: int = 100
    share: float = 0.1
    accounts: list[StageAccount] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be in [0, 1], got {self.share}")
        if self.depth < 1:
            raise ValueError(f"depth must be at least 1, got {self.depth}")

    def __call__(
        self, sessions: Sessions, rows: Int[A, " rows"], observation: Observation, slates: Int[A, "rows slots"]
    ) -> None:
        chosen = np.flatnonzero(sessions.draws(rows).uniform(Purpose.PROBE)[:, 0] < self.share)
        if not len(chosen):
            return
        probed, slates = rows[chosen], slates[chosen]
        requests = self.restrict(observation.take(chosen), slates.shape[1])
        utility = Oracle(self.world).watch(sessions).scores(requests)
        self.accounts.append(
            account(
                utility,
                requests.eligible(),
                None if self.found is None else self.found(requests),
                slates,
                self.depth,
                lambda some: self.world.click_probability(sessions.state, probed, some).sum(axis=1),
            )
        )

    def means(self) -> dict[str, float]:
        """`recall/<retriever>`, `recall/union`, `regret`, `retrieval` and `ranking`, over all requests probed."""
        if not self.accounts:
            return {}
        told = {
            f"recall/{name}": np.concatenate([one.recall[name] for one in self.accounts])
            for name in self.accounts[0].recall
        }
        told |= {
            name: np.concatenate([getattr(one, name) for one in self.accounts])
            for name in ("regret", "retrieval", "ranking")
        }
        return {name: float(values.mean()) for name, values in told.items()}
