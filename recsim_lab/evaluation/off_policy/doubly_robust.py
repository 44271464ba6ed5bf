"""What a model of rewards expects of the target, corrected by how wrong it was on what was logged."""

from dataclasses import dataclass
from typing import final

import numpy as np

from recsim_lab.evaluation.off_policy.change import Change, Plain, weighted
from recsim_lab.evaluation.off_policy.estimate import Estimator, Terms
from recsim_lab.evaluation.off_policy.inverse_propensity import labelled
from recsim_lab.evaluation.off_policy.logged import LoggedSlates, Predictions
from recsim_lab.evaluation.off_policy.weighting import Cascade, Independent, Weighting
from recsim_lab.evaluation.statistics import Interval

A = np.ndarray


@final
@dataclass(frozen=True)
class Direct(Estimator):
    """DM: the mean of what the model expects the target to earn. As wrong as the model, which the error leaves out.

    No row is weighted, so that each counts as 1. Support is asked for all the same: where logging shows nothing of
    the target, the model has nothing to go by.
    """

    @property
    def name(self) -> str:
        return "direct"

    def missing(self, logged: LoggedSlates) -> str:
        if logged.model is None:
            return logged.without("model")
        return "" if logged.support is not None else Independent().missing(logged)

    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        return Independent().unsupported(logged)

    def terms(self, logged: LoggedSlates) -> Terms:
        assert logged.model is not None
        ones = np.broadcast_to(1.0, logged.reward.shape)
        return Terms(logged.model.target.sum(axis=1), ones, _base_error(logged.model))


@final
@dataclass(frozen=True)
class DoublyRobust(Estimator):
    """DR: the direct method plus weight x (reward - prediction), summed over slots (Dudík, Langford & Li, ICML 2011).

    Unbiased with plain weights where the weighting's assumption holds, however wrong the model. With `Switch` it is
    Switch-DR, with `Shrink` DRos.
    """

    weighting: Weighting = Independent()
    change: Change = Plain()

    @property
    def name(self) -> str:
        return labelled("dr", self.change, self.weighting)

    def missing(self, logged: LoggedSlates) -> str:
        return logged.without("model") if logged.model is None else self.weighting.missing(logged)

    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        return self.weighting.unsupported(logged)

    def terms(self, logged: LoggedSlates) -> Terms:
        model = logged.model
        assert model is not None
        return weighted(
            model.target.sum(axis=1),
            logged.reward - model.logged,
            self.weighting.weights(logged),
            self.change,
            logged,
            _base_error(model),
        )


@final
@dataclass(frozen=True)
class CascadeDoublyRobust(Estimator):
    """Cascade-DR (Kiyohara et al., WSDM 2022): doubly robust at every slot, given the slots above.

    With w_k the cascade weight of slots 0 to k (w_-1 = 1), Q_k what the model expects slot k and all below it to earn,
    and E Q_k its expectation over the target's item at k given the logged ones above, a row's term is
    sum over k of w_k (reward_k - Q_k) + w_(k-1) E Q_k. Unbiased for cascades, however wrong the model.
    """

    change: Change = Plain()

    @property
    def name(self) -> str:
        return "cascade-dr" if self.change.name == "" else f"cascade-dr-{self.change.name}"

    def missing(self, logged: LoggedSlates) -> str:
        return logged.without("remainder") if logged.remainder is None else Cascade().missing(logged)

    def unsupported(self, logged: LoggedSlates) -> tuple[Interval, bool]:
        return Cascade().unsupported(logged)

    def terms(self, logged: LoggedSlates) -> Terms:
        remainder = logged.remainder
        assert remainder is not None
        effect = logged.reward - remainder.logged
        effect[:, :-1] += remainder.target[:, 1:]
        weights = Cascade().weights(logged)
        error = None
        if remainder.target_error.any():
            above = np.ones_like(weights.value)
            above[:, 1:] = weights.value[:, :-1]
            error = np.einsum("rs,rs->r", above, remainder.target_error)
        return weighted(remainder.target[:, 0], effect, weights, self.change, logged, error)


def _base_error(model: Predictions) -> A | None:
    """As if the slots of a row erred with one sign, since one redraw serves all of them."""
    return model.target_error.sum(axis=1) if model.target_error.any() else None
