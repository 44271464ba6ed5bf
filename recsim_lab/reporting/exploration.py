"""The report of exploration: what it costs, what is shown, and what the model learns from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from recsim_lab.evaluation.dividend import AMONG_GREEDY
from recsim_lab.evaluation.statistics import mean_interval, paired_interval
from recsim_lab.reporting.blocks import Block, Figure, Section, Table
from recsim_lab.reporting.figures.days import engagement_over_days
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.report import Provenance, write_figure, write_report
from recsim_lab.reporting.words import interval_words

MEANS = ("clicks_per_slate", "regret", "clicks_per_slate_of_loop", "regret_of_loop", "coverage", "exposure_gini")
DIVIDENDS = ("learning_dividend", f"learning_dividend{AMONG_GREEDY}", "crossed", "published")


def compared_arms(arms: pd.DataFrame, greedy: str) -> pd.DataFrame:
    """A row for each arm of one world, in order of appearance: means over seeds of `MEANS`, and the paired difference
    of clicks per slate to the greedy arm with its 95% interval (`difference`, `low`, `high`).

    Raises:
        ValueError: if the greedy arm is not among them.
    """
    if greedy not in set(arms["agent"]):
        raise ValueError(f"greedy must be one of {sorted(set(arms['agent']))}, got {greedy!r}")
    clicks = arms.pivot(index="seed", columns="agent", values="clicks_per_slate")
    rows = []
    for agent in dict.fromkeys(arms["agent"]):
        row: dict[str, Any] = {"agent": agent}
        row |= {name: float(arms.loc[arms["agent"] == agent, name].mean()) for name in MEANS}
        interval = paired_interval(clicks[agent].to_numpy(float), clicks[greedy].to_numpy(float))
        rows.append(row | {"difference": interval.estimate, "low": interval.low, "high": interval.high})
    return pd.DataFrame(rows)


def compared_dividends(dividends: pd.DataFrame) -> pd.DataFrame:
    """A row for each arm of one world, in order of appearance: means over seeds of `DIVIDENDS`, which are paired
    already, with 95% intervals (`..._low`, `..._high`), and the remark where there is none."""
    rows = []
    for agent in dict.fromkeys(dividends["agent"]):
        own = dividends[dividends["agent"] == agent]
        row: dict[str, Any] = {"agent": agent, "remark": own["remark"].fillna("").iloc[0]}
        for name in DIVIDENDS:
            interval = mean_interval(own[name].to_numpy(float))
            row |= {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
        rows.append(row)
    return pd.DataFrame(rows)


def write_exploration_report(
    folder: Path,
    arms: pd.DataFrame,
    daily: pd.DataFrame,
    dividends: pd.DataFrame,
    greedy: str,
    provenance: Mapping[str, Any],
) -> Path:
    """Write `report.html` and `figures/` into the run's folder; returns the report's path.

    The tables are those of `recsim_lab.evaluation.dividend.run_loops`; `provenance` is the content of the run's
    `config.json`.
    """
    config = provenance["config"]
    leads, sections = [], []
    for place, world in enumerate(dict.fromkeys(arms["world"])):
        compared = compared_arms(arms[arms["world"] == world], greedy)
        told = compared_dividends(dividends[dividends["world"] == world])
        known = told[told["learning_dividend"].notna()]
        leads.append(_lead(world, compared, known, greedy))
        figures = {
            "clicks": engagement_over_days(daily[daily["world"] == world]),
            "dividends": _forest(known),
        }
        for name, figure in figures.items():
            write_figure(folder / "figures" / f"{name}-{place}.svg", figure)
        sections += [
            Section(f"What it costs: {world}", _COST.format(**config), (figures["clicks"], _costs(compared, greedy))),
            Section(f"What the model learns: {world}", _LEARN, _learned(figures["dividends"], told, bool(len(known)))),
        ]
    path = folder / "report.html"
    write_report(
        path,
        "What exploration costs and buys",
        " ".join(leads),
        sections,
        Provenance.of_run(provenance, provenance["config"]["seeds"]),
    )
    return path


_COST = (
    "All arms start from the same {log_days} days of random slates and serve the same users with the same luck for "
    "{loop_days} days. Every {retrain_every} days each learns from that log and from its own."
)
_LEARN = (
    "After the loop, the users whom an arm has served go on to be served by the same exploration, with the same luck, "
    "once with the arm's own model and once with the model of the greedy twin. The difference is the learning "
    "dividend: the same slots are explored in both, so that what exploration costs is in neither. But these users have "
    "had what their own model likes best, which speaks for the other. Among the greedy twin's users it is the "
    "other way round; in the mean of both it cancels, as far as it is the same in both.\n\n"
    "The published D(epsilon) is what an arm earned in the loop's last days above the mixture (1 - epsilon) of the "
    "greedy and epsilon of the random arm's reward. It contains learning, but also substitution (items of one slate "
    "compete for clicks), position (slots are not looked at alike) and boredom (users tire of what is alike). Where it "
    "differs from the learning dividend, these are the reason."
)


def _costs(compared: pd.DataFrame, greedy: str) -> Table:
    frame = pd.DataFrame(
        {
            "arm": compared["agent"],
            "clicks per slate": compared["clicks_per_slate"],
            f"above {greedy}": compared["difference"],
            "95% interval, paired": _intervals(compared, "low", "high"),
            "regret": compared["regret"],
            "regret, whole loop": compared["regret_of_loop"],
            "coverage": compared["coverage"],
            "Gini of exposure": compared["exposure_gini"],
        }
    )
    caption = (
        "Means over seeds, of the loop's last days but for one column. Regret: expected clicks of the slate that the "
        "oracle would have shown minus those of the slate shown. Coverage: share of the items on offer that anybody "
        "was shown."
    )
    return Table(frame, caption, {f"above {greedy}": "+.3f", "coverage": ".1%"})


def _forest(known: pd.DataFrame) -> Figure:
    value, low, high = (known[f"crossed{end}"].to_numpy(float) for end in ("", "_low", "_high"))
    return forest(
        list(known["agent"]), 1000 * value, 1000 * low, 1000 * high, "learning dividend, clicks per 1,000 slates"
    )


def _learned(figure: Figure, told: pd.DataFrame, any_known: bool) -> tuple[Block, ...]:
    columns = {"among its users": DIVIDENDS[0], "among greedy users": DIVIDENDS[1], "mean": DIVIDENDS[2]}
    frame = pd.DataFrame(
        {"arm": told["agent"]}
        | {words: told[name] for words, name in columns.items()}
        | {
            "95% interval of the mean": _intervals(told, "crossed_low", "crossed_high"),
            "published D": told["published"],
            "its 95% interval": _intervals(told, "published_low", "published_high"),
            "remark": told["remark"],
        }
    )
    caption = (
        "Learning dividends and D in clicks per slate, means over seeds. D is told only where explored items are "
        "uniformly random."
    )
    table = Table(frame, caption, dict.fromkeys((*columns, "published D"), "+.4f"))
    return (figure, table) if any_known else (table,)


def _intervals(frame: pd.DataFrame, low: str, high: str) -> list[str]:
    return [interval_words(*ends, "+.4f") for ends in zip(frame[low], frame[high], strict=True)]


def _lead(world: str, compared: pd.DataFrame, known: pd.DataFrame, greedy: str) -> str:
    if known.empty:
        return f"In {world} no arm has a learning dividend."
    best = known.loc[known["crossed"].idxmax()]
    own = compared.set_index("agent").loc[best["agent"]]
    low, high = best["crossed_low"], best["crossed_high"]
    words = "" if low > 0 or high < 0 else ", which could be chance"
    return (
        f"In {world} the largest learning dividend, among the users of both, is that of {best['agent']}: "
        f"{best['crossed']:+.4f} clicks per slate{words}. In all, it earned {own['difference']:+.4f} clicks per slate "
        f"against {greedy}."
    )
