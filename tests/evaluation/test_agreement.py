"""Agreement equals hand counts and a literal bootstrap, and its intervals cover what they should."""

from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from recsim_lab.evaluation import agreement
from recsim_lab.evaluation.agreement import COLUMNS, KEYS, MULTIPLE_COMPARISONS_NOTE, agreement_table
from recsim_lab.evaluation.resampled_agreement import STATISTICS, resample_counts

OFFLINE, ONLINE = "offline/temporal-full/ndcg@10", "online/clicks_per_slate"


def study(offline, online, families=None, **keys):
    """A table of scores from arrays [seed, agent]; `offline` and `online` may map columns to arrays."""
    offline = offline if isinstance(offline, dict) else {OFFLINE: offline}
    online = online if isinstance(online, dict) else {ONLINE: online}
    columns = {name: np.asarray(values, float) for name, values in (offline | online).items()}
    num_seeds, num_agents = next(iter(columns.values())).shape
    seeds, agents = np.indices((num_seeds, num_agents)).reshape(2, -1)
    families = np.arange(num_agents) if families is None else np.asarray(families)
    same = {"world": "everyday", "logging_policy": "random", "deployment": "frozen", "num_retrainings": 0} | keys
    return pd.DataFrame(
        {
            **same,
            "agent": [f"agent{number:02}" for number in agents],
            "family": [f"family{number:02}" for number in families[agents]],
            "seed": seeds,
        }
        | {name: values.ravel() for name, values in columns.items()}
    )


def only_row(table):
    assert len(table) == 1
    return table.iloc[0]


def literal_statistics(a, b, identity):
    """The definitions on a list of agents, in which copies of one agent share an identity."""
    a, b = np.asarray(a), np.asarray(b)
    if len(set(identity)) < 3 or len(set(a)) < 2 or len(set(b)) < 2:
        return [np.nan] * 5
    pairs = [(i, j) for i, j in combinations(range(len(a)), 2) if identity[i] != identity[j]]
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in pairs]
    concordance = sum(x * y for x, y in signs)
    tau = concordance / np.sqrt(sum(x != 0 for x, _ in signs) * sum(y != 0 for _, y in signs))
    accuracy = np.mean([1.0 if x * y > 0 else 0.5 if x * y == 0 else 0.0 for x, y in signs])
    regret = (b.max() - b[a == a.max()].mean()) / abs(b.max()) if b.max() != 0 else np.nan
    return [stats.spearmanr(a, b).statistic, tau, stats.pearsonr(a, b).statistic, accuracy, regret]


def test_hand_computed_case():
    # One discordant pair of six; the offline winner (the last agent) earns 3 where 4 was to be had.
    row = only_row(agreement_table(study([[0.1, 0.2, 0.3, 0.4]], [[1.0, 2.0, 4.0, 3.0]])))
    assert list(row.index) == list(COLUMNS)
    assert row[list(KEYS)].tolist() == ["everyday", "random", "frozen", 0]
    assert row[["protocol", "offline_metric", "online_metric"]].tolist() == [
        "temporal-full",
        "ndcg@10",
        "clicks_per_slate",
    ]
    assert row["spearman"] == pytest.approx(1 - 6 * 2 / (4 * 15))
    assert row["kendall"] == pytest.approx((5 - 1) / 6)
    assert row["pearson"] == pytest.approx(0.8)
    assert row["pairwise_accuracy"] == pytest.approx(5 / 6)
    assert row["top1_regret"] == pytest.approx(0.25)
    assert (row["num_agents"], row["num_seeds"]) == (4, 1)
    assert np.isnan(row["ceiling"])


def test_ties_count_half_and_tied_winners_are_averaged():
    row = only_row(agreement_table(study([[1.0, 2.0, 2.0]], [[1.0, 4.0, 2.0]])))
    assert row["pairwise_accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    assert row["top1_regret"] == pytest.approx((4 - 3) / 4)
    assert row["kendall"] == pytest.approx(2 / np.sqrt(2 * 3))


def test_statistics_are_averaged_over_seeds_not_computed_on_averages():
    offline = [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0]]
    online = [[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]
    row = only_row(agreement_table(study(offline, online)))
    assert row["spearman"] == pytest.approx(0.0)
    assert row["top1_regret"] == pytest.approx((0 + 2 / 3) / 2)
    assert row["num_seeds"] == 2


def test_metrics_where_lower_is_better_are_turned():
    rising = [[1.0, 2.0, 3.0, 4.0]]
    table = agreement_table(
        study(
            {"offline/temporal-full/rmse": rising, "offline/temporal-full/ndcg@5": rising},
            {"online/churn": rising, "online/clicks_per_slate": rising},
        )
    ).set_index(["offline_metric", "online_metric"])
    assert table["spearman"].to_dict() == {
        ("rmse", "churn"): 1.0,
        ("rmse", "clicks_per_slate"): -1.0,
        ("ndcg@5", "churn"): -1.0,
        ("ndcg@5", "clicks_per_slate"): 1.0,
    }
    # Deployed by NDCG, the winner has a churn of 4 where 1 was to be had: thrice the best value is lost.
    assert table.loc[("ndcg@5", "churn"), "top1_regret"] == pytest.approx(3.0)
    assert table.loc[("rmse", "churn"), "top1_regret"] == 0.0


@pytest.mark.parametrize("missing", [False, True])
def test_estimates_and_intervals_equal_a_literal_bootstrap(missing):
    generator = np.random.default_rng(11)
    families = [0, 0, 1, 2, 2, 3, 4]
    offline = generator.integers(0, 5, (3, 7)).astype(float)  # small integers: ties
    online = offline + generator.integers(-3, 4, (3, 7)) + 7
    if missing:
        offline[0, 2], offline[1, 5], online[2, 0] = np.nan, np.inf, np.nan
        offline[2, 2:] = np.nan  # too few agents: this seed does not count
    row = only_row(agreement_table(study(offline, online, families), num_bootstrap=200, seed=5))

    family_counts, seed_counts = resample_counts(5, 3, 200, np.random.default_rng(5))
    resamples = []
    for of_families, of_seeds in zip(family_counts.astype(int), seed_counts.astype(int), strict=True):
        answers = []
        for seed in range(3):
            known = np.isfinite(offline[seed]) & np.isfinite(online[seed])
            if known.sum() < 3:
                continue
            held = [agent for agent in range(7) if known[agent] for _ in range(of_families[families[agent]])]
            answer = literal_statistics(offline[seed][held], online[seed][held], held)
            answers += [answer] * of_seeds[seed]
        kept = [answer for answer in answers if not np.isnan(answer[0])]
        resamples.append(np.mean(kept, axis=0) if kept else [np.nan] * 5)
    resamples = np.array(resamples)
    assert 0.5 < np.mean(np.isfinite(resamples[1:, 0])) < 1  # some resamples have no answer
    low, high = np.nanquantile(resamples[1:], [0.025, 0.975], axis=0)
    for number, statistic in enumerate(STATISTICS):
        computed = row[[statistic, f"{statistic}_low", f"{statistic}_high"]].tolist()
        expected = [resamples[0, number], low[number], high[number]]
        assert computed == pytest.approx(expected, abs=1e-12), statistic
    assert row["num_seeds"] == (2 if missing else 3)


def test_the_first_resample_is_the_study_and_the_others_keep_its_size():
    families, seeds = resample_counts(6, 3, 500, np.random.default_rng(0))
    assert (families[0] == 1).all() and (seeds[0] == 1).all()
    assert (families.sum(axis=1) == 6).all() and (seeds.sum(axis=1) == 3).all()
    assert len(np.unique(families, axis=0)) > 100


def test_the_oracle_is_left_out():
    scores = study([[1.0, 2.0, 3.0, 0.0]], [[1.0, 2.0, 3.0, 9.0]], families=[0, 1, 2, 3])
    scores.loc[scores["agent"] == "agent03", ["agent", "family"]] = "oracle"
    row = only_row(agreement_table(scores))
    assert (row["spearman"], row["num_agents"], row["top1_regret"]) == (1.0, 3, 0.0)


def test_order_of_rows_and_other_columns_and_groups_change_nothing(monkeypatch):
    generator = np.random.default_rng(12)
    offline = {f"offline/p/m@{k}": generator.normal(size=(2, 6)) for k in range(1, 6)}
    one = study(offline, generator.normal(size=(2, 6)))
    two = study(offline, generator.normal(size=(2, 6)), world="static", num_retrainings=np.nan)
    table = agreement_table(pd.concat([one, two]).sample(frac=1, random_state=1), num_bootstrap=50)
    assert table["world"].tolist() == ["everyday"] * 5 + ["static"] * 5
    assert table["num_retrainings"].isna().tolist() == [False] * 5 + [True] * 5
    alone = agreement_table(one.drop(columns="offline/p/m@1"), num_bootstrap=50)
    pd.testing.assert_frame_equal(table.iloc[1:5].reset_index(drop=True), alone, check_dtype=False)
    monkeypatch.setattr(agreement, "OFFLINE_BLOCK", 2)
    blocked = agreement_table(pd.concat([one, two]), num_bootstrap=50)
    pd.testing.assert_frame_equal(table, blocked)


def test_undefined_cases_are_nan_and_never_an_exception():
    numbers = [f"{statistic}{end}" for statistic in STATISTICS for end in ("", "_low", "_high")]
    rising, constant = [[1.0, 2.0, 3.0, 4.0]] * 2, [[5.0] * 4] * 2
    for scores in (
        study(constant, rising),
        study(rising, constant),
        study([[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2),
        study([[1.0]], [[1.0]]),
    ):
        assert only_row(agreement_table(scores))[numbers].isna().all()
    nothing_earned = only_row(agreement_table(study(rising, [[-2.0, -1.0, 0.0, -3.0]] * 2)))
    assert nothing_earned["spearman"] == pytest.approx(-0.2) and np.isnan(nothing_earned["top1_regret"])
    # The best is 0 in every seed, each time another agent, so that most resamples miss some of them.
    ranks = np.arange(1.0, 8.0)
    losses = only_row(agreement_table(study([ranks] * 3, -ranks * (1 - np.eye(7)[:3]))))
    assert losses[["spearman", "spearman_low"]].notna().all()
    assert losses[["top1_regret", "top1_regret_low", "top1_regret_high"]].isna().all()
    empty = study(rising, rising).iloc[:0]
    assert agreement_table(empty).columns.tolist() == list(COLUMNS) and agreement_table(empty).empty
    absent = study({OFFLINE: rising, "offline/random/auc": np.full((2, 4), np.nan)}, rising)
    assert len(agreement_table(absent)) == 1
    assert agreement_table(study({"offline/random/auc": np.full((2, 4), np.nan)}, rising)).empty


@pytest.mark.parametrize(("num_families", "wrong"), [(4, 10 / 24), (5, 16 / 120)])
def test_intervals_of_few_families_exclude_zero_too_often(num_families, wrong, monkeypatch):
    """Without agreement every order is as likely: the share of them with an interval beside zero is its exact error."""
    monkeypatch.setattr(agreement, "MIN_FAMILIES", 3)
    orders = list(permutations(np.arange(float(num_families))))
    studies = [study([np.arange(float(num_families))], [x], world=f"{i:03}") for i, x in enumerate(orders)]
    table = agreement_table(pd.concat(studies))
    beside = (table["spearman_low"] > 0) | (table["spearman_high"] < 0)
    assert beside.mean() == pytest.approx(wrong)


def test_few_families_have_no_interval():
    rising = [np.arange(6.0)]
    for families, known in (([0, 1, 2, 3, 3, 3], False), ([0, 1, 2, 3, 4, 4], True)):
        row = only_row(agreement_table(study(rising, rising, families=families)))
        assert row["spearman"] == 1.0
        assert np.isfinite(row["spearman_low"]) == known


def test_ceiling_compares_two_replicates():
    generator = np.random.default_rng(0)
    offline, online, again = generator.normal(size=(3, 3, 5))
    scores = study(offline, {ONLINE: online, "replicate/clicks_per_slate": again})
    expected = np.mean([stats.spearmanr(online[s], again[s])[0] for s in range(3)])
    assert only_row(agreement_table(scores))["ceiling"] == pytest.approx(expected)
    offline[:, 3] = np.nan  # the ceiling of a row is that of its own agents
    scores = study(offline, {ONLINE: online, "replicate/clicks_per_slate": again})
    kept = [0, 1, 2, 4]
    expected = np.mean([stats.spearmanr(online[s, kept], again[s, kept])[0] for s in range(3)])
    assert only_row(agreement_table(scores))["ceiling"] == pytest.approx(expected)
    assert np.isnan(only_row(agreement_table(study(offline, online)))["ceiling"])


def test_sets_of_agents():
    generator = np.random.default_rng(1)
    offline, online = generator.normal(size=(2, 2, 8))
    scores = study(offline, online)
    numbers = scores["agent"].str[-2:].astype(int)
    scores["target"] = np.where(numbers < 3, "catalogue", "impressions")
    scores.loc[numbers == 7, ["family", "target"]] = "random", "none"
    expected = {
        "all": range(8), "without random": range(7), "catalogue": range(3), "impressions": range(3, 7)
    }  # fmt: skip
    for name, kept in expected.items():
        row = only_row(agreement_table(scores, agents=name))
        found = np.mean([stats.spearmanr(offline[s, list(kept)], online[s, list(kept)])[0] for s in range(2)])
        assert row["agents"] == name and row["num_agents"] == len(kept)
        assert row["spearman"] == pytest.approx(found)
    between = only_row(agreement_table(scores, agents="between"))
    signs = [
        np.sign(offline[s, i] - offline[s, j]) * np.sign(online[s, i] - online[s, j])
        for s in range(2)
        for i in range(3)
        for j in range(3, 7)
    ]
    assert between["kendall"] == pytest.approx(np.mean(signs))
    assert between["pairwise_accuracy"] == pytest.approx(0.5 + 0.5 * np.mean(signs))
    assert between[["spearman", "pearson", "top1_regret"]].isna().all()
    with pytest.raises(ValueError, match=r"agents must be one of all, without random, .* got 'some'"):
        agreement_table(scores, agents="some")
    with pytest.raises(ValueError, match=r"columns \['target'\]"):
        agreement_table(scores.drop(columns="target"), agents="between")


@pytest.mark.parametrize("seed_noise", [0.0, 1.0])
def test_intervals_cover_zero_under_independent_noise(seed_noise):
    generator = np.random.default_rng(13)
    num_agents, num_columns = 14, 60

    def noise():
        return generator.normal(size=(num_agents, num_columns)) + seed_noise * generator.normal(
            size=(3, num_agents, num_columns)
        )

    offline, online = (np.broadcast_to(noise(), (3, num_agents, num_columns)) for _ in range(2))
    studies = [study(offline[:, :, i], online[:, :, i], world=f"{i:02}") for i in range(num_columns)]
    table = agreement_table(pd.concat(studies), num_bootstrap=200)
    for statistic in ("spearman", "kendall", "pearson"):
        low, high = table[f"{statistic}_low"], table[f"{statistic}_high"]
        # Measured on many more tables, .91 to .96 are covered (more with noise between seeds, which is counted
        # twice). At .91, fewer than 44 of 60 have a chance below 1e-4.
        assert ((low <= 0) & (high >= 0)).sum() >= 44, statistic
        if seed_noise == 0 and statistic != "kendall":  # neither needlessly wide: standard error 1 / sqrt(n - 1)
            assert (high - low).mean() == pytest.approx(2 * 1.96 / np.sqrt(num_agents - 1), rel=0.15)


def test_intervals_exclude_zero_under_clear_agreement():
    generator = np.random.default_rng(14)
    skill = generator.normal(size=12)
    scores = study(skill + 0.2 * generator.normal(size=(3, 12)), skill + 0.2 * generator.normal(size=(3, 12)))
    row = only_row(agreement_table(scores))
    assert row["spearman_low"] > 0.5 and row["kendall_low"] > 0.4 and row["pairwise_accuracy_low"] > 0.7
    assert row["spearman_low"] < row["spearman"] < row["spearman_high"]


def test_variants_of_a_family_are_one_piece_of_evidence():
    generator = np.random.default_rng(15)
    skill = np.repeat(generator.normal(size=(1, 6)), 4, axis=1)
    offline, online = (skill + 0.5 * generator.normal(size=(1, 6)).repeat(4, axis=1) for _ in range(2))
    as_one = only_row(agreement_table(study(offline, online, families=np.repeat(np.arange(6), 4))))
    as_many = only_row(agreement_table(study(offline, online)))
    assert as_one["pearson"] == pytest.approx(as_many["pearson"])
    for statistic in ("spearman", "kendall", "pearson"):
        widths = [row[f"{statistic}_high"] - row[f"{statistic}_low"] for row in (as_one, as_many)]
        assert widths[0] > 1.5 * widths[1], statistic


def test_bad_tables_are_refused():
    scores = study([[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]])
    with pytest.raises(ValueError, match=r"columns \['family'\]"):
        agreement_table(scores.drop(columns="family"))
    with pytest.raises(ValueError, match=r"one row per keys, seed and agent, got another of .*agent00"):
        agreement_table(pd.concat([scores, scores]))
    with pytest.raises(ValueError, match=r"family must be one per agent, got \{'agent00': 2\}"):
        agreement_table(pd.concat([scores, scores.assign(seed=1, family="other")]).query("agent == 'agent00'"))
    with pytest.raises(ValueError, match=r"offline/<protocol>/<metric>, got 'offline/ndcg@10'"):
        agreement_table(scores.rename(columns={OFFLINE: "offline/ndcg@10"}))
    with pytest.raises(ValueError, match="num_bootstrap must be at least 1, got 0"):
        agreement_table(scores, num_bootstrap=0)
    assert "95%" in MULTIPLE_COMPARISONS_NOTE
