"""The rows of models of sequences: a mean over seeds of each published metric, beside the published number."""

import numpy as np

from agents.sasrec import SASRec
from benchmarks.real_data import registry, sequences
from recsim_lab.datasets import Sequences


def test_a_row_for_each_published_metric(monkeypatch):
    rng = np.random.default_rng(0)
    items = np.concatenate([rng.permutation(30)[:8] for _ in range(20)]).astype(np.int32)
    monkeypatch.setattr(sequences, "load_sequences", lambda name: Sequences(items, 8 * np.arange(21), 30))
    told = []
    found = sequences.run(
        "small",
        "beauty",
        "a set",
        lambda seed: SASRec(dim=4, num_blocks=1, max_length=8, epochs=2, validate_every=1, seed=seed),
        {"HR@10": 0.3, "NDCG@10": 0.1},
        told.append,
        num_seeds=2,
    )
    assert [(row.name, row.metric, row.published, row.num_seeds) for row in found] == [
        ("small", "HR@10", 0.3, 2),
        ("small", "NDCG@10", 0.1, 2),
    ]
    assert found[0].ours >= found[1].ours >= 0 and len(told) == 4 and found[0].seconds > 0


def test_gates_are_of_the_metrics_that_were_published():
    gated = {name: entry.gates for name, entry in registry.benchmarks().items() if name.startswith(("sasrec", "bert"))}
    assert len(gated) == 5
    for name, gates in gated.items():
        assert gates and {row for row, _ in gates} == {name} and {metric for _, metric in gates} <= {"HR@10", "NDCG@10"}
