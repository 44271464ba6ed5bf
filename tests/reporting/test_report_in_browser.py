"""A browser opens the report: figures are seen, and a phone's page does not scroll sideways."""

import html
import json
import re
import shutil
import subprocess

import pytest

from recsim_lab.reporting import (
    Provenance,
    Section,
    Table,
    agreement_heatmap,
    agreement_ranking,
    engagement_over_days,
    offline_online_scatter,
    write_report,
)
from recsim_lab.reporting.feedback_loop.bubble import bubble
from recsim_lab.reporting.feedback_loop.prices import prices
from recsim_lab.reporting.feedback_loop.run import LoopRun

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# The report stands in a frame as wide as the screen in question; the page around it measures.
MEASURE = """<!DOCTYPE html><body>
<iframe style="border: 0; width: {width}px; height: 800px" srcdoc="{report}"></iframe>
<pre id="result"></pre>
<script>
document.querySelector("iframe").onload = event => {{
  const page = event.target.contentDocument, view = event.target.contentWindow;
  const box = element => {{
    const {{ left, right, top, width, height }} = element.getBoundingClientRect();
    return {{ left, right, top, width, height }};
  }};
  document.getElementById("result").textContent = JSON.stringify({{
    width: view.innerWidth,
    scrollWidth: page.scrollingElement.scrollWidth,
    dark: view.matchMedia("(prefers-color-scheme: dark)").matches,
    ink: view.getComputedStyle(page.querySelector("svg text[style*=currentColor]")).fill,
    paper: view.getComputedStyle(page.body).backgroundColor,
    figures: [...page.querySelectorAll("figure svg")].map(box),
    drawn: [...page.querySelectorAll("figure svg")].map(svg => svg.getBBox().width),
    boxes: [...page.querySelectorAll(".scroll")].map(box),
    captions: [...page.querySelectorAll("caption")].map(box),
    sorted: [0, 1].map(() => {{
      const head = [...page.querySelectorAll("thead th.number")].at(-1);
      head.click();
      const place = [...head.parentNode.children].indexOf(head);
      return [...head.closest("table").tBodies[0].rows].map(row => row.children[place].textContent);
    }}),
    wrap: view.getComputedStyle(page.querySelector("td.number")).whiteSpace,
  }});
}};
</script>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium, chromium-browser or google-chrome on the path")


def measure(report: str, width: int, folder, dark: bool = False) -> dict:
    page = folder / "measure.html"
    page.write_text(MEASURE.format(width=width, report=html.escape(report)), encoding="utf-8")
    theme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [
        BROWSER,
        *FLAGS,
        *theme,
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1600,1000",
        "--dump-dom",
    ]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=60, check=True)
    return json.loads(html.unescape(re.search(r'<pre id="result">(.+?)</pre>', done.stdout)[1]))


@pytest.fixture
def report(tmp_path, scores, correlations, daily) -> str:
    columns = ["offline/temporal-full/ndcg@10", "offline/random-sampled/auc"]
    sections = [
        Section("Scatter", blocks=(offline_online_scatter(scores, columns, "clicks_per_slate"),)),
        Section("Heat", blocks=(agreement_heatmap(correlations),)),
        Section("Ranking", blocks=(agreement_ranking(correlations, "clicks_per_slate"),)),
        Section("Days", blocks=(engagement_over_days(daily),)),
        Section("Scores", "A_name_without_a_break_" * 8, (Table(scores, "All scores"),)),
    ]
    provenance = Provenance(
        "python -m scenarios.offline_online " + "--option=value " * 20, 7, "2026-01-02", "0123abc" * 6
    )
    path = tmp_path / "report.html"
    write_report(path, "Which offline number tells?", "The answer.", sections, provenance)
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [390, 1200])
def test_figures_are_seen_and_the_page_stays_within_the_screen(report, width, tmp_path):
    seen = measure(report, width, tmp_path)
    assert seen["width"] == width
    assert seen["scrollWidth"] <= width
    assert len(seen["figures"]) == 6
    for figure, drawn in zip(seen["figures"], seen["drawn"], strict=True):
        assert figure["width"] > 150 and figure["height"] > 80 and drawn > 100
    assert len(seen["captions"]) > 1 and seen["wrap"] == "nowrap"
    for box in seen["boxes"] + seen["captions"]:
        assert 0 <= box["left"] < box["right"] <= width


def test_a_click_on_a_head_sorts_and_another_turns_round(report, scores, tmp_path):
    rising, falling = (
        [float(text.replace(",", "").replace("\N{MINUS SIGN}", "-")) for text in column]
        for column in measure(report, 1200, tmp_path)["sorted"]
    )
    assert rising == sorted(rising) and falling == sorted(falling, reverse=True)
    assert len(rising) == len(scores) and rising[0] < rising[-1]


@pytest.mark.parametrize("width", [390, 800, 1280])
def test_a_page_of_small_panels_and_estimates_stays_within_the_screen(planted_loop, width, tmp_path):
    plan, tables = planted_loop(num_seeds=2, control_seeds=2)
    run = LoopRun(plan, tables, ("wide", "dear"))
    sections = [bubble(run, "preference"), prices(run)]
    path = tmp_path / "report.html"
    write_report(path, "Title", "Lead.", sections, Provenance("command", 7, "2026-01-02", "0123abc"))
    seen = measure(path.read_text(encoding="utf-8"), width, tmp_path)
    assert seen["scrollWidth"] <= width
    assert all(0 <= box["left"] < box["right"] <= width for box in seen["boxes"] if box["width"])
    small = [figure for figure in seen["figures"] if 200 < figure["width"] < 400]
    in_a_row = len({round(figure["left"]) for figure in small if figure["top"] == small[0]["top"]})
    assert in_a_row == {390: 1, 800: 2, 1280: 3}[width]
    # Estimates sort by their values, not by the ends of their intervals.
    rising = [float(text.split()[0].replace("\N{MINUS SIGN}", "-")) for text in seen["sorted"][0] if text[0] in "0123"]
    assert rising == sorted(rising) and len(rising) > 2


@pytest.mark.parametrize("dark", [False, True])
def test_dark_pages_have_light_ink(report, dark, tmp_path):
    def brightness(colour: str) -> float:
        return sum(map(int, re.findall(r"\d+", colour)[:3])) / 3

    seen = measure(report, 390, tmp_path, dark)
    assert seen["dark"] is dark
    assert (brightness(seen["ink"]) > brightness(seen["paper"])) is dark
    assert abs(brightness(seen["ink"]) - brightness(seen["paper"])) > 150
