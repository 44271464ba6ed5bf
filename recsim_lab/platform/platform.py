"""A recommender service over simulated days: traffic, retraining and releases as SimPy processes on one clock."""

import copy
from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import simpy
from jaxtyping import Int
from simpy.events import EventPriority

from recsim_lab.interaction_log import InteractionLog, concatenate, empty_log, record
from recsim_lab.platform.probe import Probe
from recsim_lab.policy import NEVER, TICKS_PER_DAY, Agent, Observation, Policy, Recommendation, check_slates
from recsim_lab.simulation.dynamics import Response
from recsim_lab.simulation.sessions import HISTORY, Sessions, population_sessions
from recsim_lab.simulation.world import World

if TYPE_CHECKING:
    import pandas as pd

A = np.ndarray

RELEASE, DEPLOY, SERVE, RETRAIN = 10, 11, 12, 13
"""The order inside a tick (SimPy's priorities: lower goes first)."""
SERVED_AT_ONCE = 16_384
"""Users who are in view at once, which bounds memory."""

Reference = Callable[[Sessions], Policy]
"""Makes a policy that reads the hidden truth of the sessions it serves."""


@dataclass(frozen=True)
class Retraining:
    """Learn every `every_days` days, at the end of the day, from the last `window_days` of the log (None: all of
    it); what was learned serves from the next day on, or `delay_days` later."""

    every_days: int = 1
    window_days: int | None = None
    delay_days: int = 0

    def __post_init__(self) -> None:
        if self.every_days < 1:
            raise ValueError(f"every_days must be at least 1, got {self.every_days}")
        if self.window_days is not None and self.window_days < 1:
            raise ValueError(f"window_days must be at least 1 or None, got {self.window_days}")
        if self.delay_days < 0:
            raise ValueError(f"delay_days must be at least 0, got {self.delay_days}")


@dataclass
class Service:
    """All that a platform is at a day boundary: who serves, who learns, who is due when, what happened.

    `due` is each user's next visit in ticks; `pending` holds agents that wait for their deployment, with its tick.
    """

    sessions: Sessions
    due: Int[A, " users"]
    policy: Policy
    learner: Agent | None
    day: int = 0
    num_retrainings: int = 0
    pending: list[tuple[int, Agent]] = field(default_factory=list)
    log: list[InteractionLog] = field(default_factory=list)
    daily: list[dict[str, int | float]] = field(default_factory=list)


class Platform:
    """Serves the whole population of a world with one policy, and retrains it if it is asked to.

    Args:
        world: the world served.
        policy: answers every request; retrained if it is an `Agent` and `retraining` is given.
        seed: of all luck of the users; two platforms of one world and seed meet the same users with the same luck.
        retraining: when and from what the policy learns; None: it stays as it is.
        num_slots: length of the slates; None: the world's own.
        history: width of `Observation.clicked`.
        max_batch: most requests handed to the policy at once; changes memory and time, not results.
        folder: where to keep the log (Parquet, a file a day) and a checkpoint at every day's end. A platform made
            anew on a folder that holds a checkpoint goes on from there.
        probe: reads the hidden truth before each answer, for evaluation.
        days_in_memory: how many of the newest days of the log are held (None: all); a folder keeps every day.
    """

    def __init__(
        self,
        world: World,
        policy: Policy,
        *,
        seed: int = 0,
        retraining: Retraining | None = None,
        num_slots: int | None = None,
        history: int = HISTORY,
        max_batch: int = 2048,
        folder: Path | str | None = None,
        probe: Probe | None = None,
        days_in_memory: int | None = None,
    ) -> None:
        if not isinstance(policy, Policy):
            raise ValueError(f"policy must be a Policy, got {policy!r}")
        if max_batch < 1:
            raise ValueError(f"max_batch must be at least 1, got {max_batch}")
        self.world, self.seed, self.retraining = world, seed, retraining
        _check_memory(days_in_memory, retraining)
        self.max_batch, self.probe, self.days_in_memory = max_batch, probe, days_in_memory
        sessions = population_sessions(world, seed, num_slots, history)
        num_old = int((self.features.release <= 0).sum())
        if num_old < sessions.num_slots:
            raise ValueError(
                f"num_slots must be at most the items on offer on day 0, got {sessions.num_slots} of {num_old}"
            )
        due = sessions.first_visit(np.arange(len(sessions)))
        self.service = Service(sessions, due, policy, _learner(policy, retraining))
        self._day_begun: int | None = None
        self._settle_in(folder)

    @property
    def features(self):  # type: ignore[no-untyped-def]
        """The public features of users and items."""
        return self.world.features

    def _settle_in(self, folder: Path | str | None) -> None:
        """Keep log and checkpoints in this folder from now on, and go on from the checkpoint that it holds."""
        self.folder = None if folder is None else Path(folder)
        if self.folder is not None:
            from recsim_lab.platform.checkpoint import identity_of, restore

            self._identity = identity_of(self.service, self.retraining)
            restore(self.folder, self.service, self._identity, self.days_in_memory)

    def fork(
        self,
        policy: Policy | Reference,
        retraining: Retraining | None = None,
        probe: Probe | None = None,
        luck: str | None = None,
        folder: Path | str | None = None,
        days_in_memory: int | None = None,
    ) -> "Platform":
        """The same users at this moment, with the same luck ahead, served by another policy from now on.

        A function is given the twin's sessions and makes the policy. With `luck`, a name, all that is yet to be drawn
        is drawn anew: another replicate of what is ahead. A `folder` keeps the twin's own days; a twin of the same kind
        that is made on it again goes on from there.
        """
        _check_memory(days_in_memory, retraining)
        twin = copy.copy(self)
        twin.retraining, twin.probe, twin.days_in_memory = retraining, probe, days_in_memory
        sessions = self.service.sessions.copy()
        policy = policy if isinstance(policy, Policy) else policy(sessions)
        twin.service = replace(
            self.service,
            sessions=sessions,
            due=self.service.due.copy(),
            policy=policy,
            learner=_learner(policy, retraining),
            num_retrainings=0,
            pending=[],
            log=list(self.service.log),
            daily=[],
        )
        if luck is not None:
            sessions.state["seed"] = sessions.draws(np.arange(len(sessions))).fork(luck).seed
        twin._settle_in(folder)
        return twin

    def log(self, first_day: int = 0) -> InteractionLog:
        """All that happened from a day on, as far as it is in memory."""
        sessions = self.service.sessions
        days = self.logs(first_day)
        nothing = empty_log(self.features, sessions.num_slots, sessions.history, sessions.shown_width)
        return concatenate(days) if days else nothing

    def logs(self, first_day: int = 0) -> list[InteractionLog]:
        """The same, day by day and not copied; days on which nobody came have none."""
        return [log for log in self.service.log if log.tick[0] >= first_day * TICKS_PER_DAY]

    def daily(self) -> "pd.DataFrame":
        """One row a day: slates, visits, users who came, clicks per slate, days until the next visit, satisfaction,
        users who left for good so far, items on offer."""
        import pandas as pd

        return pd.DataFrame(self.service.daily)

    def run(self, days: int, progress: Callable[[int], None] | None = None, final: bool = False) -> InteractionLog:
        """Serve until `days` days have passed since day 0; returns the log of the days served by this call, as far as
        they are in memory.

        A platform that has been restored from a checkpoint serves only the days that are missing. `progress` is
        called with the number of days done after each. After `final` days nobody will be served any more, so nothing is
        learned at the end of the last.

        Raises:
            ValueError: if more days than that have been served already.
            RuntimeError: if an error has stopped an earlier call inside a day: what is left of that day can't be
                served any more.
        """
        if days < self.service.day:
            raise ValueError(f"days counts from day 0 and must be at least the {self.service.day} served, got {days}")
        first_day = self.service.day
        while self.service.day < days:
            self._one_day(learns=not (final and self.service.day == days - 1))
            if progress is not None:
                progress(self.service.day)
        return self.log(first_day)

    # ---- one day ---------------------------------------------------------------------------------------------

    def _one_day(self, learns: bool) -> None:
        service = self.service
        if self._day_begun is not None:
            raise RuntimeError(
                f"an error stopped this platform inside day {self._day_begun}; make it anew "
                "(with a folder, it goes on from its checkpoint)"
            )
        self._day_begun = service.day
        start = service.day * TICKS_PER_DAY
        clock = simpy.Environment(initial_time=start)
        today: list[InteractionLog] = []
        self._gaps: list[int] = []
        clock.process(self._releases(clock))
        clock.process(self._traffic(clock, today))
        clock.process(self._deployments(clock))
        if learns:
            clock.process(self._retraining(clock, today))
        clock.run(until=start + TICKS_PER_DAY)
        log = concatenate(today) if today else None
        if log is not None:
            service.log.append(log)
        service.daily.append(self._figures(log) | ({} if self.probe is None else self.probe.figures()))
        service.day += 1
        if self.folder is not None:
            from recsim_lab.platform.checkpoint import keep

            keep(self.folder, service, log, self._identity)
        forget(service, self.days_in_memory)
        self._day_begun = None

    def _releases(self, clock: simpy.Environment) -> Generator[simpy.Event, None, None]:
        """Items come and go at their ticks; the number on offer is part of the day's figures."""
        changes = np.concatenate([self.features.release, self.features.withdrawal])
        self.num_on_offer = self._count_on_offer(int(clock.now))
        for tick in np.unique(changes[(changes > clock.now) & (changes < clock.now + TICKS_PER_DAY)]):
            yield _at(clock, int(tick), RELEASE)
            self.num_on_offer = self._count_on_offer(int(clock.now))

    def _count_on_offer(self, tick: int) -> int:
        return int(self.features.on_offer(np.array([tick])).sum())

    def _traffic(self, clock: simpy.Environment, today: list[InteractionLog]) -> Generator[simpy.Event, None, None]:
        """Users who are due this day are served, each for their whole session; the log has them in order of time.

        They meet nobody and nothing is deployed before the day is over, so many are served at once, whatever their
        tick: that is several times as fast as tick by tick.
        """
        due, end = self.service.due, int(clock.now) + TICKS_PER_DAY
        served: list[InteractionLog] = []
        while (tick := int(due.min(initial=NEVER))) < end:
            yield _at(clock, tick, SERVE)
            rows = np.flatnonzero(due < end)
            rows = rows[np.argsort(due[rows], kind="stable")]
            for start in range(0, len(rows), SERVED_AT_ONCE):
                self._serve(rows[start : start + SERVED_AT_ONCE], served)
        if served:
            log = concatenate(served)
            today.append(log.take(np.lexsort((log.step, log.tick))))

    def _deployments(self, clock: simpy.Environment) -> Generator[simpy.Event, None, None]:
        """What was learned replaces what serves."""
        pending = self.service.pending
        while pending:
            tick, agent = pending[0]
            yield _at(clock, max(tick, int(clock.now)), DEPLOY)
            self.service.policy = agent
            pending.pop(0)

    def _retraining(self, clock: simpy.Environment, today: list[InteractionLog]) -> Generator[simpy.Event, None, None]:
        """At the end of every `every_days`-th day the learner learns from its window of the log."""
        service, plan = self.service, self.retraining
        yield _at(clock, int(clock.now) + TICKS_PER_DAY - 1, RETRAIN)
        if plan is None or service.learner is None or (service.day + 1) % plan.every_days:
            return
        end = (service.day + 1) * TICKS_PER_DAY
        start = 0 if plan.window_days is None else end - plan.window_days * TICKS_PER_DAY
        parts = [log for log in (*service.log, *today) if len(log) and log.tick[0] >= start]
        if not parts:
            return
        service.learner.learn(concatenate(parts))
        service.num_retrainings += 1
        service.pending.append((end + plan.delay_days * TICKS_PER_DAY, copy.deepcopy(service.learner)))

    def _serve(self, rows: Int[A, " rows"], served: list[InteractionLog]) -> None:
        sessions, due = self.service.sessions, self.service.due
        sessions.open(rows, due[rows])
        while len(rows):
            observation = sessions.observe(rows)
            answer = self._recommend(observation, rows)
            if self.probe is not None:
                self.probe(sessions, rows, observation, answer.items)
            response = sessions.answer(rows, answer.items)
            served.append(record(observation, answer, _outcome(response)))
            gone = rows[response.left]
            if len(gone):
                came = due[gone]
                due[gone] = sessions.close(gone)
                back = due[gone] < NEVER
                self._gaps += (due[gone][back] // TICKS_PER_DAY - came[back] // TICKS_PER_DAY).tolist()
            rows = rows[~response.left]

    def _recommend(self, observation: Observation, rows: Int[A, " rows"]) -> Recommendation:
        policy, num_slots = self.service.policy, self.service.sessions.num_slots
        draws = self.service.sessions.draws(rows).fork("policy")
        parts = []
        for start in range(0, len(rows), self.max_batch):
            part = slice(start, start + self.max_batch)
            some = observation.take(part)
            answer = policy.recommend(some, num_slots, draws.take(np.arange(len(rows))[part]))
            check_slates(answer.items, some, policy.name)
            parts.append(answer)
        return parts[0] if len(parts) == 1 else _joined(parts)

    def _figures(self, log: InteractionLog | None) -> dict[str, int | float]:
        """The day's row: public counts, and the users' mean satisfaction where the world has it (hidden truth)."""
        service = self.service
        figures: dict[str, int | float] = {"day": service.day, "num_on_offer": self.num_on_offer}
        num_slates = 0 if log is None else len(log)
        figures["num_slates"] = num_slates
        figures["num_visits"] = 0 if log is None else int((log.step == 0).sum())
        figures["num_users"] = 0 if log is None else len(np.unique(log.user))
        figures["clicks_per_slate"] = float("nan") if log is None else float(log.clicks.sum() / num_slates)
        figures["reward_per_slate"] = float("nan") if log is None else float(log.reward.mean())
        figures["num_returns"] = len(self._gaps)
        figures["return_days"] = float(np.mean(self._gaps)) if self._gaps else float("nan")
        figures["num_churned"] = int((service.due == NEVER).sum())
        satisfaction = service.sessions.state.get("satisfaction")
        figures["satisfaction"] = float("nan") if satisfaction is None else float(satisfaction.mean())
        figures["num_retrainings"] = service.num_retrainings
        return figures


def forget(service: Service, days_in_memory: int | None) -> None:
    """Let go of the days of the log that need not be held."""
    if days_in_memory is not None:
        oldest = (service.day - days_in_memory) * TICKS_PER_DAY
        service.log[:] = [log for log in service.log if log.tick[0] >= oldest]


def _check_memory(days_in_memory: int | None, retraining: Retraining | None) -> None:
    if days_in_memory is None:
        return
    if days_in_memory < 1:
        raise ValueError(f"days_in_memory must be at least 1 or None, got {days_in_memory}")
    window = None if retraining is None else retraining.window_days
    if retraining is not None and (window is None or window > days_in_memory):
        raise ValueError(
            f"days_in_memory must be at least the window_days of retraining, got {days_in_memory} for "
            + ("a window of all days" if window is None else str(window))
        )


def _learner(policy: Policy, retraining: Retraining | None) -> Agent | None:
    """A copy of the policy that is taught while the policy itself serves."""
    if retraining is None:
        return None
    if not isinstance(policy, Agent):
        raise ValueError(f"retraining needs an Agent, got the policy {policy.name!r}")
    return copy.deepcopy(policy)


def _at(clock: simpy.Environment, tick: int, priority: int) -> simpy.Event:
    """An event at `tick`, in the order of `priority` among those of the same tick."""
    event = clock.event()
    event._ok, event._value = True, None
    clock.schedule(event, priority=EventPriority(priority), delay=tick - clock.now)
    return event


def _outcome(response: Response) -> dict[str, Any]:
    return {name: getattr(response, name) for name in ("clicks", "dwell", "likes", "reward", "left")}


def _joined(parts: list[Recommendation]) -> Recommendation:
    sources = tuple(dict.fromkeys(name for part in parts for name in part.sources))
    renumbered = [np.array([sources.index(s) for s in part.sources], np.int16)[part.source] for part in parts]
    arrays = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("items", "propensity", "prefix_propensity", "propensity_error")
    }
    return Recommendation(**arrays, source=np.concatenate(renumbered), sources=sources)
