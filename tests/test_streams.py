"""Draws are Philox's, depend on their identity alone, and look random along every axis."""

import inspect
import math

import numpy as np
import pytest
from scipy import stats

from recsim_lab import streams
from recsim_lab.streams import Draws, draws_of, groups_of, philox

SEED = 0x0123_4567_89AB_CDEF
PUBLISHED = [
    # Random123's kat_vectors, philox4x32 with 10 rounds: counter, key, answer.
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]


def philox_twin(counter: list[int], key: list[int]) -> list[int]:
    """Salmon et al. 2011, section 3.3, in unbounded integers."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        product_0, product_1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        high_0, low_0 = divmod(product_0, 2**32)
        high_1, low_1 = divmod(product_1, 2**32)
        c0, c1, c2, c3 = high_1 ^ c1 ^ k0, low_1, high_0 ^ c3 ^ k1, low_0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def uniform_twin(seed: int, user: int, session: int, step: int, purpose: int, lane: int) -> float:
    counter = [lane // 4, user, session, step * 2**16 + purpose]
    word = philox_twin(counter, [seed % 2**32, seed // 2**32])[lane % 4]
    return (word // 2**9) / 2**23 + 1 / 2**24


def identities(num_rows: int, seed: int = 11) -> Draws:
    """Rows of many users, sessions and steps, each identity once."""
    rng = np.random.default_rng(seed)
    return Draws(
        seed=np.full(num_rows, SEED, np.uint64),
        user=rng.permutation(num_rows).astype(np.int32),
        session=rng.integers(0, 500, num_rows).astype(np.int32),
        step=rng.integers(0, streams.MAX_STEP + 1, num_rows).astype(np.int32),
    )


@pytest.mark.parametrize(("counter", "key", "answer"), PUBLISHED)
def test_published_vectors(counter, key, answer):
    assert philox_twin(words(counter), words(key)) == words(answer)
    compiled = philox(*(np.uint64(word) for word in words(counter) + words(key)))
    assert [int(word) for word in compiled] == words(answer)


def test_uniform_equals_its_twin_bit_for_bit():
    draws = identities(12)
    drawn = draws.uniform(streams.MAX_PURPOSE, 7)
    for row in range(len(draws)):
        who = int(draws.user[row]), int(draws.session[row]), int(draws.step[row])
        for lane in range(7):
            assert float(drawn[row, lane]) == uniform_twin(SEED, *who, streams.MAX_PURPOSE, lane)


def test_normal_is_box_muller_of_the_uniforms():
    draws = identities(40)
    uniform = draws.uniform(6, 8).astype(np.float64)
    for num_lanes in (1, 2, 5, 8):
        drawn = draws.normal(6, num_lanes)
        assert drawn.shape == (40, num_lanes)
        for row in range(40):
            for lane in range(num_lanes):
                first, second = uniform[row, lane - lane % 2], uniform[row, lane - lane % 2 + 1]
                turn = math.sin if lane % 2 else math.cos
                expected = math.sqrt(-2 * math.log(first)) * turn(2 * math.pi * second)
                assert drawn[row, lane] == pytest.approx(expected, abs=2e-5)


def test_the_ends_of_the_unit_interval_are_never_reached():
    unit = inspect.unwrap(streams._unit)
    assert float(unit(np.uint64(0))) == 2.0**-24
    assert float(unit(np.uint64(2**32 - 1))) == 1.0 - 2.0**-24


@pytest.mark.parametrize("method", ["uniform", "normal"])
def test_draws_do_not_depend_on_the_batch(method):
    draws, num_lanes = identities(10_000), 6

    def draw(of: Draws) -> np.ndarray:
        return getattr(of, method)(3, num_lanes)

    together = draw(draws)
    for row in (0, 1, 4999, 9999):
        np.testing.assert_array_equal(draw(draws.take(np.array([row]))), together[[row]])
    order = np.random.default_rng(0).permutation(10_000)
    np.testing.assert_array_equal(draw(draws.take(order)), together[order])
    shards = [draw(draws.take(rows)) for rows in np.array_split(np.arange(10_000), 7)]
    np.testing.assert_array_equal(np.concatenate(shards), together)
    np.testing.assert_array_equal(getattr(draws, method)(3, 2), together[:, :2])


def test_uniform_at_is_one_lane_of_uniform():
    draws = identities(3000)
    lanes = np.random.default_rng(1).integers(0, 11, 3000)
    rows = np.arange(3000)
    np.testing.assert_array_equal(draws.uniform_at(9, lanes), draws.uniform(9, 11)[rows, lanes])
    few = draws.take(rows[:5])
    np.testing.assert_array_equal(few.uniform_at(9, lanes[:5]), draws.uniform_at(9, lanes)[:5])


def test_a_day_replaces_session_and_step():
    draws = identities(200)
    elsewhere = Draws(draws.seed, draws.user, draws.session + 7, draws.step // 2)
    day = np.arange(200) % 30
    np.testing.assert_array_equal(draws.on_day(day).uniform(5, 4), elsewhere.on_day(day).uniform(5, 4))
    assert (draws.on_day(day).uniform(5, 4) != draws.on_day(day + 1).uniform(5, 4)).mean() > 0.999
    np.testing.assert_array_equal(draws.at_step(3).step, np.full(200, 3))
    np.testing.assert_array_equal(draws.at_step(3).uniform(5), elsewhere_at_step(draws, 3).uniform(5))


def elsewhere_at_step(draws: Draws, step: int) -> Draws:
    return Draws(draws.seed, draws.user, draws.session, np.full_like(draws.step, step))


def test_forks_are_named_and_part_ways():
    draws = identities(200)
    np.testing.assert_array_equal(draws.fork("left").uniform(1, 4), draws.fork("left").uniform(1, 4))
    different = [draws, draws.fork("left"), draws.fork("right"), draws.fork("left").fork("left")]
    for i, one in enumerate(different):
        for other in different[:i]:
            assert (one.uniform(1, 4) != other.uniform(1, 4)).mean() > 0.999


def test_uniforms_are_uniform_and_normals_normal():
    for draws in (identities(100_000), draws_of(0, np.arange(100_000)), identities(100_000).fork("part")):
        assert stats.kstest(draws.uniform(1)[:, 0], "uniform").pvalue > 1e-5
        assert stats.kstest(draws.normal(2)[:, 0], "norm").pvalue > 1e-5
    long = draws_of(3, np.arange(2))
    assert stats.kstest(long.uniform(1, 60_000)[0], "uniform").pvalue > 1e-5
    assert stats.kstest(long.normal(1, 60_000)[1], "norm").pvalue > 1e-5
    cells = (long.uniform(4, 60_000)[0].reshape(-1, 2) * 10).astype(int)
    pairs = np.bincount(cells[:, 0] * 10 + cells[:, 1], minlength=100)
    assert stats.chisquare(pairs).pvalue > 1e-5


def along_lanes(purpose: int = 1, method: str = "uniform") -> np.ndarray:
    return getattr(draws_of(4, np.arange(20_000)), method)(purpose, 12)


def along_purposes() -> np.ndarray:
    draws = draws_of(4, np.arange(20_000))
    return np.concatenate([draws.uniform(purpose) for purpose in range(12)], axis=1)


def along_users() -> np.ndarray:
    return draws_of(4, np.arange(12)).uniform(1, 20_000).T


def along_steps() -> np.ndarray:
    return np.concatenate([draws_of(4, np.arange(20_000), step=s).uniform(1) for s in range(12)], axis=1)


def along_sessions() -> np.ndarray:
    return np.concatenate([draws_of(4, np.arange(20_000), session=s).uniform(1) for s in range(12)], axis=1)


def along_seeds() -> np.ndarray:
    return np.concatenate([draws_of(s, np.arange(20_000)).uniform(1) for s in range(12)], axis=1)


def along_forks() -> np.ndarray:
    draws = draws_of(4, np.arange(20_000))
    return np.concatenate([draws.uniform(1), *(draws.fork(f"part {i}").uniform(1) for i in range(11))], axis=1)


def along_days() -> np.ndarray:
    draws = draws_of(4, np.arange(20_000))
    return np.concatenate([draws.on_day(np.full(20_000, d)).uniform(1) for d in range(12)], axis=1)


def along_normal_lanes() -> np.ndarray:
    return along_lanes(method="normal")


@pytest.mark.parametrize(
    "sample",
    [
        along_lanes,
        along_normal_lanes,
        along_purposes,
        along_users,
        along_steps,
        along_sessions,
        along_seeds,
        along_forks,
        along_days,
    ],
)
def test_no_correlation(sample):
    """Largest of 66 correlations, of values and of distances from the middle: beyond 5.5 errors 5e-6 of the time."""
    drawn = sample().astype(np.float64)
    assert drawn.shape == (20_000, 12)
    for values in (drawn, np.abs(drawn - np.median(drawn))):
        correlation = np.corrcoef(values, rowvar=False)[np.triu_indices(12, 1)]
        assert np.abs(correlation).max() < 5.5 / np.sqrt(20_000)


def test_seeds_use_all_64_bits_and_no_more():
    low, high = draws_of(1, np.arange(4)), draws_of(1 + 2**40, np.arange(4))
    assert (low.uniform(1) != high.uniform(1)).all()
    for seed in (-1, 2**64):
        with pytest.raises(ValueError, match=rf"seed must be in \[0, 2\^64\), got {seed}"):
            draws_of(seed, np.arange(4))


USERS = np.arange(100_000)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.7, 0.2, 0.1), (0.0, 1.0), (0.25, 0.0, 0.75)])
def test_groups_have_their_shares(shares):
    counts = np.bincount(groups_of(USERS, "colour", shares), minlength=len(shares))
    expected = len(USERS) * np.array(shares)
    assert not counts[expected == 0].any()
    if (expected > 0).sum() > 1:
        assert stats.chisquare(counts[expected > 0], expected[expected > 0]).pvalue > 1e-5


def test_groups_follow_from_the_user_alone():
    group = groups_of(USERS, "colour", (0.3, 0.3, 0.4))
    order = np.random.default_rng(0).permutation(len(USERS))[:999]
    assert np.array_equal(groups_of(USERS[order].astype(np.int32), "colour", (0.3, 0.3, 0.4)), group[order])
    for bit in range(8):
        # No residue of the number decides: users numbered by country or by age are divided alike.
        table = np.array([np.bincount(group[USERS >> bit & 1 == odd], minlength=3) for odd in (0, 1)])
        assert stats.chi2_contingency(table).pvalue > 1e-6


def test_groups_under_different_salts_are_independent():
    groups = [groups_of(USERS, salt, (0.5, 0.5)) for salt in ("a", "b", "a ", "")]
    for one in range(4):
        for other in range(one):
            table = np.histogram2d(groups[one], groups[other], bins=2)[0]
            assert stats.chi2_contingency(table).pvalue > 1e-6
    luck = draws_of(0, USERS).uniform(0)[:, 0] < 0.5
    assert stats.chi2_contingency(np.histogram2d(groups[0], luck, bins=2)[0]).pvalue > 1e-6


def test_a_growing_group_keeps_its_users():
    few, more = (groups_of(USERS, "ramp", (1 - share, share)) == 1 for share in (0.05, 0.5))
    assert more[few].all() and more.sum() > few.sum()


@pytest.mark.parametrize("shares", [(), (0.5, 0.6), (1.5, -0.5)])
def test_bad_shares_are_refused(shares):
    with pytest.raises(ValueError, match="shares must be at least 0 and add up to 1, got"):
        groups_of(USERS[:3], "", shares)
