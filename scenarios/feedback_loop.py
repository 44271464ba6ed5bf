"""Models learn from what they showed: how fast does all narrow, and what do remedies cost and buy?

After some weeks of random slates a model serves a population for simulated months, and learns every day from what it
showed. Twins of the same users, with the same luck, are served under remedies (random slots, other models' items,
inverse-propensity training, calibrated re-ranking, ...) and by controls (no recommender, the oracle, a model that is
never retrained, one that shows everybody the same, ...). The bubble is measured in what was shown, what was clicked and
what users have come to prefer, within users and between them.

    python -m scenarios.feedback_loop               a small world, 2 seeds: under 2 minutes on 2 cores
    python -m scenarios.feedback_loop standard      1,000 users, 2,000 items, 60 days, 8 arms, 10 seeds: 20 minutes on 2
                                                    cores, with controls in 3 seeds and A/B tests
    python -m scenarios.feedback_loop full          all arms, dials, a twin that never forgets: not timed yet

Expect of the first: a catalogue that closes while the twin that is never retrained keeps it open, epsilon that opens it
again, and with two seeds no price that can be told from chance. A remedy's break-even is looked for on every day, so
that chance has many tries: even the null twin may seem to pay from some day on.

Results lie in `runs/feedback_loop/<name>/`: `timeline.csv`, `days.csv`, `welfare.csv`, `remedies.csv`,
`controls.csv`, `differences.csv`, `narrowing.csv`, `frontier.csv`, `examples.csv`, `present.csv`, `equal_clicks.csv`,
`experiments.csv` (where remedies are A/B tested) and `report.html`. A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass, replace

from recsim_lab.evaluation.experiments.findings import effects_table
from recsim_lab.evaluation.experiments.trials import TrialPlan, run_trials
from recsim_lab.evaluation.feedback.controls import controls_table
from recsim_lab.evaluation.feedback.days import days_table, welfare_table
from recsim_lab.evaluation.feedback.differences import differences_table
from recsim_lab.evaluation.feedback.equal_clicks import equal_clicks_table
from recsim_lab.evaluation.feedback.frontier import frontier_table
from recsim_lab.evaluation.feedback.narrowing import narrowing_table
from recsim_lab.evaluation.feedback.plan import ALL_DATA, NULL_TWIN, Arm, FeedbackPlan
from recsim_lab.evaluation.feedback.present import present_table
from recsim_lab.evaluation.feedback.prices import remedies_table
from recsim_lab.evaluation.feedback.study import check_feedback, examples_table, run_feedback, timeline_table
from recsim_lab.reporting.feedback_loop import write_feedback_loop_report
from recsim_lab.reporting.words import interval_words
from scenarios.command_line import console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import DESIGNS, FACTORIES

REMEDIES = {
    "epsilon .05": "{model_with}epsilon=0.05",
    "epsilon .2": "{model_with}epsilon=0.2",
    "random last slots": "by-slot({model}; random at -2 -1)",
    "another model's items": "quota(7 {model}; 3 item-knn)",
    "inverse propensity": "{model_with}weighting=ips,epsilon=0.05",
    "Boltzmann": "{model_with}boltzmann=0.3",
    "calibrated": "{model_with}calibrated=0.5",
}
"""The named remedies beside the loop without any, around the model that learns. Inverse propensities need some chance:
without epsilon all that is shown has a propensity of 1."""
MORE_REMEDIES = {
    "MMR": "{model_with}mmr=0.3",
    "Thompson": "{model_with}thompson=1",
    "annealed epsilon": "{model_with}epsilon=1,half_life_days=15,floor=0.02",
    "interleaved": "team-draft({model}; item-knn)",
    "bandit over models": "bandit({model}; item-knn; popularity)",
    "calibrated, epsilon .05": "{model_with}calibrated=0.5,epsilon=0.05",
}
"""Epsilon anneals from the log's first day on: it is .125 when the loop begins on day 45, and .02 from day 85 on."""
REFERENCE_CONTROLS = ("oracle", "organic", "top-topic")
DIALS = {
    "epsilon": ("{model_with}epsilon={setting}", (0.02, 0.05, 0.1, 0.2)),
    "random last slots": ("by-slot({model}; random at {slots})", (1, 2, 3, 4)),
    "another model's items": ("quota({rest} {model}; {setting} item-knn)", (1, 2, 4, 6)),
    "calibrated": ("{model_with}calibrated={setting}", (0.2, 0.4, 0.6, 0.8)),
    "MMR": ("{model_with}mmr={setting}", (0.1, 0.2, 0.4, 0.6)),
    "Boltzmann": ("{model_with}boltzmann={setting}", (0.1, 0.2, 0.4, 0.8)),
}
"""What can be turned up, and the settings at which it is looked at."""
NUM_SLOTS = 10


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/feedback_loop/."""
    world: str = "everyday:num_users=300,num_items=1000"
    """The preset with its parameters."""
    model: str = "mf:dim=16,epochs=20,warm_epochs=1,weight_decay=0.03,batch_size=4096"
    """The agent that learns from what it shows."""
    remedies: tuple[str, ...] = ("epsilon .2", "another model's items", "calibrated")
    """Names of remedies."""
    dials: tuple[str, ...] = ()
    """Names of what is turned up step by step."""
    seeds: int = 2
    """Number of seeds; each is a world, a log and a training of its own."""
    control_seeds: int = 2
    """Number of seeds in which controls run."""
    log_days: int = 45
    """Days of random slates before the loop."""
    loop_days: int = 24
    """Days that each arm then serves and learns."""
    retrain_every: int = 1
    """Days from one retraining to the next."""
    window_days: int = 20
    """Newest days of the log that are learned from."""
    all_data: bool = False
    """Whether a control runs that learns from all days instead."""
    measure_every: int = 4
    """Days from one measurement of the bubble to the next."""
    recent_days: int = 8
    """Newest days that are measured."""
    price_days: int = 8
    """First days, whose loss is a remedy's cost, and last ones, whose difference is its gain."""
    equal_clicks: int = 10
    """Clicks of each user that count where arms are compared at equal numbers of them."""
    tested: tuple[str, ...] = ()
    """Names of remedies that an A/B test compares with no remedy, on pooled and on diverted data."""
    test_days: int = 20
    """Days of these tests."""
    probe_share: float = 0.05
    """Share of the requests whose regret is looked at."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""

    def plan(self) -> FeedbackPlan:
        """The loop without a remedy, remedies, controls and dials."""
        known = REMEDIES | MORE_REMEDIES
        if unknown := [name for name in (*self.remedies, *self.tested) if name not in known]:
            raise ValueError(f"remedies must be among {', '.join(known)}, got {unknown[0]!r}")
        if unknown := [name for name in self.dials if name not in DIALS]:
            raise ValueError(f"dials must be among {', '.join(DIALS)}, got {unknown[0]!r}")
        arms = [Arm("no remedy", self.model)]
        arms += [_remedy(name, _spec(known[name], self.model), self.model) for name in self.remedies]
        named = {arm.policy for arm in arms}
        arms += [arm for name in self.dials for arm in _settings(name, self.model) if arm.policy not in named]
        arms += [
            Arm("random", "random", role="control"),
            Arm("popularity", "popularity", role="control"),
            *(Arm(name, name, role="control") for name in REFERENCE_CONTROLS),
            Arm("frozen", self.model, learns=False, role="control"),
            Arm("learns from random slots", _spec("{model_with}data=random,epsilon=0.2", self.model), role="control"),
            *([Arm(ALL_DATA, self.model, forgets=False, role="control")] if self.all_data else []),
            Arm(NULL_TWIN, self.model, luck="null", role="control"),
        ]
        return FeedbackPlan(
            world=self.world,
            seeds=tuple(range(self.seeds)),
            arms=tuple(arms),
            control_seeds=self.control_seeds,
            target=_spec("{model_with}epsilon=0.2", self.model),
            **{
                name: getattr(self, name)
                for name in (
                    *("log_days", "loop_days", "retrain_every", "window_days"),
                    *("measure_every", "recent_days", "price_days", "probe_share"),
                )
            },
        )

    def trials(self) -> TrialPlan:
        """A/B tests of remedies, with the truth from twins."""
        pairs = tuple((self.model, _spec((REMEDIES | MORE_REMEDIES)[name], self.model)) for name in self.tested)
        return TrialPlan(
            worlds=(self.world,),
            seeds=tuple(range(self.control_seeds)),
            pairs=pairs,
            log_days=self.log_days,
            days=self.test_days,
            retrain_every=self.retrain_every,
            window_days=self.window_days,
            interleave=False,
        )


def _remedy(name: str, spec: str, model: str) -> Arm:
    """An arm of this name, which is a setting of a dial where its spec is: `epsilon .2` is epsilon at .2."""
    same = (arm for dial in DIALS for arm in _settings(dial, model) if arm.policy == spec)
    return replace(next(same, Arm(name, spec)), name=name)


def _spec(template: str, model: str, **values: object) -> str:
    """The spec with `{model}` in place, and `{model_with}` where further parameters of it follow."""
    return template.format(model=model, model_with=model + ("," if ":" in model else ":"), **values)


def _settings(dial: str, model: str) -> list[Arm]:
    spec, settings = DIALS[dial]
    return [
        Arm(
            f"{dial} {setting:g}",
            _spec(
                spec,
                model,
                setting=f"{setting:g}",
                rest=NUM_SLOTS - int(setting),
                slots=" ".join(str(-place) for place in range(int(setting), 0, -1)),
            ),
            dial=dial,
            setting=float(setting),
        )
        for setting in settings
    ]


STANDARD = Config(
    name="standard",
    world="everyday:num_users=1000,num_items=2000",
    remedies=tuple(REMEDIES),
    tested=("epsilon .2", "calibrated"),
    seeds=10,
    control_seeds=3,
    loop_days=60,
    window_days=14,
    measure_every=6,
    recent_days=10,
    price_days=10,
)
PROFILES = {
    "demo": Config(),
    "standard": STANDARD,
    "full": replace(
        STANDARD,
        name="full",
        remedies=tuple(REMEDIES | MORE_REMEDIES),
        dials=tuple(DIALS),
        control_seeds=10,
        all_data=True,
    ),
}


def main() -> None:
    config = parse(PROFILES, "How fast does a loop of serving and learning narrow, and what do remedies cost?")
    with plain_errors():
        plan = config.plan()
        check_feedback(plan, FACTORIES)
        run = run_folder("feedback_loop", config.name)
        provenance = run.begin(config)
    with counting("Loops of serving and learning") as count:
        outcomes = run_feedback(
            plan,
            FACTORIES,
            run.path,
            config.num_workers,
            lambda unit, done, total: count(f"seed {unit.seed} {unit.arm}", done, total),
        )
    timeline = timeline_table(outcomes, plan)
    tables = {
        "timeline": timeline,
        "days": days_table(timeline, plan),
        "welfare": welfare_table(timeline, plan),
        "remedies": remedies_table(timeline, outcomes, plan),
        "controls": controls_table(timeline, plan),
        "differences": differences_table(timeline, plan),
        "narrowing": narrowing_table(timeline, plan),
        "frontier": frontier_table(timeline, plan),
        "examples": examples_table(outcomes, plan),
        "present": present_table(outcomes, plan, FACTORIES, run.path),
        "equal_clicks": equal_clicks_table(outcomes, plan, FACTORIES, run.path, config.equal_clicks),
    }
    if config.tested:
        with counting("A/B tests of remedies, and their truth") as count:
            results = run_trials(
                config.trials(),
                FACTORIES,
                DESIGNS,
                run.path / "experiments",
                config.num_workers,
                lambda unit, done, total: count(f"seed {unit.seed}", done, total),
            )
        tables["experiments"] = effects_table(results, config.trials())
    for name, table in tables.items():
        run.write_table(name, table)
    report = write_feedback_loop_report(run.path, tables, plan, provenance, config.remedies)
    show_table(
        f"Clicks per user and day against no remedy, {config.seeds} seeds",
        ("arm", f"first {config.price_days} days", f"last {config.price_days} days", "pays from day"),
        [
            (
                row["arm"],
                f"{-row['cost']:+.3f}\n{interval_words(-row['cost_high'], -row['cost_low'], '+.3f')}",
                f"{row['gain']:+.3f}\n{interval_words(row['gain_low'], row['gain_high'], '+.3f')}",
                row["break_even"],
            )
            for row in tables["remedies"].to_dict("records")
        ],
    )
    console.print(f"tables: {run.path}\nreport: [bold]{report}[/bold]")


if __name__ == "__main__":
    main()
