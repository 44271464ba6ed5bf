"""Data sets that are no logs, in the terms of the models: a table of features, and requests that bring no more."""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Int, Shaped

from agents.fields import Table
from agents.requests import Requests
from recsim_lab.policy import NEVER, FeatureTable, Field

A = np.ndarray
T = torch.Tensor


def feature_table(
    num_items: int,
    users: Mapping[Field, Shaped[A, " users"]] | None = None,
    items: Mapping[Field, Shaped[A, " items"]] | None = None,
) -> FeatureTable:
    """Features by field, of items that have always been on offer."""
    users, items = users or {}, items or {}
    return FeatureTable(
        tuple(users),
        tuple(items),
        {field.name: column for field, column in users.items()},
        {field.name: column for field, column in items.items()},
        release=np.zeros(num_items, np.int64),
        withdrawal=np.full(num_items, NEVER),
    )


def bare_requests(num_requests: int, table: Table) -> Requests:
    """Request i is made by user i, at tick 0, and nothing was clicked before."""
    device = table.release.device
    zeros = torch.zeros(num_requests, dtype=torch.long, device=device)
    nothing = torch.zeros(num_requests, 0, dtype=torch.int32, device=device)
    return Requests(torch.arange(num_requests, device=device), zeros, zeros, nothing, nothing, table)


def distinct_rows(rows: Int[A, "rows fields"]) -> tuple[Int[A, "distinct fields"], Int[A, " rows"]]:
    """Each combination once, and which of them every row is."""
    distinct, which = np.unique(rows, axis=0, return_inverse=True)
    return distinct, which.reshape(-1)
