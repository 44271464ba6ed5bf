"""Frappe: which app was used where and when, from ten categorical fields: logistic regression against networks.

Settings are those published with the benchmark suite of Zhu et al. (SIGIR 2022, "BARS"): vectors of 10, three hidden
layers with batch normalisation and dropout, Adam in batches of 4,096, an L2 penalty on the vectors, a tenth of the
learning rate when the AUC on the validation rows stands still. They call an epoch without a better one a standstill and
end after the second; here it takes two, and four to end, since the AUC of two towers rises less evenly and all models
shall wait alike. Layers are half as wide as published, a quarter of the work.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from agents.dcn import DCN
from agents.dlrm import DLRM
from agents.examples import RequestExamples
from agents.feature_agent import FeatureAgent
from agents.feature_network import CrossingNetwork, ItemFeatures, RequestFeatures
from agents.fields import Schema
from agents.losses import make_loss
from agents.multilayer import Multilayer
from agents.network import Network
from agents.objective import Impressions
from agents.training import Epoch, Schedule, fit, seeded
from agents.two_tower import TwoTower
from benchmarks.real_data.gates import Row
from benchmarks.real_data.metrics import log_loss, roc_auc
from benchmarks.real_data.registry import Report, benchmark
from benchmarks.real_data.tables import bare_requests, distinct_rows, feature_table
from recsim_lab.datasets.frappe import FRAPPE_FILE, Frappe, load_frappe
from recsim_lab.policy import Field

A = np.ndarray
T = torch.Tensor

NUM_SEEDS = 3
DIM, BATCH_SIZE, MOST_EPOCHS = 10, 4096, 100
LAYERS = "200-200-200"
RATE_PATIENCE = 2
"""Epochs in a row without a better AUC after which the learning rate falls; the end after twice as many."""
INITIAL_SCALE = 1e-4
"""Standard deviation of the vectors before training where they are penalised, as published."""
ITEM_FIELDS = ("item", "cost")
"""What belongs to the app; all else belongs to the request."""
READING: dict[str, Any] = {
    "target": "impressions",
    "loss": "bce",
    "dim": DIM,
    "history": "none",
    "ids": False,
    "context": False,
    "batch_norm": True,
}
"""Users and apps are fields like others here, so that nothing is read by id."""


@final
class FactorisationMachine(CrossingNetwork):
    """b + sum_i w_i + sum_{i<j} v_i . v_j over the fields (Rendle, ICDM 2010); with a v of no entries, logistic
    regression. A field's vector holds v and then w."""

    def __init__(self, schema: Schema, dim: int) -> None:
        super().__init__(schema, dim=dim + 1, history="none", ids=False, context=False, id_dropout=0.0, scale=0.01)
        self.bias = nn.Parameter(torch.zeros(()))

    def meet(
        self, request: RequestFeatures, item: ItemFeatures, pairs: Float[T, "rows candidates pairs"]
    ) -> Float[T, "rows candidates"]:
        total = request.vectors.sum(dim=1)[:, None] + item.vectors.sum(dim=-2)
        squares = request.vectors.square().sum(dim=1)[:, None] + item.vectors.square().sum(dim=-2)
        return self.bias + total[..., -1] + (total.square() - squares)[..., :-1].sum(dim=-1) / 2


@final
@dataclass(frozen=True)
class Parts:
    """The three parts as examples: a request and an app each, both by the number of their combination of fields."""

    schema: Schema
    train: RequestExamples
    validation: RequestExamples
    test: RequestExamples


def parts_of(data: Frappe, device: str) -> Parts:
    """An app is a combination of `ITEM_FIELDS`, a request one of the others; both are shared by many rows."""
    of_item = np.isin(data.fields, ITEM_FIELDS)
    rows = (data.train, data.validation, data.test)
    codes = np.concatenate([part.codes for part in rows])
    requests, request = distinct_rows(codes[:, ~of_item])
    items, item = distinct_rows(codes[:, of_item])
    declared = np.array(
        [Field(name, "categorical", size) for name, size in zip(data.fields, data.cardinalities, strict=True)]
    )
    features = feature_table(
        len(items),
        dict(zip(declared[~of_item], requests.T, strict=True)),
        dict(zip(declared[of_item], items.T, strict=True)),
    )
    schema = Schema.of(features, len(requests), num_devices=1)
    bare = bare_requests(len(requests), schema.table(features, device))
    ends = np.cumsum([len(part.clicked) for part in rows])
    examples = [
        RequestExamples(
            bare,
            torch.tensor(request[end - len(part.clicked) : end], device=device),
            torch.tensor(item[end - len(part.clicked) : end, None], device=device),
            torch.tensor(part.clicked[:, None], dtype=torch.float32, device=device),
        )
        for part, end in zip(rows, ends, strict=True)
    ]
    return Parts(schema, *examples)


def scores_of(network: Network, examples: RequestExamples) -> Float[A, " rows"]:
    with torch.no_grad():
        scores = [network(batch.inputs, batch.items)[:, 0] for batch in examples.batches(2 * BATCH_SIZE, False)]
    return torch.cat(scores).cpu().numpy().astype(np.float64)


def clicked(examples: RequestExamples) -> Float[A, " rows"]:
    return examples.labels[:, 0].cpu().numpy() > 0


@final
@dataclass(frozen=True)
class Model:
    """A model's settings; `penalty` is half the weight of the squared length of all its vectors in the loss."""

    name: str
    said: str
    build: Callable[[Schema], Network]
    penalty: float
    learning_rate: float = 0.001
    published: tuple[float, float] | None = None
    """AUC and log loss."""
    gate: str = ""
    minutes: float = 7

    def train(self, parts: Parts, seed: int, device: str, report: Report) -> tuple[Network, list[Epoch]]:
        with seeded(seed):
            network = self.build(parts.schema).to(device)
            vectors = [p for name, p in network.named_parameters() if name.startswith("reader.")]
            if self.penalty:
                # Small ones yield at once to what the layers ask for, so that fewer epochs are needed.
                for vector in vectors:
                    nn.init.normal_(vector, std=INITIAL_SCALE)
            others = [p for name, p in network.named_parameters() if not name.startswith("reader.")]
            groups: list[dict[str, Any]] = [{"params": vectors, "weight_decay": self.penalty}, {"params": others}]
            optimizer = torch.optim.Adam(groups, lr=self.learning_rate, fused=True)
            known = clicked(parts.validation)
            curve = fit(
                network,
                optimizer,
                parts.train,
                Impressions(make_loss("bce")),
                Schedule(
                    MOST_EPOCHS,
                    BATCH_SIZE,
                    patience=2 * RATE_PATIENCE,
                    rate_factor=0.1,
                    rate_patience=RATE_PATIENCE,
                ),
                lambda: roc_auc(scores_of(network, parts.validation), known),
                lambda epoch, _: report(f"{self.name} epoch {epoch.epoch}: validation AUC {epoch.validation:.4f}"),
            )
        return network, curve


def _agent(agent: type[FeatureAgent], **parameters: Any) -> Callable[[Schema], Network]:
    return agent(**READING, **parameters).build


MODELS = (
    Model(
        "lr-frappe",
        "logistic regression",
        lambda schema: FactorisationMachine(schema, 0),
        penalty=0.0,
        learning_rate=0.01,
        published=(0.9356, 0.3076),
        gate=".93 to .94 and below fm-frappe and below mlp-frappe and below two-tower-frappe "
        "and below dlrm-frappe and below dcn-frappe",
        minutes=1,
    ),
    Model(
        "fm-frappe",
        "factorisation machine",
        lambda schema: FactorisationMachine(schema, DIM),
        penalty=0.0,
        learning_rate=0.003,
        published=(0.9671, 0.2065),
        minutes=5,
    ),
    Model(
        "mlp-frappe",
        f"MLP {LAYERS}, dropout .2; published is the mean of five runs",
        _agent(Multilayer, hidden=LAYERS, dropout=0.2),
        penalty=0.05,
        published=(0.98405, 0.1584),
        minutes=5,
    ),
    Model(
        "two-tower-frappe",
        "DSSM, towers 200-200 and 64 linear, dropout .2",
        _agent(TwoTower, hidden="200-200", width=64, dropout=0.2),
        penalty=0.1,
        published=(0.9832, 0.1874),
        gate=">= .982",
        minutes=8,
    ),
    Model(
        "dlrm-frappe",
        f"DLRM with its dot products and, as on the lecture's slide, the vectors beside them; top {LAYERS}, dropout .2",
        _agent(DLRM, top=LAYERS, dropout=0.2, with_vectors=True),
        penalty=0.05,
        gate=">= .982",
    ),
    Model(
        "dlrm-dots-only-frappe",
        f"DLRM as published, whose top MLP sees the dot products and no vectors; top {LAYERS}, dropout .2",
        _agent(DLRM, top=LAYERS, dropout=0.2),
        penalty=0.01,
    ),
    Model(
        "dcn-frappe",
        f"DCNv2, 4 full cross layers beside {LAYERS}, dropout .2; published is the mean of five runs",
        _agent(DCN, num_layers=4, rank=0, deep=LAYERS, dropout=0.2),
        penalty=0.05,
        published=(0.98382, 0.1520),
        gate=">= .982",
    ),
)


def measure(model: Model, parts: Parts, device: str, report: Report) -> list[Row]:
    """AUC and log loss of the test rows over seeds, by the epoch that was best on the validation rows."""
    known = clicked(parts.test)
    began = time.perf_counter()
    found = []
    for seed in range(NUM_SEEDS):
        network, curve = model.train(parts, seed, device, report)
        scores = scores_of(network, parts.test)
        found.append((roc_auc(scores, known), log_loss(scores, known)))
        report(f"{model.name}: seed {seed}, AUC {found[-1][0]:.4f}, log loss {found[-1][1]:.4f}, {len(curve)} epochs")
    seconds = (time.perf_counter() - began) / NUM_SEEDS
    protocol = (
        f"{model.said}; vectors of {DIM}, L2 {model.penalty:g}, Adam {model.learning_rate:g}; split as in Frappe_x1, "
        f"training negatives drawn again; a tenth of the rate after {RATE_PATIENCE} epochs without a better validation "
        "AUC; epoch of the best one; seconds a seed"
    )
    auc, loss = model.published or (None, None)
    return [
        Row.of_seeds(model.name, "Frappe", protocol, "AUC", [a for a, _ in found], auc, seconds=seconds),
        Row.of_seeds(model.name, "Frappe", protocol, "log loss", [b for _, b in found], loss, seconds=seconds),
    ]


def _register(model: Model) -> None:
    gates = {(model.name, "AUC"): model.gate} if model.gate else {}

    @benchmark(model.name, "Frappe", (FRAPPE_FILE,), minutes=model.minutes, gates=gates)
    def run(report: Report) -> list[Row]:
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return measure(model, parts_of(load_frappe(), device), device, report)


for _model in MODELS:
    _register(_model)
