"""Matplotlib figures as SVG that belongs to the page around it: its ink, its font, its width."""

import io
import re
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure as Canvas

from recsim_lab.reporting.palette import ALL_COLOURS, PAPER

SVG_NAMESPACE = "http://www.w3.org/2000/svg"
# Page pixels per figure unit between which text stays readable; a narrower screen scrolls the figure's box.
SMALLEST_SCALE, LARGEST_SCALE = 1.0, 1.8
# A group whose id starts so is given the rest of the id as its tooltip.
TOOLTIP = "tooltip:"
# A group with this id gets a rim in the page's background, which keeps its text apart from lines beneath.
HALO = "halo"

_XLINK = "{http://www.w3.org/1999/xlink}"
_THEMED = {colour.light.lower(): colour.css for colour in ALL_COLOURS}
_HEX_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_FONT_FAMILY = re.compile(r"font-family:[^;]*;?\s*")
_LONG_NUMBER = re.compile(r"(\d+\.\d{2})\d+")
_REFERENCE = re.compile(r"#([^)\"']+)")

ElementTree.register_namespace("", SVG_NAMESPACE)


def inline_svg(canvas: Canvas) -> str:
    """The drawing as one `<svg>` element without prolog, metadata or fixed size.

    Colours of the palette become CSS variables, text stays text in the page's font. Equal drawings give
    equal strings.
    """
    buffer = io.BytesIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "recsim_lab"}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    root = ElementTree.fromstring(buffer.getvalue())

    for parent in list(root.iter()):
        for child in list(parent):
            # The style sheet of a figure would apply to the whole page: the root says the same, below.
            if child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        _belong_to_page(element)
    _drop_unreferenced_ids(root)

    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    root.attrib.clear()
    root.attrib.update(
        {
            "viewBox": f"0 0 {width:g} {height:g}",
            "width": "100%",
            "stroke-linejoin": "round",
            "style": f"min-width: {SMALLEST_SCALE * width:.0f}px; max-width: {LARGEST_SCALE * width:.0f}px",
        }
    )
    return ElementTree.tostring(root, encoding="unicode")


def _belong_to_page(element: ElementTree.Element) -> None:
    name_of_group = element.get("id", "")
    if name_of_group.startswith(TOOLTIP):
        del element.attrib["id"]
        title = ElementTree.Element(f"{{{SVG_NAMESPACE}}}title")
        title.text = name_of_group.removeprefix(TOOLTIP)
        element.insert(0, title)
    if name_of_group == HALO:
        element.set("style", f"paint-order: stroke; stroke: {PAPER.css}; stroke-width: 2.5px; stroke-opacity: .85")
    if f"{_XLINK}href" in element.attrib:
        element.set("href", element.attrib.pop(f"{_XLINK}href"))
    if "style" in element.attrib:
        style = _HEX_COLOUR.sub(lambda match: _THEMED.get(match[0].lower(), match[0]), element.attrib["style"])
        element.set("style", _FONT_FAMILY.sub("", style))
    if element.get("transform", "").startswith(("rotate(-0 ", "rotate(0 ")):
        del element.attrib["transform"]
    for name in ("d", "x", "y", "transform"):
        if name in element.attrib:
            # A hundredth of a unit is below a pixel at every scale: the rest of the digits is weight.
            element.set(name, _LONG_NUMBER.sub(r"\1", " ".join(element.attrib[name].split())))
    for side in ("text", "tail"):
        if not (getattr(element, side) or "").strip():
            setattr(element, side, None)


def _references(element: ElementTree.Element) -> set[str]:
    """The ids an element's attributes point to, by `href="#id"` or `url(#id)`."""
    values = [value for name, value in element.attrib.items() if name == "href" or "url(#" in value]
    return {match for value in values for match in _REFERENCE.findall(value)}


def _drop_unreferenced_ids(root: ElementTree.Element) -> None:
    referenced = set().union(*(_references(element) for element in root.iter()))
    for element in root.iter():
        if element.get("id") not in referenced:
            element.attrib.pop("id", None)


def with_id_prefix(svg: str, prefix: str) -> str:
    """The same SVG with every id, and every reference to one, prefixed: two figures then share a page."""
    root = ElementTree.fromstring(svg)
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                element.set(name, prefix + value)
            elif (name == "href" and value.startswith("#")) or "url(#" in value:
                element.set(name, value.replace("#", f"#{prefix}"))
    return ElementTree.tostring(root, encoding="unicode")
