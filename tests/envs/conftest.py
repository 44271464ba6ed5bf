"""Small presets and a world whose users soon leave for good, for the tests of environments."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from recsim_lab.envs.registration import MAX_STEPS
from recsim_lab.simulation.dynamics import ReturnTime
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.world import World

SIZE: dict[str, Any] = {"num_users": 50, "num_items": 60}
NEW_ITEMS: dict[str, Any] = {"new_items_a_day": 2, "days": 5}
SMALL: dict[str, dict[str, Any]] = {
    **dict.fromkeys(MAX_STEPS, SIZE),
    "everyday": SIZE | NEW_ITEMS,
    "static": SIZE | NEW_ITEMS,
    "movielens": {},
}


@pytest.fixture(params=MAX_STEPS)
def preset(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Each preset's name, with the parameters that make it small."""
    return request.param, SMALL[request.param]


@pytest.fixture(scope="session")
def everyday() -> World:
    return make_world("everyday", num_slots=4, **SIZE, **NEW_ITEMS)


@pytest.fixture(scope="session")
def leaving(everyday: World) -> Callable[[float], World]:
    """Everyday users who leave for good at a session's end with the given chance."""

    def make(churn: float) -> World:
        last = replace(everyday.dynamics[-1], churn=churn, churn_weight=0.0)
        assert isinstance(last, ReturnTime)
        return replace(everyday, dynamics=(*everyday.dynamics[:-1], last))

    return make
