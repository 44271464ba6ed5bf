"""A bandit over models: which of several policies a session gets is learned from whose slates were clicked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, final

import numpy as np
from jaxtyping import Float64, Int, Int64
from scipy.special import betainc, betaincc, betainccinv, betaincinv

from agents.base import as_text, named_with
from agents.mixing.base import Mix, is_closed, told_of, without_impossible
from agents.mixing.sources import joined, owners
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Recommendation, answered
from recsim_lab.probabilities import NUM_REDRAWS, PairProbabilities, Probabilities, mixture
from recsim_lab.streams import Draws

A = np.ndarray

_ARM = 0
_RAREST = 2.0**-46
"""The steps of the draws that choose a policy: what is rarer never happens."""


@final
@dataclass(eq=False)
class Bandit(Mix):
    """Answers every slate of a session (`arm_per="session"`), or each slate (`"slate"`), with one of its policies
    (Cañamares, Redondo & Castells, RecSys 2019).

    A slate that holds slots of a policy is a trial of it, and a success where one of them was clicked. Chances of
    success are given a Beta prior of `prior_successes` and `prior_failures`. `by="thompson"` takes a policy as often as
    it is the best under what is then known of all; `"epsilon-greedy"` takes the one of highest mean (of equal ones the
    first), or with probability `arm_epsilon` any. `chances` are the probabilities of being taken, which stay the same
    between two calls of `learn`; each starts anew from its log.

    So the answer is a mixture of theirs, exact where they are. It is about each request by itself: slates of one
    session share their policy, so their joint probability is not the product.
    """

    by: Literal["thompson", "epsilon-greedy"] = "thompson"
    arm_per: Literal["session", "slate"] = "session"
    arm_epsilon: float | int = 0.1
    prior_successes: float | int = 1.0
    prior_failures: float | int = 1.0

    trials: Int64[A, " policies"] = field(init=False, repr=False)
    successes: Int64[A, " policies"] = field(init=False, repr=False)
    chances: Float64[A, " policies"] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in ("thompson", "epsilon-greedy"):
            raise ValueError(f"by must be 'thompson' or 'epsilon-greedy', got {self.by!r}")
        if self.arm_per not in ("session", "slate"):
            raise ValueError(f"arm_per must be 'session' or 'slate', got {self.arm_per!r}")
        if not 0 <= self.arm_epsilon <= 1:
            raise ValueError(f"arm_epsilon must be in [0, 1], got {self.arm_epsilon}")
        for name in ("prior_successes", "prior_failures"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be above 0 and finite, got {getattr(self, name)}")
        nothing = np.zeros(len(self.policies), np.int64)
        self.restore_own({"trials": nothing, "successes": nothing})

    @property
    def name(self) -> str:
        changed: dict[str, str] = {"by": self.by} if self.by != "thompson" else {}
        if self.by == "epsilon-greedy" and self.arm_epsilon != 0.1:
            changed["arm_epsilon"] = as_text(self.arm_epsilon)
        changed |= {"arm_per": self.arm_per} if self.arm_per != "session" else {}
        for name in ("prior_successes", "prior_failures"):
            changed |= {name: as_text(getattr(self, name))} if getattr(self, name) != 1 else {}
        return named_with(f"bandit({'; '.join(self.names)})", changed)

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Recommendation:
        arm = self.arms(draws)
        answers = [policy.recommend(observation, num_slots, draws.fork(policy.name)) for policy in self.policies]
        sources, renumbered = joined(self.names, answers)
        rows = np.arange(len(observation))
        items = np.stack([answer.items for answer in answers])[arm, rows]
        told = [
            told_of(policy, observation, answer, items, is_closed(answer))
            for policy, answer in zip(self.policies, answers, strict=True)
        ]
        return answered(items, self._mixture(told), np.stack(renumbered)[arm, rows], sources)

    def probabilities(self, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
        told = self._mixture([policy.probabilities(observation, slates) for policy in self.policies])
        return without_impossible(told, observation, slates)

    def pair_probabilities(
        self,
        observation: Observation,
        candidates: Int[A, "rows candidates"],
        num_slots: int,
        num_redraws: int = NUM_REDRAWS,
    ) -> PairProbabilities:
        told = [p.pair_probabilities(observation, candidates, num_slots, num_redraws) for p in self.policies]
        value = np.tensordot(self.chances, np.stack([one.value for one in told]), 1)
        # Redrawn with the same luck, policies err together.
        error = np.tensordot(self.chances, np.stack([one.error for one in told]), 1)
        return PairProbabilities(candidates, value.astype(np.float32), error.astype(np.float32))

    def arms(self, draws: Draws) -> Int[A, " rows"]:
        """The place of the policy that answers each request."""
        luck = (draws.at_step(0) if self.arm_per == "session" else draws).uniform(_ARM, 2).astype(np.float64)
        # The second draw fills the steps of the first, so that rare policies are as rare as told.
        uniform = luck[:, 0] + (luck[:, 1] - 0.5) * 2.0**-23
        return np.searchsorted(np.cumsum(self.chances)[:-1], uniform, side="right")

    def learn(self, log: InteractionLog) -> None:
        super().learn(log)
        owner = owners(log.sources, self.names)[log.source] if log.sources else np.full(log.source.shape, -1)
        shown = log.slate >= 0
        places = range(len(self.policies))
        trials = [(shown & (owner == place)).any(axis=1).sum() for place in places]
        successes = [(log.clicks & (owner == place)).any(axis=1).sum() for place in places]
        self.restore_own({"trials": np.array(trials), "successes": np.array(successes)})

    def own_state(self) -> dict[str, A]:
        return {"trials": self.trials, "successes": self.successes}

    def restore_own(self, state: Mapping[str, A]) -> None:
        self.trials, self.successes = state["trials"], state["successes"]
        good = self.successes + self.prior_successes
        bad = self.trials - self.successes + self.prior_failures
        if self.by == "thompson":
            self.chances = chance_of_being_best(good, bad)
        else:
            self.chances = np.full(len(good), self.arm_epsilon / len(good))
            self.chances[np.argmax(good / (good + bad))] += 1 - self.arm_epsilon

    def _mixture(self, told: list[Probabilities]) -> Probabilities:
        return mixture(told, np.broadcast_to(self.chances, (len(told[0].marginal), len(told))))


def chance_of_being_best(
    successes: Float64[A, " arms"], failures: Float64[A, " arms"], num_levels: int = 4000
) -> Float64[A, " arms"]:
    """The probability that each of independent Beta(successes, failures) variables is the largest:
    ∫ ∏_other F_other(x) dF_own(x).

    The trapezoid rule over the quantiles of all of them at `num_levels` levels, half of them evenly spaced and half
    crowding towards both ends, which keeps relative errors of chances above 1e-9 below 1e-4.
    """
    tail = np.logspace(-14, -2, num_levels // 4)
    level = np.concatenate([tail, np.linspace(0, 1, num_levels // 2 + 2)[1:-1]])[:, None]
    points = np.unique([betaincinv(successes, failures, level), betainccinv(successes, failures, level)])
    points = np.concatenate([[0.0], points, [1.0]])[:, None]
    below, above = betainc(successes, failures, points), betaincc(successes, failures, points)
    # Of two ways to the same mass, the one that does not take a difference of numbers near 1.
    mass = np.where(below[1:] < 0.5, np.diff(below, axis=0), -np.diff(above, axis=0))
    chances = np.empty(len(successes))
    for arm in range(len(successes)):
        others = np.delete(below, arm, axis=1).prod(axis=1)
        chances[arm] = (mass[:, arm] * (others[1:] + others[:-1]) / 2).sum()
    chances[chances < _RAREST] = 0.0
    return chances / chances.sum()
