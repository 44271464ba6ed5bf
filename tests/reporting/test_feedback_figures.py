"""Figures of a feedback loop: what is drawn where, and which way is up."""

import itertools
import re
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsim_lab.reporting import Figure, write_figure
from recsim_lab.reporting.figures.arm_styles import ArmStyles
from recsim_lab.reporting.figures.dials import dial_lines
from recsim_lab.reporting.figures.multiples import differences_over_days, limits, metrics_over_days
from recsim_lab.reporting.figures.narrowing import narrowing_waterfalls
from recsim_lab.reporting.figures.pareto import Trade, front_of, on_front, pareto_plots
from recsim_lab.reporting.figures.user_topics import user_topics
from recsim_lab.reporting.palette import INK, MUTED, SERIES
from recsim_lab.reporting.words import Estimate

SVG = "{http://www.w3.org/2000/svg}"
STYLES = ArmStyles("no remedy", ("wide", "dear"), ("frozen",))
COVERAGE = ("exposure", "between", "coverage")
GINI = ("exposure", "between", "gini")


@pytest.fixture(scope="module")
def tables(planted_loop) -> dict[str, pd.DataFrame]:
    moved = {("wide", "coverage"): 0.3, ("wide", "gini"): 0.3, ("frozen", "drift"): -0.2}
    return planted_loop(moved=moved, num_seeds=3, control_seeds=2)[1]


def titles(panel: str) -> list[str]:
    return [element.text for element in ElementTree.fromstring(panel).iter(f"{SVG}title")]


def line_of(panel: str, arm: str) -> np.ndarray:
    """The points of an arm's line in a panel, in its own units from the top left."""
    for group in ElementTree.fromstring(panel).iter(f"{SVG}g"):
        title = group.find(f"{SVG}title")
        if title is not None and title.text.startswith(f"{arm}:"):
            path = group.find(f"{SVG}path").get("d")
            return np.array(re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path), float)
    raise AssertionError(f"{arm} is not drawn")


def test_down_is_narrower_on_every_panel(tables):
    """More coverage is wider, a higher Gini index narrower: the arm that has more of both goes up, then down."""
    coverage, gini = metrics_over_days(tables["days"], [COVERAGE, GINI], STYLES).panels
    heights = [line_of(panel, "wide")[-1, 1] - line_of(panel, "no remedy")[-1, 1] for panel in (coverage, gini)]
    assert heights[0] < -20 and heights[1] > 20, "y grows downwards"


def test_lines_of_fewer_seeds_stand_where_their_difference_is(tables):
    """The frozen arm ran in two of three seeds: drawn is no remedy's mean of all plus its paired difference."""
    days = tables["days"]
    (panel,) = metrics_over_days(days, [COVERAGE], STYLES).panels
    last = days[(days["metric"] == "coverage") & (days["level"] == "exposure") & (days["day"] == 6)].set_index("arm")
    value = {
        arm: last.loc["no remedy", "mean"] + last.loc[arm, "difference"] for arm in ("no remedy", "wide", "frozen")
    }
    assert last.loc["frozen", "num_seeds"] == 2 and value["frozen"] != pytest.approx(
        last.loc["frozen", "mean"], rel=1e-4
    )
    height = {arm: line_of(panel, arm)[-1, 1] for arm in value}
    unit = (height["wide"] - height["no remedy"]) / (value["wide"] - value["no remedy"])
    expected = height["no remedy"] + unit * (value["frozen"] - value["no remedy"])
    assert height["frozen"] == pytest.approx(expected, abs=0.05)


def test_tastes_start_where_all_arms_part(tables):
    figure = metrics_over_days(tables["days"], [("preference", "within", "drift"), COVERAGE], STYLES)
    drift, coverage = figure.panels
    assert len(line_of(drift, "wide")) == 4 and len(line_of(coverage, "wide")) == 3
    starts = [line_of(drift, arm)[0] for arm in ("wide", "no remedy", "frozen")]
    np.testing.assert_allclose(starts, [starts[0]] * 3)


def test_each_panel_has_its_meaning_and_the_legend_stands_once(tables):
    figure = metrics_over_days(tables["days"], [COVERAGE, GINI], STYLES)
    assert (
        figure.small and figure.notes[0] == "The share of the items on offer that were shown at all. Narrower: lower."
    )
    assert [key.name for key in figure.legend] == ["no remedy", "wide", "dear", "frozen"]
    assert [key.colour for key in figure.legend] == [INK, SERIES[0], SERIES[1], MUTED]
    tooltip = next(title for title in titles(figure.panels[0]) if title.startswith("wide:"))
    assert "on day 6; difference +" in tooltip and "95% interval" in tooltip
    with pytest.raises(ValueError, match="metrics must name at least one"):
        metrics_over_days(tables["days"], [], STYLES)


def test_many_remedies_differ_by_colour_or_dashes():
    styles = ArmStyles("no remedy", tuple(map(str, range(20))), ())
    looks = {(style.colour, style.dashes) for arm, style in styles.of.items() if arm != "no remedy"}
    assert len(looks) == 20


def test_differences_share_one_scale_and_mark_a_day(tables):
    figure = differences_over_days(tables["days"], "clicks_so_far", ("wide", "dear"), STYLES, {"dear": 3})
    assert len(figure.panels) == 2
    ticks = [re.findall(r">([^<>]*\d)</text>", panel) for panel in figure.panels]
    assert ticks[0] == ticks[1]
    assert figure.panels[1].count("stroke-dasharray") == figure.panels[0].count("stroke-dasharray") + 1
    with pytest.raises(ValueError, match="arms must name at least one"):
        differences_over_days(tables["days"], "clicks_so_far", (), STYLES)


def test_room_is_left_for_means_and_not_for_all_of_vast_intervals():
    low, high = limits([1.0, 2.0, float("nan")], [-50.0, 2.2])
    assert low == pytest.approx(1 - 0.5 - 0.05) and high == pytest.approx(2.2 + 0.05)
    assert limits([float("nan")], []) == (-1.0, 1.0)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=8))
def test_the_front_is_what_no_point_beats(points):
    """Against the definition, point by point."""
    x, y = np.array(points, float).T
    expected = [
        not any(a >= p and b >= q and (a > p or b > q) for a, b in zip(x, y, strict=True))
        for p, q in zip(x, y, strict=True)
    ]
    assert on_front(x, y).tolist() == expected


def trade(turned: bool) -> Trade:
    points = pd.DataFrame(
        [
            ("no remedy", 0.0, 0.0),
            ("wide", -5.0, 8.0),
            ("dear", -6.0, 7.0),
            ("frozen", 9.0, 9.0),
            ("lost", 1.0, np.nan),
        ],
        columns=["arm", "x", "y"],
    )
    ends = {f"{v}_{end}": points[v] + sign for v in ("x", "y") for end, sign in (("low", -1.0), ("high", 1.0))}
    return Trade("catalogue", "clicks", "items", points.assign(**ends), turned)


def test_controls_do_not_compete_for_the_front():
    competitors = ("no remedy", "wide", "dear", "lost")
    assert front_of(trade(False), competitors) == ["wide", "no remedy"]
    assert front_of(trade(True), competitors) == ["no remedy"], "less is wider where the axis is turned"
    figure = pareto_plots([trade(False)], STYLES)
    assert "wide and no remedy" in figure.alt and "lost" not in figure.panels[0]
    tooltips = titles(figure.panels[0])
    assert len(tooltips) == 4 and any("clicks \N{MINUS SIGN}5 (95% interval" in told for told in tooltips)
    with pytest.raises(ValueError, match=r"points must have columns \['y_low', 'y_high'\]"):
        Trade("a", "x", "y", trade(False).points.drop(columns=["y_low", "y_high"]))


def test_dials_start_at_no_remedy():
    settings = pd.DataFrame(
        [
            {
                "dial": dial,
                "setting": s,
                "cost": 10 * s,
                "metric": "coverage",
                "told": Estimate(v, v - 1, v + 1, "+.1f"),
            }
            for dial, s, v in (("epsilon", 0.1, 5.0), ("epsilon", 0.2, 8.0), ("mmr", 0.5, float("nan")))
        ]
    )
    figure = dial_lines(settings, [("coverage", False)])
    assert [key.name for key in figure.legend] == ["epsilon", "mmr"]
    told = titles(figure.panels[0])
    assert (
        "epsilon 0.1: +5.0 (95% interval +4.0\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}+6.0) at 1.0% fewer clicks" in told
    )


def test_bars_of_narrowing_start_where_the_last_one_ends(tables):
    figure = narrowing_waterfalls(tables["narrowing"], [("within", "drift")])
    (panel,) = figure.panels
    told = titles(panel)
    assert [words.partition(":")[0] for words in told] == [
        *("by itself", "by choosing oneself", "by a model's choice", "by its retraining", "in all"),
    ]
    bars = []
    for group in ElementTree.fromstring(panel).iter(f"{SVG}g"):
        if group.find(f"{SVG}title") is not None:
            x = np.array(re.findall(r"[ML] ([-\d.]+)", group.find(f"{SVG}path").get("d")), float)
            bars.append((x.min(), x.max()))
    for before, after in itertools.pairwise(bars[:4]):
        assert min(abs(a - b) for a in before for b in after) < 0.05
    assert "Narrower: higher." in figure.notes[0]


def cells(panel: str, colour: str) -> list[tuple[float, float]]:
    """Left and top of the cells that are drawn as paths of their own, from the upper left."""
    found = re.findall(rf'd="M ([\d.]+) ([\d.]+) [^"]*"[^>]*fill: var\(--{colour},', panel)
    return sorted((float(x), float(y)) for x, y in found)


def test_topics_are_ordered_by_the_taste_before(tables):
    """Topic 2 is liked most and stands on top; on the first of three measured days the user did not come."""
    examples = tables["examples"].query("seed == 0 and user == 7")
    blue = cells(user_topics(examples, ["no remedy", "wide"]).panels[0], "series-1")
    days, rows = sorted({x for x, _ in blue}), sorted({y for _, y in blue})
    assert len(blue) == 8 and len(days) == 2 and len(rows) == 4
    only = examples.assign(shown=np.where(examples["topic"] == 1, 0.3, 0.0))
    blue = cells(user_topics(only, ["wide"]).panels[0], "series-1")
    assert {y for _, y in blue} == {rows[1]} and [x for x, _ in blue][1:] == days, "topic 1 is second, on all days"


def test_a_small_figure_is_one_file_with_its_legend(tables, tmp_path):
    figure = metrics_over_days(tables["days"], [COVERAGE, GINI, COVERAGE, GINI], STYLES)
    write_figure(tmp_path / "figure.svg", figure)
    root = ElementTree.fromstring((tmp_path / "figure.svg").read_text())
    panels = root.findall(f"{SVG}svg")
    assert [panel.get("x") for panel in panels] == [None, "216", "432", None]
    assert len({panel.get("y") for panel in panels}) == 2 and float(panels[0].get("y")) == 4 * 14
    assert [text.text for text in root.findall(f"{SVG}text")] == ["no remedy", "wide", "dear", "frozen"]
    with pytest.raises(ValueError, match="notes must be one for each of 4 panels, got 1"):
        Figure(figure.panels, "caption", "alt", notes=("one",))
