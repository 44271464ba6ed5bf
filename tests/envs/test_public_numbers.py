"""Numbers of requests against literal twins, one request and one number at a time."""

from typing import Any

import gymnasium
import numpy as np
import pytest

from recsim_lab.envs.slate_env import SlateEnv
from recsim_lab.envs.wrappers import FlatObservation, wrap
from recsim_lab.envs.wrappers.public_numbers import PublicNumbers
from recsim_lab.policy import NEVER, TICKS_PER_DAY, FeatureTable, Field, Observation
from recsim_lab.simulation.world import World

A = np.ndarray
RELEASE = np.zeros(4, np.int64)


def _table() -> FeatureTable:
    return FeatureTable(
        user_fields=(Field("age", "categorical", 3),),
        item_fields=(
            Field("genre", "categorical", 3),
            Field("creator", "categorical", 500),
            Field("minutes", "numeric"),
            Field("tags", "multi", 2),
            Field("same", "categorical", 1),
        ),
        users={"age": np.array([0, 2, 1, 2])},
        items={
            "genre": np.array([0, 2, 2, 0]),
            "creator": np.array([400, 1, 2, 3]),
            "minutes": np.array([1, 2, 3, 6], np.float32),
            "tags": np.array([[True, True], [False, True], [False, False], [True, True]]),
            "same": np.zeros(4, np.int32),
        },
        release=RELEASE,
        withdrawal=np.full(4, NEVER),
    )


# Genre 0 and 2 (no item has 1), minutes with mean 3 and deviation sqrt(3.5), two tags.
ITEMS = np.array(
    [
        [1, 0, -2 / 3.5**0.5, 1, 1],
        [0, 1, -1 / 3.5**0.5, 0, 1],
        [0, 1, 0, 0, 0],
        [1, 0, 3 / 3.5**0.5, 1, 1],
    ]
)


def test_items_are_codes_and_standardised_numbers_and_never_ids() -> None:
    numbers = PublicNumbers(_table())
    np.testing.assert_allclose(numbers.items, ITEMS, atol=1e-6)
    np.testing.assert_array_equal(numbers.users, [[1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 1]])
    assert numbers.bound == pytest.approx(3 / 3.5**0.5)
    # With more codes allowed the creators count too: four have items.
    assert PublicNumbers(_table(), most_codes=500).items.shape == (4, 9)
    assert PublicNumbers(_table(), most_codes=1).items.shape == (4, 1)


def test_a_table_without_fields_has_no_numbers() -> None:
    numbers = PublicNumbers(FeatureTable((), (), {}, {}, RELEASE, np.full(4, NEVER)))
    assert numbers.items.shape == (4, 0) and numbers.bound == 1
    fields = _fields()
    # Three devices, step, session, two of the hour, number of clicks, three newest, clicks in this visit.
    assert numbers.requests(Observation.of(fields, numbers.features), fields).shape == (2, 3 + 4 + 1 + 3 + 1)


def _fields() -> dict[str, A]:
    """A user who has just come, and one in the middle of the third visit."""
    day = TICKS_PER_DAY
    return {
        "user": np.array([3, 1], np.int32),
        "session": np.array([0, 2], np.int32),
        "step": np.array([0, 2], np.int32),
        "tick": np.array([6 * 60, 9 * day + 18 * 60]),
        "device": np.array([0, 2], np.int8),
        "clicked": np.array([[-1, -1, -1, -1], [-1, 0, 3, 2]], np.int32),
        "clicked_tick": np.array([[-1] * 4, [-1, 2 * day + 18 * 60, 9 * day + 18 * 60, 9 * day + 18 * 60]], np.int32),
        "shown": np.array([[-1] * 6, [3, 1, 2, 0, -1, -1]], np.int32),
    }


def test_requests_are_told_as_a_literal_twin_tells_them() -> None:
    numbers = PublicNumbers(_table(), num_newest=2)
    fields = _fields() | {
        "recent_slates": np.array([[[-1, -1], [-1, -1]], [[3, 1], [2, 0]]], np.int32),
        "recent_clicks": np.array([[[-1, -1], [-1, -1]], [[1, 0], [1, 0]]], np.int8),
        "hidden_satisfaction": np.array([[0.5], [-40.0]], np.float32),
    }
    told = numbers.requests(Observation.of(fields, numbers.features), fields)
    none = [0.0] * 5
    # At six, a quarter of the day has gone, so the sine is 1; at eighteen it is -1.
    newcomer = [0, 0, 1, 1, 0, 0, 0, 0, 1, 0, *none, 0, *none, *none, 0, 0, *none, *none, 0]
    newcomer += [0, 0, 0, *none, *none] * 2 + [0.5]
    np.testing.assert_allclose(told[0], newcomer, atol=1e-6)
    clicked, shown = ITEMS[[0, 3, 2]].mean(axis=0), ITEMS[[3, 1, 2, 0]].mean(axis=0)
    regular = [0, 0, 1, 0, 0, 1, 2 / 7, 2 / 12, -1, 0, *clicked, 3 / 13]
    regular += [*ITEMS[3], *ITEMS[2], 1, 1]  # both of this visit, 0 days ago
    regular += [*shown, *ITEMS[[3, 2]].mean(axis=0), 2 / 7]
    regular += [1, 1, 0, *ITEMS[[3, 1]].mean(axis=0), *ITEMS[3]]
    regular += [1, 1, 0, *ITEMS[[2, 0]].mean(axis=0), *ITEMS[2], -40]
    np.testing.assert_allclose(told[1], regular, atol=1e-6)
    assert told.dtype == np.float32


def test_clicks_long_ago_count_less() -> None:
    numbers = PublicNumbers(_table(), num_newest=3)
    fields = _fields()
    told = numbers.requests(Observation.of(fields, numbers.features), fields)
    newest_from = 3 + 3 + 4 + 5 + 1 + 3 * 5
    np.testing.assert_allclose(told[:, newest_from : newest_from + 3], [[0, 0, 0], [7 / 14, 1, 1]], atol=1e-6)


def test_the_box_holds_what_comes_and_has_no_bounds_for_hidden_numbers_alone(everyday: World) -> None:
    env = wrap(SlateEnv(everyday, hidden=("preference",), recent_slates=1), FlatObservation)
    box = env.observation_space
    assert isinstance(box, gymnasium.spaces.Box)
    assert np.isfinite(box.high[:-8]).all() and np.isinf(box.high[-8:]).all()
    vector, _ = env.reset(seed=0)
    seen = [vector]
    for action in np.random.default_rng(0).integers(60, size=(60, 4)):
        vector, *_ = env.step(action)
        assert box.contains(vector)
        seen.append(vector)
    assert (np.std(seen, axis=0) > 0).mean() > 0.5


@pytest.mark.parametrize("wrong", [{"most_codes": -1}, {"num_newest": -1}])
def test_wrong_parameters_are_errors(everyday: World, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} must be at least 0, got -1"):
        wrap(SlateEnv(everyday), FlatObservation, **wrong)
