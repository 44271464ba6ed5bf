"""Claims that real ratings can judge: dot product against layers, kinds of negatives, learning on with new data."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from agents.registry import make_agent
from recsim_lab.datasets import Ratings
from recsim_lab.evaluation.claims import claim_row
from recsim_lab.evaluation.protocols import LeaveLastOut
from recsim_lab.evaluation.ranking import ranking_metrics
from recsim_lab.evaluation.rating_log import rating_log
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.units import finished, safe_name
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Agent

A = np.ndarray

WHERE = "MovieLens sample, films of 5 ratings or more, each user's last one among all films not yet rated"
FEWEST = 5
"""Ratings that each film and user has at least: of a film that one user rated there is nothing to learn."""
METRIC = "ndcg@10"
_ANY = "mf:dim=64,loss=softmax,learning_rate=0.003,weight_decay=0.1,epochs=16,batch_size=512,shared=true"
_MF = f"{_ANY},num_negatives=256"
NEGATIVES = {
    "uniform": _MF,
    "popularity": f"{_MF},negatives=popularity",
    "in-batch": f"{_ANY},negatives=in-batch",
    "in-batch, logQ": f"{_ANY},negatives=in-batch,logq=true",
    "hard": f"{_MF},negatives=hard",
}
"""Rate, penalty and epochs were chosen with uniform negatives, by NDCG@10 on each user's last rating but one
under one seed."""
_POPULARITY = "popularity"
NO_MODEL = "none: popularity itself"
_LAYERS = (
    "mlp:dim=16,history=none,context=false,fields=false,loss=bce,num_negatives=4,learning_rate=0.001,"
    "weight_decay=0.001,epochs=4,batch_size=512,validation=0"
)
"""Chosen likewise, as the best of eleven; with 64 dimensions, or for longer, it was behind."""
_OLDER = 0.8


@dataclass(frozen=True)
class Training:
    """A model and a seed; with `in_two` it learns the older ratings, is judged, and learns on from the others."""

    spec: str
    seed: int
    in_two: bool = False

    @property
    def file_name(self) -> str:
        return f"{safe_name(self.spec)}{'_in-two' if self.in_two else ''}/seed={self.seed}.json"


def real_claims(
    ratings: Ratings, num_seeds: int, folder: Path, num_workers: int, progress: Callable[[str, int, int], None]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(claims, a row for each kind of negatives with its quality and training seconds).

    Values are means over training seeds for each user; the users are the independent units of the intervals. Each
    training has a file in `folder`, and is not done again; where several workers train, it has one thread.
    """
    ratings = ratings.with_min_ratings(per_item=FEWEST, per_user=FEWEST)
    specs, seeds = (*NEGATIVES.values(), _LAYERS, _POPULARITY), range(num_seeds)
    trainings = [Training(spec, seed) for spec in specs for seed in seeds]
    trainings += [Training(_MF, seed, in_two=True) for seed in seeds]
    missing = [training for training in trainings if not (folder / training.file_name).exists()]
    train = partial(_train, ratings=ratings, folder=folder)
    for done, training in enumerate(finished(missing, train, num_workers), len(trainings) - len(missing) + 1):
        progress(f"{training.spec} {training.seed}", done, len(trainings))

    def mean(name: str, spec: str, in_two: bool = False, step: int = 0) -> A:
        """Over seeds; a number for each user, or one."""
        files = [folder / Training(spec, seed, in_two).file_name for seed in seeds]
        return np.mean([json.loads(file.read_text())[step][name] for file in files], axis=0)

    def beats(claim: str, better: str, worse: str) -> dict[str, object]:
        difference = mean(METRIC, better) - mean(METRIC, worse)
        return claim_row(claim, WHERE, f"{METRIC}: {better} minus {worse}", difference, "users")

    stale, tuned = (mean(METRIC, _MF, in_two=True, step=step) for step in (0, 1))
    anew = mean(METRIC, _MF)
    faster = mean("seconds", _MF) / mean("seconds", _MF, in_two=True, step=1)
    measure = f"{METRIC} of {_MF} after the newest fifth, {tuned.mean():.4f}, minus "
    claims = [
        beats("factors pass popularity", _MF, _POPULARITY),
        beats("a dot product beats layers on the same ids", _MF, _LAYERS),
        *(
            beats(f"{name} negatives beat uniform ones", spec, NEGATIVES["uniform"])
            for name, spec in NEGATIVES.items()
            if name != "uniform"
        ),
        claim_row(
            "learning on adds what is new",
            WHERE, f"{measure}{stale.mean():.4f} before it", tuned - stale, "users",
        ),
        claim_row(
            "learning on loses less than a twentieth against training anew",
            WHERE, f"{measure}95% of {anew.mean():.4f}, trained anew in {faster:.0f} times the seconds",
            tuned - 0.95 * anew, "users",
        ),
    ]  # fmt: skip
    negatives = [
        {"negatives": name} | {column: float(mean(column, spec).mean()) for column in ("seconds", METRIC, "hr@10")}
        for name, spec in (NEGATIVES | {NO_MODEL: _POPULARITY}).items()
    ]
    return pd.DataFrame(claims), pd.DataFrame(negatives)


def _train(training: Training, ratings: Ratings, folder: Path) -> None:
    """Write, for each time that the model learned, the seconds that it took and each user's metrics after it."""
    log = rating_log(ratings)
    (fold,) = LeaveLastOut().folds(log)
    tested, learned = np.flatnonzero(fold.test), log.take(fold.train)
    older = np.arange(len(learned)) < _OLDER * len(learned)
    agent, steps = make_agent(training.spec, training.seed), []
    for rows in (older, ~older) if training.in_two else (np.ones_like(older),):
        started = time.perf_counter()
        agent.learn(learned.take(rows))
        seconds = time.perf_counter() - started
        metrics = {name: values.tolist() for name, values in _metrics(agent, log, tested).items()}
        steps.append({"seconds": seconds} | metrics)
    RunFolder(folder).write_text(training.file_name, json.dumps(steps))


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
