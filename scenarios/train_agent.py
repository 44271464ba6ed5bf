"""Train an agent in a world by letting it act there, and see what it earns over the lives of users it never met.

    python -m scenarios.train_agent                         REINFORCE in `lts-dilemma`, 3 seeds: 20 seconds
    python -m scenarios.train_agent --agent reinforce --world everyday:num_users=1000 --max-steps 60
    python -m scenarios.train_agent lts-dilemma             10 seeds against its myopic self: 1 minute
    python -m scenarios.train_agent everyday                the same where return depends on satisfaction: 3 minutes
    python -m scenarios.train_agent interest-evolution      SlateQ against its myopic self, as in its paper: 3 minutes
    python -m scenarios.train_agent sardine                 a learned agent against the greedy oracle: 2 minutes

The first agent is judged against the others. In `lts-dilemma` items that engage now spoil later: whoever learns only
what the next slate earns (the same agent with `discount=0`) wins that slate and loses the life.

Expect, over 10 seeds: REINFORCE earns 148 minutes more per life than its myopic self (99 to 197), and 6.6 less on the
first slate; in 2 of the 10 it has not found out yet. SlateQ in `recsim-interest-evolution` earns 18 minutes more than
its myopic self (14 to 23), which earns as much as random slates, 161. In `everyday`, where lives are long and slates
have ten slots, acting does not pay at this number of slates: 19 clicks per life by the long-term agent and 36 by the
myopic one, where popularity and SASRec that learned from a log of as many random slates earn 39 and 40, and the oracle
65. In `sardine-topk-bored`, where users tire of more of the same, EASE that learned from 240,000 random slates earns
10 clicks more per life than the greedy oracle (7 to 13; 154 against 144) if it shows two items a topic, explores, and
does not repeat what was just ignored; by itself it earns 50.

Results lie in `runs/train_agent/<name>/`: `lives.csv`, `gains.csv`, `curves.csv`, `report.html`, and for each seed and
agent under `units/` the policy (`policy.safetensors`, which `agents.registry.make_agent(spec).load` takes), its curves
and TensorBoard events (`tensorboard --logdir runs/train_agent`). A killed run goes on where it stopped.
"""

import os
from dataclasses import dataclass, replace

from recsim_lab.evaluation.learning import Learner, LearningPlan, compared
from recsim_lab.reporting.learning import short_names, write_learning_report
from recsim_lab.reporting.words import interval_words
from scenarios.command_line import console, parse, show_table
from scenarios.teaching import curves_of, learned


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/train_agent/."""
    world: str = "lts-dilemma"
    """A preset with its parameters."""
    agent: str = "reinforce:discount=0.97,newest=8,dim=16,ids=false,horizon=60,learning_rate=0.01"
    """The agent that is judged, with its parameters."""
    others: tuple[str, ...] = ("reinforce:discount=0,newest=8,dim=16,ids=false,horizon=60,learning_rate=0.01",)
    """Agents to compare it with that learn in the same way."""
    from_logs_alone: tuple[str, ...] = ()
    """Agents to compare it with that learn from a log of random slates, as many as the others learn from."""
    references: tuple[str, ...] = ("random",)
    """Policies to compare it with that need not learn: oracle (greedy on what users truly like now), random, ..."""
    num_steps: int = 480
    """Slates of each seat that are learned from."""
    num_seats: int = 64
    """Users who are served at a time while the agent learns."""
    max_steps: int = 500
    """Slates after which a life is cut off, in training and when judged."""
    reward: str = "world"
    """What is earned: world, clicks, dwell, satisfaction or return."""
    from_log: float = 0.0
    """Share of the slates to learn from that a log of random slates supplies; 1: all."""
    seeds: int = 3
    """Number of seeds; each is a world, a training and test users of its own."""
    num_workers: int = min(os.cpu_count() or 1, 8)
    """Processes."""

    def plan(self) -> LearningPlan:
        return LearningPlan(
            world=self.world,
            learners=(
                *(Learner(agent, self.from_log) for agent in (self.agent, *self.others)),
                *(Learner(agent, 1.0) for agent in self.from_logs_alone),
            ),
            references=self.references,
            seeds=tuple(range(self.seeds)),
            num_seats=self.num_seats,
            num_steps=(self.num_steps,),
            max_steps=self.max_steps,
            reward=self.reward,
        )


_DEMO = Config()
PROFILES = {
    "demo": _DEMO,
    "lts-dilemma": replace(_DEMO, name="lts-dilemma", seeds=10),
    "everyday": replace(
        _DEMO,
        name="everyday",
        world="everyday:num_users=1000,num_items=300,num_topics=8,new_items_a_day=0",
        agent="reinforce:discount=0.9,horizon=20,boltzmann=1,standardised=false",
        others=("reinforce:discount=0,horizon=20,boltzmann=1,standardised=false",),
        from_logs_alone=("popularity", "sasrec"),
        references=("oracle", "random"),
        num_steps=600,
        num_seats=128,
        max_steps=100,
        seeds=10,
    ),
    "sardine": replace(
        _DEMO,
        name="sardine",
        world="sardine-topk-bored",
        agent="ease:regularization=50,boltzmann=0.2,topic_cap=2,skip_ignored=true",
        others=("ease:regularization=50",),
        references=("oracle", "random"),
        from_log=1.0,
        num_steps=2400,
        num_seats=100,
        max_steps=100,
        seeds=10,
    ),
    "interest-evolution": replace(
        _DEMO,
        name="interest-evolution",
        world="recsim-interest-evolution",
        agent="slate-q:discount=0.97,newest=10,dim=16,ids=false,candidates=10,learning_rate=0.002",
        others=("slate-q:discount=0,newest=10,dim=16,ids=false,candidates=10,learning_rate=0.002",),
        num_steps=400,
        max_steps=1000,
        seeds=10,
    ),
}


def main() -> None:
    config = parse(PROFILES, "Train an agent by letting it act, and see what it earns over whole lives.")
    run, plan, provenance, lives = learned("train_agent", config)
    judged, names = plan.learners[0].label, short_names(plan)
    gains, curves = compared(lives, judged, config.num_steps), curves_of(plan, run.path)
    for name, table in (("lives", lives), ("gains", gains), ("curves", curves)):
        run.write_table(name, table)
    report = write_learning_report(
        run.path, "What agents earn over whole lives", plan, lives, gains, curves, provenance
    )
    show_table(
        f"{config.world}: reward per life of users never met, and what {names[judged]} earns above it",
        ("policy", "reward", "gain", "95% interval", "first slate", "95% interval "),
        [
            (
                names[row["policy"]],
                f"{row['reward']:.2f}",
                f"{row['reward_gain']:+.2f}",
                interval_words(row["reward_low"], row["reward_high"], "+.2f"),
                f"{row['first_gain']:+.2f}",
                interval_words(row["first_low"], row["first_high"], "+.2f"),
            )
            for row in gains.to_dict("records")
        ],
    )
    console.print(f"tables: {run.path}\nreport: [bold]{report}[/bold]")


if __name__ == "__main__":
    main()
