"""Colours that have a light and a dark shade, known to the page by name."""

from collections.abc import Sequence
from dataclasses import dataclass

from recsim_lab.evaluation.plan import ORACLE


@dataclass(frozen=True)
class Colour:
    """A colour of the page: figures are drawn in its light shade, and the page swaps in the dark one."""

    name: str
    light: str
    dark: str

    @property
    def css(self) -> str:
        """The colour as a CSS value; the light shade stands in where the page does not define the name."""
        return "currentColor" if self is INK else f"var(--{self.name}, {self.light})"


INK = Colour("ink", "#1b2230", "#e7eaf0")
MUTED = Colour("muted", "#5a6474", "#9ba6b6")
RULE = Colour("rule", "#d9dee6", "#323b49")
PAPER = Colour("paper", "#ffffff", "#11151c")
PANEL = Colour("panel", "#f5f7fa", "#191f29")
LINK = Colour("link", "#1f5fa6", "#7cb7f7")
AGREE = Colour("agree", "#5a9fe0", "#2f74bb")
DISAGREE = Colour("disagree", "#ee9360", "#b3541f")
SERIES = (
    Colour("series-1", "#1f62ab", "#6db1f7"),
    Colour("series-2", "#b4540a", "#f2a35f"),
    Colour("series-3", "#187a4b", "#59cb92"),
    Colour("series-4", "#a52f7a", "#f08cc8"),
    Colour("series-5", "#6847b4", "#b6a3f8"),
    Colour("series-6", "#0d7483", "#52c9d9"),
    Colour("series-7", "#b5302d", "#f78d87"),
    Colour("series-8", "#75600d", "#d8bf5a"),
)
ALL_COLOURS = (INK, MUTED, RULE, PAPER, PANEL, LINK, AGREE, DISAGREE, *SERIES)
# As many markers as colours plus one, so that a second round of colours meets other markers.
MARKERS = ("o", "s", "^", "D", "v", "p", "<", "h", ">")


@dataclass(frozen=True)
class FamilyStyle:
    """How the agents of one family are drawn: a colour, and a marker for eyes that don't tell colours apart."""

    colour: Colour
    marker: str


def family_styles(families: Sequence[str]) -> dict[str, FamilyStyle]:
    """A style for each family in the order given; equal orders give equal styles in every figure.

    The oracle is grey and takes no colour from the others: it is a reference, no competitor.
    """
    competitors = [family for family in dict.fromkeys(families) if family != ORACLE]
    styles = {
        family: FamilyStyle(SERIES[place % len(SERIES)], MARKERS[place % len(MARKERS)])
        for place, family in enumerate(competitors)
    }
    return styles | {ORACLE: FamilyStyle(MUTED, "*")}


def css_variables(dark: bool) -> str:
    """The body of a CSS rule that defines every colour by name."""
    return " ".join(f"--{colour.name}: {colour.dark if dark else colour.light};" for colour in ALL_COLOURS)
