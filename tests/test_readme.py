"""The README does what it says: its Python runs, its links and folders exist, its commands are there."""

import re
from pathlib import Path

import pytest

from benchmarks.real_data import registry
from benchmarks.real_data.results import Results
from tests.documents import ROOT, python_blocks, run_python

README = (ROOT / "README.md").read_text()
BLOCKS = python_blocks(ROOT / "README.md")


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 2


@pytest.mark.parametrize("block", BLOCKS, ids=[f"block {number}" for number in range(len(BLOCKS))])
def test_python_runs(block: str) -> None:
    printed = run_python("-c", block)
    for name in re.findall(r'"(random|popularity|ease|mf:dim=32)"', block):
        assert re.search(rf"^{name} +\d\.\d+ clicks per slate$", printed, flags=re.MULTILINE)


def documents() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_named_paths_exist(document: Path) -> None:
    """Every `folder/...` or `folder/file.py` of the checkout that a text names in code quotes."""
    tops = "recsim_lab|agents|scenarios|benchmarks|tests|docs"
    for path in re.findall(rf"`((?:{tops})/[\w/.-]*)`", document.read_text()):
        assert (ROOT / path).exists(), f"{document.name} names {path}"


def test_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", README):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("document", ["README.md", "docs/lecture.md"])
def test_modules_that_are_run_exist(document: str) -> None:
    for module in re.findall(r"`python -m ([\w.]+)", (ROOT / document).read_text()):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_benchmarks_that_are_named_are_chosen(document: Path) -> None:
    patterns = re.findall(r"benchmarks\.real_data --only '?([\w*-]+)", document.read_text())
    assert registry.chosen(tuple(patterns))  # raises for a pattern that no benchmark has


def test_models_have_the_numbers_that_are_kept() -> None:
    kept = {(row.name, row.metric): row for row in Results().rows()}
    told = re.findall(
        r"^\|[^|]+\|[^|]+\| `([\w-]+)` \| ([\w@]+) \| ([\d.]+) \| ([\d.]*) *\|$", README, flags=re.MULTILINE
    )
    assert len(told) == 21
    for name, metric, ours, published in told:
        row = kept[name, metric]
        assert float(ours) == pytest.approx(row.ours, abs=5.001e-5), name
        assert (float(published) if published else None) == pytest.approx(row.published, abs=5.001e-5), name
