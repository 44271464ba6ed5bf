"""Rows keep their fields on the way to the models, which equal their formulas, and crosses learn what sums can't."""

import numpy as np
import pytest
import torch

from benchmarks.real_data import frappe
from benchmarks.real_data.frappe import FactorisationMachine, Model, clicked, parts_of, scores_of
from benchmarks.real_data.metrics import roc_auc
from recsim_lab.datasets.frappe import ClickRows, Frappe

FIELDS, SIZES = ("user", "item", "hour", "cost", "city"), (9, 14, 5, 2, 4)


def some_rows(num_rows, seed):
    """A click is likely where user and item are both odd or both even, which neither says alone."""
    rng = np.random.default_rng(seed)
    codes = np.stack([rng.integers(size, size=num_rows) for size in SIZES], axis=1).astype(np.int32)
    codes[:, 3] = codes[:, 1] % 2
    return ClickRows(codes, rng.random(num_rows) < np.where((codes[:, 0] + codes[:, 1]) % 2, 0.1, 0.9))


@pytest.fixture(scope="module")
def data():
    return Frappe(FIELDS, SIZES, some_rows(2_000, 0), some_rows(500, 1), some_rows(500, 2))


@pytest.fixture(scope="module")
def parts(data):
    return parts_of(data, "cpu")


def test_rows_keep_their_fields_and_clicks(data, parts):
    table = parts.train.requests.table
    for examples, rows in ((parts.train, data.train), (parts.validation, data.validation), (parts.test, data.test)):
        requests = table.users.codes[examples.requests.user[examples.row]].numpy()
        items = table.items.codes[examples.items[:, 0]].numpy()
        np.testing.assert_array_equal(requests, rows.codes[:, [0, 2, 4]])
        np.testing.assert_array_equal(items, rows.codes[:, [1, 3]])
        np.testing.assert_array_equal(clicked(examples), rows.clicked)


@pytest.mark.parametrize("dim", [0, 3])
def test_the_factorisation_machine_equals_its_formula(data, parts, dim):
    torch.manual_seed(0)
    network = FactorisationMachine(parts.schema, dim)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_()
    scores = scores_of(network, parts.test)
    vectors = {"users": network.reader.user_fields, "items": network.reader.item_fields}
    for row in range(20):
        own = []
        for side, columns in (("users", [0, 2, 4]), ("items", [1, 3])):
            starts, table = vectors[side].starts.tolist(), vectors[side].codes.detach().double().numpy()
            own += [table[start + data.test.codes[row, column]] for start, column in zip(starts, columns, strict=True)]
        expected = network.bias.detach().item() + sum(vector[-1] for vector in own)
        expected += sum(own[i][:-1] @ own[j][:-1] for i in range(5) for j in range(i))
        assert scores[row] == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_crosses_learn_what_sums_cannot(parts, monkeypatch):
    monkeypatch.setattr(frappe, "BATCH_SIZE", 100)
    monkeypatch.setattr(frappe, "MOST_EPOCHS", 20)
    said = []
    for dim, low, high in ((0, 0.4, 0.6), (4, 0.85, 1.0)):
        model = Model("fm", "", lambda schema, dim=dim: FactorisationMachine(schema, dim), 0.0, learning_rate=0.03)
        network, curve = model.train(parts, 0, "cpu", said.append)
        assert low < roc_auc(scores_of(network, parts.test), clicked(parts.test)) < high
        best = max(epoch.validation for epoch in curve)
        assert roc_auc(scores_of(network, parts.validation), clicked(parts.validation)) == pytest.approx(best)
    assert said


def test_the_penalty_shrinks_vectors_and_nothing_else(parts, monkeypatch):
    monkeypatch.setattr(frappe, "MOST_EPOCHS", 2)
    monkeypatch.setattr(frappe, "BATCH_SIZE", 50)
    lengths = []
    for penalty in (0.0, 100.0):
        model = Model("mlp", "", frappe._agent(frappe.Multilayer, hidden="8"), penalty, learning_rate=0.03)
        network, _ = model.train(parts, 0, "cpu", lambda text: None)
        with torch.no_grad():
            layers = [p.norm().item() for name, p in network.named_parameters() if not name.startswith("reader.")]
            lengths.append([network.reader.item_fields.codes.norm().item(), sum(layers)])
    assert lengths[1][0] < 0.5 * lengths[0][0] and lengths[1][1] > 0.5 * lengths[0][1]


def test_models_are_gated_as_said(parts):
    gates = {model.name: model.gate for model in frappe.MODELS}
    assert {name for name, gate in gates.items() if gate == ">= .982"} == {
        "two-tower-frappe",
        "dlrm-frappe",
        "dcn-frappe",
    }
    for model in frappe.MODELS:
        assert model.name == "lr-frappe" or f"below {model.name}" in gates["lr-frappe"] or not model.gate
        with torch.no_grad():
            assert np.isfinite(scores_of(model.build(parts.schema).eval(), parts.test)).all()
