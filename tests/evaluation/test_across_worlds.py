"""Agreement over worlds: means, intervals and paired differences worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recsim_lab.evaluation.across_worlds import COLUMNS, across_worlds_table

AGREEMENT = {
    ("random", "steady"): [0.5, 0.7, 0.6],
    ("mf", "steady"): [0.1, 0.2, 0.3],
    ("random", "partly"): [0.9, np.nan, 0.9],
    ("mf", "partly"): [0.8, 0.4, 0.6],
    ("mf", "alone"): [-0.5, 0.5, 0.0],
}


@pytest.fixture
def correlations() -> pd.DataFrame:
    rows = [
        {
            "world": f"world{world}",
            "logging_policy": logging,
            "deployment": "refit",
            "protocol": protocol,
            "offline_metric": "auc",
            "online_metric": "clicks_per_slate",
            "agents": "all",
            "spearman": value,
            "spearman_low": value - 0.25,
            "top1_regret": 0.1 * world,
        }
        for (logging, protocol), values in AGREEMENT.items()
        for world, value in enumerate(values)
    ]
    others = pd.DataFrame(rows[:2]).assign(agents=["catalogue", "all"], online_metric=["clicks_per_slate", "regret"])
    return pd.concat([pd.DataFrame(rows), others.assign(spearman=-1.0)], ignore_index=True)


def test_means_and_intervals_are_over_worlds(correlations: pd.DataFrame) -> None:
    table = across_worlds_table(correlations)
    assert tuple(table.columns) == COLUMNS
    assert list(zip(table["logging_policy"], table["protocol"], strict=True)) == [
        ("mf", "partly"),
        ("mf", "steady"),
        ("mf", "alone"),
        ("random", "partly"),
        ("random", "steady"),
    ]
    steady = table.set_index(["logging_policy", "protocol"]).loc[("mf", "steady")]
    margin = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
    assert steady[["agreement", "low", "high"]].tolist() == pytest.approx([0.2, 0.2 - margin, 0.2 + margin])
    assert (steady["least"], steady["least_world"], steady["num_worlds"]) == (0.1, "world0", 3)
    assert steady["num_above_chance"] == 1 and steady["top1_regret"] == pytest.approx(0.1)
    less = np.array([0.4, 0.5, 0.3])
    margin = stats.t.ppf(0.975, 2) * less.std(ddof=1) / np.sqrt(3)
    assert steady[["less_than_random", "less_low", "less_high"]].tolist() == pytest.approx(
        [0.4, 0.4 - margin, 0.4 + margin]
    )


def test_a_world_where_a_number_is_undefined_is_left_out_of_its_row(correlations: pd.DataFrame) -> None:
    table = across_worlds_table(correlations).set_index(["logging_policy", "protocol"])
    by_chance, of_model = table.loc[("random", "partly")], table.loc[("mf", "partly")]
    assert (by_chance["num_worlds"], by_chance["agreement"]) == (2, pytest.approx(0.9))
    assert by_chance["top1_regret"] == pytest.approx(0.1)
    assert (of_model["num_worlds"], of_model["less_than_random"]) == (3, pytest.approx(0.2))
    assert table.loc["random", "less_than_random"].isna().all() and np.isnan(table.loc[("mf", "alone"), "less_low"])


def test_without_random_logs_nothing_is_compared(correlations: pd.DataFrame) -> None:
    some = correlations[correlations["logging_policy"] == "mf"]
    alone = across_worlds_table(some)
    assert alone["less_than_random"].isna().all() and len(alone) == 3
    one = across_worlds_table(some[some["world"] == "world0"])
    assert one["low"].isna().all() and one["agreement"].tolist() == [0.8, 0.1, -0.5]
    assert across_worlds_table(some.assign(spearman=np.nan)).empty
