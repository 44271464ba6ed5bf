"""Caps are kept where the candidates allow it, and given up in order where they do not."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines import Random
from agents.business_rules import Caps
from recsim_lab.streams import draws_of
from tests.agents.business_rules.made_by_hand import Ordered, observation_of

A = np.ndarray


def twin(order, num_slots, topics, per_topic, creators, per_creator):
    """One slate, candidate by candidate; topics and creators are sets."""

    def fits(item, slate, values, cap):
        return cap is None or all(sum(value in values[other] for other in slate) < cap for value in values[item])

    slate, unmet = [], False
    for _ in range(num_slots):
        left = [item for item in order if item not in slate]
        both = [i for i in left if fits(i, slate, topics, per_topic) and fits(i, slate, creators, per_creator)]
        topic = [i for i in left if fits(i, slate, topics, per_topic)]
        creator = [i for i in left if fits(i, slate, creators, per_creator)]
        unmet |= not both
        slate.append((both or topic or creator or left)[0])
    return slate, unmet


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_slots=st.integers(1, 5),
    num_topics=st.integers(1, 5),
    per_topic=st.sampled_from([None, 1, 2, 3]),
    per_creator=st.sampled_from([None, 1, 2]),
    multi=st.booleans(),
)
def test_slates_are_those_of_the_twin(seed, num_slots, num_topics, per_topic, per_creator, multi):
    if per_topic is None and per_creator is None:
        per_creator = 1
    rng = np.random.default_rng(seed)
    num_rows, num_items = 3, 12
    topic = rng.random((num_items, num_topics)) < 0.4 if multi else rng.integers(num_topics, size=num_items)
    creator = rng.integers(4, size=num_items)
    observation = observation_of({"topic": topic, "creator": creator}, num_rows)
    order = rng.permuted(np.tile(np.arange(num_items), (num_rows, 1)), axis=1)[:, :10]
    policy = Caps(Random(), per_topic, per_creator, topic="topic")
    places, unmet = policy.choose(observation, order, num_slots)
    slates = np.take_along_axis(order, places, axis=1).tolist()
    topics = [set(np.flatnonzero(row)) if multi else {int(row)} for row in topic]
    creators = [{int(value)} for value in creator]
    for row in range(num_rows):
        expected = twin(order[row].tolist(), num_slots, topics, per_topic, creators, per_creator)
        assert (slates[row], bool(unmet[row])) == expected


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_slots=st.integers(1, 6),
    num_topics=st.integers(1, 6),
    cap=st.integers(1, 4),
    capped=st.sampled_from(["topic", "creator"]),
)
def test_a_single_cap_is_kept_whenever_it_can_be(seed, num_slots, num_topics, cap, capped):
    rng = np.random.default_rng(seed)
    values = rng.integers(num_topics, size=20)
    observation = observation_of({capped: values}, 8)
    candidates = rng.permuted(np.tile(np.arange(20), (8, 1)), axis=1)[:, : num_slots + 4]
    caps = {"per_topic": None, "per_creator": None} | {f"per_{capped}": cap}
    places, unmet = Caps(Random(), **caps, topic="topic").choose(observation, candidates, num_slots)
    offered = values[candidates]
    shown = np.take_along_axis(offered, places, axis=1)
    for row in range(8):
        num_offered = np.bincount(offered[row], minlength=num_topics)
        possible = np.minimum(num_offered, cap).sum() >= num_slots
        kept = np.bincount(shown[row]).max() <= cap
        assert kept == possible == (not unmet[row])
        assert len(set(places[row].tolist())) == num_slots


def test_best_effort_and_its_count():
    # All of one creator; two of topic 0, two of topic 1, in order of score.
    observation = observation_of({"genre": np.array([0, 0, 1, 1]), "creator": np.zeros(4, int)}, 1)
    policy = Caps(Ordered(-np.arange(4.0)[None]), 1, 1)
    draws = draws_of(0, observation.user)
    assert policy.recommend(observation, 1, draws).items.tolist() == [[0]]
    assert policy.num_unmet == 0
    # The creator's cap gives way first: the topic's is still kept.
    assert policy.recommend(observation, 2, draws).items.tolist() == [[0, 2]]
    assert policy.num_unmet == 1
    assert policy.recommend(observation, 3, draws).items.tolist() == [[0, 2, 1]]
    assert policy.num_unmet == 2


def test_items_without_values_are_never_full():
    tags = np.array([[True, False], [True, False], [False, False], [False, False]])
    observation = observation_of({"tags": tags}, 1)
    policy = Caps(Ordered(-np.arange(4.0)[None]), 1, None, topic="tags")
    assert policy.recommend(observation, 3, draws_of(0, observation.user)).items.tolist() == [[0, 2, 3]]
    assert policy.num_unmet == 0


@pytest.mark.parametrize("name", ["per_topic", "per_creator"])
def test_caps_are_checked(name):
    for cap in (0, -2):
        with pytest.raises(ValueError, match=f"{name} must be at least 1 or None, got {cap}"):
            Caps(Random(), **{name: cap})
    with pytest.raises(ValueError, match="per_topic or per_creator must be given, got None for both"):
        Caps(Random(), None, None)


def test_fields_are_checked(log):
    observation = log.observations(np.arange(3))
    draws = draws_of(0, observation.user)
    with pytest.raises(
        ValueError, match=r"creator must be a categorical or multi field.*got 'creator'; there are: none"
    ):
        Caps(Random()).recommend(observation, 2, draws)
    fielded = observation_of({"genre": np.arange(5), "stars": np.ones(5)}, 2)
    for topic in ("series", "stars"):
        with pytest.raises(ValueError, match=rf"topic must .*'{topic}'; there are: genre \(categorical\), stars \(num"):
            Caps(Random(), 1, None, topic=topic).recommend(fielded, 2, draws_of(0, fielded.user))
