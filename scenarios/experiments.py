"""What does an online experiment say, how far is it from the truth, and how many users does it need?

After a few days of random slates two policies are compared on the same users. The truth is had from twins: everybody
is served by the one, then everybody by the other, with the same luck. An A/B test gives each user one of the two by a
hash; both go on learning, from the log of all users (pooled) or from that of their own users alone (diverted), and what
one arm's users thereby change for the other's is told apart from who happened to be in which arm. Interleaving shows
every user both policies' items in one slate, and counts whose are clicked. Then for each test: the users it needs to
find the right winner, by formula and by drawing users, without and with what users did before as a covariate (CUPED).

    python -m scenarios.experiments                 3 seeds of 1,000 users: 2 minutes on 2 cores
    python -m scenarios.experiments standard        10 seeds, 2,000 users, a longer test: an hour or two

Expect: interleaving needs a third to an eighth of the users of an A/B test, and tells a preference, not a number of
clicks. CUPED, whose covariate is clicks on random slates, saves a few percent of the users. Three seeds do
not tell interference from zero. Results lie in `runs/experiments/<name>/`: `effects.csv`, `preferences.csv`,
`looks.csv`, `power.csv`, `users_needed.csv` and `report.html`. A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass

from recsim_lab.evaluation.experiments.findings import effects_table, looks_table, power_tables, preferences_table
from recsim_lab.evaluation.experiments.trials import TrialPlan, check_trials, run_trials
from recsim_lab.reporting.experiments import PAIR, RATIO, compared_effects, compared_needs, write_experiments_report
from recsim_lab.reporting.words import interval_words
from scenarios.command_line import console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import DESIGNS, FACTORIES


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/experiments/."""
    worlds: tuple[str, ...] = ("everyday:num_users=1000",)
    """Presets with their parameters."""
    pairs: tuple[tuple[str, str], ...] = (("popularity", "mf"), ("mf:dim=4", "mf"))
    """Control and challenger of each comparison, as agents with their parameters."""
    seeds: int = 3
    """Number of seeds; each is a world, a log and a division of users of its own."""
    log_days: int = 6
    """Days of random slates before the tests, of which CUPED knows."""
    days: int = 8
    """Days that each test goes on."""
    retrain_every: int = 2
    """Days from one retraining to the next."""
    sizes: tuple[int, ...] = (20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
    """Numbers of users of which the power is told."""
    num_draws: int = 400
    """Tests drawn for each number of users."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""

    def plan(self) -> TrialPlan:
        """The trials to run.

        Raises:
            ValueError: if they, or the numbers of users of which the power is told, make no sense.
        """
        if not self.sizes or min(self.sizes) < 4 or list(self.sizes) != sorted(set(self.sizes)):
            raise ValueError(f"sizes must be at least 4 users each and ascend, got {self.sizes}")
        if self.num_draws < 1:
            raise ValueError(f"num_draws must be at least 1, got {self.num_draws}")
        return TrialPlan(
            worlds=self.worlds,
            seeds=tuple(range(self.seeds)),
            pairs=self.pairs,
            log_days=self.log_days,
            days=self.days,
            retrain_every=self.retrain_every,
        )


PROFILES = {
    "demo": Config(),
    "standard": Config(
        name="standard",
        worlds=("everyday",),
        pairs=(("popularity", "mf"), ("mf:dim=4", "mf"), ("mf", "mf:epsilon=0.1")),
        seeds=10,
        log_days=14,
        days=28,
    ),
}


def main() -> None:
    config = parse(PROFILES, "What does an online experiment say, and how many users does it need?")
    with plain_errors():
        plan = config.plan()
        check_trials(plan, FACTORIES)
        run = run_folder("experiments", config.name)
        provenance = run.begin(config)
    with counting("Users served by one policy, or by two") as count:
        results = run_trials(
            plan,
            FACTORIES,
            DESIGNS,
            run.path,
            config.num_workers,
            lambda unit, done, total: count(
                f"{unit.world} seed {unit.seed} {unit.trial.label if unit.trial else 'log'}", done, total
            ),
        )
    effects, preferences, looks = (table(results, plan) for table in (effects_table, preferences_table, looks_table))
    curves, needed = power_tables(results, plan, config.sizes, config.num_draws)
    for name, table in (
        ("effects", effects),
        ("preferences", preferences),
        ("looks", looks),
        ("power", curves),
        ("users_needed", needed),
    ):
        run.write_table(name, table)
    report = write_experiments_report(run.path, effects, preferences, looks, curves, needed, provenance)
    for keys, own in effects.groupby(list(PAIR), sort=False):
        world, control, challenger = keys
        show_table(
            f"{world}: {challenger} above {control}, {config.seeds} seeds, in clicks per 1,000 slates",
            ("A/B test", "truth", "it says", "sampling", "interference", "95% interval"),
            [
                (
                    row["learning"],
                    *(f"{1000 * row[name]:+.1f}" for name in ("truth", "estimate", "sampling", "interference")),
                    interval_words(1000 * row["low"], 1000 * row["high"], "+.1f"),
                )
                for row in compared_effects(own[own["metric"] == RATIO]).to_dict("records")
            ],
        )
        mine = (needed[list(PAIR)] == list(keys)).all(axis=1)
        show_table(
            "users needed to find the winner, at 95%, in 80% of tests",
            ("test", "users", "95% interval", "drawn", "times interleaving's"),
            [
                (
                    row["protocol"].replace("_", " "),
                    f"{row['users']:,.0f}",
                    interval_words(row["low"], row["high"], ",.0f"),
                    f"{row['drawn']:,.0f}",
                    f"{row['times']:.1f}",
                )
                for row in compared_needs(needed[mine]).to_dict("records")
            ],
        )
    console.print(f"tables: {run.path}\nreport: [bold]{report}[/bold]")


if __name__ == "__main__":
    main()
