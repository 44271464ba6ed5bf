"""Figures show what the data say, in colours that both pages know, and leave matplotlib as it was."""

import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pandas
import pytest
from matplotlib import pyplot

from recsim_lab.reporting import (
    Figure,
    agreement_heatmap,
    agreement_ranking,
    engagement_over_days,
    offline_online_scatter,
)
from recsim_lab.reporting.figures import attribution_waterfall
from recsim_lab.reporting.figures.forest import forest
from recsim_lab.reporting.palette import MUTED, SERIES, family_styles

TEXT = "{http://www.w3.org/2000/svg}text"
NDCG, SAMPLED_AUC = "offline/temporal-full/ndcg@10", "offline/random-sampled/auc"


def texts(figure: Figure) -> list[str]:
    """All that is written in a figure, in drawing order."""
    return [
        "".join(element.itertext()).strip()
        for panel in figure.panels
        for element in ElementTree.fromstring(panel).iter(TEXT)
    ]


def height_of(text: ElementTree.Element) -> float:
    """Where a text stands, from the top."""
    return float(text.get("y") or re.search(r"translate\([\d.]+ ([\d.]+)\)", text.get("transform"))[1])


@pytest.fixture
def figures(scores, correlations, daily, attribution) -> list[Figure]:
    return [
        attribution_waterfall(attribution),
        offline_online_scatter(scores, [NDCG, SAMPLED_AUC], "clicks_per_slate"),
        agreement_heatmap(correlations),
        engagement_over_days(daily),
        agreement_ranking(correlations, "clicks_per_slate"),
    ]


def test_every_colour_follows_the_page(figures):
    for panel in (panel for figure in figures for panel in figure.panels):
        outside_of_variables = re.sub(r"var\(--[\w-]+, #\w{6}\)", "", panel)
        assert re.findall(r"(?:fill|stroke|color): *#\w+", outside_of_variables) == []
        assert "var(--" in panel
        # Text without a fill of its own would be black on the dark page.
        assert all("fill: " in text.get("style") for text in ElementTree.fromstring(panel).iter(TEXT))


def test_figures_scale_and_keep_text_as_text(figures):
    for panel in (panel for figure in figures for panel in figure.panels):
        root = ElementTree.fromstring(panel)
        assert root.get("width") == "100%" and root.get("height") is None
        _, _, width, height = map(float, root.get("viewBox").split())
        assert width <= 358 and height > 50
        assert not panel.startswith("<?xml") and "metadata" not in panel and "font-family" not in panel
        assert len(list(root.iter(TEXT))) > 5


def test_same_data_give_the_same_bytes(scores, correlations, daily, attribution, figures):
    again = [
        attribution_waterfall(attribution),
        offline_online_scatter(scores, [NDCG, SAMPLED_AUC], "clicks_per_slate"),
        agreement_heatmap(correlations),
        engagement_over_days(daily),
        agreement_ranking(correlations, "clicks_per_slate"),
    ]
    assert figures == again


def test_matplotlib_is_left_as_it_was(scores):
    before = dict(matplotlib.rcParams)
    offline_online_scatter(scores, [NDCG], "clicks_per_slate")
    assert dict(matplotlib.rcParams) == before
    assert pyplot.get_fignums() == []


def test_scatter_names_every_agent_but_the_oracle_and_writes_the_correlation(scores):
    figure = offline_online_scatter(scores, [NDCG, SAMPLED_AUC], "clicks_per_slate")
    assert len(figure.panels) == 2
    written = texts(figure)
    assert "oracle" not in written
    for label in ("random", "popularity 7", "mf 32 impressions", "mf 64 sampled"):
        assert written.count(label) == 2
    assert "Spearman 1.00" in written and "Spearman \N{MINUS SIGN}1.00" in written
    assert "7 agents" in figure.alt


def test_scatter_averages_the_rank_correlation_over_seeds(scores):
    agents = scores[scores["family"] != "oracle"]
    swapped = agents.copy()
    chosen = swapped["seed"] == 0
    swapped.loc[chosen, NDCG] = -swapped.loc[chosen, NDCG]
    # Minus one in one seed of three, one in the others.
    assert "Spearman 0.33" in texts(offline_online_scatter(swapped, [NDCG], "clicks_per_slate"))


def test_scatter_turns_metrics_where_less_is_better(scores):
    """Agreement with regret is positive when the higher offline score has the lower regret, and the axis says so."""
    figure = offline_online_scatter(scores, [NDCG], "regret")
    assert "Spearman 1.00" in texts(figure)
    ticks = {}
    for element in ElementTree.fromstring(figure.panels[0]).iter(TEXT):
        if "text-anchor: end" in element.get("style", "") and re.fullmatch(r"0\.\d+", element.text or ""):
            ticks[float(element.text)] = float(element.get("y"))
    values = sorted(ticks)
    assert len(values) > 2
    # In SVG, y grows downwards: the smallest regret stands highest.
    assert [ticks[value] for value in values] == sorted(ticks.values())


def test_scatter_tooltips_hold_full_names_and_means(scores):
    figure = offline_online_scatter(scores, [NDCG], "clicks_per_slate")
    titles = [element.text for element in ElementTree.fromstring(figure.panels[0]).iter(TEXT.replace("text", "title"))]
    mean = scores.loc[scores["agent"] == "ease", "online/clicks_per_slate"].mean()
    assert f"ease: {mean / 2:.4g} offline, {mean:.4g} online" in titles
    assert any(title.startswith("mf:dim=32,target=impressions: ") for title in titles)


def test_scatter_bears_missing_values_and_single_seeds(scores):
    scores.loc[scores["agent"] == "ease", NDCG] = np.nan
    single = scores[scores["seed"] == 0]
    written = texts(offline_online_scatter(single, [NDCG], "clicks_per_slate"))
    assert "ease" not in written and "random" in written
    scores[NDCG] = np.nan
    figure = offline_online_scatter(scores, [NDCG], "clicks_per_slate")
    assert {"Spearman not defined", "no agent has both numbers"} <= set(texts(figure))


def test_dollars_and_angles_in_names_are_only_text(scores):
    hostile = 'ease:a=$x^2$ "<b>&'
    scores["agent"] = scores["agent"].replace("ease", hostile)
    scores.loc[scores["agent"] == hostile, "family"] = "<script>"
    figure = offline_online_scatter(scores, [NDCG], "clicks_per_slate")
    assert 'ease $x^2$ "<b>&' in texts(figure)
    assert "<script" not in figure.panels[0] and "<b>" not in figure.panels[0]


def test_heatmap_writes_every_number_and_marks_the_unsure_ones(correlations):
    correlations.loc[0, ["spearman", "spearman_low", "spearman_high"]] = np.nan
    figure = agreement_heatmap(correlations)
    assert len(figure.panels) == 2
    sure, unsure = (ElementTree.fromstring(panel) for panel in figure.panels)
    italics = [
        [element.text for element in root.iter(TEXT) if "font-style: italic" in element.get("style", "")]
        for root in (sure, unsure)
    ]
    assert italics[0] == []
    assert sorted(italics[1]) == sorted(f"\N{MINUS SIGN}{number}" for number in ("0.10", "0.11", "0.12", "0.13"))
    written = texts(figure)
    assert {"0.88", "0.89", "0.87", "\N{EN DASH}", "NDCG@10", "clicks per slate", "temporal, full"} <= set(written)
    assert "0.90" not in written and "0.89" in figure.alt


def test_heatmap_strength_is_the_distance_from_neutral(correlations):
    correlations["spearman"] = [0.5, -0.5] * 4
    correlations["spearman_low"], correlations["spearman_high"] = [0.4, -0.6] * 4, [0.6, -0.4] * 4
    panel = agreement_heatmap(correlations).panels[0]
    fills = re.findall(r"fill: var\(--(agree|disagree), #\w+\); fill-opacity: ([\d.]+)", panel)
    assert {name: float(opacity) for name, opacity in fills} == pytest.approx({"agree": 0.475, "disagree": 0.475})


def test_heatmap_refuses_repeated_rows_and_statistics_without_a_centre(correlations):
    with pytest.raises(ValueError, match="one row per protocol"):
        agreement_heatmap(pandas.concat([correlations, correlations]))
    with pytest.raises(ValueError, match=r"statistic must be one of .*, got 'top1_regret'"):
        agreement_heatmap(correlations, "top1_regret")
    assert "includes 0.5" in agreement_heatmap(correlations, "pairwise_accuracy").caption


def test_ranking_puts_the_best_on_top_and_draws_the_ceiling(correlations):
    correlations = correlations.sample(frac=1, random_state=3)
    figure = agreement_ranking(correlations, "clicks_per_slate", num_rows=3)
    heights = {
        element.text: height_of(element)
        for element in ElementTree.fromstring(figure.panels[0]).iter(TEXT)
        if "·" in (element.text or "")
    }
    names = ["NDCG@10 · temporal, full", "AUC · temporal, full", "NDCG@10 · random, sampled"]
    assert sorted(heights, key=heights.get) == names
    assert "ceiling 0.97" in texts(figure)
    assert "best 3 of 4" in figure.caption
    assert "NDCG@10 · temporal, full with 0.90" in figure.alt


def test_ranking_bears_undefined_values(correlations):
    correlations[["spearman", "spearman_low", "spearman_high", "ceiling"]] = np.nan
    figure = agreement_ranking(correlations, "online/clicks_per_slate")
    assert "of which 4 have no defined value" in figure.caption
    assert not any(text.startswith("ceiling") for text in texts(figure))


def test_ranking_names_the_known_metrics(correlations):
    with pytest.raises(ValueError, match="online_metric must be one of clicks_per_slate, regret, got 'likes'"):
        agreement_ranking(correlations, "likes")


def test_days_name_every_line_apart_from_the_others(daily):
    figure = engagement_over_days(daily)
    labels = {
        "random",
        "popularity",
        "popularity 7",
        "itemknn 20",
        "ease",
        "mf 32 impressions",
        "mf 64 sampled",
        "oracle",
    }
    heights = [
        height_of(element) for element in ElementTree.fromstring(figure.panels[0]).iter(TEXT) if element.text in labels
    ]
    assert len(heights) == len(labels)
    assert np.diff(sorted(heights)).min() > 9
    assert "highest oracle" in figure.alt and "lowest random" in figure.alt


def test_intervals_are_drawn_from_three_seeds_on(scores, daily):
    for draw, frame in (
        (lambda frame: offline_online_scatter(frame, [NDCG], "clicks_per_slate"), scores),
        (engagement_over_days, daily),
    ):
        three, two = draw(frame), draw(frame[frame["seed"] < 2])
        assert "95% t intervals" in three.caption and "interval" not in two.caption
        strokes = [len(re.findall(r" d=\"\s*M", figure.panels[0])) for figure in (three, two)]
        assert strokes[0] >= strokes[1] + frame["agent"].nunique() - 1


def test_days_bear_one_seed_one_agent_one_day(daily):
    one = daily[(daily["seed"] == 0) & (daily["agent"] == "ease") & (daily["day"] == 0)]
    figure = engagement_over_days(one)
    assert "1 seed." in figure.caption
    assert "ease" in texts(figure)


@pytest.mark.parametrize("column", ["world", "logging_policy", "deployment", "num_retrainings"])
def test_figures_refuse_to_average_over_settings(scores, correlations, daily, column):
    other = 7 if column == "num_retrainings" else "another"
    for draw, frame in (
        (lambda frame: offline_online_scatter(frame, [NDCG], "clicks_per_slate"), scores),
        (agreement_heatmap, correlations),
        (engagement_over_days, daily),
        (lambda frame: agreement_ranking(frame, "clicks_per_slate"), correlations),
    ):
        with pytest.raises(ValueError, match=f"must hold one {column}, got .*{other}"):
            draw(pandas.concat([frame, frame.assign(**{column: other})]))


def test_missing_columns_and_families_are_named(scores, daily):
    with pytest.raises(ValueError, match=r"scores must have columns .*online/likes"):
        offline_online_scatter(scores, [NDCG], "likes")
    with pytest.raises(ValueError, match="offline/<protocol>/<metric>, got 'seed'"):
        offline_online_scatter(scores, ["seed"], "clicks_per_slate")
    with pytest.raises(ValueError, match=r"families must list .* without \['ease'"):
        engagement_over_days(daily, families=["mf", "random"])
    with pytest.raises(ValueError, match="daily must have rows"):
        engagement_over_days(daily.head(0))


def test_waterfall_leads_from_agreement_to_one(attribution):
    figure = attribution_waterfall(attribution)
    written = texts(figure)
    assert any(text.startswith("agreement of this number: 0.40") for text in written)
    assert any(text.endswith("slates valued: 0.25") for text in written)
    with pytest.raises(ValueError, match="each part of one number once"):
        attribution_waterfall(attribution.iloc[1:])


def test_families_keep_their_colours_and_the_oracle_takes_none():
    families = [f"family {number}" for number in range(10)]
    styles = family_styles(["oracle", *families])
    assert styles == family_styles([*families, "oracle"])
    assert styles["oracle"].colour is MUTED
    assert [styles[family].colour for family in families[:8]] == list(SERIES)
    assert len(set(styles.values())) == 11


def test_a_forest_tells_of_intervals_where_there_are_some():
    difference, none = np.array([0.1, -0.2]), np.full(2, np.nan)
    assert "95% intervals" in forest(["a", "b"], difference, difference - 0.1, difference + 0.1, "difference").caption
    assert forest(["a", "b"], difference, none, none, "difference").caption == "Difference; there are no intervals."


def test_intervals_of_many_agents_are_left_out(scores, daily):
    """27 of them would hide each other; the points and lines stay."""

    def many(table):
        copies = [table.assign(agent=table["agent"] + f":copy={copy}") for copy in range(4)]
        return pandas.concat(copies, ignore_index=True)

    few, lots = (offline_online_scatter(table, [NDCG], "clicks_per_slate") for table in (scores, many(scores)))
    assert "95% t intervals" in few.caption and "95% t intervals" not in lots.caption
    drawn = re.compile(r'<path d="[^"]+"[^>]*stroke-opacity: 0\.4')
    assert drawn.search(few.panels[0]) and not drawn.search(lots.panels[0])
    few, lots = (engagement_over_days(table) for table in (daily, many(daily)))
    assert "95% t intervals" in few.caption and "95% t intervals" not in lots.caption
    assert "opacity: 0.13" in few.panels[0] and "opacity: 0.13" not in lots.panels[0]
