"""How the arms of a feedback loop are drawn in every figure of a report: a line of its own for each."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from recsim_lab.reporting.blocks import Key
from recsim_lab.reporting.palette import INK, MUTED, SERIES, Colour

Dashes = tuple[float, ...]
# A second round of colours meets other dashes.
_ROUNDS: tuple[Dashes, ...] = ((), (4.0, 1.5), (1.2, 1.2), (6.0, 1.5, 1.2, 1.5))
_CONTROLS: tuple[Dashes, ...] = ((5.0, 2.0), (1.2, 1.6), (5.0, 1.6, 1.2, 1.6), (9.0, 2.0), (2.5, 1.5))


@dataclass(frozen=True)
class ArmStyle:
    colour: Colour
    dashes: Dashes = ()
    width: float = 1.5
    is_remedy: bool = False


@dataclass(frozen=True)
class ArmStyles:
    """The loop without a remedy in ink, remedies in colours, controls grey and told apart by dashes.

    Equal orders give equal styles, so that all figures of a report agree.
    """

    baseline: str
    remedies: tuple[str, ...]
    controls: tuple[str, ...]

    @cached_property
    def of(self) -> dict[str, ArmStyle]:
        """The style of each arm, in the order in which they are drawn: controls first, the baseline last."""
        controls = {
            name: ArmStyle(MUTED, _CONTROLS[place % len(_CONTROLS)], 1.1) for place, name in enumerate(self.controls)
        }
        remedies = {
            name: ArmStyle(
                SERIES[place % len(SERIES)], _ROUNDS[place // len(SERIES) % len(_ROUNDS)], 1.4, is_remedy=True
            )
            for place, name in enumerate(self.remedies)
        }
        return controls | remedies | {self.baseline: ArmStyle(INK, (), 2.0)}

    def legend(self, arms: Iterable[str] | None = None) -> tuple[Key, ...]:
        """Entries of these arms, or of all: the baseline, remedies, controls."""
        styles, shown = self.of, None if arms is None else set(arms)
        order: Sequence[str] = (self.baseline, *self.remedies, *self.controls)
        return tuple(
            Key(name, styles[name].colour, styles[name].dashes, styles[name].width)
            for name in order
            if shown is None or name in shown
        )
