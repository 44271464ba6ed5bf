"""Linear bandits over public features: the clicks of all impressions tell one vector of weights, and how surely.

LinUCB with a shared model (Li, Chu, Langford & Schapire, WWW 2010) and linear Thompson sampling (Agrawal & Goyal,
ICML 2013).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

import numpy as np
from jaxtyping import Float, Float32, Int
from scipy.sparse import csr_array

from agents.base import NamedAgent
from agents.exploration.base import Ranking, by_redraws, check_redraws, sampled
from agents.exploration.design import Design, squares, unpacked
from agents.exploration.ridge import Evidence, Posterior, check_ridge
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import FeatureTable, Observation, Recommendation, Scorer, deterministic, gather, top_items
from recsim_lab.probabilities import NUM_REDRAWS, Probabilities, certain
from recsim_lab.streams import Draws

A = np.ndarray

_WEIGHTS = 0
_ITEMS_AT_ONCE = 2**14
_PAIRS_AT_ONCE = 2**22


@dataclass(eq=False)
class LinearBandit(NamedAgent):
    """Expects a click with probability phi . weights, where phi are the features of `agents.exploration.design`: all
    that is declared of user and item, crossed.

    `learn` starts anew from the log, each impression of which counts alike, whatever its slot. Before, only the prior
    is known. Items that no declared field tells apart get one score, and come in order of their id.
    """

    regularization: float = 1.0
    """What the prior counts, in impressions with every feature 1."""
    evidence: Evidence | None = field(init=False, repr=False, default=None)
    _posterior: Posterior | None = field(init=False, repr=False, default=None)
    _design: Design | None = field(init=False, repr=False, default=None)

    def learn(self, log: InteractionLog) -> None:
        self._accept(evidence_of(log, self._design_of(log.features)))

    def state(self) -> dict[str, A]:
        return {} if self.evidence is None else self.evidence.state()

    def restore(self, state: Mapping[str, A]) -> None:
        self._accept(Evidence.restored(state) if state else None)

    def expected(self, observation: Observation) -> Float32[A, "rows items"]:
        """The expected click of each request and item."""
        design, posterior = self.known(observation)
        kinds, kind = design.distinct(observation.user)
        weights = posterior.mean.reshape(kinds.shape[1], -1)
        return (kinds @ weights @ design.items.T).astype(np.float32)[kind]

    def known(self, observation: Observation) -> tuple[Design, Posterior]:
        """The features of the requests' users and items, and what is known of their weights.

        Raises:
            ValueError: if they declare other fields than the log that was learned from.
        """
        design = self._design_of(observation.features)
        evidence = Evidence.nothing(design.num_features) if self.evidence is None else self.evidence
        if (num_known := len(evidence.moment)) != design.num_features:
            raise ValueError(f"fields must make {num_known} features, as in the log, got {design.num_features}")
        if self._posterior is None or len(self._posterior.mean) != num_known:
            self._posterior = Posterior(evidence, self.regularization)
        return design, self._posterior

    def _accept(self, evidence: Evidence | None) -> None:
        self.evidence, self._posterior = evidence, None

    def _design_of(self, features: FeatureTable) -> Design:
        if self._design is None or self._design.features is not features:
            self._design = Design.of(features)
        return self._design


@final
@dataclass(eq=False)
class LinUCB(LinearBandit, Scorer):
    """Shows the items of the highest upper bound, phi . weights + `alpha` sqrt(phi . (gram + regularization I)^-1 phi):
    the more, the less is known of their features. Deterministic: it says propensity 1, and the same request gets the
    same slate until it learns again."""

    family: ClassVar[str] = "linucb"

    alpha: float = 1.0

    def __post_init__(self) -> None:
        check_ridge(self.regularization, self.alpha, "alpha")

    def scores(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float32[A, "rows candidates"]:
        design, posterior = self.known(observation)
        kinds, kind = design.distinct(observation.user)
        bound = kinds @ posterior.mean.reshape(kinds.shape[1], -1) @ design.items.T
        bound += self.alpha * np.sqrt(variances(posterior.covariance, kinds, design.items))
        return gather(bound.astype(np.float32)[kind], items)


@final
@dataclass(eq=False)
class LinearThompson(LinearBandit):
    """Draws weights from what is known of them for each request, and shows the items that are best by these.

    `scale` multiplies the posterior's standard deviations: 1 is the posterior (with the noise of the log's residuals),
    0 its mean. No closed form tells how likely a slate is: `recommend` says NaN, `probabilities` counts `redraws`.
    """

    family: ClassVar[str] = "linear-thompson"

    scale: float = 1.0
    redraws: int = NUM_REDRAWS

    def __post_init__(self) -> None:
        check_ridge(self.regularization, self.scale, "scale")
        check_redraws(self.redraws)

    @property
    def ranker(self) -> Scorer:
        return Ranking(self.name, lambda observation, items: gather(self.expected(observation), items))

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        slates = self._slates(observation, num_slots, draws)
        return sampled(slates, self.name) if self.scale else deterministic(slates, self.name)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        num_slots = slates.shape[1]
        if not self.scale:
            return certain(top_items(self.expected(observation), observation.eligible(), num_slots), slates)
        return by_redraws(lambda draws: self._slates(observation, num_slots, draws), observation, slates, self.redraws)

    def _slates(self, observation: Observation, num_slots: int, draws: Draws) -> Int[A, "rows slots"]:
        design, posterior = self.known(observation)
        columns = np.ones((len(observation), 1)) if design.users.shape[1] == 1 else design.users[observation.user]
        weights = posterior.sample(draws.normal(_WEIGHTS, design.num_features).astype(np.float64), self.scale)
        weights = (columns[:, None] @ weights.reshape(len(columns), columns.shape[1], design.items.shape[1]))[:, 0]
        return top_items(weights @ design.items.T, observation.eligible(), num_slots)


def evidence_of(log: InteractionLog, design: Design) -> Evidence:
    """The evidence of a log's impressions, of which hidden ones are none.

    Users and items meet only in how often one was shown, and clicked, to the other, so that impressions are counted
    before features are multiplied.
    """
    kinds, kind = design.distinct(log.user)
    seen = log.slate >= 0
    pairs = (np.broadcast_to(kind[:, None], seen.shape)[seen], log.slate[seen])
    shape = (len(kinds), len(design.items))
    shown, clicked = (csr_array((counts[seen].astype(np.float64), pairs), shape=shape) for counts in (seen, log.clicks))
    user_squares = shown.T @ squares(kinds)
    packed = np.zeros((user_squares.shape[1], squares(design.items[:1]).shape[1]))
    for start in range(0, len(design.items), _ITEMS_AT_ONCE):
        some = slice(start, start + _ITEMS_AT_ONCE)
        packed += user_squares[some].T @ squares(design.items[some])
    return Evidence(
        unpacked(packed, kinds.shape[1], design.items.shape[1]),
        (kinds.T @ (clicked @ design.items)).ravel(),
        float(seen.sum()),
        float(log.clicks.sum()),
    )


def variances(
    covariance: Float[A, "pairs pairs"], users: Float[A, "rows user_columns"], items: Float[A, "items item_columns"]
) -> Float[A, "rows items"]:
    """phi . covariance phi of each user and item."""
    num_user_columns, num_item_columns = users.shape[1], items.shape[1]
    by_user = covariance.reshape(num_user_columns, -1)
    variance = np.empty((len(users), len(items)))
    size = max(1, _PAIRS_AT_ONCE // max(items.size, by_user.shape[1]))
    for start in range(0, len(users), size):
        rows = slice(start, start + size)
        once = (users[rows] @ by_user).reshape(-1, num_item_columns, num_user_columns, num_item_columns)
        twice = (users[rows][:, None, None] @ once)[:, :, 0]
        variance[rows] = ((items @ twice) * items).sum(axis=2)
    return np.maximum(variance, 0.0)
