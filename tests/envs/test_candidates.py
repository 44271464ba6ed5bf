"""Candidates: which are drawn, what is told of them, and what the answers mean."""

import itertools
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
from scipy import stats

from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.slate_vector_env import SlateVectorEnv
from recsim_lab.envs.wrappers import CandidateSets, wrap
from recsim_lab.envs.wrappers.candidates import draw_items
from recsim_lab.policy import NEVER, FeatureTable, Observation, Scorer
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws, draws_of

A = np.ndarray


def _requests(tick: A, release: A, blocked: A | None = None) -> Observation:
    table = FeatureTable((), (), {}, {}, release.astype(np.int64), np.full(len(release), NEVER))
    zeros, nothing = np.zeros(len(tick), np.int32), np.full((len(tick), 1), -1, np.int32)
    return Observation(
        user=zeros,
        session=zeros,
        step=zeros,
        tick=tick.astype(np.int64),
        device=zeros.astype(np.int8),
        clicked=nothing,
        clicked_tick=nothing,
        shown=nothing,
        features=table,
        blocked=np.zeros((len(tick), 0), np.int32) if blocked is None else blocked,
    )


# ---- which items are drawn ---------------------------------------------------------------------------------------


def _literal(eligible: list[int], luck: list[float]) -> list[int]:
    """The shuffle of Fisher and Yates, on a real list."""
    items = list(eligible)
    for step, chance in enumerate(luck):
        place = step + int(chance * (len(items) - step))
        items[step], items[place] = items[place], items[step]
    return items[: len(luck)]


@pytest.mark.parametrize("number", [1, 2, 7, 30])
def test_items_are_drawn_as_a_shuffled_list_begins(number: int) -> None:
    rng = np.random.default_rng(number)
    release = rng.integers(0, 3, 90)
    requests = _requests(rng.integers(0, 3, 50), release)
    draws = draws_of(7, np.arange(50))
    chosen = draw_items(requests, number, draws)
    lanes = draws.uniform(Purpose.CANDIDATES, 2 * number).astype(float)
    for row in range(50):
        coarse, fine = lanes[row, :number], lanes[row, number:]
        luck = [(int(c * 2**23) + f) / 2**23 for c, f in zip(coarse, fine, strict=True)]
        eligible = np.flatnonzero(release <= requests.tick[row]).tolist()
        assert chosen[row].tolist() == _literal(eligible, luck)
        assert len(set(chosen[row].tolist())) == number
        # Alone as in the batch.
        alone = draw_items(requests.take(np.array([row])), number, draws.take(np.array([row])))
        assert alone.tolist() == [chosen[row].tolist()]


def test_all_ordered_sets_are_equally_likely() -> None:
    num_rows = 60 * 400
    chosen = draw_items(_requests(np.zeros(num_rows), np.zeros(5)), 3, draws_of(1, np.arange(num_rows)))
    counts = np.unique(chosen, axis=0, return_counts=True)[1]
    assert len(counts) == 60
    # Chi-square with 59 degrees of freedom: falsely alarms once in 100,000.
    assert stats.chisquare(counts).pvalue > 1e-5


def test_blocked_items_are_not_drawn_and_too_few_are_an_error() -> None:
    blocked = np.array([[0, 1], [2, -1]], np.int32)
    chosen = draw_items(_requests(np.zeros(2), np.zeros(5), blocked), 3, draws_of(0, np.arange(2)))
    assert sorted(chosen[0].tolist()) == [2, 3, 4] and 2 not in chosen[1]
    with pytest.raises(ValueError, match="num_candidates must be at most the items on offer, got 4 of 3"):
        draw_items(_requests(np.zeros(2), np.zeros(5), blocked), 4, draws_of(0, np.arange(2)))


def test_candidates_differ_between_steps_and_users_and_not_between_policies(everyday: World) -> None:
    one, two = (wrap(SlateVectorEnv(8, everyday), CandidateSets, num_candidates=10) for _ in range(2))
    sets: list[A] = []
    for env in (one, two):
        env.action_space.seed(len(sets))
        env.reset(seed=4)
        sets.append(env.requests.choices)
    np.testing.assert_array_equal(*sets)
    assert len({tuple(row) for row in sets[0].tolist()}) == 8
    one.step(one.action_space.sample())
    two.step(two.action_space.sample())
    # Who is still in the first visit meets the same candidates, whatever was shown before.
    still = (one.requests.observation.session == 0) & (two.requests.observation.session == 0)
    assert still.sum() > 2
    np.testing.assert_array_equal(one.requests.choices[still], two.requests.choices[still])
    assert (one.requests.choices != sets[0]).mean() > 0.5


class Newest(Scorer):
    """The items of highest number."""

    @property
    def name(self) -> str:
        return "newest"

    def scores(self, observation: Observation, items: A | None = None) -> A:
        scores = np.tile(np.arange(observation.features.num_items, dtype=float), (len(observation), 1))
        return scores if items is None else np.take_along_axis(scores, items.astype(np.int64), axis=1)


class Random(Newest):
    """Scores that follow from the draws."""

    def recommend(self, observation: Observation, num_slots: int, draws: Draws) -> Any:
        items = np.argsort(draws.uniform(0, 60), axis=1)[:, :num_slots].astype(np.int32)
        return replace(super().recommend(observation, num_slots, draws), items=items)


def test_a_retriever_names_the_candidates(everyday: World) -> None:
    env = wrap(SlateEnv(everyday), CandidateSets, num_candidates=5, retriever=Newest())
    env.reset(seed=0)
    for _ in range(30):
        observation = env.requests.observation
        newest = np.flatnonzero(observation.eligible()[0])[::-1][:5]
        np.testing.assert_array_equal(env.requests.choices[0], newest)
        env.step(np.arange(4))
    batch = wrap(SlateVectorEnv(3, everyday), CandidateSets, num_candidates=5, retriever=Random())
    batch.reset(seed=0)
    first = batch.requests.choices
    env = wrap(SlateEnv(everyday), CandidateSets, num_candidates=5, retriever=Random())
    env.reset(seed=2)
    np.testing.assert_array_equal(env.requests.choices[0], first[2])
    assert (first[0] != first[1]).any()


# ---- what is told of them ----------------------------------------------------------------------------------------


def test_candidates_are_told_as_a_literal_twin_tells_them(everyday: World) -> None:
    env = wrap(SlateEnv(replace(everyday, choice=PositionBased())), CandidateSets, num_candidates=15)
    rng = np.random.default_rng(0)
    vector, _ = env.reset(seed=0)
    items = env.view.numbers.items
    width = items.shape[1] + 3
    num_clicked = num_shown = 0
    for _ in range(60):
        observation, choices = env.requests.observation, env.requests.choices[0]
        clicked, shown = observation.clicked[0].tolist(), observation.shown[0].tolist()
        liked = np.mean([items[i] for i in clicked if i >= 0] or [np.zeros(items.shape[1])], axis=0)
        expected = []
        for item in choices:
            expected += [*items[item], items[item] @ liked, item in clicked, item in shown]
            num_clicked, num_shown = num_clicked + (item in clicked), num_shown + (item in shown)
        np.testing.assert_allclose(vector[-15 * width :], expected, atol=1e-5)
        request = env.view.numbers.requests(observation, env.requests.fields)
        np.testing.assert_array_equal(vector[: -15 * width], request[0])
        assert env.observation_space.contains(vector)
        vector, *_ = env.step(rng.permutation(15)[:4])
    assert num_clicked > 20 and num_shown > 20


# ---- what the answers mean ---------------------------------------------------------------------------------------


def _shown(env: Any, action: Any) -> A:
    """The slate that an action shows, by the environment's own word."""
    env.step(action)
    return env.unwrapped.seats.recent["recent_slates"][:, -1]


def test_places_are_those_of_candidates(everyday: World) -> None:
    env = wrap(SlateVectorEnv(3, everyday, recent_slates=1), CandidateSets, num_candidates=9)
    assert env.single_action_space == gymnasium.spaces.MultiDiscrete([9] * 4)
    env.reset(seed=0)
    choices = env.requests.choices
    actions = np.array([[0, 1, 2, 3], [8, 7, 6, 5], [4, 0, 8, 2]])
    slates = _shown(env, actions)
    for row in range(3):
        assert slates[row].tolist() == [choices[row][place] for place in actions[row]]
    _, *_, info = env.step(np.array([[1, 1, 1, 2], [0, 1, 2, 3], [5, 4, 5, 3]]))
    assert info["num_void"].tolist() == [2, 0, 1]


def test_one_slot_is_one_number(everyday: World) -> None:
    env = wrap(SlateEnv(everyday, num_slots=1, recent_slates=1), CandidateSets, num_candidates=9)
    assert env.action_space == gymnasium.spaces.Discrete(9)
    env.reset(seed=0)
    choices = env.requests.choices[0]
    assert _shown(env, np.int64(7)).tolist() == [[choices[7]]]


@pytest.mark.parametrize("slates", ["ordered", "unordered"])
def test_every_slate_has_a_number(everyday: World, slates: str) -> None:
    env = wrap(SlateEnv(everyday, num_slots=2, recent_slates=1), CandidateSets, num_candidates=5, slates=slates)
    expected = {pair for pair in itertools.product(range(5), repeat=2) if pair[0] != pair[1]}
    if slates == "unordered":
        expected = {pair for pair in expected if pair[0] < pair[1]}
    assert env.action_space == gymnasium.spaces.Discrete(len(expected))
    found = set()
    for action in range(len(expected)):
        env.reset(seed=action)
        choices = env.requests.choices[0].tolist()
        found.add(tuple(choices.index(item) for item in _shown(env, action)[0]))
    assert found == expected


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"num_candidates": 3}, r"num_candidates must be in \[4, 70\], the slots and items there are, got 3"),
        ({"num_candidates": 71}, r"num_candidates must be in \[4, 70\], the slots and items there are, got 71"),
        ({"slates": "any"}, "slates must be slots, ordered or unordered, got 'any'"),
        (
            {"num_candidates": 12, "slates": "ordered"},
            "slates='ordered' must be at most 10000, got 11880 of 4 out of 12 candidates",
        ),
    ],
)
def test_wrong_parameters_are_errors(everyday: World, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrap(SlateEnv(everyday), CandidateSets, **parameters)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        ([0, 1, 2], r"actions must have shape \(1, 4\), got \(1, 3\)"),
        ([0.0, 1.0, 2.0, 3.0], "actions must be integers, got float64"),
        ([0, 1, 2, 9], r"actions must be in \[0, 9\), got 0 to 9"),
        ([0, 1, -1, 2], r"actions must be in \[0, 9\), got -1 to 2"),
    ],
)
def test_wrong_actions_are_errors_and_change_nothing(everyday: World, action: Any, message: str) -> None:
    env = wrap(SlateEnv(everyday), CandidateSets, num_candidates=9)
    env.reset(seed=0)
    before = env.requests
    with pytest.raises(ValueError, match=message):
        env.step(action)
    assert env.requests is before and env.unwrapped.seats.steps.tolist() == [0]


def test_enumerated_slates_end_where_they_end(everyday: World) -> None:
    env = wrap(SlateEnv(everyday, num_slots=2), CandidateSets, num_candidates=5, slates="unordered")
    env.reset(seed=0)
    with pytest.raises(ValueError, match=r"actions must be in \[0, 10\), got 10 to 10"):
        env.step(10)
