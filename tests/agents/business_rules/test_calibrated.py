"""Calibrated slates follow Steck's greedy objective, on numbers by hand and against a literal twin."""

from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines import Random
from agents.business_rules import Calibrated
from agents.business_rules.calibrated import sum_of_shares
from recsim_lab.streams import draws_of
from tests.agents.business_rules.made_by_hand import Ordered, observation_of


def distribution(items, topics, num_topics):
    """Topics of the items, those of one item in equal parts."""
    total = [0.0] * num_topics
    for item in items:
        for topic in topics[item]:
            total[topic] += 1 / len(topics[item])
    return total


def divergence(wanted, shown, smoothing):
    """KL(p || q~)."""
    mixed = [(1 - smoothing) * q + smoothing * p for p, q in zip(wanted, shown, strict=True)]
    return sum(p * log(p / q) for p, q in zip(wanted, mixed, strict=True) if p > 0)


def objective(order, chosen, clicked, topics, num_topics, weight, smoothing, num_slots):
    clicks = distribution(clicked, topics, num_topics)
    wanted = [p / sum(clicks) for p in clicks] if sum(clicks) else clicks
    shown = [q / len(chosen) for q in distribution([order[place] for place in chosen], topics, num_topics)]
    relevance = sum(1 - place / num_slots for place in chosen)
    return (1 - weight) * relevance - weight * divergence(wanted, shown, smoothing)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_slots=st.integers(1, 5),
    num_topics=st.integers(1, 4),
    weight=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
    smoothing=st.sampled_from([0.01, 0.3]),
    multi=st.booleans(),
)
def test_slates_maximise_the_objective_step_by_step(seed, num_slots, num_topics, weight, smoothing, multi):
    rng = np.random.default_rng(seed)
    num_items = 14
    column = rng.random((num_items, num_topics)) < 0.5 if multi else rng.integers(num_topics, size=num_items)
    topics = [np.flatnonzero(row).tolist() if multi else [int(row)] for row in column]
    clicked = rng.integers(-1, num_items, (3, 5)).astype(np.int32)
    observation = observation_of({"genre": column}, 3, clicked=clicked)
    candidates = rng.permuted(np.tile(np.arange(num_items), (3, 1)), axis=1)[:, :9]
    places, unmet = Calibrated(Random(), weight, smoothing=smoothing).choose(observation, candidates, num_slots)
    assert not unmet.any()
    for row, order in enumerate(candidates.tolist()):
        past = [item for item in clicked[row].tolist() if item >= 0]
        chosen: list[int] = []
        for place in places[row].tolist():
            worth = {
                other: objective(order, [*chosen, other], past, topics, num_topics, weight, smoothing, num_slots)
                for other in range(len(order))
                if other not in chosen
            }
            assert worth[place] >= max(worth.values()) - 1e-9
            chosen.append(place)


def test_divergence_by_hand():
    # Steck's smoothing keeps it finite where a topic is missing: log(1 / .005) / 2 + log(.5 / .995) / 2.
    assert divergence([0.5, 0.5], [0.0, 1.0], 0.01) == pytest.approx(0.5 * log(0.5 / 0.005) + 0.5 * log(0.5 / 0.995))
    assert divergence([0.5, 0.5], [0.0, 1.0], 0.01) == pytest.approx(1.9585166)
    assert divergence([0.7, 0.3], [0.7, 0.3], 0.01) == pytest.approx(0)
    assert divergence([1.0, 0.0], [0.5, 0.5], 0.01) == pytest.approx(-log(0.505)) == pytest.approx(0.6831968)


def test_shares_of_several_topics():
    values = np.array([[[0, -1, -1], [0, 1, 2], [-1, -1, -1], [1, 2, -1]]])
    assert sum_of_shares(values, 4)[0] == pytest.approx([1 + 1 / 3, 1 / 3 + 1 / 2, 1 / 3 + 1 / 2, 0])


def test_slates_have_the_shares_of_the_clicks():
    genre = np.repeat([0, 1, 2], 20)
    scorer = Ordered(-np.arange(60.0)[None])
    # Seven clicks of genre 0 and three of genre 1; the second user clicked on nothing.
    clicked = np.array([[0, 1, 2, 3, 4, 5, 6, 20, 21, 22], [-1] * 10], np.int32)
    observation = observation_of({"genre": genre}, 2, clicked=clicked)
    policy = Calibrated(scorer, 0.99, depth=6)
    slates = policy.recommend(observation, 10, draws_of(0, observation.user)).items
    assert np.bincount(genre[slates[0]], minlength=3).tolist() == [7, 3, 0]
    # Within a genre, the order inside.
    assert [item for item in slates[0].tolist() if item < 20] == list(range(7))
    assert slates[1].tolist() == list(range(10))
    # Without weight, the order inside.
    plain = Calibrated(scorer, 0).recommend(observation, 10, draws_of(0, observation.user))
    assert plain.items.tolist() == [list(range(10))] * 2


def test_clicks_of_no_known_topic_leave_the_order():
    tags = np.zeros((8, 3), bool)
    tags[4:, 0] = True
    observation = observation_of({"tags": tags}, 1, clicked=np.array([[0, 1]], np.int32))
    policy = Calibrated(Ordered(-np.arange(8.0)[None]), 0.9, "tags")
    assert policy.recommend(observation, 4, draws_of(0, observation.user)).items.tolist() == [[0, 1, 2, 3]]


def test_what_is_given_is_checked():
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"weight must be in \[0, 1\], got"):
            Calibrated(Random(), weight)
    for smoothing in (0, -0.5, 1.5):
        with pytest.raises(ValueError, match="smoothing must be above 0 and at most 1, got"):
            Calibrated(Random(), smoothing=smoothing)
    observation = observation_of({"genre": np.zeros(5, int), "price": np.ones(5)}, 1)
    for name in ("series", "price"):
        with pytest.raises(ValueError, match=rf"topic must be .*got '{name}'; there are: genre \(categorical\), price"):
            Calibrated(Random(), topic=name).recommend(observation, 2, draws_of(0, observation.user))
