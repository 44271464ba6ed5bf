"""Logged slates as arrays: what was shown, how likely that was under two policies, and what it earned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int

from recsim_lab.evaluation.statistics import Interval
from recsim_lab.probabilities import Probabilities

A = np.ndarray


@dataclass(frozen=True)
class Predictions:
    """What a model of rewards expects of each slot: of the item logged there, and of what the target would show.

    `target` is the expectation over the target policy's answers, `target_error` its standard error where it was
    estimated from redraws (0: exact). For `LoggedSlates.remainder` it is the expectation over the target's next item
    given the logged ones above the slot, and `logged` is what this slot and all below it are expected to earn.
    """

    logged: Float[A, "rows slots"]
    target: Float[A, "rows slots"]
    target_error: Float[A, "rows slots"]


@dataclass(frozen=True)
class Support:
    """The share of the target's mass that the logging policy never shows: in the mean over slots, and of whole slates.

    As the saved logging policy told of the target's own slates: `low` counts what it calls impossible, `high` also
    what it could not tell.
    """

    marginal: Interval
    prefix: Interval


@dataclass(frozen=True)
class Groups:
    """How likely each slot holds an item of the same group as the logged one, and the slots above do too."""

    logging: Probabilities
    target: Probabilities
    support: Support | None = None


@dataclass(frozen=True)
class RowWeights:
    """One weight for a whole slate, with its standard error; it may be negative.

    `outside` is the share of the target's marginal probabilities that no mixture of logged slates can make up.
    """

    value: Float[A, " rows"]
    error: Float[A, " rows"]
    outside: Float[A, " rows"]


@dataclass(frozen=True)
class LoggedSlates:
    """Rows of a log, ready for any estimator of what the target policy would earn per slate.

    `reward` is what each slot earned (a reward of the whole slate may stand in any one slot, unless clicks are
    assumed to be independent or a cascade). `logging` and `target` are the probabilities of the logged slates under
    either policy; with a single slot, marginal and prefix are the same, and this is a contextual bandit's log.

    Rows of one `cluster` (a user's) may depend on each other; without, each row is its own. `support` is what is known
    of the target's mass that logging never shows; without, it is bounded by the mean weight. What only some estimators
    need may be left out: a reward `model`, its `remainder` for cascades, `groups` of items, and `additive` weights;
    `absent` says why, by the name of the field.
    """

    reward: Float[A, "rows slots"]
    logging: Probabilities
    target: Probabilities
    cluster: Int[A, " rows"] | None = None
    support: Support | None = None
    model: Predictions | None = None
    remainder: Predictions | None = None
    groups: Groups | None = None
    additive: RowWeights | None = None
    absent: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not np.isfinite(self.reward.sum()) and not np.isfinite(self.reward).all():
            raise ValueError("reward must be finite")
        for name, told in (("logging", self.logging), ("target", self.target)):
            if told.marginal.shape != self.reward.shape or told.prefix.shape != self.reward.shape:
                raise ValueError(
                    f"{name} must have the shape of reward, {self.reward.shape}, got {told.marginal.shape} and "
                    f"{told.prefix.shape}"
                )
            for kind in (told.marginal, told.prefix):
                if kind.size and not (0 <= (low := np.fmin.reduce(kind, axis=None)) <= np.fmax.reduce(kind, axis=None)):
                    if not np.isnan(low):
                        raise ValueError(f"{name} probabilities must be at least 0, got {low}")
                elif kind.size and (high := np.fmax.reduce(kind, axis=None)) > 1 + 1e-5:
                    raise ValueError(f"{name} probabilities must be at most 1, got {high}")
        for name in ("model", "remainder"):
            predictions = getattr(self, name)
            if predictions is not None and not all(np.isfinite(array).all() for array in vars(predictions).values()):
                raise ValueError(f"{name} must predict finite rewards")

    def __len__(self) -> int:
        return len(self.reward)

    @property
    def num_slots(self) -> int:
        return self.reward.shape[1]

    @cached_property
    def num_clusters(self) -> int:
        """Of rows that may depend on each other; the rows themselves where they do not."""
        return len(self) if self.cluster is None else int((np.bincount(self.cluster) > 0).sum())

    def without(self, name: str) -> str:
        """Why the field `name` is left out."""
        return self.absent.get(name, f"{name} is not given")
