"""From a log and a target policy to the arrays that estimators read: requests rebuilt, and both policies asked."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

from recsim_lab.evaluation.off_policy.cascade_remainder import cascade_remainder
from recsim_lab.evaluation.off_policy.estimate import Estimate, Estimator
from recsim_lab.evaluation.off_policy.logged import Groups, LoggedSlates, Predictions, RowWeights, Support
from recsim_lab.evaluation.off_policy.own_slates import (
    OwnSlates,
    cell_probabilities,
    expected_predictions,
    group_probabilities,
    uniform_group_probabilities,
)
from recsim_lab.evaluation.off_policy.pseudo_inverse import paired_weights, uniform_weights
from recsim_lab.evaluation.off_policy.reward_model import CrossFitted, RewardModel, SmoothedRates, cross_fit
from recsim_lab.evaluation.offline import Restrict
from recsim_lab.evaluation.statistics import Interval
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation, Policy
from recsim_lab.probabilities import MOST_PAIRED_ITEMS, NUM_REDRAWS, Probabilities, certain

A = np.ndarray
Part = TypeVar("Part", Probabilities, Predictions, RowWeights)

ZERO = Interval(0.0, 0.0, 0.0)
_ASKED_ABOUT = 5
"""Of the target's own slates to each request, those about which the logging policy is asked."""


def no_rules(observation: Observation, num_slots: int) -> Observation:
    """Requests as they are: rules, if any, are part of the policies."""
    return observation


@dataclass(frozen=True)
class Question:
    """What to prepare for estimators, and how much to spend on it.

    Rewards are predicted by `model`, cross-fitted over `num_folds` (None: no model, and no estimator that needs one);
    `cascade` also prepares what Cascade-DR asks of it. `additive` prepares pseudo-inverse weights where logging was
    uniform, and `pairs` also where it was not and its policy answers each request `num_redraws` times over. `groups`,
    one code an item (a cluster, or a categorical field), prepares the weights of groups. `restrict` applies the rules
    of production to the rebuilt requests. Of a random target, `own_slates` are drawn to see what it shows, and
    `num_redraws` where probabilities are counted in them. Requests are asked about `batch` at a time.
    """

    model: RewardModel | None = SmoothedRates()
    cascade: bool = True
    additive: bool = True
    pairs: bool = False
    groups: Int[A, " items"] | None = None
    restrict: Restrict = no_rules
    own_slates: int = 20
    num_redraws: int = NUM_REDRAWS
    num_folds: int = 3
    batch: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("own_slates", 2), ("num_redraws", 2), ("num_folds", 2), ("batch", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True)
class _Batch:
    """What was found out about some rows."""

    logging: Probabilities
    target: Probabilities
    impossible: Float[A, "rows kinds"] | None
    """Shares of the target's own slates that logging never shows: marginals, prefixes, and both with the unknown."""
    model: Predictions | None
    remainder: Predictions | str
    additive: RowWeights | str
    of_groups: tuple[Probabilities, Probabilities] | str
    uniform: bool


def logged_slates(
    log: InteractionLog,
    target: Policy,
    logging: Policy | None = None,
    question: Question = Question(),
    rows: Int[A, " some"] | None = None,
    reward: Float[A, "rows slots"] | None = None,
) -> LoggedSlates:
    """Some rows of a log (None: all), as estimators read them.

    Requests are rebuilt from the whole log, as of their moment. `reward` is what each slot of each row of the log
    earned (None: its clicks). `logging` is the saved policy that served the rows: it tells of the target's own slates
    whether it ever shows them, fills in what the log does not know of its propensities, and has the pairs of cells
    that pseudo-inverse weights need unless logging was uniform. Rows of one user may depend on each other.
    """
    log = log.as_served
    rows = np.arange(len(log)) if rows is None else rows
    if reward is not None and reward.shape != log.clicks.shape:
        raise ValueError(f"reward must have a value for each slot of the log, {log.clicks.shape}, got {reward.shape}")
    earned = (log.clicks if reward is None else reward)[rows].astype(np.float64)
    observation = question.restrict(log.observations(rows), log.num_slots)
    slates, fitted, absent = log.slate[rows], None, dict[str, str]()
    if question.model is None:
        absent["model"] = "no model of rewards is asked for"
    elif len(rows) < question.num_folds:
        absent["model"] = f"there are fewer rows than the {question.num_folds} folds of its model"
    else:
        fitted = cross_fit(question.model, observation, slates, earned, question.num_folds, question.seed)
    rng = np.random.default_rng([question.seed, 1])
    batches = []
    for part in np.split(np.arange(len(rows)), range(question.batch, len(rows), question.batch)):
        of_part = None if fitted is None else fitted.take(part)
        batches.append(_ask(log, rows[part], observation.take(part), target, logging, question, of_part, rng))
    additive = _joined_or_why([batch.additive for batch in batches])
    remainder = _joined_or_why([batch.remainder for batch in batches])
    groups = _joined_groups(batches)
    for name, found in (("additive", additive), ("remainder", remainder), ("groups", groups)):
        if isinstance(found, str):
            absent[name] = found
    shares = [batch.impossible for batch in batches if batch.impossible is not None]
    return LoggedSlates(
        earned,
        _joined([batch.logging for batch in batches]),
        _joined([batch.target for batch in batches]),
        observation.user.astype(np.int64),
        _support(np.concatenate(shares)) if len(rows) and len(shares) == len(batches) else None,
        None if fitted is None else _joined([batch.model for batch in batches if batch.model is not None]),
        None if isinstance(remainder, str) else remainder,
        None if isinstance(groups, str) else groups,
        None if isinstance(additive, str) else additive,
        absent,
    )


def assess(logged: LoggedSlates, estimators: Iterable[Estimator]) -> list[Estimate]:
    """What each estimator says, in their order; those that refuse among them."""
    return [estimator.estimate(logged) for estimator in estimators]


def is_uniform(prefix: Float[A, "rows slots"], num_eligible: Int[A, " rows"]) -> bool:
    """Whether slates were as likely as if drawn uniformly from all eligible items, none twice."""
    left = num_eligible[:, None] - np.arange(prefix.shape[1])
    return bool((left > 0).all() and np.allclose(prefix * np.cumprod(left, axis=1, dtype=np.float64), 1, rtol=1e-4))


def _ask(
    log: InteractionLog,
    rows: Int[A, " some"],
    observation: Observation,
    target: Policy,
    logging: Policy | None,
    question: Question,
    fitted: CrossFitted | None,
    rng: np.random.Generator,
) -> _Batch:
    slates, num_slots = log.slate[rows], log.num_slots
    told = target.probabilities(observation, slates)
    of_logging = _propensities(log.take(rows), observation, logging)
    own = OwnSlates.of(target, observation, num_slots, question.own_slates)
    eligible = observation.eligible()
    uniform = is_uniform(of_logging.prefix, eligible.sum(axis=1))

    model: Predictions | None = None
    remainder: Predictions | str = "there is no model of rewards"
    if fitted is not None:
        every = np.arange(len(rows))
        of_own = np.stack([fitted.predict(observation, items, every) for items in own.items])
        model = expected_predictions(fitted.predict(observation, slates, every), own, of_own)
        remainder = "it is not asked for"
        if question.cascade:
            remainder = cascade_remainder(target, observation, slates, told, own, model, fitted.predict, rng)

    return _Batch(
        of_logging,
        told,
        _impossible(observation, own, logging, eligible, uniform),
        model,
        remainder,
        _additive(observation, slates, target, own, logging, question, eligible, uniform),
        _groups(observation, slates, target, own, logging, question, uniform),
        uniform,
    )


def _propensities(log: InteractionLog, observation: Observation, logging: Policy | None) -> Probabilities:
    """As logged, and where that is not known as the saved policy tells now."""
    marginal, prefix = log.propensity.astype(np.float64), log.prefix_propensity.astype(np.float64)
    error = np.where(np.isnan(marginal), np.nan, log.propensity_error)
    # The log keeps one error a slot: that of prefixes is taken to be as large a share.
    share = np.divide(error, marginal, out=np.zeros_like(marginal), where=marginal > 0)
    prefix_error = share * prefix
    unknown = np.isnan(marginal) | np.isnan(prefix)
    if logging is not None and unknown.any():
        told = logging.probabilities(observation, log.slate)
        marginal, prefix, error, prefix_error = (
            np.where(unknown, theirs, ours)
            for theirs, ours in (
                (told.marginal, marginal),
                (told.prefix, prefix),
                (told.error, error),
                (told.prefix_error, prefix_error),
            )
        )
    return Probabilities(marginal, prefix, np.nan_to_num(error), np.nan_to_num(prefix_error))


def _impossible(
    observation: Observation, own: OwnSlates, logging: Policy | None, eligible: Bool[A, "rows items"], uniform: bool
) -> Float[A, "rows kinds"] | None:
    if logging is None and not uniform:
        return None
    shares = np.zeros((len(observation), 4))
    some = own.items[:_ASKED_ABOUT]
    for items in some:
        if uniform:  # whatever is eligible is shown
            missing = ~np.take_along_axis(eligible, items.astype(np.int64), axis=1)
            shares += np.stack([missing.mean(axis=1), missing.any(axis=1)] * 2, axis=1)
            continue
        assert logging is not None
        told = logging.probabilities(observation, items)
        never, last = told.marginal == 0, told.prefix[:, -1]
        maybe = never | np.isnan(told.marginal)
        shares += np.stack([never.mean(axis=1), last == 0, maybe.mean(axis=1), (last == 0) | np.isnan(last)], axis=1)
    return shares / len(some)


def _additive(
    observation: Observation,
    slates: Int[A, "rows slots"],
    target: Policy,
    own: OwnSlates,
    logging: Policy | None,
    question: Question,
    eligible: Bool[A, "rows items"],
    uniform: bool,
) -> RowWeights | str:
    if not question.additive:
        return "it is not asked for"
    num_eligible, num_slots, num_redraws = eligible.sum(axis=1), slates.shape[1], question.num_redraws
    if uniform:
        return uniform_weights(num_eligible, *cell_probabilities(target, observation, slates, own, num_redraws))
    if logging is None:
        return "logging was not uniform, and its policy is not at hand"
    if not question.pairs:
        return "logging was not uniform, and its pairs are not asked for"
    if (most := int(num_eligible.max())) > MOST_PAIRED_ITEMS:
        return (
            f"logging was not uniform, and pairs of more than {MOST_PAIRED_ITEMS} eligible items, {most}, are too many"
        )
    # The eligible items, and others, which are never shown, in the requests that have fewer.
    candidates = np.argsort(~eligible, axis=1, kind="stable")[:, :most].astype(slates.dtype)
    cells = cell_probabilities(target, observation, candidates, own, num_redraws)
    pairs = logging.pair_probabilities(observation, candidates, num_slots, num_redraws)
    return paired_weights(pairs, np.arange(len(slates)), slates, *cells)


def _groups(
    observation: Observation,
    slates: Int[A, "rows slots"],
    target: Policy,
    own: OwnSlates,
    logging: Policy | None,
    question: Question,
    uniform: bool,
) -> tuple[Probabilities, Probabilities] | str:
    group = question.groups
    if group is None:
        return "no groups of items are given"
    if len(group) != observation.features.num_items:
        raise ValueError(
            f"groups must have a code for each of {observation.features.num_items} items, got {len(group)}"
        )
    if uniform:
        of_logging = uniform_group_probabilities(observation, slates, group)
    elif logging is None:
        return "logging was not uniform, and its policy is not at hand"
    else:
        of_logging = group_probabilities(logging, observation, slates, group, question.num_redraws)
    if own.sure.all():
        return of_logging, certain(group[own.items[0]], group[slates])
    return of_logging, group_probabilities(target, observation, slates, group, question.num_redraws)


def _joined(parts: list[Part]) -> Part:
    names = vars(parts[0])
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return replace(parts[0], **arrays)


def _joined_or_why(parts: list[Part | str]) -> Part | str:
    told = [part for part in parts if not isinstance(part, str)]
    return _joined(told) if len(told) == len(parts) else next(part for part in parts if isinstance(part, str))


def _joined_groups(batches: list[_Batch]) -> Groups | str:
    told = [batch.of_groups for batch in batches]
    if why := [part for part in told if isinstance(part, str)]:
        return why[0]
    logging, target = (_joined([part[side] for part in told if not isinstance(part, str)]) for side in (0, 1))
    # Uniform logging shows every group that has an eligible item.
    return Groups(logging, target, Support(ZERO, ZERO) if all(batch.uniform for batch in batches) else None)


def _support(shares: Float[A, "rows kinds"]) -> Support:
    marginal, prefix, marginal_high, prefix_high = (float(share) for share in shares.mean(axis=0))
    return Support(Interval(marginal, marginal, marginal_high), Interval(prefix, prefix, prefix_high))
