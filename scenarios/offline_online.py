"""Which offline number, computed how, tells which model users will like best once it runs, and why do they part?

Logs of several worlds are collected by several policies; agents learn from them, are scored offline under many
protocols, and then each serves the same users with the same luck. The report says how well every offline number
predicted every online one, what parts them, whether a lecture's advice on offline evaluation helps, and what following
the best-looking number costs in worlds where it was not chosen.

    python -m scenarios.offline_online              two small worlds, light agents, 2 seeds: 2 to 4 minutes on 2 cores
    python -m scenarios.offline_online standard     6 worlds, 2 logging policies, 26 agents, 3 seeds: an hour on 2 cores
    python -m scenarios.offline_online full         6 worlds, 5 logging policies, 26 agents, 10 seeds: not timed yet

Expect of the first: in the small `everyday`, numbers from random slates that agree well with clicks per slate (NDCG of
the temporal split .79), and from popularity's own log much less (.30), where the labels are the largest part of the
gap. In the small `movielens`, numbers that agree not at all or the wrong way round, since visits are long for 400
films: who is best at first runs out of good ones, and foreseeing one click does not tell. With 9 agents and 2 seeds
nearly all intervals hold zero, and protocols that lie close cannot be told apart. Expect of `standard`: numbers
agree by .44 on average from random slates and by .15 from the log of a model, whose random slots alone hold up best;
and a number followed elsewhere loses 7 to 9% of the clicks, the agent that was best elsewhere 2 to 3%.
Results lie in `runs/offline_online/<name>/`:
`scores.csv`, `correlations.csv`, `across.csv`, `attribution.csv`, `advice.csv`, `advice_over_worlds.csv`,
`decisions.csv`, `sensitivity.csv`, `decay.csv`, `daily.csv` and `report.html`. A killed run goes on where it stopped.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from recsim_lab.evaluation.across_worlds import across_worlds_table
from recsim_lab.evaluation.advice import advice_over_worlds, advice_table, usual_advice
from recsim_lab.evaluation.agreement import AGENT_SETS, agreement_table
from recsim_lab.evaluation.attribution import attribution_table
from recsim_lab.evaluation.decisions import decisions_table, yardsticks_table
from recsim_lab.evaluation.plan import ORACLE, Plan
from recsim_lab.evaluation.protocols import usual_protocols
from recsim_lab.evaluation.sensitivity import NOTHING, decay_table, sensitivity_table
from recsim_lab.evaluation.study import Tables, check_plan, run_study
from recsim_lab.evaluation.units import safe_name
from recsim_lab.reporting.offline_online import write_offline_online_report
from recsim_lab.reporting.offline_online_arm import answer_of
from recsim_lab.reporting.offline_online_tables import (
    MAIN_METRIC,
    ladder_of,
    main_arms,
    predictors_of,
    usual_metrics,
)
from recsim_lab.reporting.words import interval_words
from scenarios.command_line import console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import FACTORIES

SMALL = "num_items=400,new_items_a_day=2"
WORLDS = (
    f"everyday:num_users=78,{SMALL}",
    f"static:num_users=22,{SMALL}",
    "movielens:num_users=50,num_items=400",
    "everyday:num_users=78,num_items=400,new_items_a_day=30,lifetime_days=10",
    f"everyday:num_users=78,{SMALL},appeal=1.0,clickbait=1.0",
    f"everyday:num_users=78,{SMALL},intent=4.0,boredom=0.6",
)
"""The default world, one whose users never change, MovieLens, news that are gone after ten days, hits and clickbait,
and users of moods. Where users visit more often there are fewer of them, so that logs hold about as many slates."""
DEMO_WORLDS = (f"everyday:num_users=200,{SMALL}", "movielens:num_users=200,num_items=400")
RANDOM = "random"
"""The logging policy that never learns and has no taste."""
SWITCHES = {
    "position bias": "position=0",
    "drift": "drift=0",
    "boredom": "boredom=0",
    "satisfaction": "satisfaction=0",
}
"""What is switched off to see how agreement depends on it, one at a time."""
LIGHT_AGENTS = (
    "random",
    "popularity",
    "popularity:by=rate",
    "recent-popularity",
    "item-knn",
    "ease",
    "ials",
    "mf:dim=8",
    "mf",
    "mf:target=impressions",
    "mf:negatives=popularity",
    "mf:target=impressions,loss=ranknet,weight_decay=0.08",
)
DEMO_AGENTS = tuple(a for a in LIGHT_AGENTS if a not in ("recent-popularity", "ials", "mf:negatives=popularity"))
EVERY_AGENT = (
    *LIGHT_AGENTS,
    "mf:negatives=hard",
    "linucb",
    *(f"{family}{target}" for family in ("mlp", "two-tower", "dlrm", "dcn") for target in ("", ":target=impressions")),
    *(f"{family}{target}" for family in ("sasrec", "bert4rec") for target in ("", ":target=impressions,loss=softmax")),
)


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/offline_online/."""
    worlds: tuple[str, ...] = DEMO_WORLDS
    """Presets with their parameters, such as everyday:drift=0."""
    logging_policies: tuple[str, ...] = ("random", "popularity:epsilon=0.2")
    """The agents that collect the logs."""
    agents: tuple[str, ...] = DEMO_AGENTS
    """Agents with their variants, such as mf:dim=32,target=impressions."""
    seeds: int = 2
    """Number of seeds; each is a world, a log and a training of its own."""
    log_days: int = 22
    """Days of the log."""
    test_days: int = 8
    """Last days of the log that the temporal split tests on."""
    online_days: int = 4
    """Days that each agent then serves."""
    retrain_every: int = 0
    """Deploy each agent once more, learning every so many days; 0: only as it learned from the log."""
    sensitivity: bool = False
    """Switch the first world's mechanisms off, one at a time, to see what agreement depends on."""
    decay_days: tuple[int, ...] = ()
    """Lengths of logs that a model collected which learned every night: how long a log has fed on itself. Agents learn
    from as many of their last days as the shortest has."""
    decay_logging: tuple[str, ...] = ("mf", "random")
    """The agents that collect these: one that learns, and one that does not to compare it with."""
    light_agents: tuple[str, ...] = LIGHT_AGENTS
    """The agents of the study of decay, and of that of sensitivity as far as they are among `agents`."""
    max_requests: int = 1000
    """Most test requests of a protocol."""
    estimated_slates: int = 1000
    """Most slates that off-policy estimators read of a log."""
    num_bootstrap: int = 500
    """Resamples behind each interval of agreement."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""


AXES = (
    *("worlds", "logging_policies", "agents", "seeds", "sensitivity", "decay_days", "decay_logging"),
    *("light_agents", "num_bootstrap"),
)
"""What a run may go on with: more of it means more units, and those that are done stay."""
PROFILES = {
    "demo": Config(),
    "standard": Config(
        name="standard",
        worlds=WORLDS,
        logging_policies=("random", "mf:epsilon=0.2"),
        agents=EVERY_AGENT,
        log_days=20,
        test_days=8,
        online_days=4,
        seeds=3,
        retrain_every=3,
        sensitivity=True,
        decay_days=(16, 32),
    ),
    "full": Config(
        name="full",
        worlds=WORLDS,
        logging_policies=("random", "popularity", "popularity:epsilon=0.2", "mf", "mf:epsilon=0.2"),
        agents=EVERY_AGENT,
        log_days=40,
        test_days=12,
        online_days=8,
        seeds=10,
        retrain_every=3,
        sensitivity=True,
        decay_days=(20, 40, 80),
    ),
}


def plan_of(config: Config) -> Plan:
    """The study of a config."""
    return Plan(
        worlds=config.worlds,
        agents=config.agents,
        seeds=tuple(range(config.seeds)),
        logging_policies=config.logging_policies,
        log_days=config.log_days,
        test_days=config.test_days,
        online_days=config.online_days,
        retrain_every=config.retrain_every,
        replicate=True,
        protocols=usual_protocols(config.test_days),
        cutoffs=(10,),
        estimated_slates=config.estimated_slates,
        max_requests=config.max_requests,
    )


def sensitivity_plans(config: Config) -> dict[str, Plan]:
    """The study of the first world with each mechanism switched off."""
    if not config.sensitivity:
        return {}
    world = config.worlds[0]
    joint = "," if ":" in world else ":"
    agents = tuple(agent for agent in config.light_agents if agent in config.agents)
    if not agents:
        raise ValueError(f"sensitivity needs some of light_agents among agents: {', '.join(config.light_agents)}")
    base = replace(plan_of(config), worlds=(world,), agents=agents, retrain_every=0, references=())
    switched = {name: replace(base, worlds=(f"{world}{joint}{off}",)) for name, off in SWITCHES.items()}
    return switched | {"rules": replace(base, rules=False)}


def decay_plans(config: Config) -> dict[int, Plan]:
    """Studies after ever longer logs, from as many of whose last days agents learn."""
    base = replace(
        plan_of(config),
        worlds=config.worlds[:1],
        logging_policies=config.decay_logging,
        agents=config.light_agents,
        retrain_every=0,
        references=(),
    )
    return {days: replace(base, log_days=days, learn_days=min(config.decay_days)) for days in config.decay_days}


def main() -> None:
    config = parse(PROFILES, "Which offline metric predicts online engagement, and why do they part?")
    with plain_errors():
        plan, switched, aged = plan_of(config), sensitivity_plans(config), decay_plans(config)
        for each in (plan, *switched.values(), *aged.values()):
            check_plan(each, FACTORIES)
        run = run_folder("offline_online", config.name)
        provenance = run.begin(config, AXES)
    study = _studied("Logs, training, deployment", plan, run.path, config)
    without = found_already(config, study.scores) if switched else {}
    without |= {
        name: _studied(f"Without {name}", each, run.path / f"without-{safe_name(name)}", config).scores
        for name, each in switched.items()
    }
    after = {
        days: _studied(f"Log of {days} days", each, run.path / f"log-of-{days}-days", config).scores
        for days, each in aged.items()
    }
    results = vars(study) | _analysed(config, plan, study.scores, without, after)
    for name, table in results.items():
        path = run.write_table(name, table)
    report = write_offline_online_report(run.path, results, provenance)
    _print(study.scores, results["correlations"])
    console.print(f"tables: {path.parent}\nreport: [bold]{report}[/bold]")


def found_already(config: Config, scores: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Of the study itself: where nothing is switched off, and where logging does not go by popularity, which is what
    random logs tell beside each of the others."""
    light = scores["agent"].isin(config.light_agents) & (scores["family"] != ORACLE)
    whole = scores[(scores["world"] == config.worlds[0]) & light]
    others = [logging for logging in config.logging_policies if logging != RANDOM]
    by_chance = whole[whole["logging_policy"] == RANDOM]
    if by_chance.empty or not others:
        return {NOTHING: whole}
    return {NOTHING: whole, "popularity of logging": pd.concat([by_chance.assign(logging_policy=o) for o in others])}


def _studied(title: str, plan: Plan, folder: Path, config: Config) -> Tables:
    with counting(title) as count:
        return run_study(
            plan,
            FACTORIES,
            folder,
            config.num_workers,
            lambda unit, done, total: count(f"{unit.world} {unit.seed} {unit.agent or 'log'}", done, total),
        )


def _analysed(
    config: Config,
    plan: Plan,
    scores: pd.DataFrame,
    without: Mapping[str, pd.DataFrame],
    after: Mapping[int, pd.DataFrame],
) -> dict[str, pd.DataFrame]:
    """Every table that follows from the scores."""
    num = config.num_bootstrap
    # Other sets of agents are about the main question alone.
    usual = [name for name in scores if not name.startswith(("offline/", "online/", "replicate/")) or _is_usual(name)]
    sets = [agreement_table(scores[usual], num, agents=agents) for agents in AGENT_SETS[1:]]
    some = [table for table in (agreement_table(scores, num), *sets) if len(table)]
    correlations = pd.concat(some, ignore_index=True)
    advice = advice_table(scores, usual_advice(plan.test_days), num_bootstrap=num)
    return {
        "correlations": correlations,
        "across": across_worlds_table(correlations),
        "attribution": attribution_table(scores, plan.scoring, plan.test_days, num_bootstrap=num),
        "advice": advice,
        "advice_over_worlds": advice_over_worlds(advice),
        # Random scores no items, and nobody would deploy it.
        "decisions": pd.concat(
            [decisions_table(agreement_table(scores, 1, agents="without random")), yardsticks_table(scores)],
            ignore_index=True,
        ),
        "sensitivity": sensitivity_table(without, num_bootstrap=num),
        "decay": decay_table(after, never_learns=RANDOM, num_bootstrap=num),
    }


def _is_usual(column: str) -> bool:
    return column.rpartition("/")[2] in ("ndcg@10", "hr@10", "auc", MAIN_METRIC)


def _print(scores: pd.DataFrame, correlations: pd.DataFrame) -> None:
    for arm in main_arms(scores):
        ladder = ladder_of(arm.of(scores))
        show_table(
            f"{arm.words}: clicks per slate online",
            ("agent", "mean", "95% interval", "above popularity", "regret"),
            [
                (
                    row["agent"],
                    f"{row[MAIN_METRIC]:.3f}",
                    interval_words(row["low"], row["high"], ".3f"),
                    "" if pd.isna(row["above popularity"]) else f"{row['above popularity']:+.3f}",
                    f"{row['regret']:.3f}",
                )
                for row in ladder.to_dict("records")
            ],
        )
        predictors = predictors_of(usual_metrics(arm.of(correlations)))
        ends = predictors if len(predictors) <= 8 else pd.concat([predictors.head(5), predictors.tail(3)])
        show_table(
            f"{arm.words}: best and worst of {len(predictors)} offline numbers, for clicks per slate",
            ("offline number", "Spearman", "95% interval", "pairs right", "top-1 regret"),
            [
                (
                    f"{row.protocol} {row.offline_metric}",
                    f"{row.spearman:.2f}",
                    interval_words(row.spearman_low, row.spearman_high),
                    f"{row.pairwise_accuracy:.0%}",
                    f"{row.top1_regret:.1%}",
                )
                for row in ends.itertuples()
            ],
        )
        console.print(answer_of(arm.words, predictors) + "\n")


if __name__ == "__main__":
    main()
