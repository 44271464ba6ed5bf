"""What a log is worth as data: how good a model it teaches, and how well another policy can be valued from it."""

from collections.abc import Callable

import numpy as np

from recsim_lab.evaluation.off_policy import Question, SelfNormalised, assess, logged_slates
from recsim_lab.evaluation.online import expected_clicks
from recsim_lab.evaluation.statistics import spearman
from recsim_lab.evaluation.truth import Recorder
from recsim_lab.interaction_log import concatenate
from recsim_lab.platform import Platform
from recsim_lab.policy import TICKS_PER_DAY, Observation, Policy, Scorer
from recsim_lab.probabilities import redraw
from recsim_lab.simulation.sessions import Sessions

A = np.ndarray

NUM_RANKED, NUM_JUDGES = 200, 300
"""Items that are ranked for each user, and users for whom that is done."""
VALUED_DAYS, NUM_VALUED = 2, 500
"""Days after the loop whose log tells of another policy, and most of its slates that are read."""


def worth_of_log(platform: Platform, student: Policy, seed: int) -> dict[str, float]:
    """How well a new model that has learned from a log alone serves the users of `platform`, who are the same for all
    arms: those before the loop.

    `refit_clicks` are the expected clicks of its slates; `refit_rank_agreement` is the mean Spearman correlation of its
    scores with true utility over random items.
    """
    ranker = student.ranker
    return {
        "refit_clicks": expected_clicks(platform, student),
        "refit_rank_agreement": float("nan") if ranker is None else rank_agreement(platform, ranker, seed),
    }


def evaluability(
    platform: Platform, target: Policy, seed: int, restrict: Callable[[Observation, int], Observation]
) -> dict[str, float]:
    """How well the next days of a platform tell what another policy would earn at the same requests.

    `value_error` is the relative error of the self-normalised estimate, position by position, against the expected
    clicks of the target's own slates; NaN where the estimator refuses, and then `value_refused` is 1.
    """
    recorder = Recorder()
    twin, first_day = platform.fork(platform.service.policy, probe=recorder), platform.service.day
    twin.run(first_day + VALUED_DAYS)
    user = np.concatenate([np.zeros(0, np.int32), *(log.user for log in twin.logs())])
    num_ahead = sum(len(log) for log in twin.logs(first_day))
    some = np.sort(np.random.default_rng(seed).permutation(np.arange(num_ahead))[:NUM_VALUED])
    if not len(some):
        return {"value_error": float("nan"), "value_refused": float("nan")}
    moments = recorder.moments(twin.world, some)
    rows = len(user) - num_ahead + some
    # All of the past of who is asked about, and of nobody else: a request is rebuilt from its own user's rows.
    asked = np.zeros(len(twin.service.sessions), bool)
    asked[user[rows]] = True
    log = concatenate([log.take(asked[log.user]) for log in twin.logs()])
    rows = np.cumsum(asked[user])[rows] - 1
    question = Question(model=None, cascade=False, additive=False, restrict=restrict, own_slates=10, seed=seed)
    (told,) = assess(logged_slates(log, target, platform.service.policy, question, rows), (SelfNormalised(),))
    observation = log.observations(rows)
    slates = target.recommend(observation, log.num_slots, redraw(observation, 0)).items
    truth = float(moments.expected_clicks(np.arange(len(some)), slates).mean())
    return {"value_error": abs(told.value / truth - 1), "value_refused": float(bool(told.reason))}


def rank_agreement(platform: Platform, scorer: Scorer, seed: int) -> float:
    """The mean over users of the Spearman correlation of scores with true utility, over random items on offer."""
    sessions: Sessions = platform.service.sessions.copy()
    tick = platform.service.day * TICKS_PER_DAY
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(sessions))[:NUM_JUDGES])
    on_offer = np.flatnonzero(platform.features.on_offer(np.array([tick]))[0])
    order = rng.permuted(np.tile(on_offer, (len(rows), 1)), axis=1)
    items = order[:, :NUM_RANKED].astype(np.int32)
    sessions.open(rows, np.full(len(rows), tick, np.int64))
    utility, _ = platform.world.true_utility(sessions.state, rows, items)
    scores = scorer.scores(sessions.observe(rows), items)
    return float(
        np.nanmean([spearman(*pair) for pair in zip(scores.astype(float), utility.astype(float), strict=True)])
    )
