"""What a policy earns once it runs: engagement from the log, welfare and regret from the hidden truth."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Int

from recsim_lab.interaction_log import InteractionLog
from recsim_lab.platform import Platform, Probe
from recsim_lab.policy import NEVER, Observation, Policy
from recsim_lab.simulation.purposes import Purpose
from recsim_lab.simulation.sessions import Sessions
from recsim_lab.simulation.world import World
from recsim_lab.streams import Draws

A = np.ndarray

ONLINE_METRICS = (
    "clicks_per_slate",
    "reward_per_slate",
    "clicks_per_session",
    "dwell_minutes",
    "session_length",
    "satisfaction",
    "return_days",
    "churn",
    "visits_per_user",
    "true_utility",
    "regret",
)
"""`dwell_minutes` per session; `session_length` in slates; `satisfaction` of all users at the end, those who left
included; `return_days` until the next visit, as scheduled at each session's end; `churn`: the share of the users at
the start who have left for good; `visits_per_user` of the users at the start; `true_utility`: the mean true utility
of a shown item; `regret`: expected clicks of the oracle's slate at the same request minus those of the slate shown.
`satisfaction`, `true_utility` and `regret` are hidden from any real platform."""


@dataclass
class TruthProbe(Probe):
    """Looks at a share of the requests just before they are answered, at the true utility and the oracle's answer.

    `oracle` is the wrapped oracle (with the rules that bind the policy), watching the sessions probed.
    """

    world: World
    oracle: Policy
    share: float = 0.1
    true_utility: list[float] = field(default_factory=list)
    regret: list[float] = field(default_factory=list)
    _start_of_day: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share <= 1:
            raise ValueError(f"share must be in [0, 1], got {self.share}")

    def __call__(
        self, sessions: Sessions, rows: Int[A, " rows"], observation: Observation, slates: Int[A, "rows slots"]
    ) -> None:
        luck: Draws = sessions.draws(rows)
        chosen = np.flatnonzero(luck.uniform(Purpose.PROBE)[:, 0] < self.share)
        if not len(chosen):
            return
        probed, requests, slates = rows[chosen], observation.take(chosen), slates[chosen]
        utility, _ = self.world.true_utility(sessions.state, probed, slates)
        best = self.oracle.recommend(requests, slates.shape[1], luck.take(chosen)).items
        earned = self.world.click_probability(sessions.state, probed, slates).sum(axis=1)
        possible = self.world.click_probability(sessions.state, probed, best).sum(axis=1)
        self.true_utility += utility.mean(axis=1).tolist()
        self.regret += (possible - earned).tolist()

    def figures(self) -> dict[str, float]:
        """Their means over the day."""
        today = slice(self._start_of_day, None)
        self._start_of_day = len(self.regret)
        values = {"true_utility": self.true_utility[today], "regret": self.regret[today]}
        return {name: float(np.mean(some)) if some else float("nan") for name, some in values.items()}


def follow(
    platform: Platform,
    make_oracle: Callable[[Sessions], Policy] | None,
    days: int,
    probe_share: float = 0.1,
    final: bool = False,
) -> tuple[InteractionLog, dict[str, float]]:
    """Run a platform for `days` more days: the log of these days and their online metrics.

    `make_oracle` gives the oracle, under the rules, for the platform's sessions; None leaves truth and regret out.
    `final` is as in `Platform.run`.
    """
    here = platform.service.due != NEVER
    if make_oracle is not None:
        platform.probe = TruthProbe(platform.world, make_oracle(platform.service.sessions), probe_share)
    first_day = platform.service.day
    log = platform.run(first_day + days, final=final)
    return log, online_metrics(log, platform, here, first_day)


def expected_clicks(platform: Platform, policy: Policy) -> float:
    """The expected clicks of a slate in every user's next visit, had nobody answered: no click is drawn, no user
    changes, and of all that has happened only what was shown before in the visit is known to the policy.

    Steps of a visit count as often as the platform's log has slates at them, up to those that an observation shows.
    Visits so far ahead that too little will be on offer for them are left out. NaN if nobody will come, or nothing was
    logged.
    """
    service = platform.service
    sessions, rows = service.sessions.copy(), np.flatnonzero(service.due != NEVER)
    num_slots = sessions.num_slots
    steps = np.concatenate([np.zeros(0, np.int32), *(log.step for log in platform.logs())])
    slates_at = np.bincount(steps)[: sessions.shown_width // num_slots]
    rows = rows[platform.features.num_on_offer(service.due[rows]) >= num_slots * len(slates_at)]
    if not len(rows) or not slates_at.any():
        return float("nan")
    sessions.open(rows, service.due[rows])
    clicks = np.empty((len(slates_at), len(rows)))
    for start in range(0, len(rows), platform.max_batch):
        part = slice(start, start + platform.max_batch)
        some = rows[part]
        for step in range(len(slates_at)):
            draws = sessions.draws(some).fork("policy")
            slates = policy.recommend(sessions.observe(some), num_slots, draws).items
            clicks[step, part] = platform.world.click_probability(sessions.state, some, slates).sum(axis=1)
            sessions.state["shown"][some, step * num_slots : (step + 1) * num_slots] = slates
            sessions.state["step"][some] += 1
    return float(np.average([of_step.mean() for of_step in clicks], weights=slates_at))


def online_metrics(log: InteractionLog, platform: Platform, here: A, first_day: int) -> dict[str, float]:
    """`ONLINE_METRICS` of the days in `log`; NaN where nothing happened, or the world has no such thing.

    `here` marks the users who had not left for good when the days began, with `first_day`.
    """
    nan = float("nan")
    values = dict.fromkeys(ONLINE_METRICS, nan)
    service = platform.service
    values["visits_per_user"] = float((log.step == 0).sum() / max(here.sum(), 1))
    values["churn"] = float((service.due[here] == NEVER).mean()) if here.any() else nan
    satisfaction = service.sessions.state.get("satisfaction")
    if satisfaction is not None:
        values["satisfaction"] = float(satisfaction[here].mean()) if here.any() else nan
    daily = [row for row in service.daily if row["day"] >= first_day]
    gaps = [(row["return_days"], row["num_returns"]) for row in daily if row["num_returns"] > 0]
    if gaps:
        mean, weight = np.array(gaps).T
        values["return_days"] = float(np.average(mean, weights=weight))
    if len(log):
        num_sessions = max(int((log.step == 0).sum()), 1)
        values["clicks_per_slate"] = float(log.clicks.sum() / len(log))
        values["reward_per_slate"] = float(log.reward.mean(dtype=np.float64))
        values["clicks_per_session"] = float(log.clicks.sum() / num_sessions)
        values["dwell_minutes"] = float(log.dwell.sum(dtype=np.float64) / num_sessions)
        values["session_length"] = float(len(log) / num_sessions)
    if isinstance(platform.probe, TruthProbe) and platform.probe.regret:
        values["true_utility"] = float(np.mean(platform.probe.true_utility))
        values["regret"] = float(np.mean(platform.probe.regret))
    return values
