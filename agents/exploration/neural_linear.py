"""Thompson sampling on a network's last layer: its features are taken as they are, and their weights as uncertain.

Riquelme, Tucker & Snoek (ICLR 2018), "Deep Bayesian bandits showdown": *neural linear*.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

import numpy as np
from jaxtyping import Float, Int

from agents.base import LOWEST, named_with
from agents.exploration.base import Ranking, by_redraws, check_redraws, sampled
from agents.exploration.ridge import Evidence, Posterior, check_ridge
from agents.neural import NetworkAgent
from agents.wrapper import LearningWrapper
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Recommendation, Scorer, deterministic, gather, top_items
from recsim_lab.probabilities import NUM_REDRAWS, Probabilities, certain
from recsim_lab.streams import Draws

A = np.ndarray

_WEIGHTS = 0
_ROWS_AT_ONCE = 2**14


@final
@dataclass(eq=False)
class NeuralLinear(LearningWrapper):
    """Draws for each request how much each dimension of an agent's dot product counts, and shows the best items.

    The agent's score is the sum of u * v over the dimensions of the request's vector u and the item's v. Here these
    products (each divided by its root mean square over the log's impressions, so that the prior means the same
    around any model) and a constant explain the clicks of all impressions by ridge regression, which is done anew
    whenever the agent has learned. `scale` multiplies the posterior's standard deviations: 1 is the posterior, 0 its
    mean. Slots count alike. As long as nothing was learned the agent answers itself; items that it has no ground to
    judge come last.

    No closed form tells how likely a slate is: `recommend` says NaN, `probabilities` counts `redraws`.
    """

    scale: float | int = 1.0
    regularization: float | int = 1.0
    redraws: int = NUM_REDRAWS
    evidence: Evidence | None = field(init=False, repr=False, default=None)
    spread: Float[A, " dim"] = field(init=False, repr=False, default_factory=lambda: np.zeros(0))
    """What each product is divided by."""
    _posterior: Posterior | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        if not isinstance(self.policy, NetworkAgent) or not self.policy.compares_all:
            raise ValueError(
                "policy must be an agent whose scores are dot products (mf, two-tower, sasrec, ...), "
                f"got {self.policy.name}"
            )
        check_ridge(self.regularization, self.scale, "scale")
        check_redraws(self.redraws)

    @property
    def name(self) -> str:
        parameters: dict[str, float | int | str] = {"thompson": self.scale}
        return named_with(
            self.policy.name, parameters if self.regularization == 1 else parameters | {"prior": self.regularization}
        )

    @property
    def agent(self) -> NetworkAgent:
        assert isinstance(self.policy, NetworkAgent)
        return self.policy

    @property
    def ranker(self) -> Scorer:
        return Ranking(self.name, self._expected)

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        if self.evidence is None:
            return self.policy.recommend(observation, num_slots, draws)
        slates = self._slates(observation, num_slots, draws, *self._vectors(observation))
        return sampled(slates, self.name) if self.scale else deterministic(slates, self.name)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        if self.evidence is None:
            return self.policy.probabilities(observation, slates)
        num_slots, vectors = slates.shape[1], self._vectors(observation)
        if not self.scale:
            return certain(top_items(self._expected(observation), observation.eligible(), num_slots), slates)
        return by_redraws(
            lambda draws: self._slates(observation, num_slots, draws, *vectors), observation, slates, self.redraws
        )

    def _slates(
        self,
        observation: Observation,
        num_slots: int,
        draws: Draws,
        of_requests: Float[A, "rows dim"],
        of_items: Float[A, "items dim"],
    ) -> Int[A, "rows slots"]:
        normal = draws.normal(_WEIGHTS, 1 + of_items.shape[1]).astype(np.float64)
        weights = self._known().sample(normal, self.scale)
        return top_items(self._scores(weights, of_requests, of_items), observation.eligible(), num_slots)

    def _expected(
        self, observation: Observation, items: Int[A, "rows candidates"] | None = None
    ) -> Float[A, "rows candidates"]:
        if self.evidence is None:
            return self.agent.scores(observation, items)
        return gather(self._scores(self._known().mean[None], *self._vectors(observation)), items)

    def _scores(
        self,
        weights: Float[A, "#rows features"],
        of_requests: Float[A, "rows dim"],
        of_items: Float[A, "items dim"],
    ) -> Float[A, "rows items"]:
        """The constant, which the order does not depend on, is left out."""
        scores = (of_requests * (weights[:, 1:] / self.spread)).astype(np.float32) @ of_items.T
        scores[:, ~self.agent.judged_items()] = LOWEST
        return scores

    def _vectors(self, observation: Observation) -> tuple[Float[A, "rows dim"], Float[A, "items dim"]]:
        return self.agent.request_vectors(observation), self.agent.item_vectors(observation.features)

    def _known(self) -> Posterior:
        assert self.evidence is not None
        if self._posterior is None:
            self._posterior = Posterior(self.evidence, self.regularization)
        return self._posterior

    # Learning and keeping

    def learn_besides(self, log: InteractionLog) -> None:
        if self.agent.network is None or not len(log):
            return
        self.evidence, self.spread = _evidence_of(log, *self._vectors(log.observations()))
        self._posterior = None

    def own_state(self) -> dict[str, A]:
        return {} if self.evidence is None else self.evidence.state() | {"spread": self.spread}

    def restore_own(self, state: Mapping[str, A]) -> None:
        self._posterior = None
        self.evidence = Evidence.restored(state) if state else None
        self.spread = state["spread"] if state else np.zeros(0)


def _evidence_of(
    log: InteractionLog, of_requests: Float[A, "rows dim"], of_items: Float[A, "items dim"]
) -> tuple[Evidence, Float[A, " dim"]]:
    """The evidence of a log's impressions, and the root mean square of each product (1 where all are 0)."""
    size = 1 + of_items.shape[1]
    gram, moment = np.zeros((size, size)), np.zeros(size)
    for start in range(0, len(log), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        products = of_requests[rows, None].astype(np.float64) * of_items[log.slate[rows]]
        phi = np.concatenate([np.ones((*products.shape[:2], 1)), products], axis=2)[log.slate[rows] >= 0]
        gram += phi.T @ phi
        moment += log.clicks[rows][log.slate[rows] >= 0] @ phi
    root = np.sqrt(np.diag(gram) / max(gram[0, 0], 1))
    root = np.where(root > 0, root, 1.0)
    evidence = Evidence(gram / np.outer(root, root), moment / root, float(gram[0, 0]), float(log.clicks.sum()))
    return evidence, root[1:]
