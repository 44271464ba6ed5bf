"""Online metrics against the log told literally, and regret against the oracle."""

import math

import numpy as np
import pytest

from agents.baselines import Random
from agents.business_rules import RepeatRules
from recsim_lab.evaluation.online import ONLINE_METRICS, TruthProbe, expected_clicks, follow
from recsim_lab.evaluation.oracle import FixedScores, Oracle
from recsim_lab.platform import Platform
from recsim_lab.policy import NEVER, TICKS_PER_DAY, Policy
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World
from recsim_lab.streams import draws_of

A = np.ndarray


@pytest.fixture(scope="module")
def world() -> World:
    return make_world("everyday", num_users=80, num_items=100, num_slots=5, new_items_a_day=1, days=10)


@pytest.fixture(scope="module")
def logged(world: World) -> Platform:
    platform = Platform(world, RepeatRules(Random()), seed=1)
    platform.run(3)
    return platform


def test_the_metrics_are_what_their_names_say(logged: Platform) -> None:
    twin = logged.fork(RepeatRules(Random()))
    due_before = twin.service.due.copy()
    log, metrics = follow(twin, None, 6)
    assert set(metrics) == set(ONLINE_METRICS)
    here = np.flatnonzero(due_before < NEVER)
    assert set(log.day) == set(range(3, 9))

    visits: dict[tuple[int, int], list[int]] = {}
    for row in range(len(log)):
        visits.setdefault((int(log.user[row]), int(log.session[row])), []).append(row)
    assert metrics["clicks_per_slate"] == pytest.approx(log.clicks.sum() / len(log))
    assert metrics["reward_per_slate"] == pytest.approx(log.reward.sum() / len(log), rel=1e-6)
    assert metrics["clicks_per_session"] == pytest.approx(np.mean([log.clicks[rows].sum() for rows in visits.values()]))
    assert metrics["dwell_minutes"] == pytest.approx(np.mean([log.dwell[rows].sum() for rows in visits.values()]))
    assert metrics["session_length"] == pytest.approx(np.mean([len(rows) for rows in visits.values()]))
    assert metrics["visits_per_user"] == pytest.approx(len(visits) / len(here))
    due = twin.service.due
    assert metrics["churn"] == pytest.approx(np.mean([due[user] == NEVER for user in here]))
    satisfaction = twin.service.sessions.state["satisfaction"]
    assert metrics["satisfaction"] == pytest.approx(np.mean(satisfaction[here]), rel=1e-5)
    days = []
    for (user, session), rows in visits.items():
        following = visits.get((user, session + 1))
        tick = int(log.tick[following[0]]) if following else int(due[user])
        if tick < NEVER:
            days.append(tick // TICKS_PER_DAY - int(log.tick[rows[0]]) // TICKS_PER_DAY)
    assert metrics["return_days"] == pytest.approx(np.mean(days))
    assert math.isnan(metrics["true_utility"]) and math.isnan(metrics["regret"])


def test_return_days_are_those_of_the_days_followed(world: World) -> None:
    """A platform that has run before is measured from now on."""
    platform = Platform(world, RepeatRules(Random()), seed=1)
    platform.run(3)
    twin = platform.fork(RepeatRules(Random()))
    assert follow(platform, None, 3)[1] == pytest.approx(follow(twin, None, 3)[1], nan_ok=True)


def test_the_oracle_does_not_regret_its_own_slates(logged: Platform) -> None:
    twin = logged.fork(Random())
    twin.service.policy = RepeatRules(Oracle(twin.world).watch(twin.service.sessions))
    _, metrics = follow(twin, _ruled_oracle(twin), 3, probe_share=1.0)
    assert metrics["regret"] == 0
    _, of_random = follow(logged.fork(RepeatRules(Random())), _ruled_oracle(twin), 3, probe_share=1.0)
    assert of_random["regret"] > 0.1
    assert metrics["true_utility"] > of_random["true_utility"] + 0.5


def _ruled_oracle(platform: Platform):  # type: ignore[no-untyped-def]
    def make(sessions: Sessions) -> Policy:
        return RepeatRules(Oracle(platform.world).watch(sessions))

    return make


def test_the_probe_looks_at_its_share_of_requests_and_changes_nothing(logged: Platform) -> None:
    watched, alone = (logged.fork(RepeatRules(Random())) for _ in range(2))
    log, metrics = follow(watched, _ruled_oracle(logged), 5, probe_share=0.3)
    assert isinstance(watched.probe, TruthProbe)
    share = len(watched.probe.regret) / len(log)
    assert abs(share - 0.3) < 4.5 * np.sqrt(0.3 * 0.7 / len(log))
    assert metrics["regret"] == pytest.approx(np.mean(watched.probe.regret))
    other = alone.run(8)
    np.testing.assert_array_equal(log.slate, other.slate)
    np.testing.assert_array_equal(log.clicks, other.clicks)


def test_expected_clicks_are_those_of_whole_visits_of_users_who_never_answer(logged: Platform, world: World) -> None:
    """Against a twin that blocks what was shown by hand, one step after the other."""
    rng = np.random.default_rng(4)
    table = rng.normal(size=(80, world.catalogue.num_items)).astype(np.float32)
    policy = RepeatRules(FixedScores(table, "fixed"))
    state = logged.service.sessions.copy().state
    service = logged.service
    rows = np.flatnonzero(service.due < NEVER)
    sessions = service.sessions.copy()
    sessions.open(rows, service.due[rows])
    observation, shown, clicks = sessions.observe(rows), np.zeros((len(rows), 0), np.int32), []
    slates_at = np.bincount(logged.log().step)[:15]
    for _ in slates_at:
        asked = observation.block(shown)
        slates = policy.recommend(asked, 5, draws_of(0, rows)).items
        clicks.append(world.click_probability(sessions.state, rows, slates).sum(axis=1).mean())
        shown = np.concatenate([shown, slates], axis=1)
    assert len(slates_at) > 5 and clicks[0] != pytest.approx(clicks[3])
    assert expected_clicks(logged, policy) == pytest.approx(np.average(clicks, weights=slates_at))
    for name, values in state.items():
        np.testing.assert_array_equal(values, service.sessions.state[name])


def test_expected_clicks_leave_out_visits_after_all_items_are_gone() -> None:
    brief = make_world(
        "everyday", num_users=60, num_items=300, num_slots=2, lifetime_days=3, new_items_a_day=60, days=4
    )
    platform = Platform(brief, RepeatRules(Random()), seed=1)
    platform.run(3)
    policy = RepeatRules(FixedScores(np.zeros((60, brief.catalogue.num_items), np.float32), "fixed"))
    late, gone = (platform.fork(platform.service.policy) for _ in range(2))
    coming = np.flatnonzero(platform.service.due < NEVER)
    late.service.due[coming[::2]] = 100 * TICKS_PER_DAY
    gone.service.due[coming[::2]] = NEVER
    assert late.features.num_on_offer(late.service.due[coming]).min() == 0
    assert 0 < expected_clicks(late, policy) == expected_clicks(gone, policy)
    late.service.due[coming] = 100 * TICKS_PER_DAY
    assert math.isnan(expected_clicks(late, policy))


def test_expected_clicks_do_not_depend_on_how_many_are_asked_at_once(logged: Platform, world: World) -> None:
    table = np.random.default_rng(4).normal(size=(80, world.catalogue.num_items)).astype(np.float32)
    few = logged.fork(logged.service.policy)
    few.max_batch = 7
    for policy in (RepeatRules(FixedScores(table, "fixed")), RepeatRules(Random())):
        assert expected_clicks(few, policy) == expected_clicks(logged, policy)


def test_another_luck_is_another_replicate_of_the_same_users(logged: Platform) -> None:
    policy = RepeatRules(Random())
    same, again, other, others_twin = (
        follow(logged.fork(policy, luck=luck), None, 2)[0] for luck in (None, None, "other", "other")
    )
    for log, twin in ((same, again), (other, others_twin)):
        np.testing.assert_array_equal(log.slate, twin.slate)
        np.testing.assert_array_equal(log.clicks, twin.clicks)
    assert same.clicks.sum() != other.clicks.sum() or not np.array_equal(same.user, other.user)
    # When users are due next was drawn before.
    first = same.tick.min()
    assert set(same.user[same.tick == first]) == set(other.user[other.tick == first])


def test_a_platform_that_nobody_visits(world: World) -> None:
    platform = Platform(world, RepeatRules(Random()), seed=1)
    platform.service.due[:] = NEVER
    log, metrics = follow(platform, _ruled_oracle(platform), 2)
    assert len(log) == 0
    assert metrics["visits_per_user"] == 0
    assert all(math.isnan(value) for name, value in metrics.items() if name != "visits_per_user")


def test_a_wrong_share_is_named(world: World) -> None:
    with pytest.raises(ValueError, match=r"share must be in \[0, 1\], got 1.5"):
        TruthProbe(world, Random(), 1.5)
