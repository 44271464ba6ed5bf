"""MMR and the greedy DPP choose what a literal search over sets chooses."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.baselines import Random
from agents.business_rules import GreedyDPP, MaximalMarginalRelevance
from agents.business_rules.similarity import Similarity
from recsim_lab.streams import draws_of
from tests.agents.business_rules.made_by_hand import Ordered, observation_of

CLOSE = 1e-9
"""By how much a chosen candidate may be worth less than the best, by rounding alone."""


def columns_of(rng, num_items):
    return {"genre": rng.integers(3, size=num_items), "tags": rng.random((num_items, 4)) < 0.4}


def cosine(columns, first, second):
    """Of the joined vectors, written out."""
    vectors = []
    for item in (first, second):
        parts = []
        for values in columns.values():
            parts += list(values[item]) if values.ndim == 2 else [values[item] == code for code in range(3)]
        vectors.append(np.array(parts, float))
    product = np.linalg.norm(vectors[0]) * np.linalg.norm(vectors[1])
    return float(vectors[0] @ vectors[1] / product) if product else 0.0


def check_greedy(columns, order, chosen, value):
    """Each choice, by place, is among those worth most together with what was chosen before, and of items with the
    same fields it is the best placed."""
    fields = [tuple(np.concatenate([np.atleast_1d(values[item]) for values in columns.values()])) for item in order]
    for slot, place in enumerate(chosen):
        slate = chosen[:slot]
        worth = {other: value([*slate, other]) for other in range(len(order)) if other not in slate}
        assert worth[place] >= max(worth.values()) - CLOSE
        assert not any(other < place and fields[other] == fields[place] for other in worth)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_slots=st.integers(1, 5),
    weight=st.sampled_from([0.0, 0.1, 0.35, 0.8, 1.0]),
)
def test_mmr_is_its_formula(seed, num_slots, weight):
    rng = np.random.default_rng(seed)
    columns = columns_of(rng, 14)
    observation = observation_of(columns, 3)
    candidates = rng.permuted(np.tile(np.arange(14), (3, 1)), axis=1)[:, :9]
    policy = MaximalMarginalRelevance(Random(), weight, ("genre", "tags"))
    places, unmet = policy.choose(observation, candidates, num_slots)
    assert not unmet.any()
    for row, order in enumerate(candidates.tolist()):

        def value(chosen, order=order):
            *before, last = chosen
            alike = max((cosine(columns, order[last], order[other]) for other in before), default=0.0)
            return (1 - weight) * (1 - last / num_slots) - weight * alike

        check_greedy(columns, order, places[row].tolist(), value)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    num_slots=st.integers(1, 5),
    weight=st.sampled_from([0.0, 0.1, 0.35, 0.8, 1.0]),
    distinctness=st.sampled_from([0.02, 0.1, 0.6, 1.0]),
)
def test_dpp_maximises_the_determinant(seed, num_slots, weight, distinctness):
    rng = np.random.default_rng(seed)
    columns = columns_of(rng, 14)
    observation = observation_of(columns, 3)
    candidates = rng.permuted(np.tile(np.arange(14), (3, 1)), axis=1)[:, :9]
    policy = GreedyDPP(Random(), weight, ("genre", "tags"), distinctness)
    places, unmet = policy.choose(observation, candidates, num_slots)
    assert not unmet.any()
    for row, order in enumerate(candidates.tolist()):

        def value(chosen, order=order):
            kernel = np.eye(len(chosen))
            for i, first in enumerate(chosen):
                for j, second in enumerate(chosen):
                    if i != j:
                        kernel[i, j] = (1 - distinctness) * cosine(columns, order[first], order[second])
            sign, log_determinant = np.linalg.slogdet(kernel)
            assert sign > 0
            return (1 - weight) * sum(1 - place / num_slots for place in chosen) + weight * log_determinant

        check_greedy(columns, order, places[row].tolist(), value)


def test_similarity_by_hand():
    columns = {
        "genre": np.array([0, 0, 1, 1]),
        "tags": np.array([[True, True, False], [True, False, True], [False, False, False], [True, True, True]]),
    }
    observation = observation_of(columns, 2)
    similarity = Similarity(observation.features, ("genre", "tags"), np.array([[0, 1, 2, 3], [3, 2, 1, 0]]))
    alike = similarity.to(np.array([0, 0]))
    # Item 0 has three values, of which 1 shares two of three, 2 none of one, 3 two of four.
    assert alike[0] == pytest.approx([1, 2 / 3, 0, 2 / np.sqrt(12)])
    assert alike[1] == pytest.approx([1, 1 / 2, 2 / np.sqrt(12), 2 / np.sqrt(12)])
    tags = Similarity(observation.features, ("tags",), np.array([[0, 1, 2, 3], [3, 2, 1, 0]]))
    # Who has no values is like nobody.
    assert tags.to(np.array([2, 1])).tolist() == [[0] * 4, [0] * 4]


@pytest.mark.parametrize("rule", [MaximalMarginalRelevance, GreedyDPP])
def test_weights_from_the_order_inside_to_likeness_alone(rule):
    scorer = Ordered(-np.arange(12.0)[None])
    observation = observation_of({"genre": np.array([0, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3])}, 1)
    draws = draws_of(0, observation.user)

    def shown(weight):
        return rule(scorer, weight, ("genre",), depth=3).recommend(observation, 4, draws).items[0].tolist()

    assert shown(0) == [0, 1, 2, 3]
    assert shown(1) == [0, 4, 7, 10]
    assert shown(0.3) not in (shown(0), shown(1))


def test_by_hand():
    # Four slots, so a place costs .25. With weights of .5, item 4 is preferred to 1, 2 and 3, which are like 0.
    scorer = Ordered(-np.arange(6.0)[None])
    observation = observation_of({"genre": np.array([0, 0, 0, 0, 1, 1])}, 1)
    draws = draws_of(0, observation.user)
    mmr = MaximalMarginalRelevance(scorer, 0.5, ("genre",))
    # After 0: .75 - 1 for item 1, 0 for item 4; after 4, all are like one of them.
    assert mmr.recommend(observation, 4, draws).items[0].tolist() == [0, 4, 1, 2]
    dpp = GreedyDPP(scorer, 0.5, ("genre",), 0.5)
    # Twice the gains: .75 + log(1 - 1/4) = .46 for item 1, 0 for 4; then .5 + log(2/3) = .09 for 2, and 0 for 4;
    # then .25 + log(5/8) = -.22 for 3, and 0 for 4.
    assert dpp.recommend(observation, 4, draws).items[0].tolist() == [0, 1, 2, 4]


@pytest.mark.parametrize("rule", [MaximalMarginalRelevance, GreedyDPP])
def test_what_is_given_is_checked(rule):
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(ValueError, match=r"weight must be in \[0, 1\], got"):
            rule(Random(), weight)
    for fields in ((), ("genre", "genre")):
        with pytest.raises(ValueError, match="fields must name at least one field, each once, got"):
            rule(Random(), 0.3, fields)
    observation = observation_of({"genre": np.zeros(5, int), "price": np.ones(5)}, 1)
    for name in ("maker", "price"):
        with pytest.raises(
            ValueError, match=rf"fields must be .*got '{name}'; there are: genre \(categorical\), price"
        ):
            rule(Random(), 0.3, ("genre", name)).recommend(observation, 2, draws_of(0, observation.user))


@pytest.mark.parametrize("distinctness", [0, -0.5, 1.5, float("nan")])
def test_distinctness_is_checked(distinctness):
    with pytest.raises(ValueError, match="distinctness must be above 0 and at most 1, got"):
        GreedyDPP(Random(), 0.3, distinctness=distinctness)
