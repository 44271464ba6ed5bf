"""How far does a recommender move the interests of its users, and what slows that: random items, or ever more items?

Jiang et al. 2019 (Degenerate feedback loops in recommender systems, AIES): a user's interest mu in an item rises by
delta, uniform in [0, .01], when it is shown and clicked, and falls by delta when it is shown and not clicked; a click
has probability sigmoid(mu). At each step 5 of 100 items are shown. How far interests have moved, ||mu_t - mu_0||, is
measured for an oracle, Thompson sampling, UCB1, epsilon-greedy and random items, with pools that stay, grow by an item
a step, or grow as 10 sqrt(t). The reference, which stands as published, is an independent simulation of the same
equations with 30 users; the ceilings are closed forms.

    python -m scenarios.replications.degenerate_loops           5,000 steps: 2 minutes on one core
    python -m scenarios.replications.degenerate_loops quick     1,000 steps: 15 seconds

Expect: the order oracle (.96 of its ceiling), Thompson sampling, UCB1, random; less drift the larger epsilon, which
slows it and does not stop it (.2 removes 23%); with an item more at each step, a 35th of the drift under Thompson
sampling and UCB1, and all of it under the oracle. In the first 1,000 steps bandits still explore, so `quick` asks for
these orders and not for the sizes that hold at 5,000. Beyond luck, or nearly, some values differ from the reference,
which leaves choices open: the oracle with an item more at each step (53.6; 53.2), where a pool that begins with 5 items
gives 53.3; Thompson sampling with 10 sqrt(t) items (28.1; 29.7); epsilon of .2 after 1,000 steps (5.58; 5.82), which
rests on what greed thinks of items hardly shown. Delta is drawn anew at each step: drawn once for each user and item,
it would take the oracle beyond its ceiling (1.09). Results lie in `runs/replications.degenerate_loops/<name>/`:
`findings.csv` and `drift.csv` (means and standard errors over users, through time). A killed run goes on where it
stopped.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd
from jaxtyping import Float

from recsim_lab.evaluation.statistics import mean_interval, paired_interval
from recsim_lab.simulation.dynamics import ItemInterest
from scenarios.command_line import counting, parse, plain_errors, run_folder, show_table
from scenarios.replications.findings import Finding, above, reported, tell
from scenarios.replications.interest_experiment import Pool, drift, interest_world

A = np.ndarray

ORACLE, THOMPSON, UCB, RANDOM = "oracle", "thompson", "ucb1", "random"
EPSILONS = ("epsilon=0.05", "epsilon=0.1", "epsilon=0.2", "epsilon=0.5")
STILL, LINEAR, ROOT, KEPT = "still", "linear", "root", "still, changes kept"
WORLDS: dict[str, tuple[Pool, ItemInterest, tuple[str, ...]]] = {
    STILL: ("still", ItemInterest(), (ORACLE, THOMPSON, UCB, *EPSILONS, RANDOM)),
    LINEAR: ("linear", ItemInterest(), (ORACLE, THOMPSON, UCB, RANDOM)),
    ROOT: ("root", ItemInterest(), (ORACLE, THOMPSON, UCB, RANDOM)),
    # The other reading of the equations: how much an answer changes is drawn once for each user and item.
    KEPT: ("still", ItemInterest(change_kept=True), (ORACLE,)),
}
"""Pool, dynamics and policies of each world, by name."""
SHORT, LONG = 1_000, 5_000
"""Numbers of steps for which there are values; bands were accepted for the long one."""
REFERENCE = {
    (STILL, SHORT): (8.96, 4.41, 1.24, 7.19, 6.78, 5.82, 3.22, 0.84),
    (STILL, LONG): (53.7, 47.2, 36.0, 49.5, 47.0, 41.7, 25.9, 4.64),
    (LINEAR, LONG): (53.2, 1.36, 1.04, 1.15),
    (ROOT, LONG): (np.nan, 29.7, 2.06, 1.86),
}
"""Mean ||mu_t - mu_0|| after so many steps, of the policies of each world."""
NUM_MARKS = 20
"""How often the drift is measured, at equal distances."""

Drifts = Mapping[tuple[str, str], Float[A, "marks users"]]
"""||mu_t - mu_0|| by world and policy."""


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/replications.degenerate_loops/."""
    steps: int = LONG
    """Slates that each user is shown."""
    users: int = 30
    """Users, each a bandit problem of their own."""
    items: int = 100
    """Items of the pool at the first step."""
    slots: int = 5
    """Items of a slate."""
    seed: int = 0
    """Draws interests and luck."""

    def __post_init__(self) -> None:
        for name, least in (("steps", NUM_MARKS), ("users", 2), ("slots", 1), ("items", self.slots + 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")

    @property
    def marks(self) -> tuple[int, ...]:
        """The steps after which the drift is measured."""
        return tuple(self.steps * mark // NUM_MARKS for mark in range(1, NUM_MARKS + 1))

    @property
    def oracle_ceiling(self) -> float:
        """The drift if the same items are shown and clicked at each step: E[delta] sqrt(l) T."""
        return ItemInterest().largest_change / 2 * self.slots**0.5 * self.steps

    @property
    def random_ceiling(self) -> float:
        """The drift if all items are shown alike and each is always answered alike: E[delta] (l / m) sqrt(m) T."""
        return ItemInterest().largest_change / 2 * self.slots / self.items**0.5 * self.steps

    def reference(self, world: str, policy: str, step: int) -> float:
        """The value of the reference for this run's sizes; NaN where it has none."""
        values = REFERENCE.get((world, step), ()) if (self.items, self.slots) == (100, 5) else ()
        return dict(zip(WORLDS[world][2], values, strict=False)).get(policy, np.nan)


PROFILES = {"demo": Config(), "quick": Config(name="quick", steps=SHORT)}


@dataclass(frozen=True)
class Outcome:
    """What is asked of the drift at the last step. Users are the sample: the same with the same luck everywhere."""

    drifts: Drifts
    config: Config

    def last(self, policy: str, world: str = STILL) -> Float[A, " users"]:
        return self.drifts[world, policy][-1]

    def told(self, policy: str, world: str = STILL) -> float:
        return self.config.reference(world, policy, self.config.steps)

    def lead(self, more: str, less: str) -> Finding:
        """One policy moves interests further than another."""
        own = paired_interval(self.last(more), self.last(less))
        return above(f"{more} less {less}", own, self.told(more) - self.told(less))

    def ratio(
        self, name: str, over: tuple[str, str], under: tuple[str, str], band: tuple[float, float] = (np.nan, np.nan)
    ) -> Finding:
        """The drift of one policy and world over that of another."""
        return Finding(
            name, self.told(*over) / self.told(*under), *band, mean_interval(self.last(*over) / self.last(*under))
        )

    def findings(self) -> list[Finding]:
        """A5.1, A5.2 and A5.3; where "about" and "unchanged" were said, within .05.

        Sizes were accepted for 5,000 steps. A shorter run is asked for no more than the ceilings, and any gain at all.
        """
        long, ceiling = self.config.steps >= LONG, self.config.oracle_ceiling
        oracle, fifth = (ORACLE, STILL), 4 * NUM_MARKS // 5 - 1
        removed = 1 - self.last("epsilon=0.2") / self.last(ORACLE)
        gained = {name: own[-1] - own[fifth] for (world, name), own in self.drifts.items() if world == STILL}
        return [
            Finding(
                "oracle / its ceiling",
                self.told(ORACLE) / ceiling,
                *(0.92 if long else 0.0, 1.0),
                mean_interval(self.last(ORACLE) / ceiling),
                gate=True,
            ),
            reported(f"the same, {KEPT}", mean_interval(self.last(ORACLE, KEPT) / ceiling)),
            Finding(
                "random / its ceiling",
                self.told(RANDOM) / self.config.random_ceiling,
                *(0.0, 1.0),
                mean_interval(self.last(RANDOM) / self.config.random_ceiling),
            ),
            *(self.lead(*pair) for pair in pairwise((ORACLE, THOMPSON, UCB, RANDOM))),
            self.ratio("random / oracle", (RANDOM, STILL), oracle, (0.0, 0.1)),
            *(self.lead(*pair) for pair in pairwise(EPSILONS)),
            Finding(
                "epsilon=0.2: removed of the oracle's",
                1 - self.told("epsilon=0.2") / self.told(ORACLE),
                *((0.17, 0.27) if long else (np.nan, np.nan)),
                mean_interval(removed),
            ),
            above(
                "last fifth of the steps: epsilon=0.5 less random",
                paired_interval(gained[EPSILONS[-1]], gained[RANDOM]),
            ),
            *(
                self.ratio(
                    f"{policy}: still / linear", (policy, STILL), (policy, LINEAR), (20.0 if long else 1.0, np.inf)
                )
                for policy in (THOMPSON, UCB)
            ),
            self.ratio("oracle: linear / still", (ORACLE, LINEAR), oracle, (0.95, 1.05)),
            *(self.ratio(f"{policy}: still / root", (policy, STILL), (policy, ROOT)) for policy in (THOMPSON, UCB)),
        ]


def drift_table(drifts: Drifts, config: Config) -> pd.DataFrame:
    """A row for each world, policy and mark: mean and standard error over users, and the reference."""
    return pd.DataFrame(
        [
            {
                "world": world,
                "policy": policy,
                "step": step,
                "reference": config.reference(world, policy, step),
                "drift": own[mark].mean(),
                "standard_error": own[mark].std(ddof=1) / config.users**0.5,
            }
            for (world, policy), own in drifts.items()
            for mark, step in enumerate(config.marks)
        ]
    )


def main() -> None:
    config = parse(PROFILES, "How far does a recommender move the interests of its users, and what slows that?")
    with plain_errors():
        run = run_folder("replications.degenerate_loops", config.name)
        run.begin(config)
    cells = [(world, policy) for world, (_, _, policies) in WORLDS.items() for policy in policies]
    drifts: dict[tuple[str, str], A] = {}
    with counting("Drift") as count:
        for place, (world, policy) in enumerate(cells):
            unit = f"units/{world}/{policy}.json"
            file = run.path / unit
            before = place * NUM_MARKS

            def reached(mark: int, label: str = f"{world}, {policy}", before: int = before) -> None:
                count(label, before + mark, len(cells) * NUM_MARKS)

            if not file.exists():
                pool, interest, _ = WORLDS[world]
                made = interest_world(config.users, config.items, config.slots, config.steps, pool, interest)
                run.write_text(unit, json.dumps(drift(made, policy, config.seed, config.marks, reached).tolist()))
            drifts[world, policy] = np.array(json.loads(file.read_text()))
            reached(NUM_MARKS)
    table = drift_table(drifts, config)
    run.write_table("drift", table)
    show_table(
        f"||mu_t - mu_0||, means over {config.users} users ± standard errors",
        ("pool, policy", "step", "reference", "measured"),
        [
            (
                f"{row['world']}: {row['policy']}",
                f"{row['step']}",
                "" if np.isnan(row["reference"]) else f"{row['reference']:.2f}",
                f"{row['drift']:.2f} ± {row['standard_error']:.2f}",
            )
            for _, row in table.iterrows()
            if row["step"] == config.steps or not np.isnan(row["reference"])
        ],
    )
    tell(run, "Degenerate feedback loops", Outcome(drifts, config).findings(), ".3f")


if __name__ == "__main__":
    main()
