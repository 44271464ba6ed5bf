"""A spec names a policy and says how it is made: `name:key=value,...`, of parts `name(part; part):key=value,...`.

Parts are specs themselves, with a few words of the name's own around them, so specs nest as policies do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import accumulate
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Spec:
    """A spec taken apart; `parts` is None where it has no brackets, `parameters` are still `key=value`."""

    text: str
    name: str
    parts: tuple[str, ...] | None
    parameters: tuple[str, ...]

    @staticmethod
    def parse(text: str) -> "Spec":
        """
        Raises:
            ValueError: if brackets do not match, or something other than parameters follows them.
        """
        depths = _depths(text)
        if min(depths, default=0) < 0 or (depths and depths[-1] != 0):
            raise ValueError(f"brackets of an agent must match, got {text!r}")
        head, *tails = _pieces(text, ":")
        tail = ":".join(tails)
        parameters = tuple(piece.strip() for piece in tail.split(",")) if tail else ()
        name, bracket, inside = head.strip().partition("(")
        if not bracket:
            return Spec(text, name.strip(), None, parameters)
        inside, _, more = inside.rpartition(")")
        if more or min(_depths(inside), default=0) < 0:
            raise ValueError(f"brackets of an agent must be followed by :key=value,... or nothing, got {text!r}")
        return Spec(text, name.strip(), tuple(part.strip() for part in _pieces(inside, ";")), parameters)

    def values(self, known: Mapping[str, Any]) -> dict[str, Any]:
        """The values of the parameters, of which those with a type in `known` are possible.

        Raises:
            ValueError: if a parameter is unknown, given twice, or of another type.
        """
        there_are = f"parameters of {self.name}: " + ", ".join(f"{key}: {_words(hint)}" for key, hint in known.items())
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            key, equals, value = (piece.strip() for piece in parameter.partition("="))
            if not equals or key not in known:
                near = get_close_matches(key, known, 1)
                raise ValueError(
                    f"parameter must be one that {self.name} has, as in key=value, got {parameter!r}"
                    + (f", which is near {near[0]!r}; " if near and near[0] != key else "; ")
                    + there_are
                )
            if key in values:
                raise ValueError(f"{key} must be given once, got it twice in {self.text!r}")
            try:
                values[key] = _value(value, known[key])
            except ValueError:
                raise ValueError(f"{key} must be {_words(known[key])}, got {value!r}; {there_are}") from None
        return values


def parameters_taken(make: Callable[..., Any]) -> dict[str, Any]:
    """The types, by name, of what a function may be told beyond what it works on (`parts`, `make`, `seed`)."""
    return {name: hint for name, hint in get_type_hints(make).items() if name not in _WORKED_ON}


_WORKED_ON = ("parts", "make", "seed", "return")


def _depths(text: str) -> list[int]:
    """How many brackets are open after each character."""
    return list(accumulate((character == "(") - (character == ")") for character in text))


def _pieces(text: str, mark: str) -> list[str]:
    """The text cut at each mark outside brackets."""
    pieces, start = [], 0
    for place, (character, depth) in enumerate(zip(text, _depths(text), strict=True)):
        if character == mark and depth == 0:
            pieces.append(text[start:place])
            start = place + 1
    return [*pieces, text[start:]]


def _value(text: str, hint: Any) -> Any:
    """Read a value of the given type; ValueError if it is none."""
    if get_origin(hint) is Literal:
        if text in get_args(hint):
            return text
        raise ValueError
    if NoneType in get_args(hint):
        return None if text.lower() == "none" else _value(text, get_args(hint)[0])
    if hint is bool:
        if text.lower() in ("true", "false"):
            return text.lower() == "true"
        raise ValueError
    return hint(text)


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(get_args(hint))
    if NoneType in get_args(hint):
        return f"{_words(get_args(hint)[0])} or none"
    return hint.__name__
