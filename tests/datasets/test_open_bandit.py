"""Open Bandit's Parquet files: what is read, and what is refused with file and column."""

import numpy as np
import pandas as pd
import pytest

from recsim_lab.datasets import DataFileError, dataset_path, load_open_bandit
from recsim_lab.datasets.open_bandit import read_open_bandit

TABLE = {
    "timestamp": ["2019-11-24 00:02", "2019-11-24 00:01"],
    "item_id": [1, 0],
    "position": [3, 1],
    "click": [0, 1],
    "propensity_score": [0.25, 0.5],
    **{f"user_feature_{number}": ["b", "a"] for number in range(4)},
}


def save(folder, changed=None, dropped=None):
    for name in ("random", "bts"):
        columns = TABLE | (changed or {}) if name == "random" else TABLE
        table = pd.DataFrame(columns).drop(columns=[] if dropped is None else [dropped])
        table.to_parquet(folder / f"{name}_men.parquet")
    return [folder / f"{name}_men.parquet" for name in ("random", "bts")]


def test_rows_come_oldest_first_and_codes_are_shared(tmp_path):
    campaign = read_open_bandit(*save(tmp_path, {"user_feature_2": ["c", "a"]}), 2)
    random, thompson = campaign.random, campaign.thompson
    assert random.item.tolist() == [0, 1] and random.position.tolist() == [0, 2]
    assert random.clicked.tolist() == [True, False] and random.propensity.tolist() == [0.5, 0.25]
    assert campaign.cardinalities == (2, 2, 3, 2)
    assert random.user_features[:, 2].tolist() == [0, 2] and thompson.user_features[:, 2].tolist() == [0, 1]
    assert load_open_bandit("men", tmp_path).num_items == 34


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"item_id": [1, 2]}, r"item_id\[0\] in \[0, 1\], found 2"),
        ({"position": [0, 1]}, r"position\[1\] in \[1, 3\], found 0"),
        ({"click": [0, 2]}, r"click\[0\] in \[0, 1\], found 2"),
        ({"propensity_score": [0.0, 0.5]}, "propensity_score"),
        ({"propensity_score": [None, 0.5]}, "found rows without propensity_score"),
        ({"click": ["0", "1"]}, "expected numbers as click"),
    ],
)
def test_wrong_values_are_refused(tmp_path, changed, message):
    with pytest.raises(DataFileError, match=rf"random_men\.parquet: .*{message}"):
        read_open_bandit(*save(tmp_path, changed), 2)


def test_missing_columns_and_damaged_files_are_refused(tmp_path):
    paths = save(tmp_path, dropped="click")
    with pytest.raises(DataFileError, match="found none named click"):
        read_open_bandit(*paths, 2)
    paths[0].write_bytes(b"PAR1 and no more")
    with pytest.raises(DataFileError, match="expected a Parquet file, found a damaged one"):
        read_open_bandit(*paths, 2)


def test_campaigns_and_files_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="campaign must be one of men, women, got 'all'"):
        load_open_bandit("all")
    with pytest.raises(FileNotFoundError, match=r"random_women\.parquet"):
        load_open_bandit("women", tmp_path)


@pytest.mark.skipif(dataset_path("obd/random_men.parquet") is None, reason="RECSIM_DATA names no folder with this data")
@pytest.mark.parametrize("campaign, clicks", [("men", (46, 69)), ("women", (46, 46))])
def test_the_published_sample(campaign, clicks):
    found = load_open_bandit(campaign)
    assert (len(found.random), len(found.thompson)) == (10_000, 10_000)
    assert (found.random.clicked.sum(), found.thompson.clicked.sum()) == clicks
    np.testing.assert_allclose(found.random.propensity, 1 / found.num_items)
