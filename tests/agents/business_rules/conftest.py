"""Requests and a log about items with public fields."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation
from tests.agents.business_rules.made_by_hand import with_fields


@pytest.fixture
def fielded(requests) -> Callable[..., Observation]:
    """`requests` for items with the given columns."""

    def make(user: Any, num_items: int, columns: dict[str, Any], **more: Any) -> Observation:
        observation = requests(user, num_items, **more)
        return replace(observation, features=with_fields(observation.features, **columns))

    return make


@pytest.fixture
def fielded_log(log) -> InteractionLog:
    """The planted log, whose items have a genre, a creator and tags."""
    item = np.arange(40)
    tags = np.random.default_rng(3).random((40, 5)) < 0.4
    return replace(log, features=with_fields(log.features, genre=item % 4, creator=item % 7, tags=tags))
