"""Logs with a planted taste, without and with features, and requests made by hand, for the tests of agents."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import NEVER, FeatureTable, Field, Observation
from recsim_lab.testing import planted_log

A = np.ndarray


@pytest.fixture(scope="session")
def log() -> InteractionLog:
    return planted_log()


@pytest.fixture(scope="session")
def featured_log(log) -> InteractionLog:
    """The same clicks by users and of items with features of every kind, of which the topic tells the taste.

    Item 39 is never shown; every fourth item was released some minutes after the start; there are three devices.
    """
    generator = np.random.default_rng(5)
    item = np.arange(40)
    features = FeatureTable(
        user_fields=(Field("age", "numeric"), Field("country", "categorical", 3), Field("hobbies", "multi", 4)),
        item_fields=(
            Field("topic", "categorical", 2),
            Field("tags", "multi", 5),
            Field("price", "numeric"),
            Field("maker", "categorical", 7),
        ),
        users={
            "age": generator.normal(40, 10, 60).astype(np.float32),
            "country": generator.integers(3, size=60).astype(np.int32),
            "hobbies": generator.random((60, 4)) < 0.4,
        },
        items={
            "topic": (item % 2).astype(np.int32),
            "tags": generator.random((40, 5)) < 0.4,
            "price": generator.gamma(2.0, size=40).astype(np.float32),
            "maker": generator.integers(7, size=40).astype(np.int32),
        },
        release=np.where(item % 4 == 3, 1 + item // 10, 0),
        withdrawal=log.features.withdrawal,
    )
    device = generator.integers(3, size=len(log)).astype(np.int8)
    later = replace(log, features=features, device=device, tick=log.tick + 5)
    return later.take(~(log.slate == 39).any(axis=1))


def _padded(lists: Sequence[Sequence[int]], left: bool) -> A:
    width = max(map(len, lists), default=0)
    rows = [[-1] * (width - len(x)) + list(x) if left else list(x) + [-1] * (width - len(x)) for x in lists]
    return np.array(rows, np.int64).reshape(len(lists), width)


@pytest.fixture
def requests() -> Callable[..., Observation]:
    """Requests of given users: what each clicked, when, was shown and may not see, as lists."""

    def make(
        user: Sequence[int],
        num_items: int,
        clicked: Sequence[Sequence[int]] | None = None,
        clicked_tick: Sequence[Sequence[int]] | None = None,
        shown: Sequence[Sequence[int]] | None = None,
        blocked: Sequence[Sequence[int]] | None = None,
        release: Sequence[int] | None = None,
        tick: int = 100_000,
    ) -> Observation:
        nothing: list[list[int]] = [[] for _ in user]
        rows = np.array(user, np.int32)
        clicked = nothing if clicked is None else clicked
        ticks = [[0] * len(x) for x in clicked] if clicked_tick is None else clicked_tick
        table = FeatureTable(
            (),
            (),
            {},
            {},
            np.zeros(num_items, np.int64) if release is None else np.array(release, np.int64),
            np.full(num_items, NEVER),
        )
        return Observation(
            user=rows,
            session=np.zeros_like(rows),
            step=np.zeros_like(rows),
            tick=np.full(len(rows), tick, np.int64),
            device=np.zeros(len(rows), np.int8),
            clicked=_padded(clicked, left=True).astype(np.int32),
            clicked_tick=_padded(ticks, left=True),
            shown=_padded(nothing if shown is None else shown, left=False).astype(np.int32),
            features=table,
            blocked=_padded(nothing if blocked is None else blocked, left=False).astype(np.int32),
        )

    return make
