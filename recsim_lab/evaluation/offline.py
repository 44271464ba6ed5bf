"""Score a policy offline: requests rebuilt as of their moment, scores computed once, every protocol's metrics."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from recsim_lab.evaluation.lists import first_items, list_metrics
from recsim_lab.evaluation.protocols.candidates import Choice, FromRetriever, Full, LoggedSlate
from recsim_lab.evaluation.protocols.protocol import Protocol
from recsim_lab.evaluation.protocols.slates import slate_metrics
from recsim_lab.evaluation.protocols.splits import Fold, Split
from recsim_lab.evaluation.protocols.targets import Click, Target, TrueChoice
from recsim_lab.evaluation.ranking import WEIGHT, mean_metrics, ranking_metrics, weight_of
from recsim_lab.evaluation.truth import Moments
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Policy
from recsim_lab.probabilities import redraw

A = np.ndarray

Restrict = Callable[[Observation, int], Observation]
"""Applies the business rules of production to rebuilt requests with slates of the given length."""
Metrics = dict[str, Float[A, " _"]]
BATCH = 512
"""Requests whose scores of the whole catalogue are held at once."""


@dataclass(frozen=True)
class FoldRequests:
    """The test requests of one fold: logged slates with a click, or a random sample of them.

    `observation` has no rules, `ruled` those of production. `uniform` is the luck of sampled candidates, `popularity`
    counts clicks in the training part, `retrieved` is as in `Choice`, and `moments` the truth of the log's rows, where
    it is at hand.
    """

    log: InteractionLog
    split: Split
    fold: Fold
    rows: Int[A, " requests"]
    observation: Observation
    ruled: Observation
    uniform: Float32[A, "requests items"]
    popularity: Int[A, " items"]
    retrieved: Int[A, "requests found"]
    moments: Moments | None
    seed: int

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def eligible(self) -> Mapping[bool, Bool[A, "requests items"]]:
        """What could be shown, with and without the rules."""
        return {True: self.ruled.eligible(), False: self.observation.eligible()}

    @cached_property
    def _true_choice(self) -> Int[A, " requests"]:
        if self.moments is None:
            raise ValueError("protocols that know the truth need the moments of the log")
        return self.moments.choice(self.rows, self.eligible[True], self.seed)

    def gains(self, target: Target) -> Float32[A, "requests items"]:
        """The gain of every item; a request that the target can't judge has none."""
        gains = np.zeros((len(self), self.log.features.num_items), np.float32)
        if isinstance(target, TrueChoice):
            gains[np.arange(len(self)), self._true_choice] = 1.0
            return gains
        of_slots = self.slot_gains(target)[self.rows]
        row, slot = np.nonzero(of_slots > 0)
        gains[row, self.log.slate[self.rows][row, slot]] = of_slots[row, slot]
        return gains

    def num_judged(self, protocol: Protocol) -> int:
        """The requests in which the protocol finds something relevant; on the logged slate, all slates of the test."""
        if isinstance(protocol.target, TrueChoice):
            return len(self)
        rows = np.flatnonzero(self.fold.test) if isinstance(protocol.candidates, LoggedSlate) else self.rows
        return int((self.slot_gains(protocol.target)[rows] > 0).any(axis=1).sum())

    def slot_gains(self, target: Target) -> Float32[A, "rows slots"]:
        """The target's gains of the whole log, NaN in slots that do not count."""
        return np.where(self.split.slots(self.log), target.gains(self.log), np.float32(np.nan))

    def choice(self, part: slice, rules: bool) -> Choice:
        """What candidates of some requests are made of."""
        return Choice(
            self.eligible[rules][part],
            self.log.slate[self.rows[part]],
            self.uniform[part],
            self.popularity,
            self.retrieved[part],
        )


def requests_of_fold(
    log: InteractionLog,
    split: Split,
    fold: Fold,
    restrict: Restrict,
    *,
    max_requests: int = 1000,
    seed: int = 0,
    moments: Moments | None = None,
    retriever: Policy | None = None,
    num_retrieved: int = 0,
) -> FoldRequests:
    """The slates with a click among a fold's test rows, or a random `max_requests` of them.

    Requests are rebuilt from the whole log as of their moment: a policy sees the user's past and nothing later. The
    `retriever` has learned from the fold's training part.
    """
    rng = np.random.default_rng(seed)
    rows = np.flatnonzero(fold.test & (log.clicks & split.slots(log)).any(axis=1))
    if len(rows) > max_requests:
        rows = np.sort(rng.choice(rows, max_requests, replace=False))
    observation = log.observations(rows)
    ruled = restrict(observation, log.num_slots)
    train = log.clicks & fold.train[:, None]
    retrieved = np.zeros((len(rows), 0), np.int32)
    if retriever is not None and len(rows):
        num = min(num_retrieved, int(ruled.eligible().sum(axis=1).min()))
        retrieved = retriever.recommend(ruled, num, redraw(ruled, 0)).items
    return FoldRequests(
        log,
        split,
        fold,
        rows,
        observation,
        ruled,
        rng.random((len(rows), log.features.num_items), dtype=np.float32),
        np.bincount(log.slate[train], minlength=log.features.num_items),
        retrieved,
        moments,
        seed,
    )


def retrieved_by(protocols: Iterable[Protocol]) -> int:
    """The most items that a protocol asks of a retriever."""
    return max((p.candidates.num for p in protocols if isinstance(p.candidates, FromRetriever)), default=0)


def offline_scores(policy: Policy, observation: Observation) -> Float32[A, "rows items"]:
    """The order by which a policy goes where it does not explore; without one it is indifferent."""
    if policy.ranker is not None:
        return policy.ranker.scores(observation).astype(np.float32)
    return np.zeros((len(observation), observation.features.num_items), np.float32)


def protocol_metrics(
    policy: Policy,
    ruled: Policy,
    tested: FoldRequests,
    protocols: Sequence[Protocol],
    cutoffs: tuple[int, ...] = (5, 10, 20),
) -> dict[Protocol, Metrics]:
    """Metrics of every request under each protocol of the fold's split; scores are computed once for all.

    `ruled` is the same policy under the rules of production: its order is judged where a protocol has `rules`.
    Metrics of requests without a relevant item are NaN; under `WEIGHT` stands how much each request counts in means.
    Protocols on the logged slate have one value of each metric, which stands for all its requests. Those against all
    items, of clicks, also tell what the lists are made of (`list_metrics`), which no label decides.
    """
    found: dict[Protocol, list[Metrics]] = {protocol: [] for protocol in protocols}
    on_slates = {p: tested.slot_gains(p.target) for p in protocols if isinstance(p.candidates, LoggedSlate)}
    for protocol, means in slate_metrics(policy, tested.log, tested.fold.test, on_slates, seed=tested.seed).items():
        found[protocol].append({name: np.array([value]) for name, value in means.items()})
    for rules, order, requests in ((True, ruled, tested.ruled), (False, policy, tested.observation)):
        ranked = [p for p in protocols if p.rules == rules and p not in on_slates]
        gains = {target: tested.gains(target) for target in dict.fromkeys(p.target for p in ranked)}
        listed = [p for p in ranked if p.candidates == Full() and p.target == Click()]
        length = min(max(cutoffs), int(tested.eligible[rules].sum(axis=1).min())) if len(tested) else 0
        lists: list[Int[A, "requests items"]] = []
        for start in range(0, len(tested) if ranked else 0, BATCH):
            part = slice(start, start + BATCH)
            scores = offline_scores(order, requests.take(part))
            choice = tested.choice(part, rules)
            if listed:
                lists.append(first_items(scores, choice.eligible, length, choice.uniform))
            for protocol in ranked:
                gain = gains[protocol.target][part]
                valid = protocol.candidates.of(choice, gain > 0)
                metrics = ranking_metrics(scores, gain, cutoffs, valid)
                found[protocol].append(metrics | {WEIGHT: weight_of(gain)})
        if lists:
            num_eligible = int(np.any(tested.eligible[rules], axis=0).sum())
            told = list_metrics(np.concatenate(lists), num_eligible, tested.popularity, tested.log.features, cutoffs)
            found |= {protocol: [_joined(found[protocol]) | told] for protocol in listed}
    return {protocol: _joined(parts) for protocol, parts in found.items()}


def mean_of_folds(folds: Sequence[Metrics]) -> dict[str, float]:
    """The means over the requests of all folds that have an answer; folds without requests are left out."""
    return mean_metrics(_joined([metrics for metrics in folds if metrics]))


def _joined(parts: Sequence[Metrics]) -> Metrics:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]} if parts else {}
