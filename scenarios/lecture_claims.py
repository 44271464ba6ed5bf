"""What a lecture on recommenders says of its models, put to the test: a table of claims and what was measured.

    python -m scenarios.lecture_claims                    2 seeds, to look around
    python -m scenarios.lecture_claims standard           10 seeds: some hours on 2 cores

In the world `everyday` agents learn from the same log of random slates and serve the same users with the same luck;
each family's own ground is then taken away by setting a component's weight to zero, and its lead should shrink.
What needs no truth is measured on real ratings, the bundled MovieLens sample. A claim counts as confirmed when the
95% interval of its paired difference lies above zero. Results lie in `runs/lecture_claims/<name>/`: `claims.csv`,
`scores.csv`, `report.html`. A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsim_lab.datasets import load_sample
from recsim_lab.evaluation.claims import Comparison, claims_table
from recsim_lab.evaluation.statistics import holm
from recsim_lab.evaluation.study import Plan, Progress, check_plan, run_study
from recsim_lab.reporting.claims import write_claims_report
from scenarios.command_line import Counter, console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import FACTORIES
from scenarios.real_claims import real_claims

EVERYDAY = "everyday"
NEWS = "everyday:lifetime_days=8,new_items_a_day=100,days=60"
"""All items that could be learned from are gone when the agents serve."""

ONLINE = "online/clicks_per_slate"
_SLATE = "offline/temporal-slate"

_IDS_ONLY = "history=none,context=false,fields=false"
_DOT, _MLP = "mf", f"mlp:{_IDS_ONLY}"
_SHOWN = "dlrm:target=impressions,loss="

COMPARISONS = (
    Comparison("a dot product beats layers on the same ids", EVERYDAY, _DOT, _MLP, ONLINE),
    Comparison("popularity-based negatives beat uniform ones", EVERYDAY, "mf:negatives=popularity", _DOT, ONLINE),
    Comparison("hard negatives beat uniform ones", EVERYDAY, "mf:negatives=hard", _DOT, ONLINE),
    Comparison(
        "hard negatives beat popularity-based ones", EVERYDAY, "mf:negatives=hard", "mf:negatives=popularity", ONLINE
    ),
    Comparison("pairwise beats pointwise", EVERYDAY, _SHOWN + "ranknet", _SHOWN + "bce", ONLINE),
    Comparison("RankNet raises ROC-AUC", EVERYDAY, _SHOWN + "ranknet", _SHOWN + "bce", f"{_SLATE}/auc"),
    Comparison("LambdaRank raises NDCG", EVERYDAY, _SHOWN + "lambdarank", _SHOWN + "ranknet", f"{_SLATE}/ndcg@10"),
    Comparison(
        "pairwise scores lose their calibration",
        EVERYDAY,
        _SHOWN + "bce",
        _SHOWN + "ranknet",
        f"{_SLATE}/calibration_error",
        lower_is_better=True,
    ),
    Comparison("feature crosses let DLRM pass two towers", EVERYDAY, "dlrm", "two-tower", ONLINE),
    Comparison("feature crosses let DCNv2 pass two towers", EVERYDAY, "dcn", "two-tower", ONLINE),
    Comparison("features help the cold", NEWS, "two-tower", _DOT, ONLINE),
    Comparison("order helps SASRec", EVERYDAY, "sasrec", _DOT, ONLINE),
    Comparison("factors pass popularity", EVERYDAY, _DOT, "popularity", ONLINE),
)

_WITHOUT_FEATURES = f"{EVERYDAY}:features=0"
_WITHOUT_INTENT = f"{EVERYDAY}:intent=0,series=0"
GROUNDS = (
    Comparison("DLRM's ground is features", EVERYDAY, "dlrm", _DOT, ONLINE, _WITHOUT_FEATURES),
    Comparison("DCNv2's ground is features", EVERYDAY, "dcn", _DOT, ONLINE, _WITHOUT_FEATURES),
    Comparison("two towers' ground is features of the cold", NEWS, "two-tower", _DOT, ONLINE, f"{NEWS},features=0"),
    Comparison("SASRec's ground is intent", EVERYDAY, "sasrec", _DOT, ONLINE, _WITHOUT_INTENT),
    Comparison("factors' ground is taste", EVERYDAY, _DOT, "popularity", ONLINE, f"{EVERYDAY}:latent=0"),
)


@dataclass(frozen=True)
class Config:
    """What to run."""

    name: str = "demo"
    """Folder of the run under runs/lecture_claims/."""
    seeds: int = 2
    """Number of seeds; each is a world, a log and a training of its own."""
    log_days: int = 48
    """Days of the log of random slates; the last 8 are not learned from."""
    online_days: int = 4
    """Days that each agent then serves."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""


PROFILES = {"demo": Config(), "standard": Config(name="standard", seeds=10)}


def plans(config: Config) -> dict[str, Plan]:
    """A study for each world, with the agents that are compared there."""
    agents: dict[str, dict[str, None]] = {}
    for comparison in (*COMPARISONS, *GROUNDS):
        for world in (comparison.world, comparison.without):
            if world is not None:
                agents.setdefault(world, {}).update(dict.fromkeys((comparison.better, comparison.worse)))
    return {
        world: Plan(
            (world,), tuple(compared), tuple(range(config.seeds)), log_days=config.log_days,
            online_days=config.online_days, references=(), probe_share=0.0, split_names=("temporal",),
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
            scores, _ = run_study(
                plan,
                FACTORIES,
                run.path / f"study-{place}",
                config.num_workers,
                _teller(count),
            )
        parts.append(scores)
    scores = pd.concat(parts, ignore_index=True)
    with counting("Real ratings") as count:
        real, negatives = real_claims(load_sample(), config.seeds, lambda what, done, total: count(what, done, total))
    claims = pd.concat([claims_table(scores, (*COMPARISONS, *GROUNDS)), real], ignore_index=True)
    claims["p_holm"] = holm(claims["p_value"].to_numpy(float))
    run.write_table("scores", scores)
    run.write_table("negatives", negatives)
    path = run.write_table("claims", claims)
    report = write_claims_report(run.path, claims, negatives, provenance)
    _print(claims, negatives)
    console.print(f"tables: {path.parent}\nreport: [bold]{report}[/bold]")


def _teller(count: Counter) -> Progress:
    return lambda unit, done, total: count(f"seed {unit.seed} {unit.agent or 'log'}", done, total)


def _print(claims: pd.DataFrame, negatives: pd.DataFrame) -> None:
    for where, rows in claims.groupby("where", sort=False):
        show_table(
            str(where),
            ("claim", "difference", "95% interval", "verdict"),
            [
                (
                    row["claim"],
                    f"{row['difference']:+.4f}",
                    f"{row['low']:+.4f} to {row['high']:+.4f}" if np.isfinite(row["low"]) else "",
                    row["verdict"],
                )
                for row in rows.to_dict("records")
            ],
        )
    show_table(
        "Kinds of negatives on real ratings: quality beside the time of training",
        ("negatives", "NDCG@10", "HR@10", "seconds"),
        [
            (row["agent"], f"{row['ndcg@10']:.4f}", f"{row['hr@10']:.4f}", f"{row['seconds']:.1f}")
            for row in negatives.to_dict("records")
        ],
    )


if __name__ == "__main__":
    main()
