"""What a world has to offer: whether each family of models can find something in it, and whether a study can tell."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from recsim_lab.evaluation.statistics import mean_interval, separated_pairs

CLICKS = "online/clicks_per_slate"
PERSONALISED = ("ease", "mf")
IMPERSONAL = ("popularity", "oracle-appeal")


@dataclass(frozen=True)
class Requirement:
    """A number of the world with its 95% interval over seeds, and the bounds that it should keep."""

    name: str
    value: float
    low: float
    high: float
    at_least: float = -np.inf
    at_most: float = np.inf

    @property
    def holds(self) -> bool:
        return bool(self.at_least <= self.value <= self.at_most)


def world_card(scores: pd.DataFrame, loop: pd.DataFrame, clicks_in_log: pd.Series) -> list[Requirement]:
    """The requirements of a world in which offline and online can disagree for reasons.

    `scores` is the study's table with the references in it; `loop` that of an MF retrained daily up to day 60;
    `clicks_in_log` the clicks a user of a log of 40 days of random slates, one entry per seed.
    """
    rate = scores[scores["deployment"] == "frozen"].pivot(index="seed", columns="agent", values=CLICKS)
    agents = scores.loc[scores["family"] != "oracle", ["agent", "family"]].drop_duplicates()

    def best(family: str) -> pd.Series:
        variants = rate[list(agents.loc[agents["family"] == family, "agent"])]
        return variants[variants.mean().idxmax()]

    def requirement(name: str, per_seed: pd.Series, **bounds: float) -> Requirement:
        interval = mean_interval(per_seed.to_numpy(float))
        return Requirement(name, interval.estimate, interval.low, interval.high, **bounds)

    gains = {name: rate[f"oracle-{name}"] - rate["oracle-appeal"] for name in ("latent", "features", "intent")}
    means = {name: gain.mean() for name, gain in gains.items()}
    popularity = best("popularity")
    impersonal = pd.concat([popularity, rate["oracle-appeal"]], axis=1).max(axis=1)
    competing = rate[list(agents["agent"])].to_numpy(float).T
    separated = separated_pairs(competing) if competing.shape[1] > 1 else float("nan")
    card = [
        requirement(f"click rate of {name}", rate[name])
        for name in ("random", "oracle-appeal", "oracle-features", "oracle-latent", "oracle-intent", "oracle")
    ]
    card += [requirement(f"{name}: click rate added to appeal", gain, at_least=0.06) for name, gain in gains.items()]
    spread = max(means.values()) / min(means.values()) if min(means.values()) > 0 else np.inf
    card += [
        Requirement("largest addition over smallest", spread, np.nan, np.nan, at_most=2.5),
        requirement("popularity above random", popularity - rate["random"], at_least=0.0),
        *(
            requirement(f"{family} above popularity", best(family) - popularity, at_least=bound)
            for family, bound in (("ease", 0.0), ("mf", 0.05))
        ),
        *(
            requirement(f"oracle above {family}", rate["oracle"] - best(family), at_least=0.0)
            for family in PERSONALISED
        ),
        requirement("oracle over the best non-personalised policy", rate["oracle"] / impersonal, at_least=1.5),
        requirement("best low-rank fit over oracle", rate["low-rank"] / rate["oracle"], at_most=0.9),
        Requirement("share of agent pairs separated online", separated, np.nan, np.nan, at_least=0.6),
        requirement("clicks a user in the log", clicks_in_log, at_least=15.0),
        requirement("share of users who left by day 60", loop.set_index("seed")["churned"], at_least=0.1, at_most=0.6),
    ]
    return card
