"""Candidates: as many as asked for, drawn as they say, and the relevant ones always among them."""

import numpy as np
import pytest

from recsim_lab.evaluation.protocols import Choice, FromRetriever, Full, LoggedSlate, Sampled

A = np.ndarray
NUM_ITEMS = 25


def _choice(num_requests: int, popularity: A | None = None) -> tuple[Choice, A]:
    rng = np.random.default_rng(1)
    eligible = rng.random((num_requests, NUM_ITEMS)) < 0.9
    relevant = np.zeros_like(eligible)
    relevant[np.arange(num_requests), rng.integers(NUM_ITEMS, size=num_requests)] = True
    slate = np.argsort(rng.random(eligible.shape), axis=1)[:, :4].astype(np.int32)
    retrieved = np.argsort(rng.random(eligible.shape), axis=1)[:, :6].astype(np.int32)
    retrieved[:, 5] = -1
    popularity = np.zeros(NUM_ITEMS, np.int64) if popularity is None else popularity
    uniform = rng.random(eligible.shape, dtype=np.float32)
    return Choice(eligible, slate, uniform, popularity, retrieved), relevant


def test_full_candidates_are_all_that_could_be_shown() -> None:
    choice, relevant = _choice(50)
    np.testing.assert_array_equal(Full().of(choice, relevant), choice.eligible | relevant)


@pytest.mark.parametrize("power", [0.0, 1.0])
def test_samples_are_as_many_as_asked_for_and_hold_the_relevant(power: float) -> None:
    choice, relevant = _choice(200, np.arange(NUM_ITEMS))
    chosen = Sampled(4, power).of(choice, relevant)
    assert chosen[relevant].all()
    others = chosen & ~relevant
    assert (others.sum(axis=1) == 4).all()
    assert not (others & ~choice.eligible).any()
    # More than there are: all of them.
    np.testing.assert_array_equal(Sampled(1000, power).of(choice, relevant), Full().of(choice, relevant))


def test_samples_are_uniform() -> None:
    choice, relevant = _choice(4000)
    others = Sampled(4).of(choice, relevant) & ~relevant
    possible = choice.eligible & ~relevant
    chance = np.where(possible, 4 / possible.sum(axis=1, keepdims=True), 0)
    deviation = (others - chance).sum(axis=0) / np.sqrt((chance * (1 - chance)).sum(axis=0))
    # 25 items, each beyond 5 standard deviations with chance 6e-7.
    assert np.abs(deviation).max() < 5
    assert 0.5 < deviation.std() < 1.6


def test_one_item_is_drawn_in_proportion_to_its_clicks() -> None:
    popularity = np.arange(NUM_ITEMS)
    choice, relevant = _choice(8000, popularity)
    others = Sampled(1, power=1.0).of(choice, relevant) & ~relevant
    weight = np.where(choice.eligible & ~relevant, popularity + 1.0, 0.0)
    chance = weight / weight.sum(axis=1, keepdims=True)
    deviation = (others - chance).sum(axis=0) / np.sqrt((chance * (1 - chance)).sum(axis=0))
    assert np.abs(deviation).max() < 5


def test_the_slate_and_the_retrieved_are_marked() -> None:
    choice, relevant = _choice(30)
    slate, found = LoggedSlate().of(choice, relevant), FromRetriever(6).of(choice, relevant)
    for row in range(30):
        own = set(np.flatnonzero(relevant[row]))
        assert set(np.flatnonzero(slate[row])) == set(choice.slate[row]) | own
        may = {item for item in choice.retrieved[row] if item >= 0 and choice.eligible[row, item]}
        assert set(np.flatnonzero(found[row])) == may | own


def test_names_and_wrong_parameters() -> None:
    kinds = (Full(), Sampled(7), Sampled(7, 1.0), LoggedSlate(), FromRetriever(9))
    assert [kind.name for kind in kinds] == ["full", "sampled7", "popular7", "slate", "retrieved9"]
    assert len({kind.said for kind in kinds}) == len(kinds)
    with pytest.raises(ValueError, match="num must be at least 1, got 0"):
        Sampled(0)
    with pytest.raises(ValueError, match=r"power must be at least 0, got -1\.0"):
        Sampled(3, -1.0)
    with pytest.raises(ValueError, match="num must be at least 1, got 0"):
        FromRetriever(0)
