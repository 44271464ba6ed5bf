"""Two stages: retrievers find candidates among very many items, and a heavy ranker orders these alone."""

import copy
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Int

from agents.base import as_text, named_with
from agents.eligible import may_be_shown
from agents.neural import NetworkAgent
from agents.two_stage.listed import Popular, first_eligible
from agents.two_stage.opinions import logged_opinions, newest, opinions, teach
from agents.two_stage.retriever import Retriever, found
from agents.wrapper import Combination
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Policy, Recommendation, Scorer, answered, check_slots
from recsim_lab.probabilities import Probabilities, certain
from recsim_lab.streams import Draws

A = np.ndarray

FILL = "fill"
"""The source of slots for which there were no candidates."""


@dataclass(frozen=True)
class Candidates:
    """What the retrievers found of each request, once each and in order of the item, then -1.

    `source` is the place of the first retriever that found the item.
    """

    items: Int[A, "rows candidates"]
    source: Int[A, "rows candidates"]

    @property
    def there(self) -> Bool[A, "rows candidates"]:
        return self.items >= 0


@final
@dataclass(eq=False)
class TwoStage(Combination, Scorer):
    """Shows the candidates that the `heavy` scorer scores highest, out of those that the retrievers find.

    `retrievers` come with their quotas, the most items that each may bring. A slot's source is the first of them that
    found its item. Where a request has fewer candidates than slots, the rest comes in order of popularity
    (`fallback`); `num_filled` counts these slots. `seconds` is what each stage took when requests were last answered.

    With `told`, a heavy scorer that learns from impressions through a network in which features meet (mlp, dlrm, dcn)
    reads what each retriever thinks of the candidates. It learns so from the newest `ranked_share` of the log, with
    the opinions of copies of the retrievers that were taught on what came before; the retrievers themselves then learn
    from all of it. With `ranked_share=0` it learns from the whole log with the opinions of retrievers that have seen
    the very clicks, and takes hindsight for foresight. Any other scorer learns from the whole log by itself.
    """

    retrievers: tuple[tuple[Retriever, int], ...]
    heavy: Scorer
    fallback: Popular = field(default_factory=Popular)
    told: bool = True
    ranked_share: float | int = 0.5
    num_filled: int = field(init=False, default=0)
    seconds: dict[str, float] = field(init=False, repr=False, default_factory=dict)
    _untaught: tuple[Retriever, ...] = field(init=False, repr=False)
    """Copies as they were given; taken together, so that what two of them share stays shared."""

    def __post_init__(self) -> None:
        if not self.retrievers:
            raise ValueError("retrievers must hold at least one, got none")
        for retriever, quota in self.retrievers:
            if quota < 1:
                raise ValueError(f"quota of retriever {retriever.name!r} must be at least 1, got {quota}")
        names = [retriever.name for retriever, _ in self.retrievers]
        if twice := [name for place, name in enumerate(names) if name in names[:place]]:
            raise ValueError(f"retrievers must have names of their own, got {twice[0]!r} more than once")
        if not 0 <= self.ranked_share < 1:
            raise ValueError(f"ranked_share must be in [0, 1), got {self.ranked_share}")
        if self._told is not None and any(retriever.policy is self.heavy for retriever, _ in self.retrievers):
            raise ValueError(
                f"heavy must not be the policy of a retriever whose opinion it is told, got {self.heavy.name!r} twice"
            )
        self.check_parts()
        self._untaught = copy.deepcopy(tuple(retriever for retriever, _ in self.retrievers))

    @property
    def name(self) -> str:
        found_by = "; ".join(f"{quota} {retriever.name}" for retriever, quota in self.retrievers)
        changed = {"told": as_text(self.told)} if not self.told else {}
        changed |= {"ranked_share": as_text(self.ranked_share)} if self.ranked_share != 0.5 else {}
        return named_with(f"two-stage({found_by}; {self.heavy.name})", changed)

    @property
    def parts(self) -> Mapping[str, Policy]:
        inside = {f"retriever {place}": one.policy for place, (one, _) in enumerate(self.retrievers)}
        inside |= {"fallback": self.fallback.policy, "heavy": self.heavy}
        return {name: policy for name, policy in inside.items() if policy is not None}

    @property
    def _told(self) -> NetworkAgent | None:
        """The heavy scorer if it is to be told what retrievers think."""
        heavy = self.heavy
        if not (self.told and isinstance(heavy, NetworkAgent) and heavy.reads_crosses):
            return None
        learned_without = heavy.network is not None and not heavy.network.schema.num_crosses
        return None if learned_without else heavy

    def learn(self, log: InteractionLog) -> None:
        heavy = self._told
        if heavy is None:
            super().learn(log)
            return
        own = scouts = tuple(retriever for retriever, _ in self.retrievers)
        rows = np.arange(len(log))
        if self.ranked_share:
            before, rows = newest(log, self.ranked_share)
            scouts = copy.deepcopy(self._untaught)
            teach(scouts, before)
        teach((*own, self.fallback), log)
        heavy.learn(log, logged_opinions(scouts, log, rows))

    # Serving

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        items, source = self._slates(observation, num_slots)
        self.num_filled += int((source == len(self.retrievers)).sum())
        sources = (*(retriever.name for retriever, _ in self.retrievers), FILL)
        return answered(items, certain(items, items), source, sources)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        return certain(self._slates(observation, slates.shape[1])[0], slates)

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        """Those of the heavy scorer for candidates; all other items come below them, in order of popularity."""
        candidates = self.candidates(observation)
        told = self._judged(observation, candidates)
        # In double precision, in which 1 less is less also of the lowest score there is.
        lowest = np.where(candidates.there, told.astype(np.float64), np.inf).min(axis=1, initial=np.inf)
        lowest = np.where(np.isfinite(lowest), lowest, 0.0)
        order = self.fallback.order(observation.features)
        rank = np.empty(len(order), np.int64)
        rank[order] = np.arange(len(order))
        row, column = np.nonzero(candidates.there)
        if items is None:
            scores = lowest[:, None] - 1 - rank
            scores[row, candidates.items[row, column]] = told[row, column]
            return scores
        scores = lowest[:, None] - 1 - rank[items]
        first = (np.arange(len(items)) * len(order))[:, None]
        pairs, values = (first + candidates.items)[row, column], told[row, column]
        ascending = np.argsort(pairs)
        pairs, values = np.append(pairs[ascending], -1), np.append(values[ascending], 0)
        place = np.searchsorted(pairs[:-1], first + items)
        return np.where(pairs[place] == first + items, values[place], scores)

    def candidates(self, observation: Observation) -> Candidates:
        """What the heavy scorer may choose from.

        Raises:
            ValueError: if a retriever brings an item that does not exist or may not be shown, naming it.
        """
        return self._merged(observation, self.found(observation))

    def found(self, observation: Observation) -> dict[str, Int[A, "rows _"]]:
        """What each retriever finds, by its name."""
        brought, self.seconds = {}, {}
        for retriever, quota in self.retrievers:
            with self._timed(retriever.name):
                brought[retriever.name] = retriever.retrieve(observation, quota).items
        return brought

    def _merged(self, observation: Observation, brought: Mapping[str, Int[A, "rows _"]]) -> Candidates:
        with self._timed("merge"):
            items = np.concatenate(list(brought.values()), axis=1)
            source = np.repeat(np.arange(len(brought)), [found.shape[1] for found in brought.values()])
            allowed = may_be_shown(observation, items) | (items == -1)
            if not allowed.all():
                row, column = np.argwhere(~allowed)[0]
                raise ValueError(
                    f"retrievers must bring eligible items, {list(brought)[source[column]]!r} brought "
                    f"{items[row, column]} for row {row} of a catalogue of {observation.features.num_items}"
                )
            # Equal items in the order in which they were brought: all but the first drop out.
            order = np.argsort(items, axis=1, kind="stable")
            ascending = np.take_along_axis(items, order, axis=1)
            again = np.zeros(items.shape, bool)
            np.put_along_axis(again, order[:, 1:], ascending[:, 1:] == ascending[:, :-1], axis=1)
            kept = (items >= 0) & ~again
            place = np.cumsum(kept, axis=1) - 1
            row, column = np.nonzero(kept)
            shape = (len(items), int(place.max(initial=-1)) + 1)
            merged, whose = np.full(shape, -1, np.int32), np.zeros(shape, np.int16)
            merged[row, place[row, column]] = items[row, column]
            whose[row, place[row, column]] = source[column]
            # By item, as equal scores are ordered everywhere; as unsigned numbers -1 comes last.
            order = np.argsort(merged.view(np.uint32), axis=1)
        return Candidates(np.take_along_axis(merged, order, axis=1), np.take_along_axis(whose, order, axis=1))

    def _judged(self, observation: Observation, candidates: Candidates) -> Float[A, "rows candidates"]:
        """The heavy scorer's scores; those of the padding mean nothing."""
        with self._timed("rank"):
            if not candidates.items.size:
                return np.zeros(candidates.items.shape, np.float32)
            # The padding repeats an item, since only items have scores.
            items = np.where(candidates.there, candidates.items, np.maximum(candidates.items[:, :1], 0))
            heavy = self._told
            if heavy is None:
                return self.heavy.scores(observation, items)
            with self._timed("opinions"):
                crosses = opinions([retriever for retriever, _ in self.retrievers], observation, items)
            return heavy.scores(observation, items, crosses if heavy.network is not None else None)

    def _slates(self, observation: Observation, num_slots: int) -> tuple[Int[A, "rows slots"], Int[A, "rows slots"]]:
        """Items, and the places of the retrievers that found them: one beyond the last where none did."""
        if sum(quota for _, quota in self.retrievers) < num_slots:
            raise ValueError(
                f"quotas must sum to at least the {num_slots} slots, got {[quota for _, quota in self.retrievers]}"
            )
        candidates = self.candidates(observation)
        told = self._judged(observation, candidates)
        with self._timed("select"):
            best = found(told, candidates.there, num_slots).items
            place = np.maximum(best, 0)
            chosen = best >= 0
            if not candidates.items.shape[1]:
                items, source = np.full(best.shape, -1, np.int32), np.zeros(best.shape, np.int16)
            else:
                items = np.take_along_axis(candidates.items, place, axis=1)
                source = np.take_along_axis(candidates.source, place, axis=1)
            items = np.where(chosen, items, -1).astype(np.int32)
            source = np.where(chosen, source, len(self.retrievers))
            short = np.flatnonzero(~chosen.all(axis=1))
            if len(short):
                items[short] = self._filled(observation.take(short), items[short], num_slots)
        return items, source

    def _filled(self, observation: Observation, items: Int[A, "rows slots"], num_slots: int) -> Int[A, "rows slots"]:
        """The slates with their empty last slots filled by popularity."""
        order, start = self.fallback.order(observation.features), np.zeros(len(items), np.int64)
        more = first_eligible(order, start, observation.block(items), num_slots)
        num = (items >= 0).sum(axis=1)[:, None]
        slot = np.arange(num_slots)
        items = np.where(slot < num, items, np.take_along_axis(more, np.maximum(slot - num, 0), axis=1))
        if (items < 0).any():
            check_slots(observation.eligible(), num_slots)
        return items

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
