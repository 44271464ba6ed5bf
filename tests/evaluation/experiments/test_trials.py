"""Trials meet the same users as their twins, and the errors of tests add up to what they say."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.business_rules import RepeatRules
from agents.mixing import ByUser, TeamDraft, credit
from agents.registry import family_of, make_agent, target_of
from recsim_lab.evaluation.experiments import trials as module
from recsim_lab.evaluation.experiments.findings import (
    METRICS,
    Outcomes,
    effect,
    effects_table,
    looks_table,
    power_tables,
    preferences_table,
    true_effect,
)
from recsim_lab.evaluation.experiments.trials import Designs, Trial, TrialPlan, TrialUnit, arms_of, run_trials, trials
from recsim_lab.evaluation.plan import Factories
from recsim_lab.platform import Platform
from recsim_lab.policy import TICKS_PER_DAY, Agent, Observation, Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World

EASE, POP = "ease:regularization=20", "popularity"
NUM_USERS = 40


def _tiny_world(name: str, seed: int) -> World:
    everyday = make_world(name, seed=seed, num_users=NUM_USERS, num_items=50, num_slots=5, new_items_a_day=1, days=12)
    return replace(everyday, session_steps=3)


def _with_rules(policy: Policy) -> RepeatRules:
    return RepeatRules(policy)


def _restricted(observation: Observation, num_slots: int) -> Observation:
    return RepeatRules(make_agent("random")).apply(observation, num_slots)


def _by_user(agents: tuple[Agent, Agent], salt: str, diverted_from: int | None) -> ByUser:
    return ByUser(agents, salt, (0.5, 0.5), diverted_from)


def _margin(log, policy: str, other: str):
    return credit(log, (policy, other)).difference(policy, other)


FACTORIES = Factories(_tiny_world, make_agent, family_of, target_of, _with_rules, _restricted)
DESIGNS = Designs(_by_user, TeamDraft, _margin)
PLAN = TrialPlan(("everyday",), (0, 1), ((POP, EASE),), log_days=2, days=4, retrain_every=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trials")


@pytest.fixture(scope="module")
def results(folder):
    return run_trials(PLAN, FACTORIES, DESIGNS, folder)


def unit(agents: tuple[str, ...], design: str, learning: str) -> TrialUnit:
    return TrialUnit("everyday", 0, Trial(agents, design, learning))


def test_results_are_those_of_platforms_made_by_hand(results):
    random = _with_rules(make_agent("random", 0))
    platform = Platform(_tiny_world("everyday", 0), random, seed=0, history=PLAN.history)
    log = platform.run(PLAN.log_days)
    before = np.array(results[TrialUnit("everyday", 0, None)]["slates"])
    assert np.array_equal(before.sum(axis=0), np.bincount(log.user, minlength=NUM_USERS)) and len(before) == 2
    for design, learning in (("alone", "frozen"), ("a/b", "diverted"), ("interleaved", "pooled")):
        agents = [make_agent(spec, 0) for spec in ((EASE,) if design == "alone" else (POP, EASE))]
        for agent in agents:
            agent.learn(log)
        policy = agents[0]
        if design == "a/b":
            policy = ByUser(tuple(agents), f"{POP} against {EASE}, seed 0", None, PLAN.log_days * TICKS_PER_DAY)
        elif design == "interleaved":
            policy = TeamDraft(tuple(agents))
        twin = platform.fork(_with_rules(policy), None if learning == "frozen" else module.Retraining(1))
        served = twin.run(PLAN.log_days + PLAN.days)
        told = results[unit((EASE,) if design == "alone" else (POP, EASE), design, learning)]
        clicks = np.zeros((PLAN.days, NUM_USERS), int)
        np.add.at(clicks, (served.day - PLAN.log_days, served.user), served.clicks.sum(axis=1))
        assert np.array_equal(told["clicks"], clicks) and clicks.sum() > 0
        if design == "interleaved":
            mine = _margin(served, EASE, POP)
            assert sum(told["margin"]) == mine.sum() and np.abs(mine).sum() > 0
            assert len(told["user"]) == (served.step == 0).sum()


def test_agents_forget_what_lies_before_their_window(results, tmp_path):
    plan = replace(PLAN, seeds=(0,), window_days=2)
    both = [unit((EASE,), "alone", "pooled"), unit((POP, EASE), "a/b", "diverted")]
    for one in both:
        module.run_unit(one, plan, FACTORIES, DESIGNS, tmp_path)
    told = [json.loads((tmp_path / "units" / one.file_name).read_text())["clicks"] for one in both]
    assert all(clicks != results[one]["clicks"] for clicks, one in zip(told, both, strict=True))
    platform = Platform(_tiny_world("everyday", 0), _with_rules(make_agent("random", 0)), seed=0, history=PLAN.history)
    agent = make_agent(EASE, 0)
    agent.learn(platform.run(PLAN.log_days))
    served = platform.fork(_with_rules(agent), module.Retraining(1, 2)).run(PLAN.log_days + PLAN.days)
    clicks = np.zeros((PLAN.days, NUM_USERS), int)
    np.add.at(clicks, (served.day - PLAN.log_days, served.user), served.clicks.sum(axis=1))
    assert np.array_equal(told[0], clicks)


def test_frozen_tests_err_by_sampling_alone_and_parts_add_up(results):
    effects = effects_table(results, PLAN)
    assert len(effects) == 2 * 3 * 2 and set(effects["days"]) == {PLAN.days}
    np.testing.assert_allclose(effects["estimate"], effects["truth"] + effects["sampling"] + effects["interference"])
    frozen = effects["learning"] == "frozen"
    assert (effects.loc[frozen, "interference"] == 0).all() and (effects.loc[~frozen, "interference"] != 0).any()
    # One division of users, and the same truth, whoever learns from what.
    for name in ("truth", "sampling"):
        pooled, diverted = (effects.loc[effects["learning"] == x, name].to_numpy() for x in ("pooled", "diverted"))
        assert np.array_equal(pooled, diverted)


def test_the_truth_is_the_difference_of_twins(results):
    row = effects_table(results, PLAN).iloc[0]
    control, challenger = (np.array(results[unit((spec,), "alone", "frozen")]["clicks"]) for spec in (POP, EASE))
    assert row["metric"] == "clicks_per_user"
    assert row["truth"] == pytest.approx((challenger.sum() - control.sum()) / NUM_USERS)
    arm = arms_of((POP, EASE), 0, NUM_USERS)
    test = challenger.sum(axis=0)[arm == 1].mean() - control.sum(axis=0)[arm == 0].mean()
    assert row["estimate"] == pytest.approx(test)


def test_sampling_is_zero_on_average_and_intervals_hold_the_truth():
    """Over many divisions of the same users."""
    generator = np.random.default_rng(0)
    slates = generator.poisson(6, (3, 300)).astype(float)
    control = Outcomes(generator.binomial(slates.astype(int), 0.2).astype(float), slates)
    challenger = Outcomes(generator.binomial(slates.astype(int), 0.25).astype(float), slates)
    for metric in METRICS:
        truth = true_effect(control, challenger, metric)
        told = []
        for number in range(600):
            arm = arms_of(("a", "b"), number, 300)
            told.append(effect(control.of_arms(challenger, arm), arm, metric))
        errors = np.array([one.difference.estimate for one in told]) - truth.estimate
        assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(600)
        covers = np.mean([one.difference.contains(truth.estimate) for one in told])
        # Users who are all known vary less than users drawn anew: at least 95%.
        assert covers > 0.95 - 4 * np.sqrt(0.05 * 0.95 / 600)


def test_preferences_looks_and_powers_are_told_of_each_seed(results):
    preferences = preferences_table(results, PLAN)
    assert len(preferences) == 2 * 2 * 2
    assert (preferences[["wins", "losses", "ties"]].sum(axis=1) >= preferences["num_users"]).all()
    looks = looks_table(results, PLAN)
    assert looks["day"].tolist() == 2 * [2, 3, 4, 5]
    assert (looks["low"] < looks["fixed_low"]).all() and (looks["high"] > looks["fixed_high"]).all()
    curves, needed = power_tables(results, PLAN, (20, 2000), num_draws=40)
    assert len(curves) == 2 * 5 * 2 and len(needed) == 2 * 5
    assert set(needed["protocol"]) == {
        "a/b clicks_per_user",
        "a/b clicks_per_user, CUPED",
        "a/b clicks_per_slate",
        "a/b clicks_per_slate, CUPED",
        "interleaving",
    }
    finite = needed[np.isfinite(needed["users"])]
    assert ((finite["low"] <= finite["users"]) & (finite["users"] <= finite["high"])).all()


def test_a_run_goes_on_where_it_stopped(results, folder, monkeypatch):
    lost = unit((POP, EASE), "a/b", "pooled")
    file = folder / "units" / lost.file_name
    kept = json.loads(file.read_text())
    file.unlink()
    done = []
    again = run_trials(PLAN, FACTORIES, DESIGNS, folder, progress=lambda one, *_: done.append(one))
    assert done == [lost] and again[lost] == kept and again == results
    with pytest.raises(ValueError, match="study of another plan"):
        run_trials(replace(PLAN, days=5), FACTORIES, DESIGNS, folder)


def test_every_trial_has_a_file_of_its_own():
    plan = replace(PLAN, pairs=((POP, EASE), (EASE, "random"), (EASE, POP)))
    names = [TrialUnit("w", 0, trial).file_name for trial in trials(plan)]
    assert len(set(names)) == len(names) == 3 * 2 + 3 * 4


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pairs": ()}, "pairs must hold at least one, got none"),
        ({"pairs": ((POP, POP),)}, "pairs must be of two agents, got 'popularity' against itself"),
        ({"seeds": (1, 1)}, "seeds must be distinct, got 1 more than once"),
        ({"log_days": 0}, "log_days must be at least 1, got 0"),
        ({"retrain_every": 4}, "retrain_every must be at least 1 and less than days, got 4 of 4"),
        ({"window_days": 0}, "window_days must be at least 1 or None, got 0"),
    ],
)
def test_bad_plans_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        replace(PLAN, **fields)
