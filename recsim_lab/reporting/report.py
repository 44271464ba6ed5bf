"""Writes a report: one HTML file that holds all it shows and appears whole or not at all."""

import base64
import hashlib
import os
import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

from jinja2 import Environment, PackageLoader, StrictUndefined

from recsim_lab.reporting.blocks import Block, Details, Figure, Key, KeyNumbers, Section, Table
from recsim_lab.reporting.palette import MUTED, css_variables
from recsim_lab.reporting.svg import SVG_NAMESPACE, with_id_prefix

PACKAGES = (
    "recsim_lab",
    "numpy",
    "scipy",
    "pandas",
    "gymnasium",
    "simpy",
    "numba",
    "torch",
    "seaborn",
    "matplotlib",
)


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from, so that somebody else can get them again.

    `command` is what was typed; `seed` a number, or words such as "0 to 9";
    `config` may hold mappings in mappings; `date` is shown as given, so that
    equal runs can give equal files.
    """

    command: str
    seed: int | str
    date: str
    commit: str
    config: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("command", "date", "commit"):
            if not getattr(self, name).strip():
                raise ValueError(f"{name} must not be empty, got {getattr(self, name)!r}")

    @staticmethod
    def of_run(content: Mapping[str, Any], num_seeds: int) -> "Provenance":
        """That of a run as its `config.json` tells it, shown as of now."""
        return Provenance(
            command=content["command"],
            seed=f"0 to {num_seeds - 1}",
            date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            commit=content["commit"],
            config=content["config"],
            versions=content["versions"],
        )

    @property
    def config_rows(self) -> list[tuple[str, str]]:
        """Every setting with its value; `{"platform": {"days": 60}}` becomes `platform.days`."""
        return [(name, _setting(value)) for name, value in _flat(self.config)]


def _flat(config: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _setting(value: object) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_setting, value)) or "none"
    return "none" if value is None else str(value)


def package_versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Versions of Python and of those of the packages that are installed; imports none of them."""
    versions = {"python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def write_report(
    path: str | os.PathLike[str], title: str, lead: str, sections: Sequence[Section], provenance: Provenance
) -> None:
    """Write the report to `path`, replacing what was there; folders on the way are made.

    `lead` is the answer in a sentence or three. The same arguments give the same bytes.
    """
    if not title.strip():
        raise ValueError(f"title must not be empty, got {title!r}")
    environment = Environment(
        loader=PackageLoader("recsim_lab.reporting", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"paragraphs": _paragraphs, "breakable": _breakable}
    environment.tests |= {kind: _is_block_of_kind(kind) for kind in _BLOCK_KINDS}
    script = (files("recsim_lab.reporting") / "templates" / "report.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    html = environment.get_template("report.html.jinja").render(
        title=title,
        lead=lead,
        sections=[
            (place, section, _with_unique_ids(section.blocks, f"s{place}")) for place, section in enumerate(sections, 1)
        ],
        provenance=provenance,
        light=css_variables(dark=False),
        dark=css_variables(dark=True),
        script=script,
        script_digest=f"sha256-{digest}",
    )
    _write_whole(Path(path), html)


def write_figure(path: str | os.PathLike[str], figure: Figure) -> None:
    """Write a figure as an SVG file of its own, which follows light and dark as well: its legend, then panels one under
    another, small ones three in a row."""
    panels = [ElementTree.fromstring(with_id_prefix(svg, f"p{place}-")) for place, svg in enumerate(figure.panels, 1)]
    sizes = [[float(number) for number in panel.attrib["viewBox"].split()[2:]] for panel in panels]
    in_a_row = min(3, len(panels)) if figure.small else 1
    panel_width = max(size[0] for size in sizes)
    rows = [range(first, min(first + in_a_row, len(panels))) for first in range(0, len(panels), in_a_row)]
    heights = [max(sizes[place][1] for place in row) for row in rows]
    width, top = in_a_row * panel_width, _LEGEND_ROW * len(figure.legend)
    root = ElementTree.Element(
        f"{{{SVG_NAMESPACE}}}svg",
        {"viewBox": f"0 0 {width:g} {top + sum(heights):g}", "role": "img", "font-family": "system-ui, sans-serif"},
    )
    ElementTree.SubElement(root, f"{{{SVG_NAMESPACE}}}title").text = figure.alt
    style = ElementTree.SubElement(root, f"{{{SVG_NAMESPACE}}}style")
    style.text = (
        f":root {{ {css_variables(dark=False)} color: var(--ink); background: var(--paper); }} "
        f"@media (prefers-color-scheme: dark) {{ :root {{ {css_variables(dark=True)} }} }}"
    )
    for place, key in enumerate(figure.legend):
        root.extend(_key(key, _LEGEND_ROW * (place + 0.5)))
    for row, height in zip(rows, heights, strict=True):
        for column, place in enumerate(row):
            panel, (own_width, own_height) = panels[place], sizes[place]
            del panel.attrib["style"]
            panel.attrib |= {"y": f"{top:g}", "width": f"{own_width:g}", "height": f"{own_height:g}"}
            if column:
                panel.attrib["x"] = f"{column * panel_width:g}"
            root.append(panel)
        top += height
    _write_whole(Path(path), ElementTree.tostring(root, encoding="unicode") + "\n")


_LEGEND_ROW = 14.0


def _key(key: Key, y: float) -> list[ElementTree.Element]:
    """An entry of a legend at this height: its line and its name."""
    ends = {"x1": "4", "x2": "28", "y1": f"{y:g}", "y2": f"{y:g}", "stroke-width": f"{key.width:g}"}
    line = ElementTree.Element(f"{{{SVG_NAMESPACE}}}line", ends | {"style": f"stroke: {key.colour.css}"})
    if key.dashes:
        line.set("stroke-dasharray", " ".join(f"{dash:g}" for dash in key.dashes))
    place = {"x": "34", "y": f"{y + 3:g}", "font-size": "9"}
    text = ElementTree.Element(f"{{{SVG_NAMESPACE}}}text", place | {"style": f"fill: {MUTED.css}"})
    text.text = key.name
    return [line, text]


_BLOCK_KINDS: dict[str, type] = {
    "figure": Figure,
    "table": Table,
    "key_numbers": KeyNumbers,
    "details": Details,
}


def _is_block_of_kind(kind: str) -> Callable[[object], bool]:
    return lambda block: isinstance(block, _BLOCK_KINDS[kind])


def _with_unique_ids(blocks: Sequence[Block], place: str) -> list[Block]:
    """The blocks, their figures' ids made unlike those of every other figure on the page."""
    unique: list[Block] = []
    for number, block in enumerate(blocks, 1):
        if isinstance(block, Figure):
            panels = tuple(
                with_id_prefix(svg, f"{place}b{number}p{panel}-") for panel, svg in enumerate(block.panels, 1)
            )
            block = replace(block, panels=panels)
        elif isinstance(block, Details):
            block = replace(block, blocks=tuple(_with_unique_ids(block.blocks, f"{place}b{number}")))
        unique.append(block)
    return unique


def _paragraphs(text: str) -> list[list[tuple[Literal["text", "code"], str]]]:
    """Text as paragraphs of pieces; pieces between backticks are code."""
    paragraphs = [paragraph.strip() for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]
    return [
        [("code" if place % 2 else "text", piece) for place, piece in enumerate(paragraph.split("`")) if piece]
        for paragraph in paragraphs
    ]


def _breakable(name: str) -> list[str]:
    """A long name in pieces between which a line may break."""
    return re.split(r"(?<=[/_:,=])", name)


def _write_whole(path: Path, text: str) -> None:
    """Write under another name in the same folder, then rename, which happens at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
