"""Open Bandit: impressions of a shop's recommendations under two policies, with the probabilities they were shown with.

Saito et al., NeurIPS 2021 (datasets and benchmarks), "Open Bandit Dataset and Pipeline" (arXiv 2008.07146): an A/B test
of uniform random items against Bernoulli Thompson sampling. The sample that is published with the pipeline has 10,000
impressions of each policy in each campaign.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pyarrow
import pyarrow.parquet
from jaxtyping import Bool, Float, Int

from recsim_lab.datasets.arrays import check_range, find_file
from recsim_lab.datasets.files import DataFileError

A = np.ndarray

CAMPAIGNS = {"men": 34, "women": 46}
"""Items of each."""
NUM_POSITIONS = 3
FILES = {"random": "random_{campaign}.parquet", "thompson": "bts_{campaign}.parquet"}
_NUMBERS = ("item_id", "position", "click", "propensity_score")
_USER_FEATURES = tuple(f"user_feature_{number}" for number in range(4))


@final
@dataclass(frozen=True, eq=False)
class Impressions:
    """A row per item shown, oldest first; `position` counts from 0, left to right.

    `propensity` is the chance with which the policy showed this item there, in (0, 1]. `user_features` are the codes of
    four hashed fields, the same in both policies' impressions of a campaign.
    """

    item: Int[A, " rows"]
    position: Int[A, " rows"]
    clicked: Bool[A, " rows"]
    propensity: Float[A, " rows"]
    user_features: Int[A, "rows fields"]

    def __len__(self) -> int:
        return len(self.item)


@final
@dataclass(frozen=True, eq=False)
class OpenBandit:
    """One campaign under both policies; `cardinalities[f]` codes of user feature f."""

    num_items: int
    cardinalities: tuple[int, ...]
    random: Impressions
    thompson: Impressions


def load_open_bandit(campaign: str, folder: str | os.PathLike[str] | None = None) -> OpenBandit:
    """One of the `CAMPAIGNS`, from the folder `obd` in RECSIM_DATA or from `folder`.

    Raises `FileNotFoundError` where a file isn't there, `DataFileError` where its content isn't as said, and
    `ValueError` for a campaign that there isn't.
    """
    if campaign not in CAMPAIGNS:
        raise ValueError(f"campaign must be one of {', '.join(CAMPAIGNS)}, got {campaign!r}")
    names = [name.format(campaign=campaign) for name in FILES.values()]
    random, thompson = (find_file(None if folder is None else Path(folder) / name, f"obd/{name}") for name in names)
    return read_open_bandit(random, thompson, CAMPAIGNS[campaign])


def read_open_bandit(random: Path, thompson: Path, num_items: int) -> OpenBandit:
    """Two Parquet files, of the columns item_id, position (1 to 3), click, propensity_score, and user_feature_0 to 3.

    Rows are sorted by the column timestamp.
    """
    tables = [_read(path) for path in (random, thompson)]
    codes, cardinalities = [], []
    for name in _USER_FEATURES:
        both = np.concatenate([table[name].to_numpy(zero_copy_only=False).astype(str) for table in tables])
        known, code = np.unique(both, return_inverse=True)
        codes.append(code.astype(np.int32))
        cardinalities.append(len(known))
    features = np.stack(codes, axis=1)
    parts = np.split(features, [len(tables[0])])
    read = [
        _impressions(path, table, part, num_items)
        for path, table, part in zip((random, thompson), tables, parts, strict=True)
    ]
    return OpenBandit(num_items, tuple(cardinalities), *read)


def _read(path: Path) -> Any:
    wanted = ("timestamp", *_NUMBERS, *_USER_FEATURES)
    try:
        there = pyarrow.parquet.read_schema(path).names
        if missing := [name for name in wanted if name not in there]:
            raise DataFileError(str(path), None, f"columns {', '.join(wanted)}", f"none named {', '.join(missing)}")
        table = pyarrow.parquet.read_table(path, columns=list(wanted))
    except (pyarrow.ArrowInvalid, OSError) as error:
        raise DataFileError(str(path), None, "a Parquet file", f"a damaged one ({error})") from error
    if not len(table):
        raise DataFileError(str(path), None, "impressions", "none")
    if gaps := [name for name in wanted if table[name].null_count]:
        raise DataFileError(str(path), None, "a value in each row", f"rows without {gaps[0]}")
    for name in _NUMBERS:
        if not (pyarrow.types.is_integer(kind := table[name].type) or pyarrow.types.is_floating(kind)):
            raise DataFileError(str(path), None, f"numbers as {name}", str(kind))
    return table.sort_by("timestamp")


def _impressions(path: Path, table: Any, features: Int[A, "rows fields"], num_items: int) -> Impressions:
    numbers = {name: table[name].to_numpy() for name in _NUMBERS}
    tiny = float(np.finfo(np.float64).tiny)
    for name, low, high in (
        ("item_id", 0, num_items - 1),
        ("position", 1, NUM_POSITIONS),
        ("click", 0, 1),
        ("propensity_score", tiny, 1),
    ):
        check_range(path, name, numbers[name], low, high)
    return Impressions(
        numbers["item_id"].astype(np.int32),
        numbers["position"].astype(np.int32) - 1,
        numbers["click"] > 0,
        numbers["propensity_score"].astype(np.float64),
        features,
    )
