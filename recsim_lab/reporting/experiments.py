"""The report of online experiments: what tests say beside the truth, how soon, and with how many users."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from recsim_lab.evaluation.statistics import mean_interval
from recsim_lab.reporting.blocks import Block, Figure, Section, Table
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.figures.looks import watched
from recsim_lab.reporting.figures.power import power_lines
from recsim_lab.reporting.names import metric_name
from recsim_lab.reporting.report import Provenance, write_figure, write_report
from recsim_lab.reporting.words import interval_words

PAIR = ("world", "control", "challenger")
RATIO = "clicks_per_slate"
INTERLEAVING = "interleaving"


def compared_effects(effects: pd.DataFrame) -> pd.DataFrame:
    """A row for each learning and metric of one pair: means over seeds of the true effect, of the test's estimate and
    of the two parts of their difference; `low` and `high` are the 95% interval of the interference over seeds, `covers`
    the share of the tests whose own interval holds the truth, `variance_ratio` what CUPED leaves of the variance."""
    rows = []
    for (learning, metric), own in effects.groupby(["learning", "metric"], sort=False):
        interval = mean_interval(own["interference"].to_numpy(float))
        covers = (own["low"] <= own["truth"]) & (own["truth"] <= own["high"])
        means = {name: float(own[name].mean()) for name in ("truth", "estimate", "sampling", "interference")}
        rows.append(
            {"learning": learning, "metric": metric}
            | means
            | {"low": interval.low, "high": interval.high, "covers": float(covers.mean())}
            | {"variance_ratio": float(own["variance_ratio"].mean())}
        )
    return pd.DataFrame(rows)


def compared_needs(needed: pd.DataFrame) -> pd.DataFrame:
    """A row for each protocol of one pair: the geometric mean over seeds of the users needed (`users`, by formula;
    `drawn`, by drawing users), the formula's 95% interval over seeds, and how many times the users of interleaving
    that is. `right`: the share of seeds in which the effect has the sign of that on clicks per user."""
    of_interleaving = needed[needed["protocol"] == INTERLEAVING].set_index("seed")["users"]
    rows = []
    for protocol, own in needed.groupby("protocol", sort=False):
        users = np.log(own["users"].to_numpy(float))
        interval = mean_interval(users) if np.isfinite(users).all() else mean_interval(np.full(1, np.nan))
        ratio = users - np.log(of_interleaving.loc[own["seed"]].to_numpy(float))
        rows.append(
            {"protocol": protocol, "users": float(np.exp(users.mean()))}
            | {"low": float(np.exp(interval.low)), "high": float(np.exp(interval.high))}
            | {"drawn": float(np.exp(np.log(own["drawn"].to_numpy(float)).mean()))}
            | {"times": float(np.exp(ratio.mean())), "right": float(own["right"].mean())}
        )
    return pd.DataFrame(rows)


def decided_days(looks: pd.DataFrame, ends: tuple[str, str]) -> tuple[int, int]:
    """(in how many seeds of one pair an interval of these ends excluded zero at any look, number of seeds)."""
    excluded = (looks[ends[0]] > 0) | (looks[ends[1]] < 0)
    by_seed = excluded.groupby(looks["seed"]).any()
    return int(by_seed.sum()), len(by_seed)


def write_experiments_report(
    folder: Path,
    effects: pd.DataFrame,
    preferences: pd.DataFrame,
    looks: pd.DataFrame,
    curves: pd.DataFrame,
    needed: pd.DataFrame,
    provenance: Mapping[str, Any],
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    The tables are those of `recsim_lab.evaluation.experiments.findings`; `provenance` is the content of the run's
    `config.json`.
    """
    leads, sections = [], []
    for place, (keys, own) in enumerate(effects.groupby(list(PAIR), sort=False)):
        world, control, challenger = keys
        title = f"{challenger} against {control}, {world}"
        mine = [table[_is_of(table, keys)] for table in (preferences, looks, curves, needed)]
        compared, needs = compared_effects(own), compared_needs(mine[3])
        figures = {"interference": _interference(compared), "power": power_lines(mine[2].drop(columns="world"))}
        if len(mine[1]):
            figures["looks"] = _watched(mine[1])
        for name, figure in figures.items():
            write_figure(folder / "figures" / f"{name}-{place}.svg", figure)
        leads.append(_lead(control, challenger, compared, needs))
        blocks: tuple[Block, ...] = (figures["interference"], _effects(compared))
        sections.append(Section(f"What an A/B test says: {title}", _AB, blocks))
        if "looks" in figures:
            sections.append(Section(f"Watching the test: {title}", _LOOKS, (figures["looks"],)))
        blocks = (figures["power"], _needs(needs), _preferences(mine[0]))
        sections.append(Section(f"How many users: {title}", _POWER, blocks))
    path = folder / "report.html"
    write_report(
        path,
        "What online experiments say, and with how many users",
        " ".join(leads),
        sections,
        Provenance.of_run(provenance, provenance["config"]["seeds"]),
    )
    return path


LEARNING = (
    "While nobody learns (frozen) there is none. Where both models learn from the log of all users (pooled), each "
    "profits from what the other showed; where each learns from its own users alone (diverted), both have half of the "
    "data that they would have after a launch."
)
"""What interference is of, by who learns from what."""
_AB = (
    "The truth is what the challenger does to everybody above what the control does to everybody, on the same users "
    "with the same luck. A test shows each user one of the two. It errs in two parts. Sampling is who happened to be "
    "in which arm; it is zero on average. Interference is what is left: what one arm's users changed for the other's. "
    + LEARNING
)
_LOOKS = (
    "The test without learning, looked at every day. An interval made for one look excludes zero too often if it is "
    "looked at again and again and the test is stopped at the first success; the always-valid one keeps its promise at "
    "all days together, and is wider for it."
)
_POWER = (
    "How often a test with so many users, drawn from these with replacement, finds the right winner: the one with more "
    "clicks per user if it serves everybody. Users of an A/B test are those of both arms together. CUPED uses the same "
    "metric of the log's days as a covariate. Interleaving counts the users whose clicks fall more on one policy's "
    "slots than on the other's; that is a preference, not a number of clicks."
)


def _is_of(table: pd.DataFrame, keys: Any) -> pd.Series:
    return (table[list(PAIR)] == list(keys)).all(axis=1)


def _interference(compared: pd.DataFrame) -> Figure:
    told = compared[(compared["metric"] == RATIO) & (compared["learning"] != "frozen")]
    value, low, high = (1000 * told[name].to_numpy(float) for name in ("interference", "low", "high"))
    return forest(list(told["learning"]), value, low, high, "interference, clicks per 1,000 slates")


def _effects(compared: pd.DataFrame) -> Table:
    frame = pd.DataFrame(
        {
            "learning": compared["learning"],
            "metric": [metric_name(metric) for metric in compared["metric"]],
            "true effect": compared["truth"],
            "test says": compared["estimate"],
            "sampling": compared["sampling"],
            "interference": compared["interference"],
            "its 95% interval": _intervals(compared, "+.4f"),
            "interval holds truth": compared["covers"],
            "variance left by CUPED": compared["variance_ratio"],
        }
    )
    formats = dict.fromkeys(("true effect", "test says", "sampling", "interference"), "+.4f")
    formats |= {"interval holds truth": ".0%", "variance left by CUPED": ".0%"}
    return Table(
        frame, "Means over seeds. The test says the sum of the true effect, sampling and interference.", formats
    )


def _watched(looks: pd.DataFrame) -> Figure:
    first = looks[looks["seed"] == looks["seed"].min()]
    low, high, one_low, one_high = (first[name].to_numpy(float) for name in ("low", "high", "fixed_low", "fixed_high"))
    days, estimate = first["day"].to_numpy(int), first["estimate"].to_numpy(float)
    figure = watched(days, estimate, (one_low, one_high), (low, high), "effect on clicks per slate")
    always, num_seeds = decided_days(looks, ("low", "high"))
    fixed, _ = decided_days(looks, ("fixed_low", "fixed_high"))
    caption = (
        f"{figure.caption} The first of {num_seeds} seeds; on some day the interval for all looks excluded zero in "
        f"{always} of them, the one for one look in {fixed}."
    )
    return Figure(figure.panels, caption, figure.alt)


def _needs(needs: pd.DataFrame) -> Table:
    frame = pd.DataFrame(
        {
            "test": [protocol.replace("_", " ") for protocol in needs["protocol"]],
            "users for 80%": needs["users"],
            "95% interval": _intervals(needs, ",.0f"),
            "by drawing users": needs["drawn"],
            "times interleaving's": needs["times"],
            "right winner in seeds": needs["right"],
        }
    )
    caption = (
        "Geometric means over seeds; the interval is over seeds. By formula from effect and standard error, and where "
        "the curve of drawn users first reaches 80%."
    )
    formats = {"users for 80%": ",.0f", "by drawing users": ",.0f", "times interleaving's": ".1f"}
    return Table(frame, caption, formats | {"right winner in seeds": ".0%"})


def _preferences(preferences: pd.DataFrame) -> Table:
    rows = []
    for (learning, unit), own in preferences.groupby(["learning", "unit"], sort=False):
        interval = mean_interval(own["estimate"].to_numpy(float))
        rows.append(
            {"learning": learning, "unit": unit, "preference": interval.estimate}
            | {"95% interval": interval_words(interval.low, interval.high, "+.3f")}
            | {"won": own["wins"].mean(), "lost": own["losses"].mean(), "tied": own["ties"].mean()}
        )
    caption = (
        "Interleaving: how far the challenger's share of units won, ties counted half, is above one half; means over "
        "seeds."
    )
    return Table(pd.DataFrame(rows), caption, {"preference": "+.3f"} | dict.fromkeys(("won", "lost", "tied"), ",.0f"))


def _intervals(frame: pd.DataFrame, form: str) -> list[str]:
    return [interval_words(*ends, form) for ends in zip(frame["low"], frame["high"], strict=True)]


def _lead(control: str, challenger: str, compared: pd.DataFrame, needs: pd.DataFrame) -> str:
    told = compared[compared["metric"] == RATIO].set_index("learning")
    users = needs.set_index("protocol")["users"]
    words = []
    for learning in ("pooled", "diverted"):
        row = told.loc[learning]
        sure = "" if row["low"] > 0 or row["high"] < 0 else ", which could be chance"
        words.append(f"{1000 * row['interference']:+.1f} {learning}{sure}")
    return (
        f"{challenger} earns {1000 * told.loc['pooled', 'truth']:+.1f} clicks per 1,000 slates above {control} where "
        f"both learn; interference adds {' and '.join(words)}. To see the difference without learning, an A/B test on "
        f"clicks per slate needs {users[f'a/b {RATIO}']:,.0f} users, interleaving {users[INTERLEAVING]:,.0f}."
    )
