"""Preferences are unbiased where there is none, and as sure as the bootstrap over users says."""

import numpy as np
import pytest
from scipy import stats

from agents.mixing import Credit
from agents.mixing.team_draft import draft
from recsim_lab.evaluation.experiments.interleaving import outcomes, preference

A = np.ndarray


def drafted(generator: np.random.Generator, num_rows: int, favour: float = 0.0) -> A:
    """Margins of team drafts of two orders of eight items, of which users look at the first slots most; items of the
    first policy's team are clicked more often by `favour`."""
    inner = np.argsort(generator.random((num_rows, 2, 8)), axis=2)[:, :, :4]
    team, _ = draft(inner, generator.random((num_rows, 4)).astype(np.float32))
    chance = np.array([0.5, 0.3, 0.2, 0.1]) + favour * (team == 0)
    clicks = generator.random(team.shape) < chance
    return (clicks & (team == 0)).sum(axis=1) - (clicks & (team == 1)).sum(axis=1)


def test_without_a_better_policy_the_preference_is_zero_and_p_values_are_uniform():
    generator = np.random.default_rng(0)
    user = np.repeat(np.arange(150), 4)
    told = [preference(drafted(generator, 600), user) for _ in range(800)]
    deltas = np.array([one.delta.estimate for one in told])
    assert abs(deltas.mean()) < 4 * deltas.std() / np.sqrt(800)
    assert np.mean([one.delta.contains(0.0) for one in told]) == pytest.approx(0.95, abs=0.031)
    # P-values of few sizes (users are won or lost) are uniform but for their steps.
    assert stats.kstest([one.p_value for one in told], "uniform").statistic < 0.09
    assert np.mean([one.sign_test < 0.05 for one in told]) < 0.05 + 0.031


def test_a_better_policy_is_preferred():
    generator = np.random.default_rng(1)
    told = preference(drafted(generator, 2000, 0.1), np.repeat(np.arange(500), 4))
    assert told.delta.low > 0 and told.p_value < 1e-6 and told.sign_test < 1e-6
    assert told.delta.estimate == pytest.approx((told.wins - told.losses) / (2 * 500))


def test_it_is_the_preference_that_credit_tells():
    generator = np.random.default_rng(2)
    clicks = generator.integers(3, size=(300, 2))
    user = generator.integers(60, size=300)
    told = preference(clicks[:, 0] - clicks[:, 1], user)
    compared = Credit(("one", "two"), clicks).by(user).compare("one", "two")
    assert (told.wins, told.losses, told.ties) == (compared.wins, compared.losses, compared.ties)
    assert told.delta.estimate == pytest.approx(compared.preference)
    assert told.sign_test == pytest.approx(compared.p_value)


def test_sessions_of_one_user_are_no_independent_witnesses():
    generator = np.random.default_rng(3)
    num = generator.poisson(6, 800) + 1
    user = np.repeat(np.arange(800), num)
    session = np.arange(len(user)) - np.repeat(np.cumsum(num) - num, num)
    taste = generator.normal(0.1, 1.0, 800)[user]
    margin = np.sign(taste + generator.normal(0, 0.5, len(user))).astype(np.int64)
    told = preference(margin, user, session)
    assert told.wins + told.losses + told.ties == len(user) and np.isnan(told.sign_test)
    totals = np.bincount(user, margin / 2)
    drawn = generator.integers(800, size=(3000, 800))
    ratios = totals[drawn].sum(axis=1) / num[drawn].sum(axis=1)
    assert told.standard_error == pytest.approx(ratios.std(), rel=0.06)
    assert told.standard_error > 1.5 * 0.5 / np.sqrt(len(user))


def test_units_are_won_by_their_clicks_together():
    margin, user, session = np.array([2, -1, -2, 0, 1, -1]), np.array([7, 7, 7, 3, 5, 5]), np.array([0, 0, 1, 0, 4, 4])
    by_user, owner = outcomes(margin, user)
    assert by_user.tolist() == [0, 0, -0.5] and owner.tolist() == [3, 5, 7]
    by_session, owner = outcomes(margin, user, session)
    assert by_session.tolist() == [0, 0, 0.5, -0.5] and owner.tolist() == [3, 5, 7, 7]


def test_one_user_tells_nothing_of_others():
    told = preference(np.array([1, 1]), np.array([4, 4]))
    assert told.delta.estimate == 0.5 and np.isnan([told.delta.low, told.p_value]).all()
    assert np.isnan(preference(np.zeros(0, int), np.zeros(0, int)).delta.estimate)
