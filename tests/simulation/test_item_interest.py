"""Interest in items that answers confirm: a literal twin that follows each slot, closed forms, and what is void."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.catalogue import plain_catalogue
from recsim_lab.simulation.choice import CHOICE, PositionBased
from recsim_lab.simulation.dynamics import ItemInterest
from recsim_lab.simulation.population import plain_population
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.sessions import population_sessions
from recsim_lab.simulation.utility import Utility
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of

SEED, NUM_VISITS, NUM_STEPS = 4, 5, 3


def interest_world(interest, num_users, num_items, num_slots, release=None):
    nothing = np.zeros((num_items, 1), np.float32)
    days = np.zeros(num_items, np.int32) if release is None else np.array(release, np.int32)
    return World(
        name="interest",
        catalogue=replace(plain_catalogue(nothing), release_day=days),
        population=plain_population(np.zeros((num_users, 1), np.float32)),
        choice=PositionBased(),
        utility=Utility(latent=0.0),
        dynamics=(interest,),
        num_slots=num_slots,
        session_steps=NUM_STEPS,
    )


@pytest.mark.parametrize("kept", [False, True], ids=["anew", "kept"])
def test_a_literal_twin_follows_every_slot(kept):
    """Several slates a visit, some with an item twice or one that is not out yet."""
    num_users, num_items, num_slots = 6, 9, 4
    interest = ItemInterest(-2.0, 1.5, 0.4, change_kept=kept)
    world = interest_world(interest, num_users, num_items, num_slots, release=[0] * 7 + [2, 4])
    sessions = population_sessions(world, SEED)
    users = np.arange(num_users)
    rng = np.random.default_rng(1)
    expected = [[-2.0 + 3.5 * float(u) for u in start] for start in luck(Purpose.INTEREST_START, -1, 0, num_items)]
    drawn_once = luck(Purpose.INTEREST_CHANGE, -1, 0, num_items)
    np.testing.assert_allclose(sessions.state["interest"], expected, atol=1e-6)
    num_void = 0
    for visit in range(NUM_VISITS):
        sessions.open(users, np.full(num_users, visit * TICKS_PER_DAY))
        for step in range(NUM_STEPS):
            slates = rng.integers(num_items, size=(num_users, num_slots)).astype(np.int32)
            response = sessions.answer(users, slates)
            choice = luck(CHOICE, visit, step, num_slots)
            drawn_anew = luck(Purpose.INTEREST_CHANGE, visit, step, num_slots)
            for user in range(num_users):
                seen = set()
                for slot, item in enumerate(slates[user].tolist()):
                    if item in seen or (item == 7 and visit < 2) or (item == 8 and visit < 4):
                        num_void += 1
                        assert not response.clicks[user, slot]
                        continue
                    seen.add(item)
                    clicked = choice[user, slot] < 1 / (1 + math.exp(-expected[user][item]))
                    assert response.clicks[user, slot] == clicked
                    size = 0.4 * float(drawn_once[user, item] if kept else drawn_anew[user, slot])
                    expected[user][item] += size if clicked else -size
            np.testing.assert_allclose(sessions.state["interest"], expected, atol=1e-5)
    assert num_void > 20


def luck(purpose, visit, step, num_lanes):
    return draws_of(SEED, np.arange(6), session=visit, step=step).uniform(purpose, num_lanes)


@pytest.mark.parametrize("kept", [False, True], ids=["anew", "kept"])
def test_an_interest_moves_in_its_own_direction(kept):
    """By E[delta] (2 sigmoid(mu) - 1) a showing on average, with second moment E[delta^2]."""
    num_users, mu, largest = 200_000, 0.8, 0.01
    world = interest_world(ItemInterest(mu, mu, largest, kept), num_users, 1, 1)
    sessions = population_sessions(world, SEED, history=1)
    users = np.arange(num_users)
    before = sessions.state["interest"].astype(np.float64)
    sessions.open(users, np.zeros(num_users, np.int64))
    sessions.answer(users, np.zeros((num_users, 1), np.int32))
    moved = sessions.state["interest"] - before
    expected = largest / 2 * (2 / (1 + math.exp(-mu)) - 1)
    assert abs(moved.mean() - expected) < 4.5 * moved.std() / math.sqrt(num_users)
    assert (moved**2).mean() == pytest.approx(largest**2 / 3, rel=0.02)


def test_the_start_is_uniform_and_shared_by_catalogues():
    small, large = (
        population_sessions(interest_world(ItemInterest(-1.0, 3.0), 400, num_items, 1), SEED, history=1).state[
            "interest"
        ]
        for num_items in (10, 25)
    )
    np.testing.assert_array_equal(small, large[:, :10])
    assert stats.kstest(large.ravel(), stats.uniform(-1, 4).cdf).pvalue > 1e-3
    other = population_sessions(interest_world(ItemInterest(-1.0, 3.0), 400, 25, 1), SEED + 1, history=1)
    assert (other.state["interest"] != large).mean() > 0.99


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"lowest": 1.0, "highest": 0.0}, "lowest must be at most highest and both finite, got 1.0 and 0.0"),
        ({"highest": np.inf}, "both finite"),
        ({"lowest": np.nan}, "both finite"),
        ({"largest_change": -0.1}, "largest_change must be at least 0 and finite, got -0.1"),
        ({"largest_change": np.inf}, "largest_change must be at least 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(parameters, text):
    with pytest.raises(ValueError, match=text):
        ItemInterest(**parameters)
