"""What does exploration cost, and what does it buy?

On a platform that starts from a few days of random slates, a model learns again and again from what it showed. Twins
of it explore: a share epsilon of the slots shows random items, or slates are drawn in proportion to scores. What they
pay is seen in clicks and regret, what they get in the share of the catalogue that is shown and in the *learning
dividend*: the clicks per slate while serving at epsilon with the model of its own log, minus those while serving at
epsilon with the model of the greedy twin's log, to the same users with the same luck. Users have had what their own
model likes best, so it is measured among the users of both, and the mean is taken. Beside it stands the published
D(epsilon) = r_epsilon - [(1 - epsilon) r_0 + epsilon r_random], which also contains substitution, position and boredom.

    python -m scenarios.exploration                 3 seeds of 1,000 users: 1 to 3 minutes on 2 cores
    python -m scenarios.exploration standard        10 seeds, 2,000 users, a longer loop: an hour or two

Expect: random slots show all of the catalogue where the greedy model shows half of it, and cost some percent of the
clicks. D grows with epsilon, while the learning dividend is no larger; three seeds tell neither from zero. Results lie
in `runs/exploration/<name>/`: `arms.csv`, `daily.csv`, `dividends.csv` and `report.html`. A killed run goes on where it
stopped.
"""

import math
import os
from dataclasses import dataclass

from recsim_lab.evaluation.dividend import Explorer, LoopPlan, check_loops, run_loops
from recsim_lab.reporting.blocks import MISSING
from recsim_lab.reporting.exploration import DIVIDENDS, compared_arms, compared_dividends, write_exploration_report
from recsim_lab.reporting.words import interval_words
from scenarios.command_line import console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import FACTORIES


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/exploration/."""
    worlds: tuple[str, ...] = ("everyday:num_users=1000",)
    """Presets with their parameters."""
    model: str = "mf"
    """The agent that learns; the greedy twin shows what it likes best."""
    epsilons: tuple[float, ...] = (0.05, 0.1, 0.2)
    """Shares of random slots."""
    others: tuple[str, ...] = ("boltzmann=0.3", "epsilon=0.1,rarity_power=1")
    """Parameters of other ways to explore around the model."""
    seeds: int = 3
    """Number of seeds; each is a world, a log and a training of its own."""
    log_days: int = 5
    """Days of random slates before the loop."""
    loop_days: int = 16
    """Days that each arm then serves and learns."""
    retrain_every: int = 2
    """Days from one retraining to the next."""
    measure_days: int = 4
    """The last days of the loop, which are measured; the dividend is measured in as many days after."""
    probe_share: float = 0.1
    """Share of the requests whose regret is looked at."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""

    def plan(self) -> LoopPlan:
        """The arms around the model, and how long they go on."""
        explorers = [Explorer(_with(self.model, f"epsilon={epsilon:g}"), epsilon) for epsilon in self.epsilons]
        explorers += [Explorer(_with(self.model, parameters)) for parameters in self.others]
        return LoopPlan(
            worlds=self.worlds,
            seeds=tuple(range(self.seeds)),
            explorers=tuple(explorers),
            greedy=self.model,
            log_days=self.log_days,
            loop_days=self.loop_days,
            retrain_every=self.retrain_every,
            measure_days=self.measure_days,
            probe_share=self.probe_share,
        )


PROFILES = {
    "demo": Config(),
    "standard": Config(
        name="standard",
        worlds=("everyday",),
        epsilons=(0.01, 0.05, 0.1, 0.2, 0.5),
        seeds=10,
        loop_days=40,
        measure_days=8,
    ),
}


def _with(model: str, parameters: str) -> str:
    """The model with more parameters, as `agents.registry` reads them."""
    return model + ("," if ":" in model else ":") + parameters


def main() -> None:
    config = parse(PROFILES, "What does exploration cost, and what does it buy?")
    with plain_errors():
        plan = config.plan()
        check_loops(plan, FACTORIES)
        run = run_folder("exploration", config.name)
        provenance = run.begin(config)
    with counting("Loops of serving and learning") as count:
        arms, daily, dividends = run_loops(
            plan,
            FACTORIES,
            run.path,
            config.num_workers,
            lambda unit, done, total: count(f"{unit.world} seed {unit.seed} {unit.agent}", done, total),
        )
    for name, table in (("arms", arms), ("daily", daily), ("dividends", dividends)):
        run.write_table(name, table)
    report = write_exploration_report(run.path, arms, daily, dividends, plan.greedy, provenance)
    for world in plan.worlds:
        show_table(
            f"{world}, {config.seeds} seeds: the loop's last {config.measure_days} days",
            ("arm", "clicks", "above", "95% interval", "regret", "shown", "Gini"),
            [
                (
                    row["agent"],
                    f"{row['clicks_per_slate']:.3f}",
                    f"{row['difference']:+.3f}",
                    interval_words(row["low"], row["high"], "+.3f"),
                    *(f"{row[name]:.3f}" for name in ("regret", "coverage", "exposure_gini")),
                )
                for row in compared_arms(arms[arms["world"] == world], plan.greedy).to_dict("records")
            ],
        )
        told = compared_dividends(dividends[dividends["world"] == world])
        show_table(
            f"{world}: learning dividends, and the published D, in clicks per 1,000 slates",
            ("arm", "its users", "greedy users", "mean", "95% interval", "D"),
            [
                (
                    row["agent"],
                    *(_per_thousand(row[name]) for name in DIVIDENDS[:3]),
                    interval_words(1000 * row["crossed_low"], 1000 * row["crossed_high"], "+.1f"),
                    _per_thousand(row["published"]),
                )
                for row in told.to_dict("records")
            ],
        )
        for row in told[told["remark"] != ""].to_dict("records"):
            console.print(f"{row['agent']}: {row['remark']}")
    console.print(f"tables: {run.path}\nreport: [bold]{report}[/bold]")


def _per_thousand(clicks: float) -> str:
    return MISSING if math.isnan(clicks) else f"{1000 * clicks:+.1f}"


if __name__ == "__main__":
    main()
