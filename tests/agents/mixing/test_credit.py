"""Credit goes to whose pick was clicked, and the sign test says what that is worth."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from agents.ease import EASE
from agents.exploration import EpsilonGreedy
from agents.mixing import Credit, TeamDraft, credit
from recsim_lab.streams import draws_of
from recsim_lab.testing import planted_log

A = np.ndarray

SOURCES = ("one", "random", "team/two", "two:epsilon=0.1/random", "two:epsilon=0.1/two")


@pytest.fixture
def served(log):
    """Four slates of four slots, by hand."""
    source = np.array([[0, 2, 0, 2], [0, 1, 1, 2], [2, 0, 2, 0], [3, 4, 0, 1]], np.int16)
    clicks = np.array([[1, 1, 1, 0], [0, 1, 1, 1], [0, 0, 0, 0], [1, 1, 0, 0]], bool)
    small = planted_log(num_users=4, num_days=1, num_slots=4).take(slice(0, 4))
    return replace(small, source=source, clicks=clicks, sources=SOURCES, user=np.array([7, 3, 7, 3], np.int32))


def test_clicks_are_credited_to_whose_slot_it_was(served):
    told = credit(served, ("one", "two"))
    # The slots of a policy that explores are its own only by its whole name; random slots are nobody's.
    assert told.clicks.tolist() == [[2, 1], [0, 1], [0, 0], [0, 1]]
    assert told.difference("one", "two").tolist() == [1, -1, 0, -1]
    assert credit(served, ("one", "two:epsilon=0.1")).clicks.tolist() == [[2, 0], [0, 0], [0, 0], [0, 2]]
    # Of two names on a path, the outermost.
    assert credit(served, ("two", "two:epsilon=0.1")).clicks.tolist() == [[1, 0], [1, 0], [0, 0], [0, 2]]


def test_rows_are_won_lost_and_tied(served):
    told = credit(served, ("one", "two")).compare("two", "one")
    assert (told.wins, told.losses, told.ties) == (2, 1, 1)
    assert told.preference == pytest.approx((2 + 0.5) / 4 - 0.5)
    assert told.p_value == 1.0


def test_credit_is_added_up_by_user(served):
    told = credit(served, ("one", "two")).by(served.user)
    assert told.clicks.tolist() == [[0, 2], [2, 1]]  # of users 3 and 7
    with pytest.raises(ValueError, match="unit must have a value for each of 4 rows, got 3"):
        credit(served, ("one", "two")).by(served.user[:3])


def test_the_sign_test_leaves_ties_out():
    clicks = np.array([[1, 0]] * 15 + [[0, 1]] * 4 + [[1, 1]] * 30)
    told = Credit(("new", "old"), clicks).compare("new", "old")
    assert told.p_value == pytest.approx(2 * stats.binom.sf(14, 19, 0.5))
    assert told.preference == pytest.approx(11 / 98)
    nothing = Credit(("new", "old"), clicks[:0]).compare("new", "old")
    assert (nothing.preference, nothing.p_value) == (0.0, 1.0)


def test_unknown_policies_are_refused(served):
    with pytest.raises(ValueError, match="policy must be one of one, two, got 'three'"):
        credit(served, ("one", "two")).compare("one", "three")


def test_a_draft_knows_its_own(served, fixed):
    assert TeamDraft((fixed("one"), fixed("two"))).credit(served).clicks.tolist() == [[2, 1], [0, 1], [0, 0], [0, 1]]
    explored = TeamDraft((fixed("one"), EpsilonGreedy(fixed("two"), 0.1)))
    assert explored.credit(served).clicks.tolist() == [[2, 0], [0, 0], [0, 0], [0, 2]]


def test_interleaving_finds_the_better_policy(log, fixed):
    """A model of the planted taste against a fixed order: users of both kinds click as the log says."""
    good, poor = EASE(), fixed("poor", 0, 1, 2, 3)
    good.learn(log)
    policy = TeamDraft((good, poor))
    observation = log.observations(np.arange(960, 1200))
    answer = policy.recommend(observation, 4, draws_of(11, observation.user, 3, 1))
    own = answer.items % 2 == observation.user[:, None] % 2
    clicks = np.random.default_rng(0).random(own.shape) < np.where(own, 0.5, 0.03)
    rows = log.take(np.arange(960, 1200))
    served = replace(
        rows,
        slate=answer.items,
        source=answer.source,
        sources=answer.sources,
        clicks=clicks,
        **{name: np.zeros(clicks.shape, getattr(rows, name).dtype) for name in ("propensity", "dwell", "likes")},
        prefix_propensity=np.zeros(clicks.shape),
        propensity_error=np.zeros(clicks.shape, np.float32),
    )
    told = policy.credit(served).by(served.user).compare("ease", "poor")
    # All of ease's slots are of the user's kind, half of poor's: .5 against .27 a slot.
    assert told.wins > told.losses and told.p_value < 1e-4
