"""Learners are taught as the plan says, judged by users they never met, and a killed run goes on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.registry import family_of, make_agent, target_of
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.evaluation.learning import (
    TEST_LUCK,
    Learner,
    LearningPlan,
    compared,
    logged,
    of_strangers,
    run_learning,
)
from recsim_lab.evaluation.lives import divided, live
from recsim_lab.evaluation.plan import Factories
from recsim_lab.evaluation.statistics import mean_interval
from recsim_lab.policy import Agent
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World
from scenarios.teaching import curves_of, teach
from tests.killed import interrupted_at


def _world(name: str, seed: int) -> World:
    return make_world(name, seed=seed, num_users=40, num_items=30)


def _as_it_is(*given: Any) -> Any:
    return given[0]


FACTORIES = Factories(_world, make_agent, family_of, target_of, _as_it_is, _as_it_is)
QUICK = "newest=4,dim=4,ids=false"
PLAN = LearningPlan(
    "lts-dilemma",
    (Learner(f"reinforce:{QUICK},horizon=5"), Learner(f"slate-q:{QUICK},batch_size=32", 0.5)),
    ("oracle", "random"),
    seeds=(0, 1),
    num_seats=4,
    num_steps=(10, 20),
    max_steps=30,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("learning")


@pytest.fixture(scope="module")
def lives(folder: Path) -> pd.DataFrame:
    return run_learning(PLAN, FACTORIES, teach, folder)


def test_each_policy_is_judged_in_each_seed(lives: pd.DataFrame) -> None:
    assert len(lives) == 2 * (2 + 2 * 2)
    counts = lives.groupby(["policy", "num_steps"])["seed"].nunique()
    assert (counts == 2).all() and len(counts) == 2 + 4
    assert (lives["num_slates"] == 30).all()


def test_references_serve_the_users_whom_nobody_learned_from(lives: pd.DataFrame) -> None:
    _, others = divided(_world("lts-dilemma", 1), 0.5, 1)
    told = live(others, lambda sessions: make_agent("random", 1), TEST_LUCK + 1, 30)
    row = lives[(lives["policy"] == "random") & (lives["seed"] == 1)].iloc[0]
    assert (row["reward"], row["first"]) == (told.reward.mean(), told.first.mean())


def test_a_kept_policy_serves_as_it_was_judged(lives: pd.DataFrame, folder: Path) -> None:
    learner = PLAN.learners[0]
    files = list(folder.glob("units/seed=0/*/20/policy.safetensors"))
    agent = make_agent(learner.agent, 0)
    agent.load(next(file for file in files if "reinforce" in str(file)))
    _, others = divided(_world("lts-dilemma", 0), 0.5, 0)
    told = live(others, lambda sessions: agent, TEST_LUCK, 30)
    row = lives.query("policy == @learner.label and num_steps == 20 and seed == 0").iloc[0]
    assert row["reward"] == told.reward.mean()


def test_learners_get_what_the_plan_says(folder: Path, tmp_path: Path) -> None:
    taught: list[tuple[str, int, int]] = []

    def count(agent: Agent, env: SlateVectorEnv, num_steps: int, _: Path) -> None:
        taught.append((agent.name.partition(":")[0], num_steps, env.num_envs))

    ways = (Learner("random", 0.0), Learner("popularity", 0.5), Learner("ease", 1.0))
    run_learning(replace(PLAN, learners=ways, references=(), seeds=(0,)), FACTORIES, count, tmp_path)
    assert taught == [("random", 10, 4), ("popularity", 5, 4), ("random", 20, 4), ("popularity", 10, 4)]


def test_a_log_has_as_many_slates_as_asked_for() -> None:
    world = _world("lts-dilemma", 0)
    log = logged(world, make_agent("random"), 77, seed=0)
    assert len(log) == 77
    with pytest.raises(ValueError, match="of 2401 slates all 40 users saw 2400; a world with more users"):
        logged(world, make_agent("random"), 2401, seed=0)


def test_gains_are_paired_over_seeds(lives: pd.DataFrame) -> None:
    judged = PLAN.learners[0].label
    gains = compared(lives, judged, 20).set_index("policy")
    own, other = (lives.query("policy == @name and num_steps in (0, 20)")["reward"] for name in (judged, "random"))
    interval = mean_interval(own.to_numpy() - other.to_numpy())
    row = gains.loc["random"]
    assert (row["reward_gain"], row["reward_low"], row["reward_high"]) == (
        interval.estimate, interval.low, interval.high
    )  # fmt: skip
    assert gains.loc[judged, "reward_gain"] == 0 and len(gains) == 4


def test_curves_are_of_all_that_acted(lives: pd.DataFrame, folder: Path) -> None:
    curves = curves_of(PLAN, folder)
    assert set(curves["policy"]) == {learner.label for learner in PLAN.learners}
    assert set(curves["seed"]) == {0, 1}
    assert curves.loc[curves["policy"] == PLAN.learners[0].label, "step"].tolist() == [5, 10, 15, 20] * 2


@pytest.mark.parametrize("num_moves", [2, 7, 11])
def test_a_run_that_stops_anywhere_ends_the_same(lives: pd.DataFrame, tmp_path: Path, num_moves: int) -> None:
    plan = replace(PLAN, seeds=(0,))
    with interrupted_at(num_moves), pytest.raises(KeyboardInterrupt):
        run_learning(plan, FACTORIES, teach, tmp_path)
    again = run_learning(plan, FACTORIES, teach, tmp_path)
    expected = lives[lives["seed"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(again, expected)


def test_what_learns_from_logs_alone_is_told_apart(tmp_path: Path) -> None:
    plan = replace(PLAN, learners=(Learner("ease"),), seeds=(0,))
    with pytest.raises(ValueError, match=r"agent must be one that learns by acting.*got 'ease'"):
        run_learning(plan, FACTORIES, teach, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"learners": ()}, "learners must hold at least one, got none"),
        ({"seeds": ()}, "seeds must hold at least one, got none"),
        ({"num_steps": (0,)}, "num_steps must be at least 1, got 0"),
        ({"num_seats": 0}, "num_seats must be at least 1, got 0"),
        ({"references": ("random", "random")}, "distinct, got 'random' more than once"),
        ({"references": ("popularity",)}, "references must need no learning, as .*, got 'popularity'"),
    ],
)
def test_a_wrong_plan_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(PLAN, **changes)
    with pytest.raises(ValueError, match=r"from_log must be in \[0, 1\], got 1.5"):
        Learner("ease", 1.5)


def test_labels_say_how_an_agent_learned() -> None:
    labels = [Learner("ease", share).label for share in (0.0, 0.25, 1.0)]
    assert labels == ["ease", "ease, 25% from the log", "ease from the log"]
    assert np.unique(labels).size == 3


def test_nobody_is_taken_for_somebody_of_the_log() -> None:
    learned_from, served = divided(make_world("everyday", num_users=60, num_items=50, new_items_a_day=0), 0.5, 0)
    log = logged(learned_from, make_agent("random"), 300, 0)
    strangers = of_strangers(log, served.features, 30)
    assert (strangers.user == log.user + 30).all()
    for name, column in log.features.users.items():
        assert (strangers.features.users[name][strangers.user] == column[log.user]).all()
        assert (strangers.features.users[name][:30] == served.features.users[name]).all()
    # Who is asked for by number has no past in the log: all are alike but for what they do from now on.
    agent = make_agent("ease")
    agent.learn(strangers)
    scores = []

    def serving(sessions: Any) -> Agent:
        sessions.open(np.arange(30), np.zeros(30, np.int64))
        scores.append(agent.scores(sessions.observe(np.arange(30))))
        return agent

    live(served, serving, 0, 2)
    assert (scores[0] == scores[0][0]).all()
