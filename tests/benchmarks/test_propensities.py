"""Fitted propensities find the chances that observations were drawn with, and what they leave unexplained is zero."""

import numpy as np
import pytest

from benchmarks.real_data.propensities import fit_propensities


def one_hot(codes, size):
    return np.arange(size) == codes[:, None]


@pytest.fixture(scope="module")
def drawn():
    """400 x 300 pairs whose chance depends on the pair of a user's and an item's kind, beyond either alone."""
    rng = np.random.default_rng(0)
    user_kind, item_kind = rng.integers(3, size=400), rng.integers(4, size=300)
    of_kinds = np.array([[0.02, 0.1, 0.3, 0.05], [0.4, 0.02, 0.1, 0.05], [0.05, 0.2, 0.03, 0.5]])
    chance = of_kinds[user_kind][:, item_kind]
    return rng.random(chance.shape) < chance, chance, user_kind, item_kind


def test_chances_of_pairs_of_kinds_are_found(drawn):
    observed, chance, user_kind, item_kind = drawn
    fitted = fit_propensities(observed, one_hot(user_kind, 3), one_hot(item_kind, 4))
    # Each pair of kinds has about 10,000 pairs, so a rate's standard error is below .005: 5 of them, and shrinkage.
    np.testing.assert_allclose(fitted, chance, atol=0.025)


def test_as_many_are_expected_as_were_observed(drawn):
    observed, _, user_kind, item_kind = drawn
    fitted = fit_propensities(observed, one_hot(user_kind, 3), one_hot(item_kind, 4), penalties=[1e-6])
    # The score equations of logistic regression: no residue for any pair of features.
    residue = one_hot(user_kind, 3).T.astype(float) @ (observed - fitted) @ one_hot(item_kind, 4)
    assert fitted.sum() == pytest.approx(observed.sum(), rel=1e-4)
    assert np.abs(residue).max() < 1e-3 * observed.sum()


def test_features_without_meaning_are_shrunk_away():
    rng = np.random.default_rng(1)
    observed = rng.random((60, 50)) < 0.1
    users, items = rng.random((60, 8)) < 0.5, rng.random((50, 8)) < 0.5
    chosen = fit_propensities(observed, users, items, penalties=[1e-3, 1e3])
    loose = fit_propensities(observed, users, items, penalties=[1e-3])
    assert chosen.std() < 0.01 < loose.std()
