"""Claims: differences by seed, grounds as differences of differences, verdicts by the interval."""

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation.claims import Comparison, claim_row, claims_table

METRIC = "online/clicks_per_slate"


def scores(world: str, **agents: list[float]) -> pd.DataFrame:
    rows = [
        {"world": world, "deployment": "frozen", "agent": agent, "seed": seed, METRIC: value}
        for agent, values in agents.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def test_a_comparison_is_paired_by_seed():
    table = scores("w", b=[0.2, 0.4, 0.9], a=[0.3, 0.6, 0.8]).sample(frac=1, random_state=0)
    comparison = Comparison("a beats b", "w", "a", "b", METRIC)
    assert comparison.differences(table) == pytest.approx([0.1, 0.2, -0.1])
    turned = Comparison("a beats b", "w", "a", "b", METRIC, lower_is_better=True)
    assert turned.differences(table) == pytest.approx([-0.1, -0.2, 0.1])
    assert turned.measure(table) == "b minus a: clicks_per_slate"


def test_a_ground_is_the_lead_that_goes_with_it():
    table = pd.concat([scores("w", a=[0.5, 0.6], b=[0.1, 0.1]), scores("w:x=0", a=[0.3, 0.2], b=[0.2, 0.1])])
    ground = Comparison("x is a's ground", "w", "a", "b", METRIC, without="w:x=0")
    assert ground.differences(table) == pytest.approx([0.4 - 0.1, 0.5 - 0.1])
    (row,) = claims_table(table, [ground]).to_dict("records")
    assert (
        row["where"] == "w against w:x=0"
        and row["measure"] == "a minus b: clicks_per_slate (+0.4500 here, +0.1000 there)"
    )
    assert row["units"] == "2 seeds"


def test_retrained_arms_take_no_part():
    table = scores("w", a=[0.5], b=[0.1])
    other = table.assign(deployment="retrained", **{METRIC: 9.0})
    assert Comparison("", "w", "a", "b", METRIC).differences(pd.concat([table, other])) == pytest.approx([0.4])


@pytest.mark.parametrize(
    "differences, verdict",
    [
        ([0.1, 0.12, 0.11], "confirmed"),
        ([-0.1, -0.12, -0.11], "contradicted"),
        ([0.1, -0.1, 0.05], "not confirmed"),
        ([0.1], "not confirmed"),
        ([0.0, 0.0], "not confirmed"),
    ],
)
def test_verdicts(differences, verdict):
    row = claim_row("", "", "", np.array(differences))
    assert row["verdict"] == verdict
    assert np.isnan(row["p_value"]) == (len(differences) < 2)
    if verdict != "not confirmed":
        assert row["p_value"] < 0.05


def test_missing_agents_are_named():
    with pytest.raises(ValueError, match="scores of 'w' must hold c to judge 'c beats b'"):
        Comparison("c beats b", "w", "c", "b", METRIC).differences(scores("w", a=[1.0], b=[1.0]))
