"""Degenerate feedback loops in small: twins of bandits and users, laws of policies, and checks that can fail."""

import math
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.choice import CHOICE
from recsim_lab.simulation.dynamics import ItemInterest
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.streams import draws_of
from recsim_lab.testing import check_policy, check_propensities, check_world
from scenarios.replications import degenerate_loops
from scenarios.replications.degenerate_loops import (
    EPSILONS,
    KEPT,
    LINEAR,
    ORACLE,
    RANDOM,
    ROOT,
    STILL,
    THOMPSON,
    UCB,
    WORLDS,
    Config,
    Outcome,
)
from scenarios.replications.interest_experiment import drift, interest_world, make_policy, release_days
from scenarios.replications.item_bandits import ClickRate, Tally, Thompson, UpperBound, beta

SEED, NUM_USERS, NUM_ITEMS, NUM_SLOTS, STEPS = 5, 4, 6, 2, 60
SIZES = "--steps 40 --users 3 --items 12 --slots 2"


@pytest.mark.parametrize("pool", ["still", "linear"])
@pytest.mark.parametrize("policy", ["oracle", "ucb1", "epsilon=0"])
def test_a_literal_twin_lives_the_same_lives(policy, pool):
    """User by user, step by step and slot by slot, in Python's own numbers."""
    world = interest_world(NUM_USERS, NUM_ITEMS, NUM_SLOTS, STEPS, pool, ItemInterest(largest_change=0.2))
    num_items = world.catalogue.num_items
    assert num_items == (NUM_ITEMS if pool == "still" else NUM_ITEMS + STEPS - 1)
    start = draws_of(SEED, np.arange(NUM_USERS), session=-1).uniform(Purpose.INTEREST_START, num_items)
    expected = []
    for user in range(NUM_USERS):
        first = [2 * float(value) - 1 for value in start[user]]
        interest, shown, clicked = list(first), [0] * num_items, [0] * num_items
        for t in range(1, STEPS + 1):
            pool_size = NUM_ITEMS if pool == "still" else NUM_ITEMS + t - 1

            def score(item, t=t, interest=interest, shown=shown, clicked=clicked):
                if policy == "oracle":
                    return interest[item]
                if shown[item] == 0:
                    return math.inf
                doubt = math.sqrt(2 * math.log(t) / shown[item]) if policy == "ucb1" else 0
                return clicked[item] / shown[item] + doubt

            slate = sorted(range(pool_size), key=lambda item: (-score(item), item))[:NUM_SLOTS]
            draws = draws_of(SEED, np.array([user]), session=t - 1)
            for slot, item in enumerate(slate):
                click = draws.uniform(CHOICE, NUM_SLOTS)[0, slot] < 1 / (1 + math.exp(-interest[item]))
                size = 0.2 * float(draws.uniform(Purpose.INTEREST_CHANGE, NUM_SLOTS)[0, slot])
                interest[item] += size if click else -size
                shown[item] += 1
                clicked[item] += int(click)
        expected.append(math.dist(interest, first))
    found = drift(world, policy, SEED, (STEPS // 2, STEPS))
    assert found.shape == (2, NUM_USERS)
    np.testing.assert_allclose(found[1], expected, rtol=1e-4)


def test_pools_grow_as_they_say():
    for pool, size in (
        ("still", lambda step: 30),
        ("linear", lambda step: 30 + step - 1),
        ("root", lambda step: max(30, math.ceil(10 * math.sqrt(step)))),
    ):
        days = release_days(pool, 30, 40)
        assert [int((days <= step - 1).sum()) for step in range(1, 41)] == [size(step) for step in range(1, 41)]
        assert len(days) == size(40)
    world = interest_world(3, 30, 5, 40, "linear")
    sessions = population_sessions(world, SEED)
    rows = np.arange(3)
    sessions.open(rows, sessions.first_visit(rows))
    assert sessions.observe(rows).eligible().sum(axis=1).tolist() == [30] * 3
    sessions.open(rows, sessions.close(rows))
    assert sessions.observe(rows).eligible().sum(axis=1).tolist() == [31] * 3
    assert (sessions.state["tick"] == TICKS_PER_DAY).all()


def test_the_worlds_keep_the_laws():
    check_world(interest_world(20, 12, 3, 10, "linear", ItemInterest(largest_change=0.5)), num_users=30)


@pytest.mark.parametrize(("a", "b"), [(1, 1), (1, 4), (3, 2), (60, 7), (3000, 40)])
def test_beta_draws_are_beta(a, b):
    draws = draws_of(8, np.arange(400))
    found = beta(draws, np.full((400, 50), float(a)), np.full((400, 50), float(b))).ravel()
    assert stats.kstest(found, stats.beta(a, b).cdf).pvalue > 1e-4


def test_beta_draws_are_independent_and_belong_to_their_row():
    draws = draws_of(8, np.arange(4000))
    shapes = np.tile([1.0, 1.5, 40.0], (4000, 1))
    found = beta(draws, shapes, shapes[:, ::-1])
    np.testing.assert_array_equal(found[70:90], beta(draws.take(np.arange(70, 90)), shapes[:20], shapes[:20, ::-1]))
    correlation = np.corrcoef(found.T)[np.triu_indices(3, 1)]
    assert (np.abs(correlation) < 4.5 / math.sqrt(4000)).all()


def tallied():
    """Some visits of three users, of which the bandits know."""
    world = interest_world(3, 8, 2, 6, "linear")
    sessions, tally = population_sessions(world, SEED), Tally(3, world.catalogue.num_items)
    rows, rng = np.arange(3), np.random.default_rng(2)
    tick = sessions.first_visit(rows)
    for _ in range(5):
        sessions.open(rows, tick)
        slate = np.stack([rng.permutation(8)[:2] for _ in rows]).astype(np.int32)
        tally.add(rows, slate, sessions.answer(rows, slate).clicks)
        tick = sessions.close(rows)
    sessions.open(rows, tick)
    return world, sessions, tally, rows


def test_bandits_keep_the_laws_of_policies():
    world, sessions, tally, rows = tallied()
    for name in ("oracle", "thompson", "ucb1", "epsilon=0.3", "random"):
        policy = Thompson(tally, redraws=100) if name == "thompson" else make_policy(name, world, sessions, tally)
        check_policy(policy, sessions.observe(rows), 2, sessions.draws(rows).fork("policy"))
    check_propensities(Thompson(tally), sessions.observe(rows[:1]), 2, num_draws=10_000)
    with pytest.raises(ValueError, match=r"policy must be one of oracle, .* got 'epsilon'"):
        make_policy("epsilon", world, sessions, tally)


def test_thompson_shows_an_item_as_often_as_its_rate_is_the_highest():
    """Of two items, by the integral of the one's posterior density times the other's distribution function."""
    world = interest_world(1, 2, 1, 5)
    sessions, tally = population_sessions(world, SEED), Tally(1, 2)
    tally.shown[:], tally.clicked[:] = [[9, 3]], [[5, 2]]
    sessions.open(np.zeros(1, np.int64), np.zeros(1, np.int64))
    requests = sessions.observe(np.zeros(20_000, np.int64))
    first = Thompson(tally).recommend(requests, 1, draws_of(6, np.arange(20_000))).items[:, 0]
    rate = np.linspace(0, 1, 100_001)
    expected = np.trapezoid(stats.beta(6, 5).pdf(rate) * stats.beta(3, 2).cdf(rate), rate)
    assert (first == 0).mean() == pytest.approx(expected, abs=4.5 * 0.5 / math.sqrt(20_000))


def test_scores_are_those_of_the_formulas():
    _, sessions, tally, rows = tallied()
    observation = sessions.observe(rows)
    assert tally.shown.sum() == 30 and (tally.clicked <= tally.shown).all() and tally.clicked.any()
    rate, bound = ClickRate(tally).scores(observation), UpperBound(tally).scores(observation)
    for user, item in np.ndindex(tally.shown.shape):
        n, clicks = int(tally.shown[user, item]), int(tally.clicked[user, item])
        if n == 0:
            assert rate[user, item] == bound[user, item] > 1e5
        else:
            assert rate[user, item] == pytest.approx(clicks / n)
            assert bound[user, item] == pytest.approx(clicks / n + math.sqrt(2 * math.log(6) / n))


def test_drift_stays_below_the_ceilings_and_in_order():
    config = Config(steps=200, users=25)
    worlds = {pool: interest_world(25, 100, 5, 200, pool) for pool in ("still", "linear")}
    means = {
        (pool, name): drift(world, name, SEED, (200,)).mean()
        for pool, world in worlds.items()
        for name in (ORACLE, THOMPSON, RANDOM)
    }
    assert config.oracle_ceiling > means[STILL, ORACLE] > means[STILL, THOMPSON] > means[STILL, RANDOM]
    assert means[STILL, RANDOM] < config.random_ceiling < config.oracle_ceiling
    assert means[LINEAR, THOMPSON] < means[STILL, THOMPSON]
    assert means[LINEAR, ORACLE] == pytest.approx(means[STILL, ORACLE], rel=0.05)


def test_ceilings_are_those_of_the_formulas():
    assert Config().oracle_ceiling == pytest.approx(55.9, abs=0.01)
    assert Config().random_ceiling == pytest.approx(12.5)


def reference_drifts(config):
    """What would be found if the reference were met, by users who hardly differ."""
    rng = np.random.default_rng(3)
    level = {
        **dict(zip(WORLDS[STILL][2], (53.7, 47.2, 36.0, 49.5, 47.0, 41.7, 25.9, 4.64), strict=True)),
        (LINEAR, ORACLE): 53.2,
        (LINEAR, THOMPSON): 1.36,
        (LINEAR, UCB): 1.04,
        (ROOT, ORACLE): 53.6,
        (ROOT, THOMPSON): 29.7,
        (ROOT, UCB): 2.06,
        (KEPT, ORACLE): 58.0,
    }
    through_time = np.arange(1, 21)[:, None] / 20
    return {
        (world, policy): level.get((world, policy), level[policy])
        * through_time
        * (1 + 0.001 * rng.standard_normal((20, config.users)))
        for world, (_, _, policies) in WORLDS.items()
        for policy in policies
    }


def verdicts(drifts, config):
    return {finding.quantity: finding.verdict for finding in Outcome(drifts, config).findings()}


def test_the_reference_passes():
    config = Config()
    found = Outcome(reference_drifts(config), config).findings()
    assert {finding.verdict for finding in found} == {"holds", ""}
    assert sum(finding.verdict == "holds" for finding in found) == 14
    for finding in found:
        assert np.isnan(finding.published) or finding.measured.estimate == pytest.approx(finding.published, rel=0.03)


@pytest.mark.parametrize(
    ("cell", "factor", "quantities"),
    [
        ((STILL, ORACLE), 0.93, ["oracle / its ceiling", "epsilon=0.2: removed of the oracle's"]),
        ((STILL, ORACLE), 1.1, ["oracle / its ceiling"]),
        ((STILL, THOMPSON), 1.2, ["oracle less thompson"]),
        ((STILL, UCB), 1.4, ["thompson less ucb1"]),
        ((STILL, UCB), 0.1, ["ucb1 less random", "ucb1: still / linear"]),
        ((STILL, RANDOM), 1.5, ["random / oracle"]),
        ((STILL, RANDOM), 6.0, ["random / its ceiling", "last fifth of the steps: epsilon=0.5 less random"]),
        ((STILL, EPSILONS[1]), 1.1, ["epsilon=0.05 less epsilon=0.1"]),
        ((STILL, EPSILONS[2]), 1.2, ["epsilon=0.1 less epsilon=0.2"]),
        ((STILL, EPSILONS[3]), 2.0, ["epsilon=0.2 less epsilon=0.5"]),
        ((LINEAR, THOMPSON), 2.0, ["thompson: still / linear"]),
        ((LINEAR, ORACLE), 0.9, ["oracle: linear / still"]),
    ],
)
def test_each_acceptance_can_fail(cell, factor, quantities):
    config = Config()
    drifts = reference_drifts(config)
    drifts[cell] = drifts[cell] * factor
    found = verdicts(drifts, config)
    for quantity in quantities:
        assert found[quantity] == "fails"


def test_a_short_run_is_asked_for_orders():
    config = Config(steps=1000)
    drifts = {key: own / 5 for key, own in reference_drifts(config).items()}
    assert set(verdicts(drifts, config).values()) == {"holds", ""}
    drifts[LINEAR, THOMPSON] *= 10
    assert verdicts(drifts, config)["thompson: still / linear"] == "holds"
    drifts[LINEAR, THOMPSON] *= 10
    assert verdicts(drifts, config)["thompson: still / linear"] == "fails"


def test_other_sizes_have_no_reference():
    assert Config().reference(STILL, THOMPSON, 5000) == 47.2
    assert Config().reference(ROOT, UCB, 5000) == 2.06
    assert np.isnan(Config().reference(LINEAR, THOMPSON, 1000)) and np.isnan(Config().reference(STILL, UCB, 4000))
    assert np.isnan(replace(Config(), items=90).reference(STILL, THOMPSON, 5000))


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"steps": 19}, "steps must be at least 20, got 19"),
        ({"users": 1}, "users must be at least 2"),
        ({"items": 5}, "items must be at least 6"),
    ],
)
def test_configs_that_make_no_sense_are_refused(values, text):
    with pytest.raises(ValueError, match=text):
        Config(**values)


def test_the_command_writes_what_it_found_and_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["degenerate_loops", *SIZES.split()])
    degenerate_loops.main()
    folder = tmp_path / "runs" / "replications.degenerate_loops" / "demo"
    table = pd.read_csv(folder / "drift.csv")
    assert len(table) == 20 * 17 and table["drift"].gt(0).all() and table["reference"].isna().all()
    still = table[(table["world"] == STILL) & (table["step"] == 40)].set_index("policy")["drift"]
    assert still.idxmax() == ORACLE
    findings = pd.read_csv(folder / "findings.csv")
    assert findings["gate"].sum() == 1 and findings["measured"].notna().all()

    units = sorted(folder.glob("units/*/*.json"))
    assert len(units) == 17
    units[0].unlink()
    made = []
    real = degenerate_loops.drift

    def recorded(world, policy, *others):
        made.append(policy)
        return real(world, policy, *others)

    monkeypatch.setattr(degenerate_loops, "drift", recorded)
    degenerate_loops.main()
    assert made == [units[0].stem]
    assert pd.read_csv(folder / "drift.csv").equals(table)
    assert "verdict" in capsys.readouterr().out
