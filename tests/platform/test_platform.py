"""The platform serves everybody who is due: whatever the batch, with luck that no policy changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from agents.baselines import Popularity, Random
from agents.business_rules import RepeatRules
from agents.exploration import EpsilonGreedy
from recsim_lab.interaction_log import REQUEST_COLUMNS, SLOT_COLUMNS, InteractionLog, concatenate
from recsim_lab.platform import Platform, Probe, Retraining
from recsim_lab.policy import NEVER, TICKS_PER_DAY, Observation, Policy, top_items
from recsim_lab.simulation.choice import PositionBased
from recsim_lab.simulation.dynamics import ReturnTime
from recsim_lab.simulation.presets import make_world
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World

A = np.ndarray
SameLog = Callable[[InteractionLog, InteractionLog], None]
SameState = Callable[[Platform, Platform], None]


def _popular() -> Popularity:
    """Shows all the same: items of even number first."""
    agent = Popularity()
    agent.popularity = np.arange(120, dtype=np.float32) % 2 * -100 + np.arange(120, dtype=np.float32)
    return agent


def _first_items(observation: Observation, num_slots: int) -> A:
    return top_items(np.zeros((len(observation), observation.features.num_items)), observation.eligible(), num_slots)


# ---- batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "policy",
    [RepeatRules(Random()), RepeatRules(EpsilonGreedy(Popularity(), 0.3)), Popularity()],
    ids=["random", "epsilon-greedy", "popularity"],
)
def test_the_size_of_batches_changes_nothing(
    world: World, policy: Policy, assert_same_log: SameLog, assert_same_state: SameState
) -> None:
    platforms = [
        Platform(world, policy, seed=4, max_batch=max_batch, retraining=Retraining(2)) for max_batch in (4096, 7, 1)
    ]
    logs = [platform.run(3) for platform in platforms]
    for platform, log in zip(platforms[1:], logs[1:], strict=True):
        assert_same_log(logs[0], log)
        assert_same_state(platforms[0], platform)
        pd.testing.assert_frame_equal(platforms[0].daily(), platform.daily())


def test_how_many_are_served_at_once_changes_nothing(
    world: World, assert_same_log: SameLog, assert_same_state: SameState, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = RepeatRules(EpsilonGreedy(Popularity(), 0.2))
    whole = Platform(world, policy, seed=4, retraining=Retraining(1))
    whole.run(4)
    monkeypatch.setattr("recsim_lab.platform.platform.SERVED_AT_ONCE", 7)
    few = Platform(world, policy, seed=4, retraining=Retraining(1))
    few.run(4)
    assert_same_log(whole.log(), few.log())
    assert_same_state(whole, few)


def test_requests_come_in_batches(world: World, scripted: Callable[..., Any]) -> None:
    policy = scripted(_first_items)
    log = Platform(world, policy, seed=4, max_batch=7).run(3)
    assert sum(policy.num_requests) == len(log)
    assert max(policy.num_requests) == 7


# ---- luck ------------------------------------------------------------------------------------------------------


def test_what_one_user_is_shown_changes_nothing_for_others(world: World, scripted: Callable[..., Any]) -> None:
    first = Platform(world, scripted(_first_items), seed=4).run(6)
    one = np.bincount(first.user, first.clicks.sum(axis=1)).argmax()

    def all_but_one(observation: Observation, num_slots: int) -> A:
        items = _first_items(observation, num_slots)
        return np.where(observation.user[:, None] == one, items[:, ::-1] + 5, items)

    second = Platform(world, scripted(all_but_one), seed=4).run(6)
    others = [log.take(log.user != one) for log in (first, second)]
    for name in (*REQUEST_COLUMNS, *SLOT_COLUMNS):
        np.testing.assert_array_equal(getattr(others[0], name), getattr(others[1], name), err_msg=name)
    user = [log.take(log.user == one) for log in (first, second)]
    assert user[0].tick[0] == user[1].tick[0] and user[0].device[0] == user[1].device[0]
    assert not np.array_equal(user[0].clicks, user[1].clicks)


def test_days_that_are_forgotten_change_nothing(world: World, assert_same_log: SameLog) -> None:
    policy = RepeatRules(EpsilonGreedy(Popularity(), 0.2))
    retraining = Retraining(1, window_days=2)
    whole = Platform(world, policy, seed=6, retraining=retraining)
    short = Platform(world, policy, seed=6, retraining=retraining, days_in_memory=2)
    assert_same_log(whole.run(3), concatenate([short.run(day) for day in (1, 2, 3)]))
    assert_same_log(whole.run(7).between(5 * TICKS_PER_DAY, 7 * TICKS_PER_DAY), short.run(7))
    pd.testing.assert_frame_equal(whole.daily(), short.daily())


@pytest.mark.parametrize(
    ("days", "window", "message"),
    [
        (0, 1, "days_in_memory must be at least 1 or None, got 0"),
        (2, 3, "at least the window_days of retraining, got 2 for 3"),
        (2, None, "got 2 for a window of all days"),
    ],
)
def test_what_is_learned_from_is_held(world: World, days: int, window: int | None, message: str) -> None:
    retraining = Retraining(window_days=window)
    with pytest.raises(ValueError, match=message):
        Platform(world, Popularity(), retraining=retraining, days_in_memory=days)
    with pytest.raises(ValueError, match=message):
        Platform(world, Popularity()).fork(Popularity(), retraining, days_in_memory=days)


def test_a_reference_is_made_of_the_sessions_that_it_serves(world: World) -> None:
    platform = Platform(world, RepeatRules(Random()), seed=4)
    platform.run(2)
    given: list[Sessions] = []

    def reference(sessions: Sessions) -> Policy:
        given.append(sessions)
        return RepeatRules(Popularity())

    twin = platform.fork(reference)
    assert given == [twin.service.sessions] and given[0] is not platform.service.sessions
    twin.run(3)


def test_two_policies_meet_the_same_users_with_the_same_luck(world: World) -> None:
    """Where nothing that is shown changes users, visits are the same, and so is the luck of each slot."""
    still = replace(world, dynamics=(), choice=PositionBased(), session_steps=6)
    first, second = (Platform(still, policy, seed=4).run(3) for policy in (Random(), _popular()))
    for name in ("tick", "user", "session", "step", "device", "left"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    same = first.slate == second.slate
    assert same.sum() > 20 and not same.all()
    np.testing.assert_array_equal(first.clicks[same], second.clicks[same])
    np.testing.assert_array_equal(first.dwell[same], second.dwell[same])


def test_luck_goes_on_after_one_arm_has_left_earlier(world: World, scripted: Callable[..., Any]) -> None:
    """A user's n-th visit has the same device and part of the day in both arms, however long the others were."""
    first = Platform(world, scripted(_first_items), seed=4).run(8)
    second = Platform(world, RepeatRules(Random()), seed=4).run(8)
    tables = [
        log.take(log.step == 0).to_frame().query("slot == 0").set_index(["user", "session"]) for log in (first, second)
    ]
    both = tables[0].merge(tables[1], left_index=True, right_index=True, suffixes=("_first", "_second"))
    assert len(both) > 100
    np.testing.assert_array_equal(both["device_first"], both["device_second"])
    parts = [both[f"tick_{arm}"] % TICKS_PER_DAY for arm in ("first", "second")]
    np.testing.assert_array_equal(parts[0], parts[1])
    assert (both["tick_first"] != both["tick_second"]).any()
    assert not np.array_equal(np.bincount(first.session), np.bincount(second.session))


def test_the_seed_is_all_there_is(world: World, assert_same_log: SameLog) -> None:
    first = Platform(world, RepeatRules(Random()), seed=4).run(3)
    np.random.seed(1)  # noqa: NPY002  (the global generator must not matter)
    assert_same_log(first, Platform(world, RepeatRules(Random()), seed=4).run(3))
    other = Platform(world, RepeatRules(Random()), seed=5).run(3)
    assert len(other) != len(first) or not np.array_equal(other.slate, first.slate)


# ---- the service -----------------------------------------------------------------------------------------------


def test_sessions_are_served_whole_at_their_tick_in_order_of_time(world: World) -> None:
    platform = Platform(world, RepeatRules(Random()), seed=4)
    log = platform.run(5)
    assert (np.diff(log.tick) >= 0).all() and log.day.max() == 4
    frame = log.to_frame().query("slot == 0")
    for _, visit in frame.groupby(["user", "session"]):
        assert visit["tick"].nunique() == 1 and visit["device"].nunique() == 1
        np.testing.assert_array_equal(visit["step"], np.arange(len(visit)))
        np.testing.assert_array_equal(visit["left"], np.arange(len(visit)) == len(visit) - 1)
    for _, visits in frame[frame["step"] == 0].groupby("user"):
        np.testing.assert_array_equal(visits["session"], np.arange(len(visits)))
        assert (np.diff(visits["tick"] // TICKS_PER_DAY) >= 1).all()


def test_a_day_at_a_time_is_the_same_as_all_at_once(world: World, assert_same_log: SameLog) -> None:
    whole = Platform(world, RepeatRules(Random()), seed=4)
    log = whole.run(5)
    daily = Platform(world, RepeatRules(Random()), seed=4)
    done: list[int] = []
    parts = [daily.run(day, progress=done.append) for day in (1, 1, 3, 5)]
    assert done == [1, 2, 3, 4, 5] and len(parts[1]) == 0
    assert_same_log(log, daily.log())
    assert sum(map(len, parts)) == len(log)
    pd.testing.assert_frame_equal(whole.daily(), daily.daily())


def test_the_daily_figures_are_those_of_the_log(world: World) -> None:
    platform = Platform(world, RepeatRules(Random()), seed=4)
    log = platform.run(6)
    daily = platform.daily()
    assert len(daily) == 6
    for row in daily.itertuples():
        today = log.take(log.day == row.day)
        assert row.num_slates == len(today)
        assert row.num_visits == (today.step == 0).sum()
        assert row.num_users == len(np.unique(today.user))
        assert row.clicks_per_slate == pytest.approx(today.clicks.sum(axis=1).mean())
        assert row.reward_per_slate == pytest.approx(today.reward.mean(), rel=1e-6)
        assert row.num_on_offer == 80 + 2 * row.day
    assert daily["num_churned"].iloc[-1] == (platform.service.due == NEVER).sum()
    # Days until the next visit, of those who came again within the days seen and those who are still expected.
    visits = log.to_frame().query("slot == 0 and step == 0")
    due = pd.Series(platform.service.due, name="tick").rename_axis("user").reset_index()
    following = pd.concat([visits[["user", "tick"]], due[due["tick"] < NEVER]]).sort_values(["user", "tick"])
    gap = (following["tick"] // TICKS_PER_DAY).groupby(following["user"]).diff(-1).dropna().abs()
    assert daily["num_returns"].sum() == len(gap)
    assert (daily["return_days"] * daily["num_returns"]).sum() == pytest.approx(gap.sum())


def test_items_are_shown_from_their_release_on(world: World, scripted: Callable[..., Any]) -> None:
    def newest(observation: Observation, num_slots: int) -> A:
        scores = np.tile(np.arange(observation.features.num_items, dtype=np.float32), (len(observation), 1))
        return top_items(scores, observation.eligible(), num_slots)

    log = Platform(world, scripted(newest), seed=4).run(6)
    np.testing.assert_array_equal(log.slate[:, 0], 79 + 2 * log.day)


def test_everybody_leaves_and_nothing_happens_any_more(world: World) -> None:
    gone = replace(world.dynamics[-1], churn=1.0, churn_weight=0.0)
    assert isinstance(gone, ReturnTime)
    platform = Platform(replace(world, dynamics=(*world.dynamics[:-1], gone)), RepeatRules(Random()), seed=4)
    log = platform.run(40)
    assert (np.bincount(log.user[log.step == 0], minlength=60) == 1).all()
    daily = platform.daily()
    assert len(daily) == 40
    assert daily["num_churned"].iloc[-1] == 60 and daily["num_slates"].iloc[-1] == 0
    assert len(platform.run(41)) == 0
    assert np.isnan(daily["clicks_per_slate"].iloc[-1])


def test_the_probe_sees_the_truth_just_before_the_answer(world: World) -> None:
    seen: list[tuple[A, A, A]] = []
    moments: list[A] = []

    class Watching(Probe):
        def __call__(self, sessions: Sessions, rows: A, observation: Observation, slates: A) -> None:
            np.testing.assert_array_equal(sessions.state["profile"][rows], observation.user)
            np.testing.assert_array_equal(sessions.state["step"][rows], observation.step)
            moments.append(np.stack([observation.tick, observation.step]))
            seen.append((observation.user, slates, world.click_probability(sessions.state, rows, slates)))

        def figures(self) -> dict[str, float]:
            return {"num_seen": sum(len(users) for users, _, _ in seen)}

    platform = Platform(world, RepeatRules(Random()), seed=4, probe=Watching())
    log = platform.run(8)
    np.testing.assert_array_equal(platform.daily()["num_seen"], platform.daily()["num_slates"].cumsum())
    tick, step = np.concatenate(moments, axis=1)
    by_time = np.lexsort((step, tick))
    users, slates, chances = (np.concatenate(values)[by_time] for values in zip(*seen, strict=True))
    np.testing.assert_array_equal(users, log.user)
    np.testing.assert_array_equal(slates, log.slate)
    chance = chances.sum(axis=1)
    clicks = log.clicks.sum(axis=1)
    # At most one click a slate: the sum of Bernoulli trials, 4 standard deviations.
    assert len(log) > 500
    assert abs(clicks.sum() - chance.sum()) < 4 * np.sqrt((chance * (1 - chance)).sum())


# ---- forks -----------------------------------------------------------------------------------------------------


def test_a_fork_leaves_the_parent_untouched(
    world: World, assert_same_log: SameLog, assert_same_state: SameState
) -> None:
    alone = Platform(world, RepeatRules(Random()), seed=4)
    alone.run(6)
    parent = Platform(world, RepeatRules(Random()), seed=4)
    parent.run(3)
    twin = parent.fork(_popular(), Retraining())
    assert_same_state(parent, twin)
    twin.run(6)
    assert parent.service.day == 3 and len(parent.service.daily) == 3
    parent.run(6)
    assert_same_state(parent, alone)
    assert_same_log(parent.log(), alone.log())
    assert not np.array_equal(twin.log().slate[-50:], alone.log().slate[-50:])


def test_twins_under_one_policy_are_equal(world: World, assert_same_log: SameLog, assert_same_state: SameState) -> None:
    parent = Platform(world, RepeatRules(Random()), seed=4)
    parent.run(3)
    twins = [parent.fork(RepeatRules(EpsilonGreedy(Popularity(), 0.2)), Retraining()) for _ in range(2)]
    twins.append(parent.fork(RepeatRules(Random())))
    logs = [twin.run(6) for twin in twins]
    assert_same_log(logs[0], logs[1])
    assert_same_state(twins[0], twins[1])
    assert_same_log(logs[2], parent.run(6))
    assert_same_state(twins[2], parent)
    # The fork's log begins with the parent's past.
    assert_same_log(twins[2].log(), parent.log())


# ---- errors and edges ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (
            lambda items: np.where(np.arange(5) == 4, items[:, :1], items),
            r"distinct, policy 'scripted' gave \[0, 1, 2, 3, 0\]",
        ),
        (lambda items: items + 76, "items must be on offer, policy 'scripted' gave item 80 at tick"),
        (lambda items: items + 116, r"items of policy 'scripted' must be in \[0, 120\), got 116 to 120"),
        (lambda items: items - 1, r"items of policy 'scripted' must be in \[0, 120\), got -1 to 3"),
        (lambda items: items[:, :4], "a slate must have 5 slots, got 4"),
        (lambda items: np.concatenate([items, items[:1]]), "must give a slate for each of"),
    ],
    ids=["repeated", "not-on-offer", "unknown", "negative", "short", "too-many"],
)
def test_a_policy_that_errs_is_named(
    world: World, scripted: Callable[..., Any], items: Callable[[A], A], message: str
) -> None:
    policy = scripted(lambda observation, num_slots: items(_first_items(observation, num_slots)))
    with pytest.raises(ValueError, match=message):
        Platform(world, policy).run(1)


def test_a_policy_whose_scores_are_not_numbers(world: World, scripted: Callable[..., Any]) -> None:
    def blind(observation: Observation, num_slots: int) -> A:
        return top_items(np.full((len(observation), 120), np.nan), observation.eligible(), num_slots)

    with pytest.raises(ValueError, match="scores must not be NaN"):
        Platform(world, scripted(blind)).run(1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"max_batch": 0}, "max_batch must be at least 1, got 0"),
        ({"num_slots": 121}, "num_slots must be at most the number of items, got 121 of 120"),
        ({"num_slots": 0}, "num_slots must be at least 1, got 0"),
        ({"history": 0}, "history must be at least 1, got 0"),
        ({"seed": -1}, r"seed must be in \[0, 2\^64\), got -1"),
        ({"seed": 2**64}, r"seed must be in \[0, 2\^64\), got 18446744073709551616"),
    ],
)
def test_a_wrong_parameter_is_named(world: World, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Platform(world, Random(), **wrong)  # type: ignore[arg-type]


def test_only_agents_can_be_retrained(world: World, scripted: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="retraining needs an Agent, got the policy 'scripted'"):
        Platform(world, scripted(_first_items), retraining=Retraining())
    with pytest.raises(ValueError, match="retraining needs an Agent, got the policy 'scripted'"):
        Platform(world, Random()).fork(scripted(_first_items), Retraining())


def test_a_platform_that_stopped_inside_a_day_does_not_go_on(
    world: World, scripted: Callable[..., Any], assert_same_log: SameLog, tmp_path: Path
) -> None:
    whole = Platform(world, scripted(_first_items), seed=4).run(4)
    fails = True

    def failing(observation: Observation, num_slots: int) -> A:
        if fails and observation.tick[-1] >= 2 * TICKS_PER_DAY + 600:
            raise ZeroDivisionError
        return _first_items(observation, num_slots)

    platform = Platform(world, scripted(failing), seed=4, folder=tmp_path)
    with pytest.raises(ZeroDivisionError):
        platform.run(4)
    fails = False
    for broken in (platform, platform.fork(Random())):
        with pytest.raises(RuntimeError, match="stopped this platform inside day 2; make it anew"):
            broken.run(4)
    assert_same_log(platform.log(), whole.take(whole.day < 2))
    anew = Platform(world, scripted(failing), seed=4, folder=tmp_path)
    anew.run(4)
    assert_same_log(anew.log(), whole)


def test_days_are_not_negative(world: World) -> None:
    with pytest.raises(ValueError, match="days counts from day 0 and must be at least the 0 served, got -1"):
        Platform(world, Random()).run(-1)
    platform = Platform(world, Random())
    assert len(platform.run(0)) == 0
    platform.run(2)
    with pytest.raises(ValueError, match="must be at least the 2 served, got 1"):
        platform.fork(Random()).run(1)


@pytest.mark.parametrize(("num_users", "num_items", "num_slots"), [(1, 1, 1), (1, 6, 6), (30, 6, 6), (30, 1, 1)])
def test_the_smallest_worlds(num_users: int, num_items: int, num_slots: int) -> None:
    small = make_world("everyday", num_users=num_users, num_items=num_items, num_slots=num_slots, new_items_a_day=0)
    platform = Platform(small, RepeatRules(Random()), retraining=Retraining())
    log = platform.run(10)
    assert len(log) > 10
    np.testing.assert_array_equal(np.sort(log.slate, axis=1), np.tile(np.arange(num_items), (len(log), 1)))


def test_a_slate_longer_than_what_is_on_offer(world: World) -> None:
    # 120 items in the catalogue, 80 of them released on day 0.
    with pytest.raises(ValueError, match="num_slots must be at most the items on offer on day 0, got 100 of 80"):
        Platform(world, Random(), num_slots=100).run(1)
