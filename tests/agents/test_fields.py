"""Features become tensors as declared, standardised as they were when they were learned from, or are refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from agents.fields import FieldEmbedding, Schema
from recsim_lab.policy import NEVER, FeatureTable, Field

A = np.ndarray

AGE = Field("age", "numeric")
COUNTRY = Field("country", "categorical", 3)
TOPIC = Field("topic", "categorical", 2)
TAGS = Field("tags", "multi", 4)
PRICE = Field("price", "numeric")
WEIGHT = Field("weight", "numeric")


def table(**changed: A) -> FeatureTable:
    """Three users and four items; `changed` replaces columns."""
    users = {"age": np.array([20, 30, 70], np.float32), "country": np.array([2, 0, 1])}
    items = {
        "price": np.array([1, 2, 3, 6], np.float32),
        "topic": np.array([0, 1, 1, 0], np.int32),
        "weight": np.full(4, 0.1, np.float32),
        "tags": np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]], bool),
    }
    return FeatureTable(
        (AGE, COUNTRY),
        (PRICE, TOPIC, WEIGHT, TAGS),
        {name: changed.get(name, column) for name, column in users.items()},
        {name: changed.get(name, column) for name, column in items.items()},
        np.array([-5, 0, 1440, 3600], np.int64),
        np.full(4, NEVER),
    )


def test_numbers_are_standardised():
    tensors = Schema.of(table(), 3, 1).table(table(), "cpu")
    price = np.array([1, 2, 3, 6])
    np.testing.assert_allclose(tensors.items.numbers[:, 0], (price - 3) / np.sqrt(3.5), rtol=1e-6)
    assert tensors.users.numbers.mean().abs() < 1e-6 and (tensors.users.numbers.std(correction=0) - 1).abs() < 1e-6
    # What does not vary stays as small as rounding leaves it.
    assert (tensors.items.numbers[:, 1].abs() <= 1).all()


def test_other_tables_are_standardised_by_what_was_learned():
    schema = Schema.of(table(), 3, 1)
    later = schema.table(table(price=np.array([3, 3, 3, 3 + np.sqrt(3.5)], np.float32)), "cpu")
    np.testing.assert_allclose(later.items.numbers[:, 0], [0, 0, 0, 1], atol=1e-6)


def test_codes_shares_and_what_is_on_offer():
    tensors = Schema.of(table(), 3, 1).table(table(), "cpu")
    assert tensors.users.codes.tolist() == [[2], [0], [1]]
    assert tensors.items.codes.tolist() == [[0], [1], [1], [0]]
    assert tensors.items.shares[0].tolist() == [[0.5, 0, 0.5, 0], [0] * 4, [0.25] * 4, [0, 0, 0, 1]]
    assert tensors.release.tolist() == [0, 0, 1440, 3600]
    ticks = torch.tensor([0, 1439, 1440, 3600, 5000])
    expected = table().on_offer(ticks.numpy())
    assert tensors.on_offer(torch.arange(4), ticks).tolist() == expected.tolist()
    of_each = torch.tensor([[3], [2], [2], [3], [0]])
    assert tensors.on_offer(of_each, ticks)[:, 0].tolist() == expected[np.arange(5), of_each[:, 0]].tolist()
    assert len(tensors.users) == 3 and len(tensors.items) == 4


def test_a_table_without_fields_has_all_items():
    bare = replace(table(), user_fields=(), item_fields=(), users={}, items={})
    tensors = Schema.of(bare, 3, 1).table(bare, "cpu")
    assert tensors.items.codes.shape == (4, 0) and tensors.items.numbers.shape == (4, 0)
    assert len(tensors.users) == 0


@pytest.mark.parametrize(
    "name, column, message",
    [
        ("topic", np.array([0, 1, 2, 0]), r"codes of 'topic' must be in \[0, 2\), got 0 to 2"),
        ("topic", np.array([0, -1, 1, 0]), r"codes of 'topic' must be in \[0, 2\), got -1 to 1"),
        ("country", np.array([3, 0, 0]), r"codes of 'country' must be in \[0, 3\), got 0 to 3"),
        ("price", np.array([1, np.nan, 2, 3], np.float32), "numbers of 'price' must be finite, got nan"),
        ("age", np.array([1, np.inf, 2], np.float32), "numbers of 'age' must be finite, got inf"),
        ("tags", np.ones((4, 5), bool), "'tags' must have 4 columns, got 5"),
    ],
)
def test_what_does_not_fit_is_refused(name, column, message):
    with pytest.raises(ValueError, match=message):
        Schema.of(table(), 3, 1).table(table(**{name: column}), "cpu")


@pytest.mark.parametrize(
    "changes",
    [
        {"user_fields": (AGE, Field("country", "categorical", 4))},
        {"user_fields": (AGE,), "users": {"age": np.zeros(3, np.float32)}},
        {"item_fields": (PRICE, TOPIC, WEIGHT, Field("tags", "multi", 5))},
        {"item_fields": (PRICE, TOPIC, TAGS, Field("weight", "categorical", 9))},
    ],
    ids=["more codes", "fewer", "more values", "another kind"],
)
def test_other_fields_are_refused(changes):
    with pytest.raises(ValueError, match=r"fields must hold those that were learned from, .*, got "):
        Schema.of(table(), 3, 1).table(replace(table(), **changes), "cpu")


def test_fields_are_known_by_name():
    """Neither their order nor fields that were not learned from matter."""
    schema, given = Schema.of(table(), 3, 1), table()
    more = replace(
        given,
        user_fields=(COUNTRY, Field("city", "categorical", 2), AGE),
        users=given.users | {"city": np.array([0, 1, 7])},
        item_fields=given.item_fields[::-1],
    )
    for one, other in ((schema.table(given, "cpu"), schema.table(more, "cpu")),):
        assert torch.equal(one.users.codes, other.users.codes) and torch.equal(one.items.codes, other.items.codes)
        assert torch.equal(one.users.numbers, other.users.numbers) and torch.equal(
            one.items.numbers, other.items.numbers
        )
        assert torch.equal(one.items.shares[0], other.items.shares[0])


def test_a_schema_without_fields_reads_any_table():
    schema = Schema.of(table(), 3, 1, fields=False)
    tensors = schema.table(table(topic=np.full(4, 9)), "cpu")
    assert tensors.items.codes.shape == (4, 0) and tensors.users.numbers.shape == (3, 0) and not tensors.items.shares


def test_a_schema_survives_json():
    schema = Schema.of(table(), 17, 3)
    again = Schema.parse(json.loads(json.dumps(schema.describe())))
    assert again == schema and again.item_moments == schema.item_moments and hash(again) == hash(schema)
    assert again.with_users(20) == replace(schema, num_users=20) != schema


def test_embeddings_are_rows_and_means_of_rows():
    torch.manual_seed(0)
    layer = FieldEmbedding([3, 2, 5], [4], dim=6, scale=1.0)
    codes = torch.tensor([[[2, 0, 4], [0, 1, 0]]])
    shares = torch.tensor([[[0.5, 0, 0.5, 0], [0, 0, 0, 0]]])
    vectors = layer(codes, [shares])
    assert vectors.shape == (1, 2, 4, 6) and layer.num_fields == 4
    rows, values = layer.codes.detach(), layer.values[0].detach()
    # Fields do not share rows: 3 codes, then 2, then 5.
    assert torch.equal(vectors[0, 0, :3], rows[[2, 3, 9]]) and torch.equal(vectors[0, 1, :3], rows[[0, 4, 5]])
    torch.testing.assert_close(vectors[0, 0, 3], (values[0] + values[2]) / 2)
    assert not vectors[0, 1, 3].any()


def test_embeddings_learn_what_their_rows_were_used_for():
    layer = FieldEmbedding([2, 3], [2], dim=1, scale=1.0)
    codes = torch.tensor([[0, 2], [0, 1], [1, 2]])
    layer(codes, [torch.tensor([[1.0, 0], [0.5, 0.5], [0, 0]])]).sum().backward()
    assert layer.codes.grad.ravel().tolist() == [2, 1, 0, 1, 2]
    assert layer.values[0].grad.ravel().tolist() == [1.5, 0.5]
