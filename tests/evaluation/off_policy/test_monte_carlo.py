"""Estimators over 4,000 simulated logs: unbiased, and covered by their intervals, where theory says so, and not where
it does not.

Users of one kind are shown slates of three out of five items, and answer as a choice model says. All probabilities are
exact, from the distribution over the 60 slates. A row of a log is one of 480 states, a slate with its clicks, so that
4,000 logs are 4,000 rows of counts, and an estimator's terms are told once a state.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import permutations, product

import numpy as np
import pytest
from scipy import stats

from recsim_lab.evaluation.off_policy import (
    Additive,
    Cascade,
    CascadeDoublyRobust,
    Clip,
    Direct,
    DoublyRobust,
    Estimator,
    Grouped,
    Independent,
    InversePropensity,
    LoggedSlates,
    Predictions,
    RowWeights,
    SelfNormalised,
    Shrink,
    Support,
    Switch,
    WholeSlate,
    logged_actions,
)
from recsim_lab.evaluation.off_policy.pseudo_inverse import paired_weights
from recsim_lab.evaluation.statistics import Interval
from recsim_lab.probabilities import PairProbabilities, Probabilities
from recsim_lab.simulation.choice import ChoiceModel, ExponentialCascade, MultinomialLogit, PositionBased
from recsim_lab.simulation.examination import Geometric
from recsim_lab.streams import draws_of

A = np.ndarray
NUM_LOGS, NUM_ROWS = 4_000, 800
NUM_ITEMS, NUM_SLOTS = 5, 3
SLATES = np.array(list(permutations(range(NUM_ITEMS), NUM_SLOTS)))
UTILITY = np.array([2.0, 1.0, -1.0, -2.0, -3.0], np.float32)
CLICKS = np.array(list(product([False, True], repeat=NUM_SLOTS)))
NOTHING = Interval(0.0, 0.0, 0.0)


def _plackett_luce(score: A) -> A:
    """The probability of each slate."""
    weight = np.exp(score)
    taken = weight[SLATES]
    left = weight.sum() - np.cumsum(taken, axis=1) + taken
    return np.prod(taken / left, axis=1)


LOGGING = _plackett_luce(np.array([-0.2, 0.2, -0.1, 0.1, 0.2]))
TARGET = _plackett_luce(np.array([1.2, 0.8, 0.3, -0.5, -0.8]))


def _told(chance: A) -> Probabilities:
    same = SLATES[:, None, :] == SLATES[None, :, :]
    marginal = np.einsum("otk,t->ok", same, chance)
    prefix = np.einsum("otk,t->ok", np.logical_and.accumulate(same, axis=2), chance)
    return Probabilities(marginal, prefix, np.zeros_like(marginal), np.zeros_like(marginal))


def _additive() -> RowWeights:
    cells = (SLATES[:, :, None] == np.arange(NUM_ITEMS)).reshape(len(SLATES), -1).astype(np.float64)
    value = (cells.T * LOGGING @ cells)[None]
    pairs = PairProbabilities(np.arange(NUM_ITEMS)[None], value, np.zeros_like(value))
    target = np.broadcast_to((TARGET @ cells).reshape(NUM_SLOTS, NUM_ITEMS), (len(SLATES), NUM_SLOTS, NUM_ITEMS))
    return paired_weights(pairs, np.zeros(len(SLATES), int), SLATES, target)


def _models() -> tuple[Predictions, Predictions]:
    """A wrong model of each item in each slot, and what it says of a slot and all below it given the slots above."""
    wrong = 0.3 + 0.3 * np.random.default_rng(5).random((NUM_SLOTS, NUM_ITEMS))
    of_item = wrong[np.arange(NUM_SLOTS), SLATES]
    nothing = np.zeros(SLATES.shape)
    model = Predictions(of_item, np.broadcast_to(TARGET @ of_item, SLATES.shape), nothing)
    logged, next_item = np.empty(SLATES.shape), np.empty(SLATES.shape)
    for slot in range(NUM_SLOTS):
        for row, slate in enumerate(SLATES):
            above = (SLATES[:, :slot] == slate[:slot]).all(axis=1)
            with_item = (SLATES[:, : slot + 1] == slate[: slot + 1]).all(axis=1)
            rest = of_item[:, slot:].sum(axis=1)
            logged[row, slot] = np.average(rest[with_item], weights=TARGET[with_item])
            next_item[row, slot] = np.average(rest[above], weights=TARGET[above])
    return model, Predictions(logged, next_item, nothing)


@lru_cache
def _of_slates() -> LoggedSlates:
    """All that is known of each of the 60 slates but what users do."""
    model, remainder = _models()
    return LoggedSlates(
        np.zeros(SLATES.shape),
        _told(LOGGING),
        _told(TARGET),
        support=Support(NOTHING, NOTHING),
        model=model,
        remainder=remainder,
        additive=_additive(),
    )


def _taken(part: object, rows: A) -> object:
    return type(part)(**{name: value[rows] for name, value in vars(part).items()})


def _logged(state: A) -> LoggedSlates:
    table, slate = _of_slates(), state // len(CLICKS)
    parts = {
        name: _taken(getattr(table, name), slate) for name in ("logging", "target", "model", "remainder", "additive")
    }
    return replace(table, reward=CLICKS[state % len(CLICKS)].astype(np.float64), **parts)


STATES = np.arange(len(SLATES) * len(CLICKS))


@dataclass(frozen=True)
class Logs:
    """4,000 logs as how often each has which state, and what the target truly earns."""

    counts: A
    truth: float

    def one(self, log: int) -> LoggedSlates:
        return _logged(np.repeat(STATES, self.counts[log]))

    def estimates(self, estimator: Estimator, states: LoggedSlates | None = None) -> tuple[A, A]:
        """The value and standard error of each log."""
        states, share = states or _logged(STATES), self.counts / NUM_ROWS
        if isinstance(estimator, SelfNormalised):
            # Its terms depend on the other rows of the log.
            weight = estimator.weighting.weights(states).value
            mean = share @ weight
            ratio = share @ (weight * states.reward) / mean
            terms = np.einsum("sk,lk,slk->ls", weight, 1 / mean, states.reward[:, None] - ratio[None])
            value = ratio.sum(axis=1)
            variance = np.einsum("ls,ls->l", share, terms**2)
        else:
            term = estimator.terms(states).value
            value = share @ term
            variance = np.einsum("ls,ls->l", share, (term - value[:, None]) ** 2)
        return value, np.sqrt(variance / (NUM_ROWS - 1))


CHOICES: dict[str, ChoiceModel] = {
    "independence": PositionBased(examination=Geometric(0.8)),
    "cascade": ExponentialCascade(attention=0.9, scale=0.35),
    "competition": MultinomialLogit(examination=Geometric(0.8)),
}


@lru_cache
def _simulate(users: str) -> Logs:
    choice = CHOICES[users]
    slate = np.random.default_rng(20).choice(len(SLATES), NUM_LOGS * NUM_ROWS, p=LOGGING)
    no_habit = np.zeros(len(slate), np.int8)
    clicks = choice.sample_clicks(UTILITY[SLATES][slate], no_habit, draws_of(7, np.arange(len(slate))))
    state = slate * len(CLICKS) + clicks @ (2 ** np.arange(NUM_SLOTS)[::-1])
    state += np.repeat(np.arange(NUM_LOGS), NUM_ROWS) * len(STATES)
    counts = np.bincount(state, minlength=NUM_LOGS * len(STATES)).reshape(NUM_LOGS, len(STATES))
    chance = choice.click_probability(UTILITY[SLATES], np.zeros(len(SLATES), int))
    return Logs(counts, float(TARGET @ chance.sum(axis=1)))


ESTIMATORS: dict[str, Estimator] = {
    "IIPS": InversePropensity(),
    "RIPS": InversePropensity(Cascade()),
    "slate IPS": InversePropensity(WholeSlate()),
    "PI": InversePropensity(Additive()),
    "cascade DR": CascadeDoublyRobust(),
    "independent DR": DoublyRobust(),
    "slate DR": DoublyRobust(WholeSlate()),
    "additive DR": DoublyRobust(Additive()),
    "SNIPS": SelfNormalised(),
    "cascade SNIPS": SelfNormalised(Cascade()),
    "weighted PI": SelfNormalised(Additive()),
}
RIGHT = {
    "independence": set(ESTIMATORS),
    "cascade": {"RIPS", "slate IPS", "cascade DR", "slate DR", "cascade SNIPS"},
    "competition": {"slate IPS", "slate DR"},
}


@pytest.mark.parametrize("users", CHOICES)
def test_logs_are_what_theory_asks_for(users: str) -> None:
    logs = _simulate(users)
    assert (logs.counts @ CLICKS[STATES % len(CLICKS)].sum(axis=1)).min() >= 400
    table = _of_slates()
    for weighting in (Cascade(), WholeSlate(), Additive()):
        assert 3 < np.abs(weighting.weights(table).value).max() <= 20


@pytest.mark.parametrize("users", CHOICES)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_unbiased_and_covered_where_the_assumption_holds_and_biased_where_not(name: str, users: str) -> None:
    logs = _simulate(users)
    values, errors = logs.estimates(ESTIMATORS[name])
    off = values - logs.truth
    mean_error, spread = off.mean(), off.std(ddof=1) / np.sqrt(NUM_LOGS)
    if name in RIGHT[users]:
        assert abs(mean_error) < 4 * spread
        reach = stats.t.ppf(0.975, NUM_ROWS - 1) * errors
        assert 0.935 <= (np.abs(off) <= reach).mean() <= 0.965
    else:
        assert abs(mean_error) > 8 * spread


@pytest.mark.parametrize("name", ESTIMATORS)
def test_one_log_alone_is_estimated_alike(name: str) -> None:
    logs = _simulate("cascade")
    values, errors = logs.estimates(ESTIMATORS[name])
    for log in (0, 1_234, 3_999):
        estimate = ESTIMATORS[name].estimate(logs.one(log))
        assert estimate.value == pytest.approx(values[log], rel=1e-9)
        assert estimate.standard_error == pytest.approx(errors[log], rel=1e-9)


def test_the_less_is_assumed_the_wider_the_spread() -> None:
    logs = _simulate("independence")
    spread = {name: logs.estimates(ESTIMATORS[name])[0].std() for name in ("IIPS", "RIPS", "slate IPS", "cascade DR")}
    assert spread["IIPS"] < spread["RIPS"] < spread["slate IPS"]
    # Kiyohara et al. 2022: a model makes the cascade's weights spread less, even one that is wrong.
    assert spread["cascade DR"] < spread["RIPS"]


@lru_cache
def _bandits(grouped: bool) -> tuple[A, LoggedSlates, LoggedSlates, float]:
    """Counts of 4,000 logs of a bandit over its 48 states (4 contexts, 6 actions, 2 rewards), these with a wrong model
    and with the right one, and the truth. With `grouped`, rewards depend on the group of the action alone."""
    rng = np.random.default_rng(11)
    logging, target = rng.dirichlet(np.full(6, 4.0), 4), rng.dirichlet(np.full(6, 1.5), 4)
    group = np.array([0, 0, 1, 1, 2, 2])
    chance = rng.uniform(0.3, 0.95, (4, 6))
    if grouped:
        chance = chance[:, group * 2]
    wrong = np.clip(chance + rng.normal(0, 0.2, (4, 6)), 0, 1)
    context, action, reward = (index.ravel() for index in np.indices((4, 6, 2)))
    share = logging[context, action] / 4 * np.where(reward, chance[context, action], 1 - chance[context, action])
    counts = np.random.default_rng(12).multinomial(NUM_ROWS, share, NUM_LOGS)
    states = logged_actions(action, reward.astype(np.float64), logging[context], target[context], wrong[context], group)
    right = logged_actions(action, reward.astype(np.float64), logging[context], target[context], chance[context])
    truth = float((target * chance).sum(axis=1).mean())
    assert (counts @ reward).min() >= 400
    assert InversePropensity().weighting.weights(states).value.max() <= 20
    return counts, states, replace(right, groups=states.groups), truth


BANDIT_CASES = [
    ("wrong", InversePropensity(), True),
    ("wrong", SelfNormalised(), True),
    ("wrong", DoublyRobust(), True),
    ("right", DoublyRobust(), True),
    ("right", DoublyRobust(change=Switch(1.0)), True),
    ("right", DoublyRobust(change=Shrink(1.0)), True),
    ("right", Direct(), None),
    ("wrong", Direct(), False),
    ("wrong", InversePropensity(change=Clip(1.5)), False),
    ("wrong", DoublyRobust(change=Switch(1.0)), False),
    ("wrong", DoublyRobust(change=Shrink(0.2)), False),
    ("wrong", InversePropensity(Grouped()), False),
    ("grouped", InversePropensity(Grouped()), True),
    ("grouped", DoublyRobust(Grouped()), False),
    ("grouped", InversePropensity(), True),
]


@pytest.mark.parametrize(("model", "estimator", "unbiased"), BANDIT_CASES)
def test_bandits_are_estimated_without_bias_where_theory_says_so(
    model: str, estimator: Estimator, unbiased: bool | None
) -> None:
    counts, wrong, right, truth = _bandits(model == "grouped")
    logs, states = Logs(counts, truth), right if model == "right" else wrong
    values, errors = logs.estimates(estimator, states)
    off = values - truth
    mean_error, spread = off.mean(), off.std(ddof=1) / np.sqrt(NUM_LOGS)
    if unbiased is False:
        assert abs(mean_error) > 8 * spread
        return
    assert abs(mean_error) < 4 * spread
    covered = np.abs(off) <= stats.t.ppf(0.975, NUM_ROWS - 1) * errors
    assert 0.935 <= covered.mean() <= 0.965


def test_groups_make_weights_smaller() -> None:
    counts, states, _, truth = _bandits(True)
    logs = Logs(counts, truth)
    plain, grouped = (logs.estimates(InversePropensity(w), states)[0].std() for w in (Independent(), Grouped()))
    assert grouped < 0.9 * plain


def test_a_chosen_constant_is_never_far_from_the_better_end() -> None:
    """SLOPE against its two ends, doubly robust and direct, with a model that is wrong."""
    counts, wrong, right, truth = _bandits(False)
    assert right.model and wrong.model
    off: dict[str, list[float]] = {"none": [], "slope": [], "direct": []}
    for log in range(150):
        rows = np.repeat(np.arange(len(wrong)), counts[log])
        parts = {name: _taken(getattr(wrong, name), rows) for name in ("logging", "target", "model")}
        logged = replace(wrong, reward=wrong.reward[rows], remainder=None, groups=None, **parts)
        for name, estimator in (
            ("none", DoublyRobust()),
            ("slope", DoublyRobust(change=Shrink())),
            ("direct", Direct()),
        ):
            off[name].append(estimator.estimate(logged).value - truth)
    error = {name: float(np.sqrt(np.mean(np.square(values)))) for name, values in off.items()}
    # Within the factor that SLOPE promises of the better end (Su et al., Theorem 3: sqrt 6 + 3).
    assert error["slope"] < (np.sqrt(6) + 3) * min(error["none"], error["direct"])


def test_estimated_probabilities_widen_the_error_by_what_they_add() -> None:
    """The target's probabilities with an error of 9%: intervals still cover, and are wider than exact ones."""
    table, rng = _of_slates(), np.random.default_rng(4)
    covered, widths = [], []
    logs = _simulate("independence")
    for log in range(400):
        exact = logs.one(log)
        off = np.clip(rng.normal(0, 0.09, exact.reward.shape), -0.3, 0.3)
        given = exact.target.marginal
        noisy = replace(exact.target, marginal=np.minimum(given * (1 + off), 1.0), error=0.09 * given)
        estimates = [InversePropensity().estimate(logged) for logged in (replace(exact, target=noisy), exact)]
        covered.append(estimates[0].interval().contains(logs.truth))
        widths.append([estimate.standard_error for estimate in estimates])
    assert table.target.error.max() == 0
    # 95% or more of 400: fewer than 360 have a chance below 1e-4.
    assert sum(covered) >= 360
    assert all(wide > narrow for wide, narrow in widths)
    exact = logs.one(0)
    noisy = replace(exact.target, error=0.09 * exact.target.marginal)
    estimate = InversePropensity().estimate(replace(exact, target=noisy))
    weight = exact.target.marginal / exact.logging.marginal
    added = np.sqrt(((0.09 * weight * exact.reward).sum(axis=1) ** 2).sum()) / len(exact)
    plain = InversePropensity().estimate(exact).standard_error
    assert estimate.standard_error == pytest.approx(np.hypot(plain, added), rel=1e-9)
