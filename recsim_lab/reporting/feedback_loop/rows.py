"""Rows of estimates as a table, and the words that such tables share."""

from typing import Any

import pandas as pd

from recsim_lab.evaluation.feedback.prices import NONE_IN_HORIZON
from recsim_lab.reporting.blocks import Table
from recsim_lab.reporting.feedback_loop.run import LoopRun
from recsim_lab.reporting.words import MISSING

CHANCE = "Grey: the interval holds zero."


def table_of(rows: list[dict[str, Any]], caption: str, numbers: tuple[str, ...] = ()) -> Table:
    frame = pd.DataFrame({name: pd.Series([row[name] for row in rows], dtype=object) for name in rows[0]})
    return Table(frame, caption, numbers=numbers)


def break_even_words(run: LoopRun, arm: str) -> str:
    day = run.break_even(arm)
    return "not reached" if day == NONE_IN_HORIZON else day or MISSING
