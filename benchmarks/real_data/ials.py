"""iALS under the protocol of Neural Collaborative Filtering: a linear model whose fit has closed-form steps."""

import time

import numpy as np
from jaxtyping import Float, Int

from agents.implicit_als import ImplicitALS
from benchmarks.real_data.clicks import click_log, requests_of
from benchmarks.real_data.gates import Row
from benchmarks.real_data.metrics import candidate_ranking
from benchmarks.real_data.registry import Report, benchmark
from recsim_lab.datasets import load_ncf
from recsim_lab.datasets.ncf import NCF_FILES

A = np.ndarray

NUM_SEEDS = 3
PROTOCOL = (
    "held-out item among 99 fixed negatives (NCF), repeated negatives once, ties by expectation; "
    "d 192, 12 epochs, regularization .007, unobserved weight .3 (README of google-research/ials), last epoch"
)


@benchmark("ials-ncf", "MovieLens-1M", NCF_FILES, minutes=2, gates={("ials-ncf", "HR@10"): ">= .71"})
def ials_ncf(report: Report) -> list[Row]:
    """Learns from the log and answers requests as it does in the lab: users are folded in at the request."""
    data = load_ncf()
    log = click_log(data.user, data.item, data.num_items)
    found, seconds = [], []
    for seed in range(NUM_SEEDS):
        agent = ImplicitALS(dim=192, epochs=12, regularization=0.007, unobserved_weight=0.3, seed=seed)

        def scores(
            users: Int[A, " rows"], items: Int[A, "rows candidates"], agent: ImplicitALS = agent
        ) -> Float[A, "rows candidates"]:
            return agent.scores(requests_of(users, log), items)

        began = time.perf_counter()
        agent.learn(log)
        seconds.append(time.perf_counter() - began)
        found.append(candidate_ranking(scores, data.candidates))
        report(f"seed {seed}: HR@10 {found[-1]['HR@10']:.4f}, {seconds[-1]:.0f} s to learn")
    return [
        Row.of_seeds(
            "ials-ncf",
            "MovieLens-1M",
            PROTOCOL,
            metric,
            [metrics[metric] for metrics in found],
            seconds=float(np.mean(seconds)),
        )
        for metric in ("HR@10", "NDCG@10")
    ]
