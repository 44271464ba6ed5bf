"""Contrasts of agreements: equal to the agreement table, paired, and a ladder whose parts sum to the whole."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recsim_lab.evaluation.advice import Advice, advice_over_worlds, advice_table, usual_advice
from recsim_lab.evaluation.agreement import agreement_table
from recsim_lab.evaluation.attribution import PARTS, REMEDIES, Ladder, attribution_table
from recsim_lab.evaluation.contrasts import interval_of, resampled_spearman
from recsim_lab.evaluation.decisions import AGENT_ELSEWHERE, SECOND_RUN, WHICHEVER, decisions_table, yardsticks_table
from recsim_lab.evaluation.plan import EXPECTED
from recsim_lab.evaluation.protocols import Protocol, RandomSplit, Sampled, TemporalSplit, usual_protocols
from recsim_lab.evaluation.sensitivity import decay_table, sensitivity_table

NUM_AGENTS, NUM_SEEDS = 9, 3
PROTOCOLS = usual_protocols(8)


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """Noise of the agents' skill, less of it on every rung."""
    generator = np.random.default_rng(0)
    seed, agent = np.indices((NUM_SEEDS, NUM_AGENTS)).reshape(2, -1)
    skill = generator.normal(size=NUM_AGENTS)[agent]
    columns = {f"{p.prefix}/ndcg@10": skill + generator.normal(size=len(agent)) for p in PROTOCOLS}
    columns |= {EXPECTED: skill + 0.3 * generator.normal(size=len(agent))}
    columns |= {
        f"{kind}/{name}": skill + 0.2 * generator.normal(size=len(agent))
        for kind in ("online", "replicate")
        for name in ("clicks_per_slate", "churn")
    }
    return pd.DataFrame(
        {
            "world": "everyday",
            "logging_policy": "random",
            "deployment": "refit",
            "num_retrainings": 0,
            "agent": [f"agent{number}" for number in agent],
            "family": [f"family{number // 2}" for number in agent],
            "seed": seed,
        }
        | columns
    )


def test_agreements_and_intervals_are_those_of_the_agreement_table(scores: pd.DataFrame) -> None:
    table = agreement_table(scores, num_bootstrap=150, seed=4)
    for online in ("clicks_per_slate", "churn"):
        rows = table[table["online_metric"] == online]
        columns = tuple("offline/" + rows["protocol"] + "/" + rows["offline_metric"])
        found = resampled_spearman(scores, columns, f"online/{online}", 150, 4)
        for number, (_, row) in enumerate(rows.iterrows()):
            interval = interval_of(found[:, number])
            expected = row[["spearman", "spearman_low", "spearman_high"]].tolist()
            assert [interval.estimate, interval.low, interval.high] == pytest.approx(expected)


def test_agents_that_lack_a_column_are_left_out_of_all(scores: pd.DataFrame) -> None:
    first, second = (f"{p.prefix}/ndcg@10" for p in PROTOCOLS[:2])
    holes = scores.copy()
    holes.loc[(holes["agent"] == "agent3") & (holes["seed"] == 1), first] = np.nan
    found = resampled_spearman(holes, (first, second), "online/clicks_per_slate", 20)
    without = resampled_spearman(scores[scores["agent"] != "agent3"], (first, second), "online/clicks_per_slate", 20)
    np.testing.assert_array_equal(found, without)
    few = scores[scores["agent"].isin(["agent0", "agent1"])]
    assert np.isnan(resampled_spearman(few, (first,), "online/clicks_per_slate", 5)).all()
    with pytest.raises(ValueError, match=r"columns .*nowhere"):
        resampled_spearman(scores, ("offline/nowhere/auc",), "online/clicks_per_slate")


def test_parts_sum_to_what_the_agreement_lacks(scores: pd.DataFrame) -> None:
    table = attribution_table(scores, PROTOCOLS, 8, num_bootstrap=100)
    agreement = agreement_table(scores, num_bootstrap=100).query("online_metric == 'clicks_per_slate'")
    agreement = agreement.set_index(["protocol", "offline_metric"])
    ladders = table.pivot(index="protocol", columns="part", values="value")
    # Three splits, three kinds of candidates, with and without rules.
    assert len(ladders) == 18
    for protocol, row in ladders.iterrows():
        assert sum(row[part] for part in PARTS) == pytest.approx(row["total"])
        assert row["total"] == pytest.approx(1 - agreement.loc[(protocol, "ndcg@10"), "spearman"])
        assert row["noise"] == pytest.approx(1 - agreement.loc[(protocol, "ndcg@10"), "ceiling"])
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).mean() > 0.9
    # What is right already has no part.
    assert ladders.loc["temporal-full", ["split", "rules"]].tolist() == [0, 0]
    assert ladders.loc["random-full", "rules"] == 0 and ladders.loc["random-full", "split"] != 0


def test_remedies_are_averaged_over_their_six_orders(scores: pd.DataFrame) -> None:
    ladder = Ladder(Protocol(RandomSplit(), Sampled(), rules=False), "ndcg@10", "clicks_per_slate", 8)
    found = resampled_spearman(scores, ladder.columns, ladder.online, 3)
    agreement = dict(zip(ladder.columns, found.T, strict=True))
    literal = dict.fromkeys(REMEDIES, 0.0)
    for order in permutations(REMEDIES):
        for place, remedy in enumerate(order):
            step = agreement[ladder.remedied(*order[: place + 1])][0] - agreement[ladder.remedied(*order[:place])][0]
            literal[remedy] += step / 6
    parts = ladder.parts(agreement)
    assert {remedy: parts[remedy][0] for remedy in REMEDIES} == pytest.approx(literal)


def test_one_rung_moves_and_the_others_stay(scores: pd.DataFrame) -> None:
    """Perfect foresight by the slates' expected clicks moves `prediction` and `change`, and nothing else."""
    protocol = (Protocol(RandomSplit(), rules=False),)
    changed = scores.assign(**{EXPECTED: scores["online/clicks_per_slate"]})
    before, after = (
        attribution_table(some, protocol, 8, num_bootstrap=5).set_index("part")["value"] for some in (scores, changed)
    )
    moved = {part for part in before.index if before[part] != pytest.approx(after[part])}
    assert moved == {"prediction", "change"}
    assert after["prediction"] + after["change"] == pytest.approx(before["prediction"] + before["change"])


def test_advice_is_a_paired_difference(scores: pd.DataFrame) -> None:
    advices = usual_advice(8)
    table = advice_table(scores, advices, ("clicks_per_slate",), num_bootstrap=50)
    assert len(table) == len(advices)
    agreement = agreement_table(scores, num_bootstrap=1).query("online_metric == 'clicks_per_slate'")
    known = dict(zip(agreement["protocol"] + "/" + agreement["offline_metric"], agreement["spearman"], strict=True))
    for row in table.itertuples():
        assert row.difference == pytest.approx(known[row.advised] - known[row.instead_of])
        assert row.low <= row.high
    same = Advice("nothing", advices[0].advised, advices[0].advised)
    nothing = advice_table(scores, (same,), ("clicks_per_slate",), num_bootstrap=50).iloc[0]
    assert (nothing["difference"], nothing["low"], nothing["high"]) == (0, 0, 0)


def test_advice_is_tested_with_worlds_as_units() -> None:
    """p of a t test over three and over two worlds by hand, and Holm's correction within a metric."""
    differences = {"rules": [0.3, 0.5, 0.4], "targets": [0.1, -0.1, 0.1], "none": [0.2, 0.4]}
    rows = [
        {
            "world": f"world{world}",
            "logging_policy": "mf",
            "advice": advice,
            "advised": "a/auc",
            "instead_of": "b/auc",
            "online_metric": metric,
            "difference": value,
        }
        for metric in ("clicks_per_slate", "satisfaction")
        for advice, values in differences.items()
        for world, value in enumerate(values)
    ]
    table = advice_over_worlds(pd.DataFrame(rows)).set_index(["online_metric", "advice"])
    for metric in ("clicks_per_slate", "satisfaction"):
        rules, targets, none = (table.loc[(metric, advice)] for advice in differences)
        p_value = 2 * stats.t.sf(0.4 / (0.1 / np.sqrt(3)), 2)
        assert (rules["difference"], rules["p_value"]) == pytest.approx((0.4, p_value))
        assert rules["p_holm"] == pytest.approx(2 * p_value) and targets["p_holm"] == pytest.approx(targets["p_value"])
        margin = stats.t.ppf(0.975, 2) * 0.1 / np.sqrt(3)
        assert (rules["low"], rules["high"]) == pytest.approx((0.4 - margin, 0.4 + margin))
        assert none["difference"] == pytest.approx(0.3) and none[["low", "p_value", "p_holm"]].isna().all()
    assert advice_over_worlds(pd.DataFrame(rows).iloc[:0]).empty


def test_decisions_are_judged_where_they_were_not_made() -> None:
    """Of three numbers, one is best in two worlds and ruinous in the other two; one is never bad. A fourth tells of few
    agents, so that its losses are not against the best."""
    losses = {
        "gambler/auc": [0.0, 0.0, 0.5, 0.5],
        "steady/auc": [0.1, 0.1, 0.1, 0.1],
        "blind/auc": [0.3, 0.3, 0.3, 0.3],
        "few/auc": [0.0, 0.0, 0.0, 0.0],
    }
    rows = [
        {
            "world": f"world{world}",
            "logging_policy": "random",
            "deployment": "refit",
            "protocol": name.partition("/")[0],
            "offline_metric": "auc",
            "online_metric": "clicks_per_slate",
            "top1_regret": loss,
            "num_agents": 5 if name == "few/auc" else 9,
        }
        for name, values in losses.items()
        for world, loss in enumerate(values)
    ]
    table = decisions_table(pd.DataFrame(rows)).set_index("number")
    # Of six halvings one has both good worlds in the half that decides.
    assert table["chosen_in"].to_dict() == {WHICHEVER: 6, "steady/auc": 5, "gambler/auc": 1}
    assert table["num_halvings"].tolist() == [6, 6, 6]
    assert table.loc[WHICHEVER, "loss_where_followed"] == pytest.approx((5 * 0.1 + 0.5) / 6)
    gambler = table.loc["gambler/auc"]
    assert (gambler["loss_where_chosen"], gambler["loss_where_followed"]) == pytest.approx((0.0, 0.5))
    assert (gambler["least_possible"], gambler["loss_of_any_number"]) == pytest.approx((0.1, 0.3))
    one_world = pd.DataFrame(rows).query("world == 'world0'")
    assert decisions_table(one_world).empty


def test_numbers_are_held_against_choices_without_any() -> None:
    """Two agents and Random in four worlds: `good` earns 1 in three of them and .8 in the last, `odd` .5 and 1."""
    earned = {"good": [1.0, 1.0, 1.0, 0.8], "odd": [0.5, 0.5, 0.5, 1.0], "random": [9.0] * 4, "oracle": [9.0] * 4}
    rows = [
        {
            "world": f"world{world}",
            "logging_policy": "mf",
            "deployment": "refit",
            "agent": agent,
            "family": agent,
            "seed": seed,
            "online/clicks_per_slate": 10 * value,
            # A second run that errs in one seed of two.
            "replicate/clicks_per_slate": value if seed else {"good": 1, "odd": 2, "random": 3, "oracle": 3}[agent],
        }
        for agent, values in earned.items()
        for world, value in enumerate(values)
        for seed in (0, 1)
    ]
    table = yardsticks_table(pd.DataFrame(rows)).set_index("number")
    assert list(table.index) == [AGENT_ELSEWHERE, SECOND_RUN]
    elsewhere, second = table.loc[AGENT_ELSEWHERE], table.loc[SECOND_RUN]
    # `good` is chosen in every half. The last world is in half of the halves that follow, of two worlds each.
    assert elsewhere["loss_where_followed"] == pytest.approx(0.2 / 4)
    assert elsewhere["loss_of_any_number"] == pytest.approx(np.mean([0, 0, 0, 0.2, 0.5, 0.5, 0.5, 0]))
    assert second["loss_where_followed"] == pytest.approx((3 * 0.5 / 2) / 4)
    assert list(yardsticks_table(pd.DataFrame(rows).drop(columns="replicate/clicks_per_slate"))["number"]) == [
        AGENT_ELSEWHERE
    ]


def test_a_switch_is_compared_with_nothing_switched(scores: pd.DataFrame) -> None:
    number = "temporal-full/ndcg@10"
    noise = np.random.default_rng(5).normal(size=len(scores))
    switched = scores.assign(world="everyday:drift=0", **{f"offline/{number}": noise})
    table = sensitivity_table({"nothing": scores, "drift": switched}, (number,), num_bootstrap=50)
    base, without = table.set_index("switched_off").loc[["nothing", "drift"]].to_dict("records")
    assert base["agreement"] > 0.3 and (base["change"], base["change_low"], base["change_high"]) == (0, 0, 0)
    assert without["change"] == pytest.approx(without["agreement"] - base["agreement"])
    assert without["change_low"] < without["change"] < without["change_high"]
    with pytest.raises(ValueError, match="scores of one switch must be of one world"):
        sensitivity_table({"nothing": pd.concat([scores, switched])}, (number,), num_bootstrap=5)


def test_decay_tells_agreement_by_the_age_of_the_log(scores: pd.DataFrame) -> None:
    number = "random-full/ndcg@10"
    scores = pd.concat([scores, scores.assign(logging_policy="mf")])
    reversed_in_mf = np.where(scores["logging_policy"] == "mf", -1.0, 1.0) * scores[f"offline/{number}"]
    later = scores.assign(**{f"offline/{number}": reversed_in_mf})
    table = decay_table({20: later, 10: scores}, (number,), num_bootstrap=50)
    rows = table.set_index(["logging_policy", "log_days"]).sort_index()
    assert rows.index.tolist() == [("mf", 10), ("mf", 20), ("random", 10), ("random", 20)]
    assert rows["num_retrainings"].tolist() == [9, 19, 0, 0]
    known = resampled_spearman(scores[: len(scores) // 2], (f"offline/{number}",), "online/clicks_per_slate", 1)[0, 0]
    assert rows["agreement"].to_numpy() == pytest.approx([known, -known, known, known])
    assert rows["change"].to_numpy() == pytest.approx([0, -2 * known, 0, 0])
    assert rows["beyond"].to_numpy() == pytest.approx([0, -2 * known, np.nan, np.nan], nan_ok=True)
    aged = {10: scores, 20: later.assign(**{f"offline/{number}": later[f"offline/{number}"] * np.nan})}
    assert decay_table(aged, (number,), num_bootstrap=5)["beyond"].iloc[2:].isna().all()
    same = rows.drop(("mf", 20))
    assert (same[["change", "change_low", "change_high"]] == 0).all(axis=None)
    assert rows.loc[("mf", 20), "change_low"] < -2 * known < rows.loc[("mf", 20), "change_high"]
    assert (table["ceiling"] > 0.8).all()
    assert list(decay_table({}).columns) == list(table.columns)


def test_the_ladders_of_the_temporal_split_need_no_other_split() -> None:
    ladder = Ladder(Protocol(TemporalSplit(8)), "auc", "churn", 8)
    assert len(ladder.columns) == 4
    assert ladder.online == "online/churn"
