"""Two towers on MovieLens-1M: what the negatives of a sampled softmax do to recall, coverage and popularity.

Negatives from the batch come in proportion to clicks, so popular items are pushed down more than they deserve; mixing
in uniform ones (Yang et al., WWW 2020) and taking the log of the expected number off the negatives' scores (Yi et
al., RecSys 2019) undo that, in this order. Published numbers are of other splits, so the order is the gate.
"""

import time
from dataclasses import dataclass, replace
from functools import cached_property
from typing import final

import numpy as np
from jaxtyping import Float, Int

from agents.registry import make_agent
from agents.two_tower import TwoTower
from benchmarks.real_data.gates import Row
from benchmarks.real_data.metrics import full_ranking, top_items
from benchmarks.real_data.registry import Report, benchmark
from recsim_lab.datasets import LeaveTwoOut, Sequences, dataset_path
from recsim_lab.datasets.base import Ratings
from recsim_lab.datasets.movielens import load_movielens
from recsim_lab.evaluation.rating_log import rating_log
from recsim_lab.evaluation.statistics import paired_interval
from recsim_lab.interaction_log import InteractionLog
from recsim_lab.policy import Observation

A = np.ndarray

MOVIELENS_FILE = "ml-1m/ml-1m.zip"
NUM_SEEDS, NUM_TOP = 3, 20
TOWERS = (
    "loss=softmax,normalised=true,temperature=0.07,history=none,ids=true,context=false,id_dropout=0,dropout=0,dim=32,"
    "hidden=64,width=32,shared=true,batch_size=512,learning_rate=0.003,weight_decay=0,validation=0,epochs=3"
)
NEGATIVES = {
    "two-tower-in-batch-ml-1m": "negatives=in-batch",
    "two-tower-mixed-ml-1m": "negatives=mixed,num_negatives=512",
    "two-tower-mixed-logq-ml-1m": "negatives=mixed,num_negatives=512,logq=true",
    "two-tower-in-batch-logq-ml-1m": "negatives=in-batch,logq=true",
    "two-tower-uniform-ml-1m": "negatives=uniform,num_negatives=512",
    "two-tower-popularity-ml-1m": "negatives=popularity,num_negatives=512",
}
ABOVE = {
    "two-tower-mixed-ml-1m": "two-tower-in-batch-ml-1m",
    "two-tower-mixed-logq-ml-1m": "two-tower-mixed-ml-1m",
}
"""The order that was published: each has to recall more than the other."""
GATES = {(name, "Recall@20"): f"above {lower}" for name, lower in ABOVE.items()} | {
    (name, f"Recall@20 less that of {lower}, at least"): "> 0" for name, lower in ABOVE.items()
}
PROTOCOL = (
    "newest rating of each user (ties in the file's order) among all rated items but those of the history; ids, "
    "gender, age, occupation; ids, genres; parameters chosen on the second newest ratings, last epoch"
)


@final
@dataclass(frozen=True, eq=False)
class LastRatings:
    """The log to learn from, and a request for each user whose answer would be the user's newest rating."""

    ratings: Ratings
    held_out: str = "test"
    """"test": the newest rating of each user. "validation": the one before it, and the newest is not used at all."""

    @cached_property
    def order(self) -> Int[A, " ratings"]:
        """The rows by user, oldest first."""
        return np.argsort(self.ratings.user, kind="stable")

    @cached_property
    def parts(self) -> LeaveTwoOut:
        start = np.concatenate([[0], np.cumsum(self.ratings.ratings_per_user())])
        items = self.ratings.item[self.order].astype(np.int32)
        return Sequences(items, start.astype(np.int64), self.ratings.num_items).leave_two_out()

    @property
    def known(self) -> Sequences:
        return self.parts.train_and_validation if self.held_out == "test" else self.parts.train

    @cached_property
    def _log(self) -> InteractionLog:
        return replace(rating_log(self.ratings), history=0)

    @property
    def train(self) -> InteractionLog:
        keep = np.ones(self.ratings.num_ratings, np.bool_)
        keep[self._newest(1)] = False
        if self.held_out == "validation":
            keep[self._newest(2)] = False
        return self._log.take(keep)

    @property
    def requests(self) -> Observation:
        """Users in order, each at the tick of the rating that is held out."""
        return self._log.observations(self._newest(1 if self.held_out == "test" else 2))

    def _newest(self, place: int) -> Int[A, " users"]:
        return self.order[np.cumsum(self.ratings.ratings_per_user()) - place]


def metrics_of(agent: TwoTower, data: LastRatings) -> dict[str, float]:
    """Recall at 20 and 100, NDCG at 20; of the 20 best items of all users, the share of all items that are among
    them, and their mean number of training ratings."""
    scores = agent.scores(data.requests)

    def scores_of_users(users: Int[A, " rows"]) -> Float[A, "rows items"]:
        return scores[users]

    wide = full_ranking(scores_of_users, data.parts, data.held_out, cutoff=100)
    short = full_ranking(scores_of_users, data.parts, data.held_out, cutoff=NUM_TOP)
    best = top_items(scores_of_users, data.known, NUM_TOP)
    return {
        "Recall@20": short["HR@20"],
        "Recall@100": wide["HR@100"],
        "NDCG@20": short["NDCG@20"],
        "coverage@20": len(np.unique(best)) / data.known.num_items,
        "popularity@20": float(data.known.counts()[best].mean()),
    }


def load(held_out: str = "test") -> LastRatings:
    path = dataset_path(MOVIELENS_FILE)
    if path is None:
        raise FileNotFoundError(f"RECSIM_DATA must name a folder with {MOVIELENS_FILE}")
    return LastRatings(load_movielens(path).with_min_ratings(per_item=1, per_user=3), held_out)


@benchmark("two-tower-ml-1m", "MovieLens-1M", (MOVIELENS_FILE,), minutes=41, gates=GATES)
def two_tower_movielens(report: Report) -> list[Row]:
    """The same towers with each kind of negatives, and the paired differences of those whose order was published."""
    data = load()
    found: dict[str, list[dict[str, float]]] = {name: [] for name in NEGATIVES}
    rows: list[Row] = []
    for name, negatives in NEGATIVES.items():
        began = time.perf_counter()
        spec = f"two-tower:{TOWERS},{negatives}"
        for seed in range(NUM_SEEDS):
            agent = make_agent(spec, seed)
            assert isinstance(agent, TwoTower)
            agent.learn(data.train)
            found[name].append(metrics_of(agent, data))
            report(f"{name}, seed {seed}: " + ", ".join(f"{m} {v:.4g}" for m, v in found[name][-1].items()))
        seconds = (time.perf_counter() - began) / NUM_SEEDS
        said = f"{PROTOCOL}: {spec.partition(':')[2]}"
        for metric in found[name][0]:
            values = [metrics[metric] for metrics in found[name]]
            rows.append(Row.of_seeds(name, "MovieLens-1M", said, metric, values, seconds=seconds))
    for name, lower in ABOVE.items():
        rows += _difference(name, lower, *(np.array([m["Recall@20"] for m in found[n]]) for n in (name, lower)))
    return rows


def _difference(name: str, lower: str, more: Float[A, " seeds"], less: Float[A, " seeds"]) -> list[Row]:
    metric, said = f"Recall@20 less that of {lower}", "difference seed by seed; see their rows"
    end = f"lower end of the 95% t interval over {len(more)} seeds of the {said}"
    low = paired_interval(more, less).low
    return [
        Row.of_seeds(name, "MovieLens-1M", said, metric, list(more - less)),
        Row(name, "MovieLens-1M", end, f"{metric}, at least", low, num_seeds=len(more)),
    ]
