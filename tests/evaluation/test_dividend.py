"""The learning dividend is a paired difference of two models; arms meet the same users; a killed run goes on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.business_rules import RepeatRules
from agents.registry import family_of, make_agent, target_of
from recsim_lab.evaluation import dividend
from recsim_lab.evaluation.dividend import Explorer, LoopPlan, exposure, published_dividend, run_loops, served_by
from recsim_lab.evaluation.plan import Factories
from recsim_lab.platform import Platform
from recsim_lab.policy import Observation, Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World

EASE = "ease:regularization=20"


def _tiny_world(name: str, seed: int) -> World:
    everyday = make_world(name, seed=seed, num_users=25, num_items=50, num_slots=5, new_items_a_day=1, days=10)
    return replace(everyday, session_steps=3)


def _with_rules(policy: Policy) -> RepeatRules:
    return RepeatRules(policy)


def _restricted(observation: Observation, num_slots: int) -> Observation:
    return RepeatRules(make_agent("random")).apply(observation, num_slots)


FACTORIES = Factories(_tiny_world, make_agent, family_of, target_of, _with_rules, _restricted)
PLAN = LoopPlan(
    worlds=("everyday",),
    seeds=(0, 1),
    explorers=(
        Explorer(f"{EASE},epsilon=0.3", 0.3),
        Explorer(f"{EASE},boltzmann=0.5"),
        Explorer(f"{EASE},epsilon=0.3,rarity_power=1"),
    ),
    greedy=EASE,
    log_days=2,
    loop_days=3,
    retrain_every=1,
    measure_days=2,
    probe_share=0.5,
)
Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loops")


@pytest.fixture(scope="module")
def tables(folder: Path) -> Tables:
    return run_loops(PLAN, FACTORIES, folder)


def _looped(agent: str, seed: int = 0) -> tuple[Platform, Platform]:
    """A platform after the log and its twin after the loop, by hand."""
    random = _with_rules(make_agent("random", seed))
    platform = Platform(_tiny_world("everyday", seed), random, seed=seed, history=PLAN.history)
    platform.run(PLAN.log_days)
    policy = make_agent(agent, seed)
    policy.learn(platform.log())
    twin = platform.fork(_with_rules(policy), dividend.Retraining(PLAN.retrain_every))
    twin.run(PLAN.log_days + PLAN.loop_days)
    return platform, twin


def test_the_published_dividend_is_what_lies_above_a_mixture() -> None:
    assert published_dividend(0.30, 0.28, 0.10, 0.25) == pytest.approx(0.30 - (0.75 * 0.28 + 0.25 * 0.10))
    mixture = 0.9 * 0.5 + 0.1 * 0.2
    assert published_dividend(mixture, 0.5, 0.2, 0.1) == pytest.approx(0)
    assert published_dividend(0.5, 0.5, 0.2, 0.0) == published_dividend(0.2, 0.5, 0.2, 1.0) == 0


def test_the_tables_are_what_a_loop_by_hand_gives(tables: Tables) -> None:
    arms, _, dividends = tables
    arms, dividends = (table[table["seed"] == 0].set_index("agent") for table in (arms, dividends))
    explorer = PLAN.explorers[0].agent
    own, greedy, uniform = (_looped(agent)[1] for agent in (explorer, EASE, "random"))

    def clicks(twin: Platform) -> float:
        log = twin.log()
        last = log.take(log.day >= PLAN.log_days + PLAN.loop_days - PLAN.measure_days)
        return last.clicks.sum() / len(last)

    earned = [clicks(twin) for twin in (own, greedy, uniform)]
    np.testing.assert_allclose(arms.loc[[explorer, EASE, "random"], "clicks_per_slate"], earned)
    row = dividends.loc[explorer]
    assert row["above_greedy"] == pytest.approx(earned[0] - earned[1])
    assert row["published"] == pytest.approx(earned[0] - (0.7 * earned[1] + 0.3 * earned[2]))

    models = {}
    for name, twin in (("own_model", own), ("greedy_model", greedy)):
        models[name] = make_agent(explorer)
        models[name].learn(twin.log())
        for among, users in (("", own), (dividend.AMONG_GREEDY, greedy)):
            earns = served_by(users, _with_rules(models[name]), PLAN.measure_days)
            assert row[name + among] == pytest.approx(earns)
    here, there = (row[f"own_model{a}"] - row[f"greedy_model{a}"] for a in ("", dividend.AMONG_GREEDY))
    assert row["learning_dividend"] == pytest.approx(here)
    assert row["learning_dividend_among_greedy_users"] == pytest.approx(there)
    assert row["crossed"] == pytest.approx((here + there) / 2)


def test_a_model_has_no_dividend_over_itself() -> None:
    """Where the greedy twin's model is the explorer's own, nothing is gained among any users, to the last bit."""
    spec = f"{EASE},epsilon=0.3"
    _, twin = _looped(spec)
    told = dividend.dividend_rewards(twin, twin, make_agent(spec), PLAN.measure_days, FACTORIES.rules)
    assert len(told) == 4 and len(set(told.values())) == 1 and told["own_model"] > 0


def test_what_the_model_does_not_fit_in_is_remarked(tables: Tables) -> None:
    dividends = tables[2].set_index(["agent", "seed"])
    assert len(dividends) == 6 and (dividends["own_model"] != dividends["greedy_model"]).any()
    known = dividends["learning_dividend"].notna()
    assert list(known.groupby("agent", sort=False).all()) == [True, True, False]
    assert (dividends.loc[known, "remark"] == "").all() and (dividends.loc[~known, "remark"] == dividend.NO_FIT).all()
    assert list(dividends["published"].notna().groupby("agent", sort=False).all()) == [True, False, False]


def test_each_day_of_each_arm_is_told(tables: Tables) -> None:
    arms, daily, _ = tables
    assert len(arms) == len(PLAN.arms) * 2 and len(daily) == len(arms) * PLAN.loop_days
    assert set(daily["day"]) == {2, 3, 4} and (arms["num_retrainings"] == 3).all()
    last = daily[daily["day"] >= 3]
    clicks = (last["clicks_per_slate"] * last["num_slates"]).groupby([last["agent"], last["seed"]]).sum()
    clicks /= last.groupby(["agent", "seed"])["num_slates"].sum()
    np.testing.assert_allclose(arms.set_index(["agent", "seed"])["clicks_per_slate"].sort_index(), clicks.sort_index())
    assert arms["regret"].between(0, PLAN.history).all() and np.isfinite(daily["regret"]).all()
    mean = arms.groupby("agent")[["coverage", "exposure_gini"]].mean()
    assert mean.loc[EASE, "coverage"] < mean.loc[PLAN.explorers[0].agent, "coverage"]
    assert mean.loc[EASE, "exposure_gini"] > mean.loc["random", "exposure_gini"]


def test_exposure_is_a_count() -> None:
    platform, _ = _looped("popularity")
    log = platform.log()
    told = exposure(log, 1, 2)
    on_offer = np.flatnonzero(log.features.release < 2 * 24 * 60)
    shown = log.slate[log.day == 1]
    counts = np.array([(shown == item).sum() for item in on_offer])
    assert len(on_offer) < log.features.num_items
    assert told["coverage"] == pytest.approx((counts > 0).mean())
    differences = np.abs(counts[:, None] - counts[None]).mean() / (2 * counts.mean())
    assert told["exposure_gini"] == pytest.approx(differences)


def test_a_killed_run_goes_on(tables: Tables, folder: Path) -> None:
    missing = [
        dividend.Unit("everyday", 1, PLAN.explorers[0].agent),
        dividend.Unit("everyday", 0, PLAN.arms[-1]),
    ]
    contents = [(folder / "units" / unit.file_name).read_text() for unit in missing]
    for unit in missing:
        (folder / "units" / unit.file_name).unlink()
    begun: list[dividend.Unit] = []
    again = run_loops(PLAN, FACTORIES, folder, progress=lambda unit, done, total: begun.append(unit))
    assert set(begun) == set(missing) and len(begun) == 2
    assert [json.loads((folder / "units" / unit.file_name).read_text()) for unit in missing] == [
        json.loads(content) for content in contents
    ]
    for before, after in zip(tables, again, strict=True):
        pd.testing.assert_frame_equal(before, after)
    with pytest.raises(ValueError, match=r"another plan \(different: loop_days\)"):
        run_loops(replace(PLAN, loop_days=4), FACTORIES, folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"worlds": ()}, "worlds must hold at least one, got none"),
        ({"explorers": ()}, "explorers must hold at least one, got none"),
        ({"seeds": (1, 1)}, "seeds must be distinct, got 1 more than once"),
        ({"explorers": (Explorer("random"),)}, "arms must be distinct, got 'random' more than once"),
        ({"log_days": 0}, "log_days must be at least 1, got 0"),
        ({"retrain_every": 4}, r"retrain_every must be in \[1, loop_days\], got 4 of 3"),
        ({"measure_days": 0}, r"measure_days must be in \[1, loop_days\], got 0 of 3"),
    ],
)
def test_bad_plans(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **change)


def test_bad_epsilons() -> None:
    with pytest.raises(ValueError, match=r"epsilon must be in \(0, 1\] or None, got 0"):
        Explorer("mf", 0.0)


def test_a_typo_costs_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"agent must be one of .*got 'easy'"):
        run_loops(replace(PLAN, greedy="easy"), FACTORIES, tmp_path)
    assert not list(tmp_path.iterdir())
