"""What a lecture on recommenders says of its models, put to the test: a table of claims and what was measured.

    python -m scenarios.lecture_claims                    2 seeds, to look around; with 4 the worlds took 55
                                                          minutes on 2 cores
    python -m scenarios.lecture_claims standard           10 seeds: some hours

In the world `everyday` agents learn from the same log of random slates and serve the same users with the same luck;
each family's own ground is then taken away by setting a component's weight to zero, and its lead should shrink.
What needs no truth is measured on real ratings, the bundled MovieLens sample, and taken from the kept results of the
benchmarks on larger real data (`python -m benchmarks.real_data`). A claim counts as confirmed when the
95% interval of its difference lies above zero. The table names what the interval is over: seeds of worlds, users,
queries, or trainings on one test set, which can't say what another test set would. Results lie in
`runs/lecture_claims/<name>/`: `claims.csv`, `scores.csv`, `report.html`. A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsim_lab.datasets import load_sample
from recsim_lab.evaluation.claims import Comparison, claims_table
from recsim_lab.evaluation.plan import Plan
from recsim_lab.evaluation.statistics import holm
from recsim_lab.evaluation.study import Progress, check_plan, run_study
from recsim_lab.reporting.claims import write_claims_report
from scenarios.command_line import Counter, console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import FACTORIES
from scenarios.kept_claims import kept_claims
from scenarios.real_claims import real_claims

ONLINE = "online/clicks_per_slate"
_SLATE = "offline/temporal-slate"
_DOT, _MLP = "mf", "mlp:history=none,context=false,fields=false"
_SHOWN = "mf:target=impressions,position=ignored,loss="
_SHOWN_BY = {
    "pointwise": f"{_SHOWN}bce,weight_decay=0.003",
    "pairwise": f"{_SHOWN}ranknet,weight_decay=0.08",
    "weighed": f"{_SHOWN}lambdarank,weight_decay=0.15",
}
"""Losses differ in scale: each has the penalty that ranks slates best (by AUC) under a seed that is not reported. All
slots are alike to them, since an offset of slots would hide what a score by itself says of the chance of a click."""


DATA = {
    "simulated users": "Worlds of the lab, in which taste, features and order were put in: they tell whether a model "
    "finds what is there. Two agents learn from the same log of random slates and then serve the same users with the "
    "same random numbers; a seed is a world, a log and a training. Of a ground, the difference is of two leads: in "
    "the world as it is, minus in the world without what the model was made for; what is left of the lead stands under "
    "how it was measured. DLRM and DCNv2 pair each item with the clicks before it unless a claim says that histories "
    "are the same, and they read how new an item is, which two towers do not.",
    "the MovieLens sample": "Real ratings; what each user rated last is looked for among all films not yet rated that "
    "have five ratings or more. The interval is over users, of means over training seeds.",
    "larger real data": "Kept results of `python -m benchmarks.real_data`, which were not run again; their commits "
    "stand in `benchmarks/results/real_data.csv`. Where the independent units are training seeds on one test set, the "
    "interval says how trainings come out there, and not what other test users would say.",
}
"""What the claims were judged on, in the order of the report."""


@dataclass(frozen=True)
class Config:
    """What to run."""

    name: str = "demo"
    """Folder of the run under runs/lecture_claims/."""
    seeds: int = 2
    """Number of seeds; each is a world, a log and a training of its own."""
    log_days: int = 48
    """Days of the log of random slates; the last 8 are not learned from."""
    num_users: int = 2000
    """Users of `everyday`."""
    num_users_of_sequences: int = 10_000
    """Users where SASRec is judged, which needs more clicks an item than factors do."""
    online_days: int = 2
    """Days that each agent then serves."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""


PROFILES = {"demo": Config(), "standard": Config(name="standard", seeds=10)}


def comparisons(config: Config) -> tuple[Comparison, ...]:
    """The claims that simulated users judge, then each family's own ground."""
    everyday, many = (f"everyday:num_users={num}" for num in (config.num_users, config.num_users_of_sequences))
    # All items that could be learned from are gone when the agents serve.
    news = f"{everyday},lifetime_days=8,new_items_a_day=100,days={config.log_days + config.online_days}"

    def beats(
        claim: str, better: str, worse: str, metric: str = ONLINE, *, lower_is_better: bool = False
    ) -> Comparison:
        return Comparison(claim, everyday, better, worse, metric, lower_is_better=lower_is_better)

    by_popularity, hard = "mf:negatives=popularity", "mf:negatives=hard"
    pointwise, pairwise, weighed = _SHOWN_BY.values()
    calibration = f"{_SLATE}/calibration_error"
    return (
        beats("a dot product beats layers on the same ids", _DOT, _MLP),
        beats("popularity-based negatives beat uniform ones", by_popularity, _DOT),
        beats("hard negatives beat uniform ones", hard, _DOT),
        beats("hard negatives beat popularity-based ones", hard, by_popularity),
        beats("pairwise beats pointwise: RankNet against BCE", pairwise, pointwise),
        beats("RankNet raises ROC-AUC: mean within a slate", pairwise, pointwise, f"{_SLATE}/auc"),
        beats("RankNet raises ROC-AUC: all impressions pooled", pairwise, pointwise, f"{_SLATE}/auc_pooled"),
        beats("LambdaRank raises NDCG", weighed, pairwise, f"{_SLATE}/ndcg@10"),
        beats("pairwise scores lose their calibration", pointwise, pairwise, calibration, lower_is_better=True),
        beats("feature crosses let DLRM pass two towers", "dlrm", "two-tower"),
        beats("feature crosses let DCNv2 pass two towers", "dcn", "two-tower"),
        beats("crosses let DLRM pass two towers of the same history", "dlrm:history=pooled", "two-tower"),
        beats("crosses let DCNv2 pass two towers of the same history", "dcn:history=pooled", "two-tower"),
        beats("DLRM passes factors", "dlrm", _DOT),
        beats("DCNv2 passes factors", "dcn", _DOT),
        beats("factors pass popularity", _DOT, "popularity"),
        Comparison("features help the cold", news, "two-tower", _DOT, ONLINE),
        Comparison("order helps SASRec", many, "sasrec", _DOT, ONLINE),
        Comparison("order helps SASRec against a pooled history", many, "sasrec", "two-tower", ONLINE),
        Comparison("DLRM's ground is features", everyday, "dlrm", _DOT, ONLINE, f"{everyday},features=0"),
        Comparison("DCNv2's ground is features", everyday, "dcn", _DOT, ONLINE, f"{everyday},features=0"),
        Comparison("two towers' ground is the cold's features", news, "two-tower", _DOT, ONLINE, f"{news},features=0"),
        Comparison(
            "SASRec's ground is order, in intent and series", many, "sasrec", _DOT, ONLINE, f"{many},intent=0,series=0"
        ),
        Comparison("factors' ground is taste", everyday, _DOT, "popularity", ONLINE, f"{everyday},latent=0"),
    )


def plans(config: Config) -> dict[str, Plan]:
    """A study for each world, with the agents that are compared there."""
    agents: dict[str, dict[str, None]] = {}
    for comparison in comparisons(config):
        for world in (comparison.world, comparison.without):
            if world is not None:
                agents.setdefault(world, {}).update(dict.fromkeys((comparison.better, comparison.worse)))
    return {
        world: Plan(
            (world,), tuple(compared), tuple(range(config.seeds)), log_days=config.log_days,
            online_days=config.online_days, references=(), probe_share=0.0,
        )
        for world, compared in agents.items()
    }  # fmt: skip


def main() -> None:
    config = parse(PROFILES, "What a lecture says of its models, put to the test.")
    with plain_errors():
        for plan in plans(config).values():
            check_plan(plan, FACTORIES)
        run = run_folder("lecture_claims", config.name)
        provenance = run.begin(config)
    parts = []
    for place, (world, plan) in enumerate(plans(config).items()):
        with counting(world) as count:
            study = run_study(
                plan,
                FACTORIES,
                run.path / f"study-{place}",
                config.num_workers,
                _teller(count),
            )
        parts.append(study.scores)
    scores = pd.concat(parts, ignore_index=True)
    with counting("Real ratings") as count:
        real, negatives = real_claims(load_sample(), config.seeds, run.path / "ratings", config.num_workers, count)
    kinds = zip(DATA, (claims_table(scores, comparisons(config)), real, kept_claims()), strict=True)
    claims = pd.concat([rows.assign(data=data) for data, rows in kinds], ignore_index=True)
    claims["p_holm"] = holm(claims["p_value"].to_numpy(float))
    run.write_table("scores", scores)
    run.write_table("negatives", negatives)
    path = run.write_table("claims", claims)
    report = write_claims_report(run.path, claims, negatives, DATA, provenance)
    _print(claims, negatives)
    console.print(f"tables: {path.parent}\nreport: [bold]{report}[/bold]")


def _teller(count: Counter) -> Progress:
    return lambda unit, done, total: count(f"seed {unit.seed} {unit.agent or 'log'}", done, total)


def _print(claims: pd.DataFrame, negatives: pd.DataFrame) -> None:
    for where, rows in claims.groupby("where", sort=False):
        show_table(
            str(where),
            ("claim", "difference", "95% interval", "over", "verdict"),
            [
                (
                    row["claim"],
                    f"{row['difference']:+.4f}",
                    f"{row['low']:+.4f} to {row['high']:+.4f}" if np.isfinite(row["low"]) else "",
                    row["units"],
                    row["verdict"],
                )
                for row in rows.to_dict("records")
            ],
        )
    show_table(
        "Kinds of negatives on real ratings: quality beside the time of training",
        ("negatives", "NDCG@10", "HR@10", "seconds"),
        [
            (row["negatives"], f"{row['ndcg@10']:.4f}", f"{row['hr@10']:.4f}", f"{row['seconds']:.1f}")
            for row in negatives.to_dict("records")
        ],
    )


if __name__ == "__main__":
    main()
