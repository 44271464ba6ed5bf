"""What does each of two stages add, and where does the loss come from?

In a world that logged random slates, agents learn and then serve the same users with the same luck: a retriever alone,
a heavy ranker over the whole catalogue, the ranker behind one retriever, behind several, and behind popularity; and
the oracle. What each loses against the oracle's slates is split into what retrieval missed and what ranking put wrong,
which no real platform can know.

    python -m scenarios.two_stage                   3 seeds of a small world: some minutes on 2 cores
    python -m scenarios.two_stage standard          10 seeds, a larger catalogue and a longer log: some hours

Expect: several retrievers find more of the best items than one, and popularity hardly any; most of the loss is the
ranker's. Results lie in `runs/two_stage/<name>/`: `arms.csv`, `recall.csv`, `latency.csv` and `report.html`. A killed
run goes on where it stopped.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from agents.item_neighbours import ItemKNN
from agents.neural import NetworkAgent
from agents.registry import make_agent
from agents.two_stage import ByEmbeddings, Fresh, Neighbours, Popular, TwoStage
from recsim_lab.evaluation.online import follow
from recsim_lab.evaluation.oracle import Oracle
from recsim_lab.evaluation.run_folder import RunFolder
from recsim_lab.evaluation.two_stage import StageProbe
from recsim_lab.platform import Platform
from recsim_lab.policy import Agent, Policy, Scorer
from recsim_lab.reporting.two_stage import compared_arms, write_two_stage_report
from recsim_lab.simulation.presets import make_world
from recsim_lab.streams import draws_of
from scenarios.command_line import console, counting, parse, plain_errors, run_folder, show_table
from scenarios.factories import restricted, with_rules

RETRIEVER_ALONE = "retriever alone"
ORACLE = "oracle"


@dataclass(frozen=True)
class Config:
    """What to run. Every number of the run follows from these values."""

    name: str = "demo"
    """Folder of the run under runs/two_stage/."""
    world: str = "everyday:num_users=500,num_items=3000"
    """A preset with its parameters."""
    retriever: str = "two-tower"
    """An agent whose scores are dot products."""
    heavy: str = "mlp:target=impressions,loss=lambdarank"
    """The ranker of the second stage."""
    num_candidates: int = 200
    """Items that the first stage may bring."""
    seeds: int = 3
    """Number of seeds; each is a world, a log and a training of its own."""
    logging_policy: str = "random"
    """The agent that collects the log."""
    log_days: int = 30
    """Days of the log."""
    online_days: int = 4
    """Days that each arm then serves."""
    depth: int = 100
    """How many of the truly best items recall is about."""
    probe_share: float = 0.2
    """Share of the requests whose truth is looked at."""

    def __post_init__(self) -> None:
        for name in ("seeds", "log_days", "online_days"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.num_candidates < 20:
            raise ValueError(f"num_candidates must be at least 20, got {self.num_candidates}")


PROFILES = {
    "demo": Config(),
    "standard": Config(
        name="standard", world="everyday:num_items=10000", num_candidates=500, seeds=10, log_days=60, online_days=8
    ),
}


def arms_of(config: Config, seed: int) -> dict[str, Callable[[], Policy]]:
    """How each arm's policy is made; the oracle's needs the sessions it serves."""

    def embeddings() -> ByEmbeddings:
        agent = make_agent(config.retriever, seed)
        if not isinstance(agent, NetworkAgent):
            raise ValueError(f"retriever must score by dot products of vectors, got {config.retriever!r}")
        return ByEmbeddings(agent)

    def heavy() -> Scorer:
        agent = make_agent(config.heavy, seed)
        if not isinstance(agent, Scorer):
            raise ValueError(f"heavy must be an agent with scores, got {config.heavy!r}")
        return agent

    num = config.num_candidates

    def several() -> TwoStage:
        others = num // 5, num // 5, num // 10
        retrievers = (
            (embeddings(), num - sum(others)),
            (Neighbours(ItemKNN()), others[0]),
            (Popular(), others[1]),
            (Fresh(), others[2]),
        )
        return TwoStage(retrievers, heavy())

    return {
        RETRIEVER_ALONE: lambda: embeddings().policy,
        "ranker over everything": heavy,
        "popularity, then ranker": lambda: TwoStage(((Popular(), num),), heavy()),
        "one retriever, then ranker": lambda: TwoStage(((embeddings(), num),), heavy()),
        "several retrievers, then ranker": several,
    }


def main() -> None:
    config = parse(PROFILES, "What does each of two stages add, and where does the loss come from?")
    with plain_errors():
        make_world(config.world, seed=0)
        names = [*arms_of(config, 0), ORACLE]
        for make in arms_of(config, 0).values():
            make()
        run = run_folder("two_stage", config.name)
        provenance = run.begin(config)
    results = []
    with counting("Logs, training, serving") as count:
        for seed in range(config.seeds):
            platform: Platform | None = None
            for name in names:
                file = run.path / "units" / f"seed={seed}" / f"{name}.json"
                if not file.exists():
                    platform = platform or _logged(config, seed, run)
                    run.write_text(str(file.relative_to(run.path)), json.dumps(_arm(config, seed, name, platform)))
                results.append({"arm": name, "seed": seed} | json.loads(file.read_text()))
                count(f"seed {seed} {name}", len(results), config.seeds * len(names))
    arms = pd.DataFrame([{**_keys(one), **one["online"]} for one in results])
    recall = pd.DataFrame(
        [{**_keys(one), "retriever": name, "recall": share} for one in results for name, share in one["recall"].items()]
    )
    latency = pd.DataFrame(
        [{**_keys(one), "stage": stage, "seconds": took} for one in results for stage, took in one["seconds"].items()]
    )
    for name, table in (("arms", arms), ("recall", recall), ("latency", latency)):
        run.write_table(name, table)
    compared = compared_arms(arms, RETRIEVER_ALONE)
    report = write_two_stage_report(run.path, compared, recall, latency, RETRIEVER_ALONE, provenance)
    show_table(
        f"{config.world}, {config.seeds} seeds: clicks per slate, and clicks lost to the oracle's slates",
        ("arm", "clicks", "above retriever", "lost", "by retrieval", "by ranking"),
        [
            (
                row["arm"],
                f"{row['clicks_per_slate']:.3f}",
                f"{row['clicks_per_slate_difference']:+.3f}",
                *(f"{row[name]:.3f}" for name in ("regret", "retrieval", "ranking")),
            )
            for row in compared.to_dict("records")
        ],
    )
    console.print(f"tables: {run.path}\nreport: [bold]{report}[/bold]")


def _keys(result: dict[str, Any]) -> dict[str, Any]:
    return {name: result[name] for name in ("arm", "seed")}


def _logged(config: Config, seed: int, run: RunFolder) -> Platform:
    """The platform of a seed at the end of its log, collected or read back."""
    logging = with_rules(make_agent(config.logging_policy, seed))
    folder = run.path / "units" / f"seed={seed}" / "platform"
    platform = Platform(make_world(config.world, seed=seed), logging, seed=seed, history=128, folder=folder)
    platform.run(config.log_days)
    return platform


def _arm(config: Config, seed: int, name: str, platform: Platform) -> dict[str, Any]:
    """Teach one arm, let it serve twins of the users, and keep account of it."""
    log, began = platform.log(), time.perf_counter()
    twin = platform.fork(platform.service.policy)
    policy: Policy = Oracle(platform.world).watch(twin.service.sessions)
    if name != ORACLE:
        policy = arms_of(config, seed)[name]()
    if isinstance(policy, Agent):
        policy.learn(log)
    training = time.perf_counter() - began
    twin.service.policy = with_rules(policy)
    found = policy.found if isinstance(policy, TwoStage) else None
    probe = StageProbe(platform.world, restricted, found, config.depth, config.probe_share)
    twin.probe = probe
    _, online = follow(twin, None, config.online_days)
    means = probe.means()
    requests = restricted(log.observations(np.arange(max(len(log) - 1000, 0), len(log))), log.num_slots)
    policy.recommend(requests, log.num_slots, draws_of(seed, requests.user))
    began = time.perf_counter()
    policy.recommend(requests, log.num_slots, draws_of(seed, requests.user))
    seconds = {"in all": time.perf_counter() - began}
    if isinstance(policy, TwoStage):
        seconds |= policy.seconds
    return {
        "online": {key: online[key] for key in ("clicks_per_slate", "satisfaction", "session_length")}
        | {key: means[key] for key in ("regret", "retrieval", "ranking")}
        | {"training_seconds": training},
        "recall": {
            key.removeprefix("recall/"): share
            for key, share in means.items()
            if key.startswith("recall/") and found is not None
        },
        "seconds": {stage: 1000 * took / len(requests) for stage, took in seconds.items()},
    }


if __name__ == "__main__":
    main()
