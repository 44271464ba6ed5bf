"""Users are divided for good, and whoever is served by a policy lives as in a world where it serves everybody."""

from dataclasses import replace

import numpy as np
import pytest

from agents.baselines import Popularity
from agents.business_rules import RepeatRules
from agents.ease import EASE
from agents.exploration import EpsilonGreedy
from agents.mixing import ByUser, credit
from agents.registry import make_agent
from recsim_lab.interaction_log import REQUEST_COLUMNS, SLOT_COLUMNS
from recsim_lab.platform import Platform, Retraining
from recsim_lab.policy import TICKS_PER_DAY, Agent
from recsim_lab.simulation.presets import make_world
from recsim_lab.streams import draws_of

LOG_DAYS, DAYS = 2, 5


@pytest.fixture(scope="module")
def platform():
    everyday = make_world("everyday", num_users=60, num_items=80, num_slots=5, new_items_a_day=2, days=20)
    platform = Platform(replace(everyday, session_steps=4), RepeatRules(make_agent("random")), history=64)
    platform.run(LOG_DAYS)
    return platform


def learned(agent, platform):
    agent.learn(platform.log())
    return agent


def rows_of(log, users):
    """All columns of these users' rows but the sources, whose numbers depend on who else is in the log."""
    some = log.take(np.isin(log.user, users))
    some = some.take(np.lexsort((some.step, some.session, some.user)))
    columns = {name: getattr(some, name) for name in (*REQUEST_COLUMNS, *SLOT_COLUMNS)}
    return columns | {"source": np.array(some.sources)[some.source]}


def test_users_of_an_arm_live_as_if_it_served_everybody(platform):
    """No interference without learning: the rows of A's users are those they have where all are A's, bit by bit."""
    arms = (learned(EASE(), platform), EpsilonGreedy(learned(Popularity(), platform), 0.3))
    twins = [platform.fork(RepeatRules(arm)).run(LOG_DAYS + DAYS) for arm in arms]
    mix = ByUser(arms)
    test = platform.fork(RepeatRules(mix)).run(LOG_DAYS + DAYS)
    everyone = np.arange(60)
    for place, twin in enumerate(twins):
        own = everyone[mix.arms(everyone) == place]
        told, lived = rows_of(test, own), rows_of(twin, own)
        told["source"] = np.char.replace(told["source"], f"{arms[place].name}/", "")
        for name, values in told.items():
            np.testing.assert_array_equal(values, lived[name], err_msg=name)
    # And it matters who serves them.
    assert not np.array_equal(rows_of(test, everyone)["slate"][:200], rows_of(twins[0], everyone)["slate"][:200])


def test_who_is_served_by_whom_stands_in_the_log(platform):
    mix = ByUser((learned(EASE(), platform), learned(Popularity(), platform)))
    log = platform.fork(mix).run(LOG_DAYS + 1)
    assert log.sources == ("ease", "popularity")
    assert np.array_equal(log.source, np.repeat(mix.arms(log.user)[:, None], 5, axis=1))
    told = credit(log, mix.names).clicks
    assert not told[np.arange(len(log)), 1 - mix.arms(log.user)].any()


def test_pooled_policies_learn_from_all_and_diverted_ones_from_their_own_users(platform):
    start = LOG_DAYS * TICKS_PER_DAY
    shared, own = (
        ByUser((learned(EASE(), platform), learned(Popularity(), platform)), diverted_from=since)
        for since in (None, start)
    )
    test = platform.fork(shared)
    test.run(LOG_DAYS + 2)
    log = test.log()
    shared.learn(log)
    own.learn(log)
    requests = log.observations(np.arange(len(log) - 20, len(log)))
    before, arm = log.tick < start, own.arms(log.user)
    for mix, kept in ((shared, [slice(None)] * 2), (own, [before | (arm == place) for place in range(2)])):
        for policy, rows, fresh in zip(mix.policies, kept, (EASE(), Popularity()), strict=True):
            fresh.learn(log.take(rows))
            np.testing.assert_array_equal(policy.scores(requests), fresh.scores(requests))
    assert not np.array_equal(own.policies[1].scores(requests), shared.policies[1].scores(requests))


def test_a_test_is_retrained_and_goes_on_from_its_file(platform, tmp_path):
    def mix() -> Agent:
        return ByUser((make_agent("ease"), make_agent("popularity")), diverted_from=LOG_DAYS * TICKS_PER_DAY)

    test = platform.fork(RepeatRules(learned(mix(), platform)), Retraining(1))
    test.run(LOG_DAYS + 2)
    assert test.service.num_retrainings == 2
    agent = test.service.learner
    agent.save(tmp_path / "mix")
    again = RepeatRules(mix())
    again.load(tmp_path / "mix")
    requests = test.log().observations(np.arange(20))
    draws = draws_of(3, requests.user)
    assert np.array_equal(again.recommend(requests, 5, draws).items, agent.recommend(requests, 5, draws).items)


def test_names_tell_how_users_are_divided():
    arms = EASE(), Popularity()
    assert ByUser(arms).name == "by-user(ease; popularity)"
    named = ByUser(arms, "spring", (0.9, 0.1), 2880).name
    assert named == "by-user(ease; popularity):salt=spring,shares=0.9/0.1,diverted_from=2880"
    assert ByUser(arms).ranker is arms[0]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"shares": (1.0,)}, r"shares must be one for each of 2 policies, got \(1.0,\)"),
        ({"shares": (0.5, 0.6)}, r"shares must be at least 0 and add up to 1, got \(0.5, 0.6\)"),
        ({"diverted_from": -1}, "diverted_from must be a tick of at least 0 or None, got -1"),
    ],
)
def test_bad_divisions_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        ByUser((EASE(), Popularity()), **fields)
