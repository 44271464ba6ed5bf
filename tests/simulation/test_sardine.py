"""SARDINE's SlateTopK-Bored: random slates and the greedy oracle earn what is published, and boredom costs the oracle.

Check values: Deffayet et al. 2024, 40 users of 100 slates each; the standard error of the share of bored slates, which
is published without one, is taken from the spread of our own users.
"""

import numpy as np
import pytest

from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import population_sessions

NUM_USERS, NUM_PUBLISHED_USERS, NUM_STEPS, STANDARD_ERRORS = 400, 40, 100, 4


def episodes(world, slates_of):
    """Clicks and share of slates after which the user is bored, one each a user."""
    num_users = world.population.num_users
    sessions = population_sessions(world, seed=0)
    rows = np.arange(num_users)
    sessions.open(rows, sessions.first_visit(rows))
    clicks, bored = np.zeros(num_users), np.zeros(num_users)
    for step in range(NUM_STEPS):
        was_bored = sessions.state["boring_slates"].any(axis=1)
        response = sessions.answer(rows, slates_of())
        assert not response.clicks[was_bored].any()
        assert response.left.all() == (step == NUM_STEPS - 1)
        clicks += response.reward
        bored += sessions.state["boring_slates"].any(axis=1)
    return clicks, bored / NUM_STEPS


def random_slates(world):
    rng = np.random.default_rng(0)
    shape = world.population.num_users, world.catalogue.num_items

    def slates_of():
        return np.argpartition(rng.random(shape, np.float32), world.num_slots, axis=1)[:, : world.num_slots].astype(
            np.int32
        )

    return slates_of


def best_slates(world):
    """Greedy on the relevance of a user who is not bored; for one who is, any slate is as good."""
    relevance = world.population.latent @ world.catalogue.latent.T
    slates = np.argsort(-relevance, axis=1, kind="stable")[:, : world.num_slots].astype(np.int32)
    return lambda: slates


@pytest.mark.parametrize(
    ("slates_for", "published_clicks", "published_error", "published_bored"),
    [(random_slates, 43.4, 1.3, 0.06), (best_slates, 141.2, 4.4, 0.74)],
)
def test_published_episodes(slates_for, published_clicks, published_error, published_bored):
    world = make_world("sardine-topk-bored", num_users=NUM_USERS)
    clicks, bored = episodes(world, slates_for(world))
    error = np.hypot(published_error, clicks.std() / np.sqrt(NUM_USERS))
    assert clicks.mean() == pytest.approx(published_clicks, abs=STANDARD_ERRORS * error)
    error = bored.std() * np.sqrt(1 / NUM_USERS + 1 / NUM_PUBLISHED_USERS)
    assert bored.mean() == pytest.approx(published_bored, abs=STANDARD_ERRORS * error + 0.005)


def test_one_random_item_without_boredom():
    """SingleItem-Static: 8.65 clicks in 100 slates, 8.40 +- .49 published for 40 users."""
    world = make_world("sardine-topk-bored", num_slots=1, boredom_threshold=11)
    sessions = population_sessions(world, seed=0)
    rows = np.arange(world.population.num_users)
    items = np.tile(np.arange(world.catalogue.num_items, dtype=np.int32)[:, None, None], (1, len(rows), 1))[::10]
    chances = np.mean([world.click_probability(sessions.state, rows, slate)[:, 0] for slate in items], axis=0)
    expected = NUM_STEPS * chances.mean()
    # Users differ, and so does the luck of the items sampled (a hundred of each world's thousand).
    error = NUM_STEPS * chances.std() * np.sqrt(1 / len(rows) + 1 / NUM_PUBLISHED_USERS)
    assert expected == pytest.approx(8.40, abs=STANDARD_ERRORS * max(error, 0.49))


def test_boredom_is_what_the_oracle_pays():
    tireless = make_world("sardine-topk-bored", num_users=40, boredom_threshold=11)
    clicks, bored = episodes(tireless, best_slates(tireless))
    assert not bored.any()
    most = NUM_STEPS * (0.85 ** np.arange(10)).sum()
    assert 0.9 * most < clicks.mean() <= most


def test_items_and_users_are_unit_vectors_of_few_topics():
    world = make_world("sardine-topk-bored", num_users=3000, num_items=3000)
    items, users = world.catalogue.latent, world.population.latent
    for vectors, fewest, most in ((items, 2, 3), (users, 3, 5)):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
        counts = (vectors > 0).sum(axis=1)
        assert counts.min() == fewest and counts.max() == most and vectors.min() == 0
    assert (items.argmax(axis=1) == world.catalogue.topic).all()
    # Chances of 2 topics (of 2 or 3), and of 3, 4, 5 liked topics (binomial(10, .4) given 3 to 5).
    shares = [((items > 0).sum(axis=1) == 2).mean(), *(((users > 0).sum(axis=1) == n).mean() for n in (3, 4, 5))]
    binomial = np.array([120 * 0.4**3 * 0.6**7, 210 * 0.4**4 * 0.6**6, 252 * 0.4**5 * 0.6**5])
    np.testing.assert_allclose(shares, [0.5, *(binomial / binomial.sum())], atol=4.5 * 0.5 / np.sqrt(3000))


def test_relevance_is_a_steep_logistic():
    world = make_world("sardine-topk-bored", num_users=50, num_items=40, num_slots=2, slope=7.0, offset=0.4)
    state = population_sessions(world, seed=0).state
    rows = np.arange(50)
    slates = np.tile(np.array([[11, 3]], np.int32), (50, 1))
    match = np.einsum("ud,id->ui", world.population.latent, world.catalogue.latent[[11, 3]]).astype(np.float64)
    expected = np.array([1, 0.85]) / (1 + np.exp(-7 * (match - 0.4)))
    np.testing.assert_allclose(world.click_probability(state, rows, slates), expected, atol=1e-5)


def test_wrong_parameters_are_named():
    with pytest.raises(ValueError, match="num_topics must be at least 5, got 4"):
        make_world("sardine-topk-bored", num_topics=4)
    with pytest.raises(ValueError, match="num_users must be at least 1, got 0"):
        make_world("sardine-topk-bored", num_users=0)
