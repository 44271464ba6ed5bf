"""Claims that real ratings can judge: dot product against layers, kinds of negatives, learning on with new data."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd

from agents.registry import make_agent
from recsim_lab.datasets import Ratings
from recsim_lab.evaluation.claims import claim_row
from recsim_lab.evaluation.protocols import LeaveLastOut
from recsim_lab.evaluation.ranking import ranking_metrics
from recsim_lab.evaluation.rating_log import rating_log
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent

A = np.ndarray

WHERE = "MovieLens sample, each user's last rating among all films not yet rated"
METRIC = "ndcg@10"
_MF = "mf:dim=64,loss=softmax,shared=true,num_negatives=256"
NEGATIVES = {
    "uniform": _MF,
    "popularity": f"{_MF},negatives=popularity",
    "in-batch": f"{_MF},negatives=in-batch",
    "in-batch, logQ": f"{_MF},negatives=in-batch,logq=true",
    "hard": f"{_MF},negatives=hard",
}
_LAYERS = "mlp:dim=64,history=none,context=false,fields=false"


def real_claims(
    ratings: Ratings, num_seeds: int, progress: Callable[[str, int, int], None]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(claims, a row for each kind of negatives with its quality and training seconds).

    Values are means over training seeds for each user; the users are the independent units of the intervals.
    """
    log = rating_log(ratings)
    (fold,) = LeaveLastOut().folds(log)
    tested, training = np.flatnonzero(fold.test), log.take(fold.train)
    specs = list(dict.fromkeys([*NEGATIVES.values(), _LAYERS]))
    values: dict[str, dict[str, A]] = {}
    seconds: dict[str, float] = {}
    for place, spec in enumerate(specs):
        progress(spec, place, len(specs) + 1)
        runs, started = [], time.perf_counter()
        for seed in range(num_seeds):
            agent = make_agent(spec, seed)
            agent.learn(training)
            runs.append(agent)
        seconds[spec] = (time.perf_counter() - started) / num_seeds
        scored = [_metrics(agent, log, tested) for agent in runs]
        values[spec] = {name: np.mean([run[name] for run in scored], axis=0) for name in scored[0]}

    progress("learning on", len(specs), len(specs) + 1)
    rows = [
        _row("a dot product beats layers on the same ids", _MF, _LAYERS, values),
        *(
            _row(f"{name} negatives beat uniform ones", spec, NEGATIVES["uniform"], values)
            for name, spec in NEGATIVES.items()
            if name != "uniform"
        ),
        *_learning_on(log, training, tested, num_seeds),
    ]
    table = [
        {"agent": name, "seconds": seconds[spec]} | {key: float(value.mean()) for key, value in values[spec].items()}
        for name, spec in NEGATIVES.items()
    ]
    progress("done", len(specs) + 1, len(specs) + 1)
    return pd.DataFrame(rows), pd.DataFrame(table)


def _learning_on(log: InteractionLog, training: InteractionLog, tested: A, num_seeds: int) -> list[dict[str, object]]:
    """A trained model learns on from the newest fifth, against one that never saw it and one trained anew on all."""
    old = np.arange(len(training)) < 0.8 * len(training)
    stale, tuned, anew, tuning, training_anew = [], [], [], 0.0, 0.0
    for seed in range(num_seeds):
        agent = make_agent(_MF, seed)
        agent.learn(training.take(old))
        stale.append(_metrics(agent, log, tested)[METRIC])
        started = time.perf_counter()
        agent.learn(training.take(~old))
        tuning += time.perf_counter() - started
        tuned.append(_metrics(agent, log, tested)[METRIC])
        other = make_agent(_MF, seed)
        started = time.perf_counter()
        other.learn(training)
        training_anew += time.perf_counter() - started
        anew.append(_metrics(other, log, tested)[METRIC])
    means = [np.mean(runs, axis=0) for runs in (stale, tuned, anew)]
    measure = f"{METRIC} of {_MF}"
    faster = f"{training_anew / tuning:.1f} times as fast"
    return [
        claim_row(
            f"learning on adds what is new ({faster} as training anew)", WHERE, measure, means[1] - means[0], "users"
        ),
        claim_row(
            "learning on loses less than a twentieth against training anew",
            WHERE,
            f"{measure}, minus 95% of training anew's",
            means[1] - 0.95 * means[2],
            "users",
        ),
    ]


def _metrics(agent: Agent, log: InteractionLog, tested: A) -> dict[str, A]:
    """Per test request, with what the user rated before left out of the candidates."""
    assert agent.ranker is not None
    observation = log.observations(tested)
    relevant = np.zeros((len(tested), log.features.num_items), bool)
    relevant[np.arange(len(tested)), log.slate[tested, 0]] = True
    rated = np.zeros_like(relevant)
    before = log.take(np.setdiff1d(np.arange(len(log)), tested))
    place = np.full(int(log.user.max()) + 1, -1)
    place[log.user[tested]] = np.arange(len(tested))
    known = place[before.user] >= 0
    rated[place[before.user[known]], before.slate[known, 0]] = True
    return ranking_metrics(agent.ranker.scores(observation), relevant, (10,), ~rated | relevant)


def _row(claim: str, better: str, worse: str, values: dict[str, dict[str, A]]) -> dict[str, object]:
    return claim_row(
        claim, WHERE, f"{METRIC}: {better} minus {worse}", values[better][METRIC] - values[worse][METRIC], "users"
    )
