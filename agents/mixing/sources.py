"""Whose a slot is: a source is a path, from the outermost policy that has a name for it to the one that chose the item.

A slot of EpsilonGreedy around `mf` that was explored has the source `random`; the same slot within a mix has the source
`mf:epsilon=0.1/random`, since another part of the mix may explore as well. A part without parts is its own source.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from agents.baselines import RANDOM
from recsim_lab.policy import Recommendation

A = np.ndarray


def within(name: str, sources: Sequence[str]) -> tuple[str, ...]:
    """The sources of a policy's slots as paths that begin with the policy's name."""
    return tuple(s if s == name or s.startswith(f"{name}/") else f"{name}/{s}" for s in sources)


def is_of(source: str, name: str) -> bool:
    """Whether the policy of this name is on the path."""
    return name in source.split("/")


def is_random(source: str) -> bool:
    """Whether the item was drawn at random from all that could be shown."""
    return source.split("/")[-1] == RANDOM


def owners(sources: Sequence[str], names: Sequence[str]) -> Int[A, " sources"]:
    """Which of the named policies each source belongs to, the outermost on its path; -1: to none."""
    found = np.full(len(sources), -1, np.int64)
    for place, source in enumerate(sources):
        found[place] = next((names.index(name) for name in source.split("/") if name in names), -1)
    return found


def joined(
    names: Sequence[str], answers: Sequence[Recommendation]
) -> tuple[tuple[str, ...], list[Int[A, "rows slots"]]]:
    """The sources of all answers of the named policies as one list, and each answer's slots numbered by it."""
    paths = [within(name, answer.sources) for name, answer in zip(names, answers, strict=True)]
    sources = tuple(dict.fromkeys(path for of_answer in paths for path in of_answer))
    renumbered = [
        np.array([sources.index(path) for path in of_answer], np.int16)[answer.source]
        for of_answer, answer in zip(paths, answers, strict=True)
    ]
    return sources, renumbered
