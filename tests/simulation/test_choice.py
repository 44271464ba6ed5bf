"""Each choice model equals its formula, written out slot by slot and outcome by outcome."""

import math
from collections.abc import Callable, Iterator
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from recsim_lab.simulation.choice import (
    ChoiceModel,
    Clipped,
    DependentClicks,
    Exponential,
    ExponentialCascade,
    Logistic,
    MultinomialLogit,
    MultinomialProportional,
    PositionBased,
    RankArgmax,
)
from recsim_lab.simulation.examination import Flat, Geometric, PowerLaw
from recsim_lab.simulation.population import AVERAGE_HABIT, HABITS
from recsim_lab.streams import draws_of

VOID = -math.inf
Outcomes = dict[tuple[bool, ...], float]
MULTINOMIALS = (MultinomialLogit(), MultinomialProportional())
ONE_CLICK = (*MULTINOMIALS, ExponentialCascade(attention=0.65, scale=0.4), RankArgmax())
ANY_CLICKS = (PositionBased(), DependentClicks(fading=Flat()))
SLATES = [
    (0.3,),
    (0.4, -0.9, 1.1),
    (VOID, 0.8, -0.2),
    (0.6, VOID, 0.6, -1.5),
    (VOID, VOID),
    (-50.0, 50.0, 1.0),
]


def sigmoid(x: float) -> float:
    return 0.0 if x == VOID else 1 / (1 + math.exp(-x))


def single(num_slots: int, slot: int | None) -> tuple[bool, ...]:
    return tuple(k == slot for k in range(num_slots))


def by_weight(weights: list[float], no_click: float) -> Outcomes:
    n, total = len(weights), sum(weights) + no_click
    outcomes = {single(n, None): no_click / total if total else 1.0}
    for k, weight in enumerate(weights):
        outcomes[single(n, k)] = weight / total if total else 0.0
    return outcomes


def walk_down(chances: list[float], going_on: list[float]) -> Outcomes:
    """The user's walk as a tree: at each slot a click or none, after a click on or out."""

    def walk(slot: int, clicks: tuple[bool, ...], chance: float) -> Iterator[tuple[tuple[bool, ...], float]]:
        if slot == len(chances):
            yield clicks, chance
            return
        yield from walk(slot + 1, (*clicks, False), chance * (1 - chances[slot]))
        clicked = chance * chances[slot]
        yield from walk(slot + 1, (*clicks, True), clicked * going_on[slot])
        rest = (False,) * (len(chances) - slot - 1)
        yield (*clicks, True, *rest), clicked * (1 - going_on[slot])

    outcomes: Outcomes = {}
    for clicks, chance in walk(0, (), 1.0):
        outcomes[clicks] = outcomes.get(clicks, 0.0) + chance
    return outcomes


def logit_twin(slate: tuple[float, ...], habit: float) -> Outcomes:
    """`MultinomialLogit(PowerLaw(0.6), no_click=0.5)`"""
    weights = [((k + 1) ** -0.6) ** habit * math.exp(u) for k, u in enumerate(slate)]
    return by_weight(weights, math.exp(0.5))


def forced_logit_twin(slate: tuple[float, ...], habit: float) -> Outcomes:
    """`MultinomialLogit(no_click=-inf)`"""
    return by_weight([math.exp(u) for u in slate], 0.0)


def proportional_twin(slate: tuple[float, ...], habit: float) -> Outcomes:
    """`MultinomialProportional(Geometric(0.9), no_click=0.5, min_normalizer=-2.0)`"""
    return by_weight([(0.9**k) ** habit * max(u + 2.0, 0.0) for k, u in enumerate(slate)], 2.5)


def position_twin(slate: tuple[float, ...], habit: float) -> Outcomes:
    """`PositionBased(Geometric(0.7))`"""
    chances = [(0.7**k) ** habit * sigmoid(u) for k, u in enumerate(slate)]
    return {
        clicks: math.prod(p if click else 1 - p for p, click in zip(chances, clicks, strict=True))
        for clicks in product([False, True], repeat=len(slate))
    }


def cascade_twin(slate: tuple[float, ...], habit: float) -> Outcomes:
    """`ExponentialCascade(Geometric(0.8), attention=0.65, scale=0.4)`"""
    chances = [(0.8**k) ** habit * 0.65 * min(1.0, 0.4 * math.exp(u)) for k, u in enumerate(slate)]
    return walk_down(chances, [0.0] * len(slate))


def dependent_twin(slate: tuple[float, ...], habit: float) -> Outcomes:
    """`DependentClicks(PowerLaw(0.5), continue_probability=0.9, fading=Geometric(0.6))`"""
    chances = [((k + 1) ** -0.5) ** habit * sigmoid(u) for k, u in enumerate(slate)]
    return walk_down(chances, [0.9 * (0.6**k) ** habit for k in range(len(slate))])


def argmax_twin(slate: tuple[float, ...], habit: float) -> Outcomes:
    """`RankArgmax()`"""
    best, best_worth = None, VOID
    for k, u in enumerate(slate):
        worth = u * (k + 1) ** (-0.8 * habit) if u > 0 else u * (k + 1) ** (0.8 * habit)
        if worth > best_worth:
            best, best_worth = k, worth
    return {single(len(slate), best): 1.0}


TWINS: list[tuple[ChoiceModel, Callable[[tuple[float, ...], float], Outcomes]]] = [
    (MultinomialLogit(PowerLaw(0.6), no_click=0.5), logit_twin),
    (MultinomialLogit(no_click=VOID), forced_logit_twin),
    (MultinomialProportional(Geometric(0.9), no_click=0.5, min_normalizer=-2.0), proportional_twin),
    (PositionBased(Geometric(0.7)), position_twin),
    (ExponentialCascade(Geometric(0.8), attention=0.65, scale=0.4), cascade_twin),
    (DependentClicks(PowerLaw(0.5), continue_probability=0.9, fading=Geometric(0.6)), dependent_twin),
    (RankArgmax(), argmax_twin),
]
NAMES = [twin.__name__ for _, twin in TWINS]


def probability(model: ChoiceModel, slate: tuple[float, ...], habit: int = AVERAGE_HABIT) -> np.ndarray:
    return model.click_probability(np.array([slate], np.float32), np.array([habit], np.int32))[0]


@pytest.mark.parametrize(("model", "twin"), TWINS, ids=NAMES)
def test_marginals_are_sums_over_enumerated_outcomes(model, twin):
    for slate, habit in product(SLATES, range(len(HABITS))):
        outcomes = twin(slate, float(HABITS[habit]))
        assert sum(outcomes.values()) == pytest.approx(1.0)
        expected = np.zeros(len(slate))
        for clicks, chance in outcomes.items():
            expected += np.array(clicks) * chance
        np.testing.assert_allclose(probability(model, slate, habit), expected, rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(("model", "twin"), TWINS, ids=NAMES)
def test_whole_answers_are_drawn_as_often_as_enumerated(model, twin):
    slate, num_draws = (0.4, -0.9, VOID, 1.1), 40_000
    utility = np.tile(np.array(slate, np.float32), (num_draws, 1))
    habit = np.full(num_draws, 5, np.int32)
    clicks = model.sample_clicks(utility, habit, draws_of(8, np.arange(num_draws)))
    patterns, counts = np.unique(clicks, axis=0, return_counts=True)
    observed = {tuple(bool(c) for c in pattern): int(n) for pattern, n in zip(patterns, counts, strict=True)}
    expected = {c: chance for c, chance in twin(slate, float(HABITS[5])).items() if chance > 0}
    assert set(observed) <= set(expected)
    if len(expected) > 1:
        found = [observed.get(clicks, 0) for clicks in expected]
        assert stats.chisquare(found, np.array(list(expected.values())) * num_draws).pvalue > 1e-5


utilities = st.one_of(st.just(VOID), st.floats(-6, 6, width=32))
slates = st.lists(utilities, min_size=1, max_size=8).map(tuple)


@pytest.mark.parametrize("model", [*ONE_CLICK, *ANY_CLICKS], ids=repr)
@settings(max_examples=60, deadline=None, derandomize=True)
@given(slate=slates, slot=st.integers(0, 7), rise=st.floats(0.01, 5), habit=st.integers(0, len(HABITS) - 1))
def test_raising_a_utility_raises_its_probability(model, slate, slot, rise, habit):
    slot %= len(slate)
    raised = (*slate[:slot], slate[slot] + rise, *slate[slot + 1 :])
    before, after = probability(model, slate, habit), probability(model, raised, habit)
    assert ((before >= 0) & (before <= 1)).all()
    assert after[slot] >= before[slot]
    if slate[slot] != VOID and not isinstance(model, RankArgmax | ExponentialCascade | MultinomialProportional):
        assert after[slot] > before[slot]  # the others have floors, ceilings or no chance in them
    if model in ONE_CLICK:
        assert before.sum() <= 1 + 1e-12
        others = np.arange(len(slate)) != slot
        assert (after[others] <= before[others] + 1e-12).all()


@pytest.mark.parametrize("model", [*ONE_CLICK[:-1], *ANY_CLICKS, RankArgmax(Flat())], ids=repr)
@settings(max_examples=40, deadline=None, derandomize=True)
@given(slate=slates, slot=st.integers(0, 8))
def test_a_void_slot_changes_nothing_for_the_others(model, slate, slot):
    slot %= len(slate) + 1
    with_void = probability(model, (*slate[:slot], VOID, *slate[slot:]))
    assert with_void[slot] == 0
    np.testing.assert_allclose(np.delete(with_void, slot), probability(model, slate), atol=1e-12)


def test_forced_choice_clicks_exactly_once():
    utility = np.random.default_rng(0).normal(size=(3000, 6)).astype(np.float32)
    habit, draws = np.full(3000, AVERAGE_HABIT, np.int32), draws_of(1, np.arange(3000))
    for model in (
        MultinomialLogit(no_click=VOID),
        RankArgmax(),
        MultinomialProportional(no_click=-9.0, min_normalizer=-9.0),
    ):
        assert (model.sample_clicks(utility, habit, draws).sum(axis=1) == 1).all()
        np.testing.assert_allclose(model.click_probability(utility, habit).sum(axis=1), 1.0)


def test_leaving_weighs_two_in_recsim_interest_evolution():
    """Three independent interests, uniform on (-1, 1): weights u + 1 against 2 give a click rate of .582."""
    assert probability(MultinomialProportional(), (0.5,))[0] == pytest.approx(1.5 / 3.5)
    utility = np.random.default_rng(5).uniform(-1, 1, (200_000, 3)).astype(np.float32)
    rate = MultinomialProportional().click_probability(utility, np.full(200_000, AVERAGE_HABIT)).sum(axis=1)
    assert rate.mean() == pytest.approx(0.582, abs=0.0005 + 4 * rate.std() / np.sqrt(200_000))


def test_no_utility_above_the_floor_and_no_wish_to_leave_is_no_click():
    model = MultinomialProportional(no_click=0.0, min_normalizer=0.0)
    slate = np.array([[-1.0, 0.0, VOID]], np.float32)
    assert not model.click_probability(slate, np.array([AVERAGE_HABIT])).any()
    assert not model.sample_clicks(slate, np.array([AVERAGE_HABIT]), draws_of(0, np.arange(1))).any()


def test_rank_argmax_breaks_ties_upward_and_orders_what_is_not_positive():
    model = RankArgmax(Flat())
    assert probability(model, (1.0, 2.0, 2.0)).tolist() == [0, 1, 0]
    assert probability(RankArgmax(), (1.0, 1.7, 1.8)).tolist() == [1, 0, 0]  # 2^-.8 = .574, 3^-.8 = .415
    assert probability(RankArgmax(), (1.0, 1.8, 1.8)).tolist() == [0, 1, 0]
    assert probability(RankArgmax(), (-1.0, -1.0, -0.5)).tolist() == [1, 0, 0]  # -1, -1.74, -1.20
    assert probability(RankArgmax(), (-1.0, 0.0, 0.0)).tolist() == [0, 1, 0]
    assert probability(RankArgmax(Geometric(1e-9)), (VOID, *[VOID] * 8, -1.0)).tolist() == [0] * 9 + [1]


def test_a_curve_that_underflows_is_never_clicked_rather_than_an_error():
    model = MultinomialLogit(Geometric(0.01), no_click=0.0)
    chance = probability(model, (0.0,) * 40, habit=len(HABITS) - 1)
    assert chance[0] == pytest.approx(0.5, abs=1e-6) and chance[-1] == 0.0


def test_attractions_by_hand():
    utility = np.array([[VOID, -2.0, 0.0, 0.25, 3.0, 800.0]], np.float32)
    np.testing.assert_allclose(Logistic().probability(utility)[0, 1:4], [0.119203, 0.5, 0.562177], atol=1e-6)
    assert Logistic().probability(utility)[0, [0, 5]].tolist() == [0.0, 1.0]
    assert Clipped().probability(utility)[0].tolist() == [0.0, 0.0, 0.0, 0.25, 1.0, 1.0]
    exponential = Exponential(0.05).probability(utility)[0]
    np.testing.assert_allclose(exponential, [0.0, 0.05 * math.exp(-2), 0.05, 0.0642013, 1.0, 1.0], atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MultinomialLogit(no_click=math.nan), "no_click must be finite or minus infinity, got nan"),
        (lambda: MultinomialLogit(no_click=math.inf), "no_click must be finite or minus infinity, got inf"),
        (lambda: ExponentialCascade(attention=1.2), r"attention must be in \(0, 1\], got 1.2"),
        (lambda: ExponentialCascade(scale=-1.0), "scale must be positive and finite, got -1.0"),
        (lambda: Exponential(0.0), "scale must be positive and finite, got 0.0"),
        (lambda: DependentClicks(continue_probability=1.3), r"continue_probability must be in \[0, 1\], got 1.3"),
        (lambda: MultinomialProportional(no_click=-2.0), "at least min_normalizer -1.0, got -2.0"),
        (lambda: MultinomialProportional(min_normalizer=VOID), "min_normalizer must be finite, got -inf"),
    ],
)
def test_wrong_parameters_name_field_rule_and_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()
