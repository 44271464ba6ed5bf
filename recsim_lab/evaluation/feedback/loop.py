"""One arm of a feedback loop: serve, learn, and measure the bubble as it goes.

All that is measured while an arm serves is on disk by the end of the day, beside the platform's checkpoint, so a killed
run goes on from the last whole day.
"""

import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from recsim_lab.evaluation.bubble.interactions import Interactions, Window, joined, topic_counts
from recsim_lab.evaluation.bubble.measure import Measured, measure, preference_metrics
from recsim_lab.evaluation.bubble.metrics import METRICS
from recsim_lab.evaluation.dividend import dividend_rewards
from recsim_lab.evaluation.feedback.moment import Start, model_nearest, natural_preferences, preferences_at
from recsim_lab.evaluation.feedback.plan import NOBODY, START, Arm, FeedbackPlan, LoopUnit
from recsim_lab.evaluation.feedback.worth import evaluability, worth_of_log
from recsim_lab.evaluation.online import TruthProbe
from recsim_lab.evaluation.oracle import make_reference
from recsim_lab.evaluation.plan import Factories
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.interaction_log import InteractionLog, read_log
from recsim_lab.platform import Platform, Reference, Retraining
from recsim_lab.platform.checkpoint import is_kept
from recsim_lab.policy import NEVER, TICKS_PER_DAY, Policy
from recsim_lab.simulation.sessions import Sessions

A = np.ndarray

Days = Callable[[LoopUnit, int, int], None]
"""Called with a unit and the days of its loop, those done and all: when the loop begins or goes on, and after each."""


def run_arm(
    unit: LoopUnit, plan: FeedbackPlan, factories: Factories, folder: Path, each_day: Days | None = None
) -> None:
    """Serve an arm to the end of its loop and write its `result.json` and `users.npz`."""
    start = start_of_loop(unit.seed, plan, factories, folder)
    arm, place = plan.by_name[unit.arm], folder / "units" / unit.folder
    platform = _platform(arm, unit.seed, start, plan, factories, place)
    loop = _Loop(arm, plan, start, place)
    loop.catch_up(platform)
    if each_day is not None:
        each_day(unit, platform.service.day - plan.log_days, plan.loop_days)
    for day in range(platform.service.day, plan.end_day):
        platform.run(day + 1)
        loop.take(platform)
        if each_day is not None:
            each_day(unit, day + 1 - plan.log_days, plan.loop_days)
    result: dict[str, Any] = {
        "daily": [row for row in platform.service.daily if row["day"] >= plan.log_days],
        "num_retrainings": platform.service.num_retrainings,
        "bubble": loop.measured(),
        "rewards": _rewards(unit, arm, platform, plan, factories, folder),
        "worth": _worth(unit.seed, platform, start, plan, factories, folder),
    }
    loop.write_users(platform)
    RunFolder(place).write_text("result.json", json.dumps(result))
    if arm != plan.baseline:  # whose model and users the others are compared with
        shutil.rmtree(place / "platform")


class _Loop:
    """What has been measured of an arm so far."""

    def __init__(self, arm: Arm, plan: FeedbackPlan, start: Start, place: Path) -> None:
        self.arm, self.plan, self.start, self.place = arm, plan, start, place
        self.before = [Window(log.user, log.slate, log.clicks).clicked for log in start.platform.logs()]
        self.clicks: list[Interactions] = []
        self.shown = np.zeros((start.ground.num_users, start.ground.num_topics), np.int64)
        self.welfare: list[dict[str, float]] = []

    def catch_up(self, platform: Platform) -> None:
        """Read the days that were served before the run was stopped."""
        for day in range(self.plan.log_days, platform.service.day):
            self._note(read_log(self.place / "platform" / "log", range(day, day + 1)))
        if platform.service.day > self.plan.log_days:
            self._measure(platform)

    def take(self, platform: Platform) -> None:
        """The day that has just ended."""
        self._note(platform.log(platform.service.day - 1))
        self._measure(platform)

    def _note(self, log: InteractionLog) -> None:
        self.clicks.append(Window(log.user, log.slate, log.clicks).clicked)
        ground = self.start.ground
        self.shown += topic_counts(Interactions(log.user, log.slate), ground.topic, *self.shown.shape)
        self.welfare.append(_welfare(log, ground.mainstream))

    def _measure(self, platform: Platform) -> None:
        """Measure the bubble if this is a day for it, unless it has been measured already."""
        plan, start, day = self.plan, self.start, platform.service.day
        file = self.place / "bubble" / f"day={day}.json"
        if day - plan.log_days not in plan.measured_days or file.exists():
            return
        first_day = max(day - plan.recent_days, plan.log_days)
        window = _window(platform, first_day)
        sessions, features = platform.service.sessions, platform.features
        nearest = model_nearest(start, sessions, platform.service.policy, day)
        preference = preferences_at(sessions, day)
        rows = measure(
            window,
            joined(*self.before, *self.clicks[: first_day - plan.log_days]),
            preference,
            natural_preferences(start, self.arm.luck, day),
            start.ground,
            start.pairs | ({} if nearest is None else {"model_nearest": nearest}),
            on_offer=(features.release < day * TICKS_PER_DAY) & (features.withdrawal > first_day * TICKS_PER_DAY),
            new=features.release >= plan.log_days * TICKS_PER_DAY,
            likes=start.likes,
        )
        content = {
            "day": day - plan.log_days,
            "rows": [vars(row) for row in rows],
            "apart": self._apart(day),
            "examples": self._examples(window.shown, preference),
        }
        RunFolder(file.parent).write_text(file.name, json.dumps(content))

    def _apart(self, day: int) -> dict[str, list[dict[str, Any]]]:
        """What preferences are without any arm, told beside the baseline: at the start, and with nobody served."""
        if self.arm != self.plan.baseline:
            return {}
        ground, natural = self.start.ground, natural_preferences(self.start, self.arm.luck, day)
        told = {}
        for run, preference in ((START, ground.preference), (NOBODY, natural)):
            values = preference_metrics(preference, preference, ground, self.start.pairs)
            metrics = (metric for metric in METRICS if metric.level == "preference")
            told[run] = [vars(Measured(m.level, m.direction, m.name, values[m.name])) for m in metrics]
        return told

    def _examples(self, shown: Interactions, preference: A) -> dict[str, list[Any]]:
        """How often each topic was shown to each of the example users in the window, and what they prefer now."""
        examples = np.zeros(len(self.shown), bool)
        examples[self.start.examples] = True
        counts = topic_counts(shown.of(examples), self.start.ground.topic, *self.shown.shape)
        return {
            "shown": counts[self.start.examples].tolist(),
            "taste": self.start.tastes(preference).tolist(),
        }

    def measured(self) -> list[dict[str, Any]]:
        days = (self.place / "bubble" / f"day={self.plan.log_days + day}.json" for day in self.plan.measured_days)
        return [json.loads(file.read_text()) for file in days]

    def write_users(self, platform: Platform) -> None:
        """`users.npz`: what became of each user, every click of the loop with its day, and the pairs of users whom the
        model holds for most similar, if it scores anything."""
        day = self.plan.end_day
        nearest = model_nearest(self.start, platform.service.sessions, platform.service.policy, day)
        arrays = {
            "preference": preferences_at(platform.service.sessions, day),
            "natural": natural_preferences(self.start, self.arm.luck, day),
            "here": platform.service.due != NEVER,
            "shown": self.shown,
            "user": np.concatenate([clicks.user for clicks in self.clicks]),
            "item": np.concatenate([clicks.item[:, 0] for clicks in self.clicks]),
            "day": np.repeat(np.arange(len(self.clicks)) + 1, [len(clicks.user) for clicks in self.clicks]),
            "examples": self.start.examples,
            "mainstream": self.start.ground.mainstream[self.start.examples],
            "taste_at_start": self.start.tastes(self.start.ground.preference),
            **{name: np.array([row[name] for row in self.welfare]) for name in self.welfare[0]},
            **({} if nearest is None else {"model_nearest": nearest}),
        }
        scratch = self.place / "users.partial.npz"
        np.savez_compressed(scratch, **arrays)
        scratch.replace(self.place / "users.npz")


def _window(platform: Platform, first_day: int) -> Window:
    """What was shown and clicked from a day on: no other column of the log is copied."""
    logs = platform.logs(first_day) or [platform.log(first_day)]  # where nobody came, one without rows
    user, slate, clicks = (np.concatenate([getattr(log, name) for log in logs]) for name in ("user", "slate", "clicks"))
    return Window(user, slate, clicks)


def _welfare(log: InteractionLog, mainstream: A) -> dict[str, float]:
    """What a day gave per user of the population, present or not; the gap is niche users' clicks minus the others'."""
    clicks = np.bincount(log.user, log.clicks.sum(axis=1), len(mainstream))
    return {
        "clicks_per_user": float(clicks.mean()),
        "dwell_per_user": float(log.dwell.sum(dtype=np.float64) / len(mainstream)),
        "niche_clicks_gap": float(clicks[~mainstream].mean() - clicks[mainstream].mean()),
    }


@lru_cache(maxsize=1)
def start_of_loop(seed: int, plan: FeedbackPlan, factories: Factories, folder: Path) -> Start:
    """The platform of a seed after the log before the loop, collected or read back; kept for a worker's next arm."""
    world = factories.world(plan.world, seed)
    policy = factories.rules(factories.agent(plan.logging, seed))
    place = folder / "units" / f"seed={seed}" / "log"
    platform = Platform(world, policy, seed=seed, history=plan.history, folder=place)
    platform.run(plan.log_days)
    return Start.of(platform, seed, plan.sample)


def _platform(arm: Arm, seed: int, start: Start, plan: FeedbackPlan, factories: Factories, place: Path) -> Platform:
    """The twin that an arm serves, as far as it has come."""
    policy: Policy | Reference
    retraining = None
    if arm.is_reference:

        def policy(sessions: Sessions) -> Policy:
            return factories.rules(make_reference(arm.policy, sessions.world, sessions))
    else:
        agent = factories.agent(arm.policy, seed)
        if not is_kept(place / "platform"):
            agent.learn(start.platform.log())
        policy = factories.rules(agent)
        if arm.learns:
            retraining = Retraining(plan.retrain_every, plan.window_of(arm))
    twin = start.platform.fork(policy, retraining, None, arm.luck or None, place / "platform", plan.memory_of(arm))
    oracle = factories.rules(make_reference("oracle", twin.world, twin.service.sessions))
    twin.probe = TruthProbe(twin.world, oracle, plan.probe_share)
    return twin


@lru_cache(maxsize=1)
def _target(seed: int, plan: FeedbackPlan, factories: Factories, folder: Path) -> Policy:
    """The `target`, which has learned from the log before the loop; kept for a worker's next arm."""
    target = factories.agent(plan.target, seed)
    target.learn(start_of_loop(seed, plan, factories, folder).platform.log())
    return target


def _worth(
    seed: int, platform: Platform, start: Start, plan: FeedbackPlan, factories: Factories, folder: Path
) -> dict[str, float]:
    """What the arm's log teaches, and what it tells of the `target` that has learned from the log before the loop."""
    target = _target(seed, plan, factories, folder)
    told = evaluability(platform, factories.rules(target), seed, factories.restrict)
    student = factories.agent(plan.student, seed)
    student.learn(platform.log(max(plan.end_day - plan.window_days, plan.log_days)))
    return worth_of_log(start.platform, factories.rules(student), seed) | told


@lru_cache(maxsize=1)
def _baseline(seed: int, plan: FeedbackPlan, factories: Factories, folder: Path) -> Platform:
    """The loop without a remedy at its end, read back; kept for a worker's next arm."""
    place = folder / "units" / LoopUnit(seed, plan.baseline.name).folder
    return _platform(plan.baseline, seed, start_of_loop(seed, plan, factories, folder), plan, factories, place)


def _rewards(
    unit: LoopUnit, arm: Arm, platform: Platform, plan: FeedbackPlan, factories: Factories, folder: Path
) -> dict[str, float]:
    """What its own model and the baseline's earn inside this arm's policy; empty where there is no such thing."""
    if arm.role == "control" or arm.is_reference or not arm.learns or arm == plan.baseline:
        return {}
    baseline = _baseline(unit.seed, plan, factories, folder)
    other = factories.agent(arm.policy, unit.seed)
    return dividend_rewards(platform, baseline, other, plan.dividend_days, factories.rules)
