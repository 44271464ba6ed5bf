"""What a study's report says across its worlds and of its own size, on planted scores whose answers are known."""

import numpy as np
import pandas as pd
import pytest

from recsim_lab.evaluation.across_worlds import across_worlds_table
from recsim_lab.evaluation.advice import advice_over_worlds, advice_table, usual_advice
from recsim_lab.evaluation.agreement import agreement_table
from recsim_lab.evaluation.decisions import AGENT_ELSEWHERE, WHICHEVER, decisions_table, yardsticks_table
from recsim_lab.evaluation.plan import EXPECTED
from recsim_lab.evaluation.protocols import usual_protocols
from recsim_lab.evaluation.sensitivity import DECAY_COLUMNS, SENSITIVITY_COLUMNS, decay_table, sensitivity_table
from recsim_lab.reporting.blocks import Details, Section, Table
from recsim_lab.reporting.offline_online_across import across_answers, across_section
from recsim_lab.reporting.offline_online_arm import answer_of, ladder_table
from recsim_lab.reporting.offline_online_joint import joint_sections
from recsim_lab.reporting.offline_online_scope import deployments_section, limits_section, protocols_section
from recsim_lab.reporting.offline_online_tables import ladder_of

NUM_AGENTS, NUM_SEEDS = 8, 3
PROTOCOLS = usual_protocols(8)
WORLDS = ("everyday", "movielens")
NUMBER = "offline/temporal-full/ndcg@10"
DEPLOYMENTS = {"frozen": 0.0, "refit": 0.02, "retrained": 0.05}


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    """Noise of the agents' skill; deployments earn more by known amounts, and one estimator tells of four agents."""
    rng = np.random.default_rng(0)
    frames = []
    for world in WORLDS:
        for logging in ("random", "mf"):
            seed, agent = np.indices((NUM_SEEDS, NUM_AGENTS)).reshape(2, -1)
            skill = rng.normal(size=NUM_AGENTS)[agent]
            offline = {f"{p.prefix}/ndcg@10": skill + rng.normal(size=len(agent)) for p in PROTOCOLS}
            offline["offline/off-policy/ips"] = np.where(agent < 4, skill, np.nan)
            earned = 10 + skill + 0.2 * rng.normal(size=len(agent))
            for deployment, more in DEPLOYMENTS.items():
                frames.append(
                    pd.DataFrame(
                        {
                            "world": world,
                            "logging_policy": logging,
                            "deployment": deployment,
                            "num_retrainings": int(deployment == "retrained"),
                            "agent": [f"a{number}" for number in agent],
                            "family": [f"f{number}" for number in agent],
                            "target": "catalogue",
                            "seed": seed,
                            EXPECTED: skill,
                            "online/clicks_per_slate": earned + more,
                            "replicate/clicks_per_slate": earned + 0.1 * rng.normal(size=len(agent)),
                        }
                        | offline
                    )
                )
    return pd.concat(frames, ignore_index=True)


@pytest.fixture(scope="module")
def tables(scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    first = scores[(scores["world"] == WORLDS[0]) & (scores["deployment"] == "refit")]
    worse = first.assign(**{NUMBER: -first[NUMBER]})
    mf_worse = first.assign(**{NUMBER: np.where(first["logging_policy"] == "mf", -1, 1) * first[NUMBER]})
    correlations = agreement_table(scores, 40).assign(agents="all")
    estimates = pd.DataFrame(
        {
            "world": WORLDS[0],
            "logging_policy": "random",
            "estimator": ["ips", "ips", "direct"],
            "value": [1.1, np.nan, 2.0],
            "truth": [1.0, 1.0, 1.0],
            "low": [0.9, np.nan, 1.9],
            "high": [1.3, np.nan, 2.1],
            "effective_sample_size": [40.0, np.nan, 100.0],
            "reason": ["", "too little overlap", ""],
        }
    )
    protocols = pd.DataFrame(
        [
            {"world": world, "logging_policy": "random", "seed": seed, "protocol": p.name, "words": p.said}
            | {"reads": "truth" if p.knows_truth else "offline", "num_requests": 10 * (seed + 1)}
            for world in WORLDS
            for seed in range(NUM_SEEDS)
            for p in PROTOCOLS
        ]
    )
    advice = advice_table(scores, usual_advice(8), ("clicks_per_slate",), num_bootstrap=40)
    return {
        "scores": scores,
        "correlations": correlations,
        "decisions": pd.concat([decisions_table(correlations), yardsticks_table(scores)], ignore_index=True),
        "advice": advice,
        "advice_over_worlds": advice_over_worlds(advice),
        "sensitivity": sensitivity_table({"nothing": first, "drift": worse}, num_bootstrap=40),
        "decay": decay_table({16: first, 32: mf_worse}, num_bootstrap=40),
        "estimates": estimates,
        "protocols": protocols,
        "across": across_worlds_table(correlations),
        "daily": pd.concat([scores.assign(day=day, num_slates=10) for day in range(4)]),
    }


def table_of(section: Section) -> pd.DataFrame:
    (table,) = (block for block in section.blocks if isinstance(block, Table))
    return table.frame


def test_every_table_has_its_section(tables: dict[str, pd.DataFrame]) -> None:
    sections = {section.title: section for section in joint_sections(tables)}
    assert list(sections) == [
        "Which number to follow",
        "Advice, tested",
        "What agreement depends on",
        "How long a log has fed on itself",
        "What off-policy estimators said",
    ]
    estimators = table_of(sections["What off-policy estimators said"]).set_index("estimator")
    assert estimators.loc["ips", ["refused", "over agents"]].tolist() == [0.5, 4.0]
    assert estimators["Spearman"].isna().all()
    (refused,) = [part for part in sections["What off-policy estimators said"].blocks if isinstance(part, Details)]
    assert refused.blocks[0].frame[["estimator", "why"]].to_numpy().tolist() == [["ips", "too little overlap"]]
    none_refused = tables | {"estimates": tables["estimates"].dropna()}
    assert len(joint_sections(none_refused)[-1].blocks) == 1
    of_enough = tables | {"correlations": tables["correlations"].assign(num_agents=8)}
    estimators = table_of(joint_sections(of_enough)[-1]).set_index("estimator")
    assert estimators.loc["ips", "Spearman"] > 0.5 and np.isnan(estimators.loc["direct", "Spearman"])
    decay = table_of(sections["How long a log has fed on itself"])
    turned = decay[(decay["log of"] == "mf") & (decay["days of log"] == 32) & (decay["change"].abs() > 0.01)]
    assert len(turned) == 1 and turned["beyond random logs"].item() == pytest.approx(turned["change"].item())
    assert decay.loc[decay["days of log"] == 16, "interval of the change"].eq("").all()
    alone = tables["decay"].assign(beyond=np.nan)  # no log of a policy that never learns
    (told,) = (one for one in joint_sections(tables | {"decay": alone}) if one.title.startswith("How long"))
    assert [type(block) for block in told.blocks] == [Table]
    switched = table_of(sections["What agreement depends on"])
    assert switched.loc[switched["switched off"] == "nothing", "change"].isna().all()
    none = {
        "sensitivity": pd.DataFrame(columns=list(SENSITIVITY_COLUMNS)),
        "decay": pd.DataFrame(columns=DECAY_COLUMNS),
    }
    assert len(joint_sections(tables | none)) == 3


def test_leads_over_popularity_are_told_where_it_was_asked_for(scores: pd.DataFrame) -> None:
    arm = (scores["world"] == WORLDS[0]) & (scores["logging_policy"] == "mf") & (scores["deployment"] == "frozen")
    some = scores[arm].assign(**{"online/satisfaction": 0.5, "online/regret": 0.1})
    without = ladder_table(ladder_of(some))
    assert not [column for column in without.frame if "popularity" in column or "paired" in column]
    assert "popularity" not in without.caption
    told = ladder_table(ladder_of(some.replace({"agent": {"a3": "popularity"}})))
    assert told.frame["above popularity"].isna().sum() == 1 and "popularity" in told.caption
    assert list(told.frame.drop(columns=["above popularity", "95% interval, paired"])) == list(without.frame)


def test_advice_over_worlds_is_told_with_its_correction(tables: dict[str, pd.DataFrame]) -> None:
    def told(advice: pd.DataFrame) -> str:
        changed = tables | {"advice": advice, "advice_over_worlds": advice_over_worlds(advice)}
        return next(section.text for section in joint_sections(changed) if "Advice" in section.title)

    advice = tables["advice"]
    assert "Over so few worlds, no comparison can be tested" in told(advice)
    first = (advice["logging_policy"] == "mf") & (advice["advised"] + advice["instead_of"]).str.contains("return")
    jitter = np.random.default_rng(2)
    many = pd.concat(
        advice[advice["world"] == WORLDS[0]].assign(
            world=f"world{number}",
            difference=lambda table: np.where(first[table.index], 0.5, 0) + jitter.normal(0, 0.01, len(table)),
        )
        for number in range(6)
    )
    words = told(many)
    assert "With the 6 worlds as units" in words and "and 1 after Holm's correction" in words
    assert "temporal, full instead of temporal, full, return (log of mf): +0." in words


def test_a_study_says_what_it_cannot_tell(tables: dict[str, pd.DataFrame]) -> None:
    whole = limits_section(tables).text
    assert "served 4 days of a seed, in the mean 40 slates (40 to 40 by world)" in whole
    assert "2 worlds, logs of 2 kinds, 3 seeds and 8 agents of 8 kinds" in whole
    assert "by halving 2 worlds" in whole and "does not tell" not in whole
    width = float(whole.partition("wider than ")[2].partition(":")[0])
    usual = tables["correlations"].query("deployment == 'refit' and online_metric == 'clicks_per_slate'")
    usual = usual[usual["offline_metric"] == "ndcg@10"]
    assert width == pytest.approx((usual["spearman_high"] - usual["spearman_low"]).median(), abs=0.006)
    one = {name: table[table["world"] == WORLDS[0]] for name, table in tables.items() if "world" in table}
    small = limits_section(tables | one | {"decay": pd.DataFrame(), "decisions": pd.DataFrame()}).text
    assert "1 world, logs of 2 kinds" in small and "no number could be judged where it was not chosen" in small
    assert "does not tell how it changes as a log feeds on itself and which number to follow" in small


def test_every_protocol_is_told_in_words(tables: dict[str, pd.DataFrame]) -> None:
    frame = table_of(protocols_section(tables["protocols"]))
    assert frame["in words"].tolist() == [protocol.said for protocol in PROTOCOLS]
    assert frame[["requests a log", "fewest", "most"]].drop_duplicates().to_numpy().tolist() == [[20, 10, 30]]


def test_deployments_are_compared_on_the_same_seeds(tables: dict[str, pd.DataFrame]) -> None:
    frame = table_of(deployments_section(tables["scores"], tables["correlations"]))
    assert len(frame) == 2 * 2 * 3
    for row in frame.itertuples():
        more = row._5
        assert (
            np.isnan(more.value)
            if row.deployment == "frozen"
            else more.value == pytest.approx(DEPLOYMENTS[row.deployment])
        )
        assert row.agreement.low <= row.agreement.value <= row.agreement.high and row.ceiling > 0.8


def test_the_answer_is_a_number_that_agrees_by_more_than_chance() -> None:
    """Not the highest, where that one may be luck."""
    columns = ["protocol", "offline_metric", "spearman", "spearman_low", "spearman_high"]
    values = [("a-full", "auc", 0.9, -0.2, 1.0), ("b-full", "auc", 0.7, 0.4, 0.9), ("c-full", "auc", 0.6, 0.1, 0.8)]
    predictors = pd.DataFrame(values, columns=columns).assign(pairwise_accuracy=0.8, top1_regret=0.05)
    answer = answer_of("here", predictors)
    assert "of the 3 usual numbers, 2 agree" in answer and "Highest of them is AUC" in answer and "b, full" in answer
    assert "a, full" not in answer and "0.40" in answer
    unsure = answer_of("here", predictors.assign(spearman_low=-0.5))
    assert "can recommend none" in unsure and "a, full" in unsure
    assert "takes agents of 5 families" in answer_of("here", predictors.assign(spearman_low=np.nan))
    assert "could be compared, which takes 3 agents" in answer_of("here", predictors.iloc[:0])
    # One of fifty is what chance gives.
    many = pd.concat([predictors.iloc[:1]] * 49 + [predictors.iloc[1:2]], ignore_index=True)
    by_chance = answer_of("here", many)
    assert "1 of the 50 usual numbers agrees" in by_chance and "can recommend none" in by_chance
    assert "a, full" in by_chance and "b, full" not in by_chance


def test_the_worlds_together_come_first(tables: dict[str, pd.DataFrame]) -> None:
    of_model, of_random = across_answers(tables["across"], tables["decisions"])
    assert of_random.startswith("Log of random, mean of 2 worlds: the ") and "less than from" not in of_random
    assert "too few worlds for an interval" in of_model
    found = tables["across"].set_index(["logging_policy", "deployment", "protocol"])
    quoted = found.loc[("mf", "refit", "temporal-full")]
    word = "less" if quoted["less_than_random"] >= 0 else "more"
    assert f"{abs(quoted['less_than_random']):.2f} {word} than from random slates" in of_model
    chosen = tables["decisions"].query("logging_policy == 'mf' and deployment == 'refit'").set_index("number")
    assert f"lost {chosen.loc[WHICHEVER, 'loss_where_followed']:.1%} of the best agent's clicks" in of_model
    assert f"elsewhere {chosen.loc[AGENT_ELSEWHERE, 'loss_where_followed']:.1%}." in of_model
    many = tables["across"].assign(num_worlds=6, low=0.1, high=0.3, less_low=-0.2, less_high=0.4)
    of_model, _ = across_answers(many, tables["decisions"].iloc[:0])
    assert "95% interval over worlds 0.10" in of_model and "Following" not in of_model
    section = across_section(tables["correlations"], tables["across"])
    figure, details = section.blocks
    assert len(figure.panels) == 2 and "NDCG@10" in figure.alt
    (table,) = details.blocks
    assert len(table.frame) == 2 * len([p for p in PROTOCOLS if not p.knows_truth])
