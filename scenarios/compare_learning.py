"""Learn from a log, from a log and then by acting, or by acting alone: what does each way earn for the same data?

    python -m scenarios.compare_learning                    `lts-dilemma`, 3 seeds: 1 minute
    python -m scenarios.compare_learning standard           10 seeds and a longer curve

Each way is given as many slates: those of a log that random slates made, half of them from a log and half by acting, or
all by acting. At each number of slates the agent is trained anew, and judged by the lives of users it never met, with
the same luck for all. A log costs users the slates of the policy that made it, and acting costs what the agent shows
while it does not know better: the one is what `random` earns, the other is in `curves.csv`.

Results lie in `runs/compare_learning/<name>/`: `lives.csv`, `gains.csv` (acting alone above the other ways, at each
number of slates), `curves.csv` and `report.html`. A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass, replace

import pandas as pd

from recsim_lab.evaluation.learning import Learner, LearningPlan, compared
from recsim_lab.reporting.learning import short_names, write_learning_report
from recsim_lab.reporting.words import interval_words
from scenarios.command_line import console, parse, show_table
from scenarios.teaching import curves_of, learned


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/compare_learning/."""
    world: str = "lts-dilemma:num_users=2000"
    """A preset with its parameters; half of its users must suffice for the longest log."""
    agent: str = "reinforce:discount=0.97,newest=8,dim=16,ids=false,horizon=60,learning_rate=0.01"
    """The agent that learns, with its parameters."""
    log_shares: tuple[float, ...] = (0.0, 0.5, 1.0)
    """Ways to learn: the share of the slates that come from the log."""
    logging: str = "random"
    """The policy that the log is of."""
    references: tuple[str, ...] = ("random",)
    """Policies to compare with that need not learn here."""
    num_steps: tuple[int, ...] = (60, 120, 240, 480)
    """Slates of each seat that are learned from: the points of the curve."""
    num_seats: int = 64
    """Users who are served at a time while the agent acts."""
    max_steps: int = 500
    """Slates after which a life is cut off, in training and when judged."""
    reward: str = "world"
    """What is earned: world, clicks, dwell, satisfaction or return."""
    seeds: int = 3
    """Number of seeds; each is a world, a log, a training and test users of its own."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""

    def plan(self) -> LearningPlan:
        return LearningPlan(
            world=self.world,
            learners=tuple(Learner(self.agent, share) for share in self.log_shares),
            references=self.references,
            seeds=tuple(range(self.seeds)),
            num_seats=self.num_seats,
            num_steps=self.num_steps,
            max_steps=self.max_steps,
            reward=self.reward,
            logging=self.logging,
        )


_DEMO = Config()
PROFILES = {"demo": _DEMO, "standard": replace(_DEMO, name="standard", seeds=10, num_steps=(60, 120, 240, 480, 720))}


def main() -> None:
    config = parse(PROFILES, "What do logs, logs and then acting, and acting alone earn for the same data?")
    run, plan, provenance, lives = learned("compare_learning", config)
    judged, names = plan.learners[0].label, short_names(plan)
    gains = pd.concat([compared(lives, judged, steps) for steps in plan.num_steps], ignore_index=True)
    curves = curves_of(plan, run.path)
    for name, table in (("lives", lives), ("gains", gains), ("curves", curves)):
        run.write_table(name, table)
    last = gains[gains["num_steps"] == max(plan.num_steps)]
    report = write_learning_report(run.path, "Logs, acting, or both", plan, lives, last, curves, provenance)
    show_table(
        f"{config.world}: reward per life of users never met, and what acting alone earns above it",
        ("way", "slates", "reward", "gain", "95% interval"),
        [
            (
                names[row["policy"]],
                f"{row['num_steps'] * config.num_seats:,}",
                f"{row['reward']:.2f}",
                f"{row['reward_gain']:+.2f}",
                interval_words(row["reward_low"], row["reward_high"], "+.2f"),
            )
            for row in gains.to_dict("records")
            if row["policy"] != judged
        ],
    )
    console.print(f"tables: {run.path}\nreport: [bold]{report}[/bold]")


if __name__ == "__main__":
    main()
