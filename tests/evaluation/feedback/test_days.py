"""Days and welfare of a loop: the same means and intervals as seed by seed, paired with the loop without a remedy."""

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation.feedback.days import EARNED, LAST_DAYS, WHOLE_LOOP, days_table, welfare_table
from recsim_lab.evaluation.feedback.plan import Arm, FeedbackPlan
from recsim_lab.evaluation.statistics import mean_interval, paired_interval

PLAN = FeedbackPlan(
    world="planted",
    seeds=(0, 1, 2),
    arms=(Arm("no remedy", "mf"), Arm("half", "mf:epsilon=0.5"), Arm("frozen", "mf", learns=False, role="control")),
    control_seeds=2,
    loop_days=4,
    measure_every=2,
    price_days=1,
)
CLICKS = ("welfare", "platform", "clicks_per_user")
COVERAGE = ("exposure", "between", "coverage")
STABILITY = ("consumption", "between", "stability")
COLUMNS = ["arm", "seed", "day", "level", "direction", "metric", "value"]


@pytest.fixture
def timeline() -> pd.DataFrame:
    """Random values; controls in two of three seeds, and a metric that the baseline has in two of them alone."""
    noise = np.random.default_rng(7)
    rows = []
    for arm in PLAN.arms:
        for seed in PLAN.seeds[: 3 if arm.role == "remedy" else 2]:
            rows += [(arm.name, seed, day, *CLICKS, noise.normal()) for day in range(1, 5)]
            rows += [(arm.name, seed, day, *COVERAGE, noise.normal()) for day in PLAN.measured_days]
    rows += [("no remedy", seed, day, *STABILITY, noise.normal()) for seed in (0, 2) for day in PLAN.measured_days]
    return pd.DataFrame(rows, columns=COLUMNS)


def values_of(timeline: pd.DataFrame, arm: str, metric: str, day: int) -> pd.Series:
    rows = timeline[(timeline["arm"] == arm) & (timeline["metric"] == metric) & (timeline["day"] == day)]
    return rows.set_index("seed")["value"]


def test_each_day_has_the_interval_of_its_seeds(timeline: pd.DataFrame) -> None:
    table = days_table(timeline, PLAN)
    told = table[table["metric"] != EARNED]
    assert len(told) == len(timeline[["arm", "metric", "day"]].drop_duplicates())
    for row in told.to_dict("records"):
        own = values_of(timeline, row["arm"], row["metric"], row["day"])
        base = values_of(timeline, "no remedy", row["metric"], row["day"])[own.index]
        alone, apart = mean_interval(own.to_numpy()), paired_interval(own.to_numpy(), base.to_numpy())
        assert row["num_seeds"] == len(own)
        found = [row[name] for name in ("mean", "low", "high", "difference", "difference_low", "difference_high")]
        expected = [alone.estimate, alone.low, alone.high, apart.estimate, apart.low, apart.high]
        np.testing.assert_allclose(found, expected, atol=1e-12)
        assert row["baseline"] == pytest.approx(base.mean())
    assert set(told.loc[told["arm"] == "frozen", "num_seeds"]) == {2}
    assert set(told.loc[told["metric"] == "stability", "num_seeds"]) == {2}


def test_clicks_so_far_are_summed_within_each_seed(timeline: pd.DataFrame) -> None:
    shuffled = timeline.sample(frac=1, random_state=1)
    table = days_table(shuffled, PLAN)
    third = table[(table["metric"] == EARNED) & (table["arm"] == "half") & (table["day"] == 3)].iloc[0]
    sums = [sum(values_of(timeline, arm, "clicks_per_user", day) for day in (1, 2, 3)) for arm in ("half", "no remedy")]
    apart = paired_interval(*(values.to_numpy() for values in sums))
    found = third[["difference", "difference_low", "difference_high"]].to_numpy(float)
    np.testing.assert_allclose(found, [apart.estimate, apart.low, apart.high], atol=1e-12)


def test_missing_values_and_single_seeds_have_no_interval(timeline: pd.DataFrame) -> None:
    one = timeline[timeline["seed"] == 0]
    table = days_table(one, PLAN)
    assert table["mean"].notna().all() and table[["low", "high", "difference_low"]].isna().all(axis=None)
    missing = timeline.copy()
    missing.loc[(missing["arm"] == "half") & (missing["seed"] == 1), "value"] = np.nan
    half = days_table(missing, PLAN).query("arm == 'half' and metric == 'coverage'")
    assert half[["mean", "difference"]].isna().all(axis=None) and set(half["num_seeds"]) == {3}
    assert half["baseline"].notna().all()


def test_welfare_is_the_mean_of_all_days_and_of_the_last_ones(timeline: pd.DataFrame) -> None:
    table = welfare_table(timeline, PLAN)
    assert set(table["metric"]) == {"clicks_per_user"}
    half = table[table["arm"] == "half"].set_index("days")
    days = [values_of(timeline, "half", "clicks_per_user", day) for day in range(1, 5)]
    whole = mean_interval(np.mean(days, axis=0))
    np.testing.assert_allclose(half.loc[WHOLE_LOOP, ["mean", "low"]].to_numpy(float), [whole.estimate, whole.low])
    assert half.loc[LAST_DAYS, "mean"] == pytest.approx(days[3].mean())


def test_days_of_which_nothing_is_known_are_left_out_of_welfare(timeline: pd.DataFrame) -> None:
    gap = timeline.copy()
    gap.loc[(gap["arm"] == "half") & (gap["day"] == 2), "value"] = np.nan
    half = welfare_table(gap, PLAN).query("arm == 'half' and days == @WHOLE_LOOP").iloc[0]
    days = [values_of(timeline, "half", "clicks_per_user", day) for day in (1, 3, 4)]
    assert half["mean"] == pytest.approx(np.mean(days))
