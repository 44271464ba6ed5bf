"""The repeat rules hold on what a platform really showed, if its observations reach far enough back."""

from dataclasses import replace

import numpy as np
import pytest

from agents.business_rules import RepeatRules
from recsim_lab.evaluation.oracle import Oracle
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform
from recsim_lab.policy import TICKS_PER_DAY
from recsim_lab.simulation.presets import make_world

DAYS = 7


def served(history: int) -> InteractionLog:
    """Nine days of an oracle under the rules: users who come every day and click on most slates."""
    world = make_world("static", num_users=30, num_items=400)
    world = replace(world, choice=replace(world.choice, no_click=1.0))
    platform = Platform(world, RepeatRules(Oracle(world), DAYS), history=history)
    platform.service.policy.policy.watch(platform.service.sessions)
    return platform.run(9)


def num_repeats(log: InteractionLog) -> tuple[int, int]:
    """Slots with an item that the user had clicked less than seven days before, and that the session had shown."""
    clicked: dict[tuple[int, int], int] = {}
    shown: set[tuple[int, int, int]] = set()
    of_days = of_session = 0
    for row in np.lexsort((log.step, log.session, log.user)):
        user, session, tick = int(log.user[row]), int(log.session[row]), int(log.tick[row])
        for item in log.slate[row].tolist():
            of_days += tick - clicked.get((user, item), -(10**9)) < DAYS * TICKS_PER_DAY
            of_session += (user, session, item) in shown
            shown.add((user, session, item))
        for item in log.slate[row][log.clicks[row]].tolist():
            clicked[user, item] = tick
    return of_days, of_session


@pytest.mark.parametrize(("history", "keeps"), [(128, True), (8, False)])
def test_nothing_is_repeated_within_reach_of_the_history(history, keeps):
    log = served(history)
    assert log.clicks.sum() > 30 * 60  # more clicks in seven days than a short history holds
    of_days, of_session = num_repeats(log)
    assert of_session == 0
    assert (of_days == 0) == keeps
