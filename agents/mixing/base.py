"""A mix answers with items of several policies, and remembers of every slot whose it is."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from agents.eligible import can_stand, eligible_items
from agents.wrapper import Combination
from recsim_lab.policy import Observation, Policy, Recommendation, Scorer
from recsim_lab.probabilities import Probabilities, certain, is_certain

A = np.ndarray


@dataclass(eq=False)
class Mix(Combination):
    """Several policies, of which the first is the main one: the mix is judged offline by its order.

    Each learns from the whole log, other policies' slots included, unless it is `TrainedOn` less.
    """

    policies: tuple[Policy, ...]

    def __post_init__(self) -> None:
        names = self.names
        if len(names) < 2:
            raise ValueError(f"policies must be at least two, got {list(names)}")
        if len(set(names)) < len(names):
            raise ValueError(
                f"policies must have different names, by which the log tells them apart, got {list(names)}"
            )
        if unfit := [name for name in names if "/" in name]:
            raise ValueError(f"policies must have names without '/', which parts the names of a source, got {unfit}")
        self.check_parts()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(policy.name for policy in self.policies)

    @property
    def parts(self) -> Mapping[str, Policy]:
        return dict(zip(self.names, self.policies, strict=True))

    @property
    def ranker(self) -> Scorer | None:
        return self.policies[0].ranker


def is_closed(answer: Recommendation) -> Bool[A, " rows"]:
    """Whether the policy knew how likely its answer was: then it tells of any slate without redraws."""
    return np.isfinite(answer.propensity).all(axis=1) & np.isfinite(answer.prefix_propensity).all(axis=1)


def told_of(
    policy: Policy,
    observation: Observation,
    answer: Recommendation,
    slates: Int[A, "rows slots"],
    asked: Bool[A, " rows"],
) -> Probabilities:
    """The policy's probabilities of slates where it is certain of its `answer`, or `asked`; NaN in other rows."""
    sure = is_certain(answer)
    told = {
        name: np.where(sure[:, None], values, np.nan) for name, values in vars(certain(answer.items, slates)).items()
    }
    if len(rows := np.flatnonzero(asked & ~sure)):
        found = policy.probabilities(observation.take(rows), slates[rows])
        for name, values in told.items():
            values[rows] = getattr(found, name)
    return Probabilities(
        told["marginal"].astype(np.float32),
        told["prefix"],
        told["error"].astype(np.float32),
        told["prefix_error"].astype(np.float32),
    )


def without_impossible(told: Probabilities, observation: Observation, slates: Int[A, "rows slots"]) -> Probabilities:
    """The same with 0 for what no policy may show, of which redraws tell nothing: items that are not eligible, and
    slates that repeat one."""
    if not (np.isnan(told.marginal).any() or np.isnan(told.prefix).any()):
        return told
    number = eligible_items(observation, slates.shape[1]).number(slates)
    possible, stands = number >= 0, np.logical_and.accumulate(can_stand(number), axis=1)
    return Probabilities(
        np.where(possible, told.marginal, 0).astype(np.float32),
        np.where(stands, told.prefix, 0),
        np.where(possible, told.error, 0).astype(np.float32),
        np.where(stands, told.prefix_error, 0).astype(np.float32),
    )
