"""Dot product against multilayer perceptron under the protocol of Neural Collaborative Filtering.

He et al. (WWW 2017) put layers in the place of the dot product of matrix factorisation; Rendle et al. (RecSys 2020)
tuned both and found the dot product ahead at every size. Here both see the same examples: each click and eight
uniform negatives, drawn anew each epoch, under binary cross-entropy; what is tuned is tuned for each.

`python -m benchmarks.real_data.ncf SPEC ...` scores agents on each user's last training pair, which is how the
parameters below were chosen; the test candidates took no part in that.
"""

import sys
import time
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float, Int

from agents.neural import NetworkAgent
from agents.registry import make_agent
from benchmarks.real_data.clicks import click_log, requests_of
from benchmarks.real_data.gates import Row
from benchmarks.real_data.metrics import candidate_ranking
from benchmarks.real_data.registry import Report, benchmark
from recsim_lab.datasets import load_ncf
from recsim_lab.datasets.ncf import NCF_FILES, HeldOutAmongNegatives
from recsim_lab.evaluation.statistics import mean_interval

A = np.ndarray

NUM_NEGATIVES = 8
EXAMPLES = f"loss=bce,negatives=uniform,num_negatives={NUM_NEGATIVES},shared=false"
IDS_ALONE = "history=none,context=false,id_dropout=0,dropout=0,validation=0"
PROTOCOL = (
    f"held-out item among 99 fixed negatives (NCF), repeated negatives once, ties by expectation; {NUM_NEGATIVES} "
    "uniform negatives a click, last epoch; parameters chosen on each user's last training pair"
)
NUM_TUNING_NEGATIVES = 99


@final
@dataclass(frozen=True)
class Size:
    """The two models with vectors of length `dim`; the layers of the perceptron halve, as in NCF."""

    dim: int
    dot: str
    layers: str
    num_seeds: int = 2
    num_seeds_of_layers: int = 2

    def seeds_of(self, name: str) -> range:
        return range(self.num_seeds if name.startswith("mf") else self.num_seeds_of_layers)

    @property
    def specs(self) -> dict[str, str]:
        hidden = f"{self.dim}-{self.dim // 2}-{self.dim // 4}"
        return {
            f"mf-{self.dim}-ncf": f"mf:dim={self.dim},{EXAMPLES},{self.dot}",
            f"mlp-{self.dim}-ncf": f"mlp:dim={self.dim},hidden={hidden},{EXAMPLES},{IDS_ALONE},{self.layers}",
        }


DOT = "batch_size=2048,learning_rate=0.002"
LAYERS = "batch_size=1024,weight_decay=0.0002"
SIZES = {
    size.dim: size
    for size in (
        Size(16, f"{DOT},weight_decay=0.0011,epochs=20", f"{LAYERS},learning_rate=0.01,epochs=14", 4, 4),
        Size(
            128,
            "batch_size=4096,learning_rate=0.002,weight_decay=0.0022,epochs=24",
            f"{LAYERS},learning_rate=0.005,epochs=12",
        ),
    )
}


DIFFERENCE = "HR@10 less the MLP's"


def gates_of(size: Size, at_least: str = "") -> dict[tuple[str, str], str]:
    """The dot product passes the perceptron, and by more than training seeds differ; `at_least` is asked as well."""
    dot, layers = size.specs
    above = f"above {layers}"
    return {
        (dot, "HR@10"): f">= {at_least} and {above}" if at_least else above,
        (dot, f"{DIFFERENCE}, at least"): "> 0",
    }


@benchmark("mf-mlp-16-ncf", "MovieLens-1M", NCF_FILES, minutes=15, gates=gates_of(SIZES[16]))
def mf_mlp_16_ncf(report: Report) -> list[Row]:
    return rows_of(SIZES[16], load_ncf(), report)


@benchmark("mf-mlp-ncf", "MovieLens-1M", NCF_FILES, minutes=51, gates=gates_of(SIZES[128], at_least=".715"))
def mf_mlp_ncf(report: Report) -> list[Row]:
    return rows_of(SIZES[128], load_ncf(), report)


def rows_of(size: Size, data: HeldOutAmongNegatives, report: Report) -> list[Row]:
    """Both models, and the paired differences of their hit rates."""
    rows: list[Row] = []
    hits: list[Float[A, " seeds"]] = []
    for name, spec in size.specs.items():
        found, seconds = [], []
        for seed in size.seeds_of(name):
            began = time.perf_counter()
            found.append(scores_of(spec, data, seed))
            seconds.append(time.perf_counter() - began)
            report(f"{name}, seed {seed}: HR@10 {found[-1]['HR@10']:.4f}, {seconds[-1]:.0f} s")
        hits.append(np.array([metrics["HR@10"] for metrics in found]))
        said = f"{PROTOCOL}: {spec.partition(':')[2]}"
        for metric in ("HR@10", "NDCG@10"):
            values = [metrics[metric] for metrics in found]
            rows.append(Row.of_seeds(name, "MovieLens-1M", said, metric, values, seconds=float(np.mean(seconds))))
    return rows + _difference(size, *hits)


def _difference(size: Size, dot: Float[A, " seeds"], layers: Float[A, " seeds"]) -> list[Row]:
    name = f"mf-{size.dim}-ncf"
    said = f"difference to mlp-{size.dim}-ncf, seed by seed; see their rows"
    num_pairs = min(len(dot), len(layers))
    differences = dot[:num_pairs] - layers[:num_pairs]
    rows = [Row.of_seeds(name, "MovieLens-1M", said, DIFFERENCE, list(differences))]
    if num_pairs > 1:
        low = mean_interval(differences).low
        lower = f"lower end of the 95% t interval of the {said}"
        rows.append(Row(name, "MovieLens-1M", lower, f"{DIFFERENCE}, at least", low, num_seeds=num_pairs))
    return rows


def scores_of(spec: str, data: HeldOutAmongNegatives, seed: int) -> dict[str, float]:
    """`HR@10` and `NDCG@10` of an agent that has learned from the training pairs as a log of clicks."""
    log = click_log(data.user, data.item, data.num_items)
    agent = make_agent(spec, seed)
    if not isinstance(agent, NetworkAgent):
        raise ValueError(f"agent must be a network, got {spec!r}")
    agent.learn(log)

    def scores(users: Int[A, " rows"], items: Int[A, "rows candidates"]) -> Float[A, "rows candidates"]:
        return agent.scores(requests_of(users, log), items)

    return candidate_ranking(scores, data.candidates)


def tuning_part(data: HeldOutAmongNegatives, seed: int = 0) -> HeldOutAmongNegatives:
    """The training pairs alone, under the same protocol: each user's last one, in the file's order, is held out.

    Negatives are drawn from all items that the user has no training pair of. Raises ValueError for a user with fewer
    than two pairs, or too few other items.
    """
    last = np.append(data.user[1:] != data.user[:-1], True)
    num_pairs = np.bincount(data.user, minlength=data.num_users)
    if num_pairs.min() < 2 or data.num_items - num_pairs.max() < NUM_TUNING_NEGATIVES:
        raise ValueError(f"users must have from 2 to {data.num_items - NUM_TUNING_NEGATIVES} pairs")
    order = np.random.default_rng(seed).random((data.num_users, data.num_items), dtype=np.float32)
    order[data.user, data.item] = 2.0  # behind all others
    negatives = np.argpartition(order, NUM_TUNING_NEGATIVES - 1, axis=1)[:, :NUM_TUNING_NEGATIVES]
    candidates = np.column_stack([data.item[last], negatives]).astype(np.int32)
    return HeldOutAmongNegatives(data.user[~last], data.item[~last], candidates, data.num_items)


def main() -> None:
    part = tuning_part(load_ncf())
    for spec in sys.argv[1:] or [spec for size in SIZES.values() for spec in size.specs.values()]:
        found = scores_of(spec, part, seed=0)
        print(f"{spec}: " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()), flush=True)


if __name__ == "__main__":
    main()
