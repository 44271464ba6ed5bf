"""Can popularity win on observed ratings and lose on all that users would like? (Cañamares & Castells, SIGIR 2018)

First the published simulation: 3,700 items whose chances of being seen, rated and relevant are uniform draws, ranked at
random, by popularity, by average rating and by the best order there is. What the observed ratings say of the first
item (P@1) and what is true are sums that need no luck but the draws; the eight published values are means over them.
Then the lab's own analogue: a world whose users meet items by chance, or because some are met everywhere, and agents
that learn from the log. Observed P@1 counts held-out clicks, true P@1 how likely users are to click.

    python -m scenarios.replications.true_accuracy          20,000 draws and 12 worlds: some 3 minutes on 2 cores

Expect: all eight values within .01. In the lab, where some items are met everywhere, popularity is observed to be best,
above a recommender that knows every user's chances, and the share of clicks (average) truly is twice as good; where
items are met alike, popularity is nearly as good as the best order for all users. That this order is observed to be
hardly better than random leans as published, within the luck of 12 worlds. Results lie in
`runs/replications.true_accuracy/<name>/`: `findings.csv` and `lab.csv`.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from agents.registry import make_agent
from recsim_lab.evaluation.statistics import Interval, mean_interval, paired_interval
from recsim_lab.policy import Agent, Scorer
from scenarios.command_line import counting, parse, plain_errors, run_folder, show_table
from scenarios.replications.discovery import Discovered, discover
from scenarios.replications.findings import Finding, above, tell

A = np.ndarray

RANKERS = ("random", "popularity", "average", "optimal")
PUBLISHED = {
    "observed": (0.0312, 0.5578, 0.1101, 0.5627),
    "true": (0.5016, 0.7107, 0.8585, 0.9997),
}
"""Table of the paper for the simulation of its Figure 3, in the order of `RANKERS`."""
TOLERANCE = 0.01
TRAIN_SHARE = {"observed": 0.8, "true": 1.0}
"""Share of the ratings that rankers learn from: the rest is what observed accuracy is told from."""
DRAWS_AT_ONCE = 64
DEPTH = 250
"""Items from the top that are looked at: that all of them are known already is less likely than rounding errors."""


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/replications.true_accuracy/."""
    draws: int = 20_000
    """Draws of the published simulation."""
    items: int = 3_700
    """Items of each."""
    world: str = "static:num_users=500,num_items=400,new_items_a_day=0,features=0,position=0"
    """The preset of the lab's analogue; it must be without dynamics."""
    skew: float = 1.5
    """Where some items are met everywhere: the standard deviation of the log of how often each is met."""
    days: int = 3
    """Days on which users meet items."""
    seeds: int = 12
    """Worlds of the analogue."""

    def __post_init__(self) -> None:
        for name, least in (("draws", 2), ("items", 2), ("days", 1), ("seeds", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not self.skew > 0:
            raise ValueError(f"skew must be above 0, got {self.skew}")


PROFILES = {"demo": Config()}


def simulate(num_draws: int, num_items: int, kind: str, rng: np.random.Generator) -> Float[A, "draws rankers"]:
    """P@1 of each of the `RANKERS` in each draw, `kind` observed or true (equations 4 and 5 of the paper)."""
    rated_if_relevant, rated_if_not, seen_if_relevant, seen_if_not, relevant = rng.random((5, num_draws, num_items))
    liked = rated_if_relevant * seen_if_relevant * relevant  # p(relevant, rated)
    rated = liked + rated_if_not * seen_if_not * (1 - relevant)
    share = TRAIN_SHARE[kind]
    # What an item earns at the top, if it is not among the ratings learned from.
    earned = (1 - share) * liked if kind == "observed" else relevant - share * liked
    known = share * rated
    best = liked / (1 - known) if kind == "observed" else earned / (1 - known)
    # Items are alike, so that any order is random.
    orders = (None, liked, liked / rated, best)
    return np.stack([_first_unknown(earned, known, values) for values in orders], axis=1)


def _first_unknown(
    earned: Float[A, "draws items"], known: Float[A, "draws items"], values: Float[A, "draws items"] | None
) -> Float[A, " draws"]:
    """What the first item that is not known earns, in the order of `values`."""
    depth = min(DEPTH, earned.shape[1])
    if values is None:
        earned, known = earned[:, :depth], known[:, :depth]
    else:
        order = top(values, depth)
        earned, known = np.take_along_axis(earned, order, axis=1), np.take_along_axis(known, order, axis=1)
    before = np.cumprod(known, axis=1)
    return earned[:, 0] + np.einsum("dk,dk->d", earned[:, 1:], before[:, :-1])


def top(values: Float[A, "draws items"], depth: int) -> Int[A, "draws depth"]:
    """The places of the `depth` largest values of each row, largest first."""
    if depth < values.shape[1]:
        places = np.argpartition(values, -depth, axis=1)[:, -depth:]
    else:
        places = np.broadcast_to(np.arange(depth), values.shape)
    inner = np.argsort(-np.take_along_axis(values, places, axis=1), axis=1, kind="stable")
    return np.take_along_axis(places, inner, axis=1)


def simulated_findings(num_draws: int, num_items: int, seed: int = 0) -> list[Finding]:
    """The eight published values beside the means of our draws."""
    findings = []
    for kind, published in PUBLISHED.items():
        rng = np.random.default_rng([seed, list(PUBLISHED).index(kind)])
        counts = np.diff(np.append(np.arange(0, num_draws, DRAWS_AT_ONCE), num_draws))
        values = np.concatenate([simulate(int(count), num_items, kind, rng) for count in counts])
        findings += [
            Finding(f"{kind} P@1 of {name}", value, value - TOLERANCE, value + TOLERANCE, mean_interval(own), gate=True)
            for name, value, own in zip(RANKERS, published, values.T, strict=True)
        ]
    return findings


LAB_AGENTS = {"popularity": "popularity", "average": "popularity:by=rate,prior_impressions=5", "random": "random"}
BEST, PERFECT = "best order", "perfect"
"""The best order that is the same for all users, and the best for each."""


def lab_accuracies(found: Discovered, seed: int) -> dict[str, tuple[float, float]]:
    """(observed, true) P@1 of each ranker: the first item that the user has not met in the part learned from."""
    requests, shape = found.requests, found.chance.shape
    scores: dict[str, A] = {
        BEST: np.broadcast_to(found.chance.mean(axis=0), shape),
        PERFECT: found.chance,
    }
    for name, spec in LAB_AGENTS.items():
        agent: Agent = make_agent(spec, seed)
        agent.learn(found.train)
        luck = np.random.default_rng([seed, 23]).random(shape)
        scores[name] = agent.scores(requests) if isinstance(agent, Scorer) else luck
    users, answer = np.arange(shape[0]), {}
    for name, table in scores.items():
        first = np.where(found.met, -np.inf, table).argmax(axis=1)
        answer[name] = (float(found.clicked[users, first].mean()), float(found.chance[users, first].mean()))
    return answer


def lab_findings(lab: pd.DataFrame) -> list[Finding]:
    """What the paper says of discovery by popularity and of discovery that is alike for all items."""

    def values(discovery: str, kind: str, ranker: str) -> Float[A, " seeds"]:
        mine = lab[(lab["discovery"] == discovery) & (lab["ranker"] == ranker)].sort_values("seed")
        return mine[kind].to_numpy(np.float64)

    def lead(discovery: str, kind: str, better: str, worse: str) -> Interval:
        return paired_interval(values(discovery, kind, better), values(discovery, kind, worse))

    of_best = values("alike", "true", "popularity") / values("alike", "true", BEST)
    return [
        above(
            "some met everywhere: observed, popularity - average", lead("skewed", "observed", "popularity", "average")
        ),
        above("some met everywhere: true, average - popularity", lead("skewed", "true", "average", "popularity")),
        above("some met everywhere: observed, average - best order", lead("skewed", "observed", "average", BEST)),
        above("some met everywhere: observed, best order - random", lead("skewed", "observed", BEST, "random")),
        above("some met everywhere: observed, popularity - perfect", lead("skewed", "observed", "popularity", PERFECT)),
        # .0468 of .0552 on CM100k.
        Finding("all met alike: true, popularity / best order", 0.85, 0.75, 1.0, mean_interval(of_best)),
    ]


def main() -> None:
    config = parse(PROFILES, "Can popularity win on observed ratings and lose on all that users would like?")
    with plain_errors():
        run = run_folder("replications.true_accuracy", config.name)
        run.begin(config)
    rows = []
    with counting("Worlds") as count:
        for seed in range(config.seeds):
            for discovery, skew in (("skewed", config.skew), ("alike", 0.0)):
                with plain_errors():
                    found = discover(config.world, seed, skew, config.days, 1 - TRAIN_SHARE["observed"])
                for ranker, (observed, true) in lab_accuracies(found, seed).items():
                    rows.append(
                        {"seed": seed, "discovery": discovery, "ranker": ranker, "observed": observed, "true": true}
                    )
                count(f"seed {seed} {discovery}", len(rows) // 5, 2 * config.seeds)
    lab = pd.DataFrame(rows)
    run.write_table("lab", lab)
    means = lab.groupby(["discovery", "ranker"], sort=False)[["observed", "true"]].mean().reset_index()
    show_table(
        f"P@1 in the lab, means over {config.seeds} worlds",
        ("items are met", "ranker", "observed", "true"),
        [
            (row["discovery"], row["ranker"], f"{row['observed']:.4f}", f"{row['true']:.4f}")
            for _, row in means.iterrows()
        ],
    )
    tell(run, "Observed and true accuracy", simulated_findings(config.draws, config.items) + lab_findings(lab), ".4f")


if __name__ == "__main__":
    main()
