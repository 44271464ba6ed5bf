"""Estimators of a contextual bandit against literal twins of the definitions that Open Bandit Pipeline computes."""

import math

import numpy as np
import pytest

from recsim_lab.evaluation.off_policy import (
    CascadeDoublyRobust,
    Clip,
    Direct,
    DoublyRobust,
    Estimator,
    Grouped,
    InversePropensity,
    LoggedSlates,
    Replay,
    SelfNormalised,
    Shrink,
    Switch,
    logged_actions,
)

A = np.ndarray
NUM_ROWS, NUM_ACTIONS = 60, 5
GROUP = np.array([0, 0, 1, 1, 2])


class Bandit:
    """The inputs of the twins, as lists."""

    def __init__(self, deterministic: bool, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.logging = rng.dirichlet(np.ones(NUM_ACTIONS), NUM_ROWS)
        self.target = rng.dirichlet(np.ones(NUM_ACTIONS), NUM_ROWS)
        if deterministic:
            self.target = np.eye(NUM_ACTIONS)[self.target.argmax(axis=1)]
        self.predicted = rng.random((NUM_ROWS, NUM_ACTIONS))
        self.action = np.array([rng.choice(NUM_ACTIONS, p=row) for row in self.logging])
        self.reward = rng.normal(1, 1, NUM_ROWS)

    @property
    def logged(self) -> LoggedSlates:
        return logged_actions(self.action, self.reward, self.logging, self.target, self.predicted, GROUP)

    def rows(self):
        """Weight, reward, prediction of what was logged, expected prediction, weight of the group; row by row."""
        for row in range(NUM_ROWS):
            action = self.action[row]
            mates = [other for other in range(NUM_ACTIONS) if GROUP[other] == GROUP[action]]
            yield (
                self.target[row, action] / self.logging[row, action],
                self.reward[row],
                self.predicted[row, action],
                sum(self.target[row, a] * self.predicted[row, a] for a in range(NUM_ACTIONS)),
                sum(self.target[row, a] for a in mates) / sum(self.logging[row, a] for a in mates),
            )


def _mean(values) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


TWINS = {
    Direct(): lambda b: _mean(expected for _, _, _, expected, _ in b.rows()),
    InversePropensity(): lambda b: _mean(w * r for w, r, *_ in b.rows()),
    InversePropensity(change=Clip(1.5)): lambda b: _mean(min(w, 1.5) * r for w, r, *_ in b.rows()),
    SelfNormalised(): lambda b: _mean(w * r for w, r, *_ in b.rows()) / _mean(w for w, *_ in b.rows()),
    DoublyRobust(): lambda b: _mean(e + w * (r - q) for w, r, q, e, _ in b.rows()),
    DoublyRobust(change=Switch(1.5)): lambda b: _mean(e + (w <= 1.5) * w * (r - q) for w, r, q, e, _ in b.rows()),
    DoublyRobust(change=Shrink(2.0)): lambda b: _mean(e + 2 * w / (w**2 + 2) * (r - q) for w, r, q, e, _ in b.rows()),
    DoublyRobust(change=Shrink(0.0)): lambda b: _mean(e for _, _, _, e, _ in b.rows()),
    DoublyRobust(change=Shrink(np.inf)): lambda b: _mean(e + w * (r - q) for w, r, q, e, _ in b.rows()),
    InversePropensity(Grouped()): lambda b: _mean(w * r for _, r, _, _, w in b.rows()),
    CascadeDoublyRobust(): lambda b: _mean(e + w * (r - q) for w, r, q, e, _ in b.rows()),
}


@pytest.mark.parametrize("deterministic", [False, True], ids=["stochastic", "deterministic"])
@pytest.mark.parametrize("estimator", TWINS, ids=lambda estimator: estimator.name)
def test_values_equal_the_definitions(estimator: Estimator, deterministic: bool) -> None:
    bandit = Bandit(deterministic)
    assert estimator.estimate(bandit.logged).value == pytest.approx(TWINS[estimator](bandit), rel=0, abs=1e-9)


def test_replay_is_the_mean_reward_of_matches() -> None:
    bandit = Bandit(deterministic=True)
    matched = [
        reward
        for row, action, reward in zip(bandit.target, bandit.action, bandit.reward, strict=True)
        if row[action] == 1
    ]
    estimate = Replay().estimate(bandit.logged)
    assert estimate.value == pytest.approx(_mean(matched), abs=1e-9)
    assert estimate.effective_sample_size == len(matched) and estimate.largest_weight == 1


@pytest.mark.parametrize("estimator", [InversePropensity(), SelfNormalised(), DoublyRobust(), Replay()])
def test_errors_and_sizes_equal_their_formulas(estimator: Estimator) -> None:
    bandit = Bandit(deterministic=False)
    estimate = estimator.estimate(bandit.logged)
    value = estimate.value
    if isinstance(estimator, Replay):
        weights = [row[action] for row, action in zip(bandit.target, bandit.action, strict=True)]
        share = _mean(weights)
        terms = [w * (r - value) / share for w, r in zip(weights, bandit.reward, strict=True)]
    else:
        weights = [w for w, *_ in bandit.rows()]
        terms = {
            InversePropensity: [w * r - value for w, r, *_ in bandit.rows()],
            SelfNormalised: [w * (r - value) / _mean(weights) for w, r, *_ in bandit.rows()],
            DoublyRobust: [e + w * (r - q) - value for w, r, q, e, _ in bandit.rows()],
        }[type(estimator)]
    variance = math.fsum(t * t for t in terms) / (NUM_ROWS - 1) / NUM_ROWS
    assert estimate.standard_error == pytest.approx(math.sqrt(variance), rel=1e-9)
    assert estimate.largest_weight == pytest.approx(max(weights), rel=1e-12)
    assert estimate.effective_sample_size == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights), rel=1e-9)
    interval = estimate.interval()
    assert interval.high - value == pytest.approx(2.00099538 * math.sqrt(variance), rel=1e-6)  # t, 59 degrees


def test_rows_of_a_cluster_are_summed_before_they_are_spread() -> None:
    bandit = Bandit(deterministic=False)
    cluster = np.arange(NUM_ROWS) // 3 * 5  # 20 clusters, with numbers that nobody has in between
    logged = logged_actions(bandit.action, bandit.reward, bandit.logging, bandit.target, cluster=cluster)
    estimate = InversePropensity().estimate(logged)
    assert estimate.num_clusters == 20
    terms = [w * r - estimate.value for w, r, *_ in bandit.rows()]
    totals = [math.fsum(terms[start : start + 3]) for start in range(0, NUM_ROWS, 3)]
    expected = math.sqrt(20 / 19 * math.fsum(t * t for t in totals)) / NUM_ROWS
    assert estimate.standard_error == pytest.approx(expected, rel=1e-9)
    alone = logged_actions(bandit.action, bandit.reward, bandit.logging, bandit.target, cluster=np.arange(NUM_ROWS))
    without = logged_actions(bandit.action, bandit.reward, bandit.logging, bandit.target)
    assert InversePropensity().estimate(alone).standard_error == pytest.approx(
        InversePropensity().estimate(without).standard_error, rel=1e-12
    )


@pytest.mark.parametrize("change", [Switch(), Shrink()], ids=["switch", "shrink"])
def test_slope_takes_the_last_compatible_constant(change: Switch | Shrink) -> None:
    bandit = Bandit(deterministic=False, seed=3)
    estimate = DoublyRobust(change=change).estimate(bandit.logged)
    largest = max(w for w, *_ in bandit.rows())
    tried: list[tuple[float, float]] = []
    chosen = math.inf
    steps = np.geomspace(largest, 0.1, 9)[1:].tolist()
    for constant in (math.inf, *steps, 0.0):
        if isinstance(change, Switch):
            constant, weights = constant, [w if w <= constant else 0 for w, *_ in bandit.rows()]
        else:
            constant = constant**2
            weights = [w / (1 + w * w / constant) if constant else 0 for w, *_ in bandit.rows()]
        terms = [e + w * (r - q) for w, (_, r, q, e, _) in zip(weights, bandit.rows(), strict=True)]
        value, width = _mean(terms), 2 * float(np.std(terms, ddof=1)) / math.sqrt(NUM_ROWS)
        if any(abs(value - v) > wide + (math.sqrt(6) - 1) * width for v, wide in tried):
            break
        tried.append((value, width))
        chosen = constant
    assert len(tried) > 1
    assert estimate.constant == pytest.approx(chosen, rel=1e-12)
    assert estimate.value == pytest.approx(tried[-1][0], abs=1e-9)
    assert estimate.moved == pytest.approx(tried[-1][0] - tried[0][0], abs=1e-9)


def test_clipping_takes_the_constant_of_least_estimated_error() -> None:
    bandit = Bandit(deterministic=False, seed=1)
    estimate = InversePropensity(change=Clip()).estimate(bandit.logged)
    largest = max(w for w, *_ in bandit.rows())
    plain = _mean(w * r for w, r, *_ in bandit.rows())
    error: dict[float, float] = {}
    for constant in (math.inf, *np.geomspace(largest, 1, 10)[1:].tolist()):
        terms = [min(w, constant) * r for w, r, *_ in bandit.rows()]
        error[constant] = (_mean(terms) - plain) ** 2 + np.var(terms, ddof=1) / NUM_ROWS
    best = min(error, key=error.__getitem__)
    assert best < largest  # or nothing would be tested
    assert estimate.constant == pytest.approx(best, rel=1e-12)
    assert estimate.moved < 0


@pytest.mark.parametrize("change", [Clip, Switch, Shrink])
def test_wrong_constants_are_named(change: type[Clip] | type[Switch] | type[Shrink]) -> None:
    for wrong in (-1.0, float("nan")):
        with pytest.raises(ValueError, match="constant must be at least 0"):
            change(wrong)


def test_wrong_tables_are_named() -> None:
    bandit = Bandit(deterministic=False)
    with pytest.raises(ValueError, match="target must sum to 1"):
        logged_actions(bandit.action, bandit.reward, bandit.logging, bandit.target * 0.9)
