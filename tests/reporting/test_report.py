"""The report is one whole file: nothing from outside, nothing twice, nothing taken for markup."""

import base64
import hashlib
import os
import re
import xml.dom.minidom
from html.parser import HTMLParser

import numpy as np
import pandas
import pytest

from recsim_lab.reporting import (
    Figure,
    KeyNumber,
    KeyNumbers,
    Provenance,
    Section,
    Table,
    agreement_heatmap,
    agreement_ranking,
    engagement_over_days,
    offline_online_scatter,
    package_versions,
    write_figure,
    write_report,
)
from recsim_lab.reporting.blocks import Cell, Details, Key, format_cell
from recsim_lab.reporting.names import (
    column_name,
    metric_name,
    protocol_name,
    short_agent_names,
    short_world_names,
)
from recsim_lab.reporting.palette import SERIES
from recsim_lab.reporting.svg import with_id_prefix
from recsim_lab.reporting.words import Estimate, listed

HOSTILE = "<script>alert(1)</script> & \"quotes\" 'too' $x$ {{ 1 }}"
PROVENANCE = Provenance("python -m scenarios.offline_online --seed 7", 7, "2026-01-02", "0123abc")


class Page(HTMLParser):
    """What a page holds: its elements with attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] for _, attributes in self.elements if name in attributes]


@pytest.fixture
def sections(scores, correlations, daily) -> list[Section]:
    offline = ["offline/temporal-full/ndcg@10", "offline/random-sampled/auc"]
    return [
        Section("In short", "Trust `ndcg@10`.\n\nNot AUC.", (KeyNumbers((KeyNumber("0.9", "Spearman", "0.7 to 1"),)),)),
        Section("Ranking", blocks=(agreement_ranking(correlations, "clicks_per_slate"),)),
        Section("Scatter", blocks=(offline_online_scatter(scores, offline, "clicks_per_slate"),)),
        Section("Heat", blocks=(agreement_heatmap(correlations), agreement_heatmap(correlations, "kendall"))),
        Section("Days", blocks=(engagement_over_days(daily),)),
        Section("Table", blocks=(Table(scores, "All scores"),)),
    ]


def read(path) -> str:
    return path.read_text(encoding="utf-8")


def test_report_holds_every_part_once(tmp_path, sections):
    path = tmp_path / "run" / "report.html"
    write_report(path, "Title", "Lead.", sections, PROVENANCE)
    page = Page(read(path))
    tags = [tag for tag, _ in page.elements]
    num_panels = sum(len(block.panels) for part in sections for block in part.blocks if isinstance(block, Figure))
    assert tags.count("svg") == num_panels == 8
    assert tags.count("figure") == tags.count("figcaption") == 5
    assert page.attributes("role").count("img") == 5
    assert all(attributes.get("aria-label") for _, attributes in page.elements if attributes.get("role") == "img")
    assert {"viewport", "color-scheme"} <= set(page.attributes("name"))
    assert "prefers-color-scheme: dark" in page.text
    assert PROVENANCE.command in page.text and PROVENANCE.commit in page.text and PROVENANCE.date in page.text


def test_ids_are_unique_and_every_reference_resolves(tmp_path, sections):
    path = tmp_path / "report.html"
    write_report(path, "Title", "Lead.", sections, PROVENANCE)
    page = Page(read(path))
    ids = page.attributes("id")
    assert len(ids) == len(set(ids)) > 20
    references = [href.removeprefix("#") for href in page.attributes("href") if href.startswith("#")]
    for name in ("style", "clip-path"):
        references += re.findall(r"url\(#([^)]+)\)", " ".join(page.attributes(name)))
    assert len(references) > 50
    assert set(references) <= set(ids)


def test_nothing_is_loaded_from_outside(tmp_path, sections):
    path = tmp_path / "report.html"
    write_report(path, "Title", "Lead.", sections, PROVENANCE)
    html = read(path)
    assert set(re.findall(r"https?://[^\s\"'<>)]+", html)) == {"http://www.w3.org/2000/svg"}
    page = Page(html)
    assert not {"img", "iframe", "object"} & {tag for tag, _ in page.elements}
    # One script, of which the page holds the digest: no other runs.
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html
    assert page.attributes("src") == []
    assert all(href.startswith(("#", "data:,")) for href in page.attributes("href"))
    assert "@import" not in html


def test_hostile_text_stays_text(tmp_path):
    path = tmp_path / "report.html"
    table = Table(pandas.DataFrame({HOSTILE: [HOSTILE], "n": [1]}), HOSTILE)
    numbers = KeyNumbers((KeyNumber(HOSTILE, HOSTILE, HOSTILE),))
    provenance = Provenance(HOSTILE, 1, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, {HOSTILE: HOSTILE})
    figure = Figure(('<svg viewBox="0 0 1 1"></svg>',), HOSTILE, HOSTILE)
    write_report(path, HOSTILE, HOSTILE, [Section(HOSTILE, HOSTILE, (table, numbers, figure))], provenance)
    page = Page(read(path))
    assert [tag for tag, _ in page.elements].count("script") == 1
    assert page.text.count(HOSTILE) == 22
    assert HOSTILE in page.attributes("aria-label")


def test_same_arguments_give_the_same_bytes(tmp_path, sections):
    for name in ("one", "two"):
        write_report(tmp_path / name, "Title", "Lead.", sections, PROVENANCE)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_failed_write_leaves_the_old_report_and_no_debris(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    write_report(path, "Old", "Lead.", [], PROVENANCE)
    before = read(path)

    def fail(*_):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(OSError, match="no space"):
            write_report(path, "New", "Lead.", [], PROVENANCE)
    assert read(path) == before
    assert os.listdir(tmp_path) == ["report.html"]
    write_report(path, "New", "Lead.", [], PROVENANCE)
    assert "<title>New</title>" in read(path)
    assert os.listdir(tmp_path) == ["report.html"]


def test_report_may_be_read_by_whom_the_folder_lets(tmp_path):
    path, plain = tmp_path / "report.html", tmp_path / "plain"
    write_report(path, "Title", "Lead.", [], PROVENANCE)
    plain.write_text("")
    assert path.stat().st_mode == plain.stat().st_mode


def test_figure_file_is_one_svg_that_needs_no_page(tmp_path, scores):
    columns = ["offline/temporal-full/ndcg@10", "offline/random-sampled/auc"]
    figure = offline_online_scatter(scores, columns, "clicks_per_slate")
    write_figure(tmp_path / "figures" / "scatter.svg", figure)
    document = xml.dom.minidom.parse(str(tmp_path / "figures" / "scatter.svg"))
    panels = document.documentElement.getElementsByTagName("svg")
    assert [panel.getAttribute("y") for panel in panels] == ["0", "285"]
    assert document.documentElement.getAttribute("viewBox") == "0 0 320 570"
    elements = document.getElementsByTagName("*")
    ids = [element.getAttribute("id") for element in elements if element.hasAttribute("id")]
    assert len(ids) == len(set(ids)) > 5


def test_prefix_reaches_ids_and_references_but_not_text():
    drawing = '<path id="a" /><use href="#a" clip-path="url(#b)" /><text>#a id="a"</text>'
    svg = f'<svg xmlns="http://www.w3.org/2000/svg">{drawing}</svg>'
    prefixed = with_id_prefix(svg, "x-")
    assert 'id="x-a"' in prefixed and 'href="#x-a"' in prefixed and "url(#x-b)" in prefixed
    assert '<text>#a id="a"</text>' in prefixed


def test_text_has_paragraphs_and_code(tmp_path):
    path = tmp_path / "report.html"
    write_report(path, "Title", "Lead.", [Section("One", "First `code < x`.\n\n  Second.")], PROVENANCE)
    html = read(path)
    assert "<p>First <code>code &lt; x</code>.</p>" in html and "<p>Second.</p>" in html


@pytest.mark.parametrize(
    ("value", "specification", "text"),
    [
        (0.12345, None, "0.123"),
        (-0.5, None, "\N{MINUS SIGN}0.500"),
        (np.float32(2), ".1f", "2.0"),
        (1234567, None, "1,234,567"),
        (np.int64(-3), None, "\N{MINUS SIGN}3"),
        (float("nan"), ".3f", "\N{EN DASH}"),
        (None, None, "\N{EN DASH}"),
        (pandas.NA, None, "\N{EN DASH}"),
        (True, None, "True"),
        ("a-b", None, "a-b"),
        (0.5, ".0%", "50%"),
    ],
)
def test_cells(value, specification, text):
    assert format_cell(value, specification) == text


NAN = float("nan")


@pytest.mark.parametrize(
    ("estimate", "cell", "words"),
    [
        (Estimate(0.5, 0.25, 0.75), Cell("0.500", "0.250 to 0.750"), "0.500 (95% interval 0.250 to 0.750)"),
        (Estimate(-2.0, -3.0, -1.0, "+.1f"), Cell("-2.0", "-3.0 to -1.0"), "-2.0 (95% interval -3.0 to -1.0)"),
        (Estimate(1.0, -1.0, 3.0, "+.1f"), Cell("+1.0", "-1.0 to +3.0", True), "+1.0 (95% interval -1.0 to +3.0)"),
        (Estimate(1.0, NAN, NAN, "+.1f"), Cell("+1.0", "no interval", True), "+1.0 (no interval from one seed)"),
        (Estimate(NAN, NAN, NAN, "+.1f"), Cell("\N{EN DASH}", "", True), "\N{EN DASH}"),
    ],
)
def test_estimates_show_their_interval_and_whether_it_holds_zero(estimate, cell, words):
    def plain(text: str) -> str:
        return text.replace("\N{MINUS SIGN}", "-").replace("\N{NO-BREAK SPACE}", " ")

    table = Table(pandas.DataFrame({"arm": ["a"], "told": [estimate], "day": ["none"]}), "Caption", numbers=("day",))
    found = table.rows[0][1]
    assert Cell(plain(found.text), plain(found.ends), found.unsure) == cell
    assert plain(str(estimate)) == words
    assert table.headers == [("arm", False), ("told", True), ("day", True)]


def test_lists_in_words():
    assert [listed(list("abcd")[:n], 3) for n in range(5)] == [
        "none",
        "a",
        "a and b",
        "a, b and c",
        "a, b, c and 1 more",
    ]


def test_folded_blocks_and_small_figures_stand_on_the_page(tmp_path, daily):
    path = tmp_path / "report.html"
    days = engagement_over_days(daily)
    legend = (Key("one <arm>", SERIES[0]), Key("other", SERIES[1], (4.0, 2.0)))
    figure = Figure(days.panels * 2, "Caption", "Alt", ("First note.", "Second <note>."), legend, small=True)
    told = [Estimate(1.0, 0.5, 1.5, "+.1f"), Estimate(1.0, -0.5, 2.5, "+.1f")]
    table = Table(pandas.DataFrame({"arm": ["a", "b"], "told": told}), "T")
    folded = Details("More <of it>", (figure, table, Details("Open", (days,), unfolded=True)))
    write_report(path, "Title", "Lead.", [Section("One", blocks=(figure, folded))], PROVENANCE)
    html, page = read(path), Page(read(path))
    assert [attributes for tag, attributes in page.elements if tag == "details"] == [{}, {"open": None}]
    assert "More &lt;of it&gt;" in html and "Second &lt;note&gt;." in html and "one &lt;arm&gt;" in html
    assert html.count('stroke-dasharray="4.0 2.0"') == 2 and html.count('class="panels small scroll"') == 2
    ids = page.attributes("id")
    assert len(ids) == len(set(ids)) and len(re.findall(r"First note\.", html)) == 2
    assert html.count('class="number unsure"') == 1 and html.count('class="ends"') == 2
    with pytest.raises(ValueError, match="title must not be empty"):
        Details(" ", ())
    with pytest.raises(
        ValueError, match=r"numbers must name columns of the frame \(\['arm', 'told'\]\), got \['day'\]"
    ):
        Table(table.frame, "T", numbers=("day",))


def test_table_without_rows_keeps_its_head(tmp_path):
    path = tmp_path / "report.html"
    table = Table(pandas.DataFrame({"agent": [], "online/churn": []}), "Nobody")
    write_report(path, "Title", "Lead.", [Section("One", blocks=(table,))], PROVENANCE)
    assert table.cells == []
    assert ">agent<" in read(path)


def test_config_is_flat_and_versions_name_python():
    provenance = Provenance("a", 1, "b", "c", {"platform": {"days": 60, "empty": {}}, "seeds": (1, 2), "limit": None})
    assert provenance.config_rows == [
        ("platform.days", "60"),
        ("platform.empty", "{}"),
        ("seeds", "1, 2"),
        ("limit", "none"),
    ]
    versions = package_versions(["numpy", "no-such-package"])
    assert list(versions) == ["python", "numpy"] and versions["numpy"] == np.__version__


def test_names_in_words():
    assert metric_name("ndcg@10") == "NDCG@10"
    assert metric_name("clicks_per_slate") == "clicks per slate"
    assert protocol_name("leave-last-out-full") == "leave last out, full"
    assert protocol_name("last-out-sampled100-dwell-no-rules") == "last out, sampled100, dwell, no rules"
    assert column_name("offline/temporal-full/auc") == "AUC · temporal, full"
    assert column_name("agent") == "agent"
    names = short_agent_names(["mf:dim=32,target=impressions", "a:x=1", "a:y=1", "ease"])
    assert list(names.values()) == ["mf 32 impressions", "a:x=1", "a:y=1", "ease"]
    mix = "quota(7 mf:dim=8,data=own; 3 ease):layout=in-order"
    assert short_agent_names([mix])[mix] == "quota(7 mf 8 own; 3 ease) in-order"


def test_worlds_are_named_by_what_sets_them_apart():
    names = short_world_names(
        ["everyday:num_users=9", "everyday:num_users=9,drift=0", "static:num_users=9", "movielens"]
    )
    assert list(names.values()) == ["everyday", "everyday (drift=0)", "static", "movielens"]
    twins = ["everyday:drift=0", "static", "static:drift=0"]
    assert list(short_world_names(twins).values()) == ["everyday", "static", "static:drift=0"]


def test_errors_name_field_rule_and_value():
    with pytest.raises(ValueError, match=r"formats must name columns .* got \['b'\]"):
        Table(pandas.DataFrame({"a": [1]}), "caption", {"b": ".3f"})
    with pytest.raises(ValueError, match="panels must be <svg> elements, got '<img>'"):
        Figure(("<img>",), "caption", "alt")
    with pytest.raises(ValueError, match="alt must say what the figure shows, got ' '"):
        Figure(("<svg/>",), "caption", " ")
    with pytest.raises(ValueError, match="title must not be empty, got ''"):
        Section("")
    with pytest.raises(ValueError, match="command must not be empty, got ' '"):
        Provenance(" ", 1, "date", "commit")
