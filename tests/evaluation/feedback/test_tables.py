"""Tables of a feedback loop, of planted timelines whose answers are known by hand."""

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation.bubble.metrics import METRICS, BubbleMetric
from recsim_lab.evaluation.feedback.controls import NO_CONTROL, controls_table
from recsim_lab.evaluation.feedback.differences import differences_table
from recsim_lab.evaluation.feedback.frontier import NOT_REACHABLE, frontier_table, interpolation
from recsim_lab.evaluation.feedback.narrowing import PARTS, narrowing_table
from recsim_lab.evaluation.feedback.plan import NOBODY, NULL_TWIN, START, Arm, FeedbackPlan, LoopUnit
from recsim_lab.evaluation.feedback.prices import NONE_IN_HORIZON, WORTH, break_even, crossed_dividend, remedies_table
from recsim_lab.evaluation.feedback.study import STABILITY, Outcome
from recsim_lab.evaluation.statistics import mean_interval

A = np.ndarray

SEEDS = (0, 1, 2)
NOISE = np.array([-0.01, 0.0, 0.01])
PLAN = FeedbackPlan(
    world="planted",
    seeds=SEEDS,
    arms=(
        Arm("no remedy", "mf"),
        Arm("half", "mf:epsilon=0.5", dial="epsilon", setting=0.5),
        Arm("tenth", "mf:epsilon=0.1", dial="epsilon", setting=0.1),
        Arm("free", "mf:mmr=0.1", dial="mmr", setting=0.1),
        *(Arm(name, name, role="control") for name in ("random", "organic", "top-topic")),
        Arm("popularity", "popularity", role="control"),
        Arm("frozen", "mf", learns=False, role="control"),
        Arm(NULL_TWIN, "mf", luck="null", role="control"),
    ),
    loop_days=4,
    measure_every=4,
    price_days=2,
)
EVERY_RUN = (*(arm.name for arm in PLAN.arms), NOBODY, START)


def _bubble(value_of: dict[tuple[str, str], float], base: float = 1.0) -> pd.DataFrame:
    """Every metric of every run on the last day: `base`, moved by (arm, metric), with the same noise in all arms."""
    rows = [
        (
            arm,
            seed,
            4,
            metric.level,
            metric.direction,
            metric.name,
            base + NOISE[seed] + value_of.get((arm, metric.name), 0),
        )
        for arm in EVERY_RUN
        for seed in SEEDS
        for metric in METRICS
        if metric.level == "preference" or arm not in (NOBODY, START)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "day", "level", "direction", "metric", "value"])


def _clicks(daily: dict[str, list[float]]) -> pd.DataFrame:
    rows = [
        (arm, seed, day, "welfare", "platform", "clicks_per_user", value + NOISE[seed])
        for arm, values in daily.items()
        for seed in SEEDS
        for day, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows, columns=["arm", "seed", "day", "level", "direction", "metric", "value"])


def _outcomes(clicks_per_slate: dict[str, float], rewards: dict[str, dict[str, float]]) -> list[Outcome]:
    return [
        Outcome(
            LoopUnit(seed, arm.name),
            {
                "daily": [{"num_slates": 10, "clicks_per_slate": clicks_per_slate.get(arm.name, 0.3)}] * 4,
                "rewards": rewards.get(arm.name, {}),
                "worth": dict.fromkeys(WORTH, 0.2) | {"refit_clicks": 0.3 + 0.1 * (arm.name == "half")},
            },
            {},
        )
        for arm in PLAN.arms
        for seed in SEEDS
    ]


DAILY = {arm.name: [1.0, 1.0, 1.0, 1.0] for arm in PLAN.arms} | {
    "half": [0.9, 0.9, 1.2, 1.4],
    "tenth": [0.98, 0.98, 1.0, 1.0],
}


def test_remedies_cost_gain_and_break_even() -> None:
    rewards = {
        "half": {
            f"{m}_model{a}": v
            for (m, a), v in zip(
                (("own", ""), ("greedy", ""), ("own", "_among_greedy_users"), ("greedy", "_among_greedy_users")),
                (0.5, 0.4, 0.3, 0.28),
                strict=True,
            )
        }
    }
    outcomes = _outcomes({"half": 0.25, "random": 0.1}, rewards)
    table = remedies_table(pd.concat([_bubble({}), _clicks(DAILY)]), outcomes, PLAN).set_index("arm")
    half = table.loc["half"]
    assert half["cost"] == pytest.approx(0.1) and half["gain"] == pytest.approx(0.3)
    assert half["total"] == pytest.approx(0.4)
    assert half["cost_percent"] == pytest.approx(np.mean(10 / (1 + NOISE)))
    # -.1, -.2, 0, .4: the sum lies above zero, and all its interval, on the fourth day.
    assert half["break_even"] == "4" and table.loc["tenth", "break_even"] == NONE_IN_HORIZON
    assert half["dividend"] == pytest.approx((0.1 + 0.02) / 2) and np.isnan(table.loc["tenth", "dividend"])
    assert half["published"] == pytest.approx(0.25 - (0.5 * 0.3 + 0.5 * 0.1))
    assert np.isnan(table.loc["free", "published"]) and table.loc["free", "published_seeds"] == 0
    assert half["dividend_seeds"] == 3 and table.loc["tenth", "dividend_seeds"] == 0
    assert half["refit_clicks"] == pytest.approx(0.1) and table.loc["tenth", "refit_clicks"] == pytest.approx(0)
    assert half["num_seeds"] == 3 and half["role"] == "remedy"
    assert half["gain_percent"] == pytest.approx(np.mean(30 / (1 + NOISE)))
    assert half["total_percent"] == pytest.approx(np.mean(40 / (4 + 4 * NOISE)))


def test_the_published_dividend_is_of_the_random_controls_seeds() -> None:
    rewards = {f"{model}_model{among}": 0.3 for model in ("own", "greedy") for among in ("", "_among_greedy_users")}
    outcomes = [o for o in _outcomes({}, {"half": rewards}) if o.unit.arm != "random" or o.unit.seed < 2]
    half = remedies_table(pd.concat([_bubble({}), _clicks(DAILY)]), outcomes, PLAN).set_index("arm").loc["half"]
    assert half["published_seeds"] == 2 and half["dividend_seeds"] == 3


def test_a_log_is_valued_as_it_is_in_the_seeds_where_it_tells_anything() -> None:
    outcomes = _outcomes({}, {})
    for outcome in outcomes:
        if outcome.unit.arm == "half":
            refuses = outcome.unit.seed == 1
            outcome.result["worth"] |= {"value_error": np.nan if refuses else 0.1 * outcome.unit.seed}
            outcome.result["worth"] |= {"value_refused": float(refuses)}
        elif outcome.unit.arm == "no remedy":
            outcome.result["worth"] |= {"value_error": np.nan, "value_refused": 1.0}
    half = remedies_table(pd.concat([_bubble({}), _clicks(DAILY)]), outcomes, PLAN).set_index("arm").loc["half"]
    assert half["value_error"] == pytest.approx(0.1) and half["value_refused"] == pytest.approx(1 / 3)
    assert half["value_error_high"] == pytest.approx(mean_interval(np.array([0.0, 0.2])).high)
    assert np.isnan(half["value_error_baseline"]) and half["value_refused_baseline"] == 1


def test_break_even_asks_for_the_whole_interval() -> None:
    values = np.array([[1.0, 1.0, 9.0], [-1.0, 1.0, 9.0], [0.5, 0.4, 9.5]])
    sums = np.cumsum(values, axis=1)
    first = next(day for day in (1, 2, 3) if mean_interval(sums[:, day - 1]).low > 0)
    assert break_even(values) == first == 3
    assert break_even(-values) == NONE_IN_HORIZON
    assert break_even(np.ones((1, 3))) == NONE_IN_HORIZON, "one seed tells nothing"


def test_the_crossed_dividend_of_what_does_not_fit_is_unknown() -> None:
    assert np.isnan(crossed_dividend({}))


def test_differences_are_paired() -> None:
    table = differences_table(_bubble({("half", "gini"): -0.2}), PLAN)
    row = table[(table["arm"] == "half") & (table["metric"] == "gini")].iloc[0]
    assert row["difference"] == pytest.approx(-0.2) and row["low"] == pytest.approx(-0.2)
    assert row["baseline"] == pytest.approx(1) and row["value"] == pytest.approx(0.8) and row["num_seeds"] == 3
    assert set(table["arm"]) == {arm.name for arm in PLAN.arms[1:]}


def test_controls_are_flagged_on_the_side_of_a_tighter_bubble_alone() -> None:
    moved = {}
    for number, metric in enumerate(METRICS):
        if metric.control:
            way = 1 if metric.narrower == "higher" else -1
            moved[metric.control, metric.name] = way * (0.3 if number % 2 else -0.3)
    table = controls_table(_bubble(moved), PLAN)
    assert list(table["metric"]) == [*(metric.name for metric in METRICS), STABILITY]
    for number, (metric, flagged) in enumerate(zip(METRICS, table["flagged"][:-1], strict=True)):
        if metric.control is None:
            assert np.isnan(flagged)
        # The same metric of two levels was moved twice; the later one counts.
        elif sum(other.name == metric.name for other in METRICS) == 1:
            assert flagged == number % 2, metric.name
    assert (table["null_flagged"][:-1] == 0).all()


def test_every_metric_names_its_control_or_why_there_is_none() -> None:
    table = controls_table(_bubble({}), PLAN)
    named = table["control"].isin(["popularity", "top-topic"])
    assert (table.loc[~named, "control"] == NO_CONTROL).all() and (table.loc[named, "reason"] == "").all()
    why = table[~named].set_index("metric")["reason"]
    assert set(why.index) == {
        *("topic_entropy_gap", "calibration_kl_gap", "drift_gap", "caused_drift_gap"),
        *("first_component_share", "bimodality", STABILITY),
    }
    assert "null twin" in why[STABILITY] and "groups" in why["drift_gap"] and "camps" in why["bimodality"]
    stability = table[table["metric"] == STABILITY].iloc[0]
    assert np.isnan(stability["flagged"]) and np.isnan(stability["null_flagged"]), "it is of the null twin itself"
    with pytest.raises(ValueError, match="control must be named, or uncontrolled say why"):
        BubbleMetric("gap", "exposure", "within", "lower", None, "A gap.")


def test_a_control_without_the_metric_flags_nothing() -> None:
    timeline = _bubble({})
    timeline.loc[(timeline["arm"] == "organic") & (timeline["metric"] == "jaccard_model_nearest"), "value"] = np.nan
    table = controls_table(timeline, PLAN).set_index("metric")
    assert table.loc["jaccard_model_nearest", "flagged"].isna().all()
    assert (table.loc["jaccard_random", "flagged"] == 0).all()


def test_the_null_twin_is_flagged_after_correction_for_all_metrics() -> None:
    timeline = _bubble({(NULL_TWIN, "drift"): 0.5})
    # A difference that one test would call significant (p = .02), and 52 tests would not.
    mild = (timeline["arm"] == NULL_TWIN) & (timeline["metric"] == "mean_cosine")
    timeline.loc[mild, "value"] += np.array([0.09, 0.10, 0.14])
    table = controls_table(timeline, PLAN).set_index("metric")
    assert table.loc["drift", "null_flagged"] == 1 and table["null_flagged"].sum() == 1
    assert table.loc["mean_cosine", "null_low"] > 0 and table.loc["mean_cosine", "null_flagged"] == 0


def test_parts_of_narrowing_sum_to_the_whole() -> None:
    moved = {(NOBODY, "drift"): 0.1, ("organic", "drift"): 0.3, ("frozen", "drift"): 0.2, ("no remedy", "drift"): 0.7}
    table = narrowing_table(_bubble(moved), PLAN)
    drift = table[table["metric"] == "drift"].set_index("part")["value"]
    np.testing.assert_allclose(drift[list(PARTS)], [0.1, 0.2, -0.1, 0.5])
    for _, rows in table.groupby(["metric", "direction"]):
        values = rows.set_index("part")["value"]
        assert values[list(PARTS)].sum() == pytest.approx(values["total"])
    assert (table["num_seeds"] == 3).all()


def test_parts_are_told_over_the_seeds_that_all_runs_have() -> None:
    timeline = _bubble({})
    short = timeline[~((timeline["arm"] == "organic") & (timeline["seed"] == 2))]
    assert (narrowing_table(short, PLAN)["num_seeds"] == 2).all()
    with pytest.raises(ValueError, match="missing organic"):
        narrowing_table(timeline[timeline["arm"] != "organic"], PLAN)


@pytest.mark.parametrize(
    ("costs", "loss", "weights"),
    [
        ([0, 2, 10], 1, [0.5, 0.5, 0]),
        ([0, 2, 10], 4, [0, 0.75, 0.25]),
        ([0, 2, 10], 2, [0, 1, 0]),
        ([0, 2, 10], 11, None),
        ([0, -3, -5], 1, None),
        ([0, -1, 3], 1, [0, 0.5, 0.5]),
        ([0, 4, 0], 2, [0.5, 0.5, 0]),
    ],
)
def test_a_price_lies_between_two_settings(costs: list[float], loss: float, weights: list[float] | None) -> None:
    found = interpolation(np.array(costs, float), float(loss))
    if weights is None:
        assert found is None
    else:
        np.testing.assert_allclose(found, weights)


def test_dials_are_compared_at_equal_price() -> None:
    timeline = pd.concat([_bubble({("half", "gini"): -0.4, ("tenth", "gini"): -0.1}), _clicks(DAILY)])
    table = frontier_table(timeline, PLAN)
    shown = table[(table["metric"] == "gini") & (table["level"] == "exposure")].set_index(["dial", "loss_percent"])
    # Costs 2% at .1 and 10% at .5: 5% lies at 3/8 of the way.
    five = shown.loc["epsilon", 5.0]
    costs = [np.mean(100 * cost / (1 + NOISE)) for cost in (0.02, 0.1)]
    share = (5 - costs[0]) / (costs[1] - costs[0])
    assert five["setting"] == pytest.approx(0.1 + share * 0.4)
    assert five["value"] == pytest.approx(-0.1 - share * 0.3) and five["remark"] == ""
    assert (shown.loc["mmr", "remark"] == NOT_REACHABLE).all() and shown.loc["mmr", "value"].isna().all()
