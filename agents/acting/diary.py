"""What is kept of a training run: curves as a table and for TensorBoard, and a checkpoint to go on from."""

import csv
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from agents.base import read_arrays, write_arrays

A = np.ndarray

CHECKPOINT, CURVES = "checkpoint.safetensors", "curves.csv"
_CURVE = "diary/curve/"
SECONDS_BETWEEN_CHECKPOINTS = 30.0

Report = Callable[[int, int, Mapping[str, float]], None]
"""Told the steps done, the steps planned and the newest figures."""


@final
class Diary:
    """Curves and checkpoints of a run, in a folder; without one, nothing is written.

    Curves go to `curves.csv` with each checkpoint and, where TensorBoard is installed (`pip install 'recsim_lab[rl]'`),
    to event files in `tensorboard/` at once. Both are brought to the checkpoint when a run goes on, so that no step is
    told twice. `checkpoint_seconds` is the least time between checkpoints; 0 keeps one at every entry. There is one at
    the end in any case.
    """

    def __init__(
        self,
        folder: Path | None = None,
        report: Report | None = None,
        checkpoint_seconds: float | int = SECONDS_BETWEEN_CHECKPOINTS,
    ) -> None:
        self.folder, self.report, self.checkpoint_seconds = folder, report, checkpoint_seconds
        self.rows: list[dict[str, float]] = []
        self._kept_at = time.monotonic()
        self._board: Any = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def resume(self, identity: str) -> tuple[int, dict[str, A]]:
        """The step of the last checkpoint and its arrays; 0 and none if there is none.

        Raises:
            ValueError: if the checkpoint is of another run than `identity` says.
        """
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return 0, {}
        arrays, found = read_arrays(self.folder / CHECKPOINT)
        if found != identity:
            raise ValueError(f"{self.folder} must hold the run {identity}, got {found}: use another folder")
        step = int(arrays.pop("diary/step"))
        columns = sorted(name for name in arrays if name.startswith(_CURVE))
        curves = {name.removeprefix(_CURVE).partition("/")[2]: arrays.pop(name) for name in columns}
        self.rows = [
            dict(zip(curves, row, strict=True)) for row in zip(*(c.tolist() for c in curves.values()), strict=True)
        ]
        self._write_curves()
        return step, arrays

    def write(self, step: int, num_steps: int, figures: Mapping[str, float]) -> bool:
        """Enter the figures of the steps up to this one; says whether it is time for a checkpoint."""
        self.rows.append({"step": step, **figures})
        if self.report is not None:
            self.report(step, num_steps, figures)
        if self.folder is None:
            return False
        if (board := self._writer()) is not None:
            for name, value in figures.items():
                board.add_scalar(name, value, step)
        return step >= num_steps or time.monotonic() - self._kept_at >= self.checkpoint_seconds

    def keep(self, step: int, identity: str, arrays: Mapping[str, A]) -> None:
        """Write a checkpoint that `resume` gives back, and the curves up to it."""
        if self.folder is None:
            return
        # What the checkpoint says has been told must have been: no later run tells it again.
        if self._board is not None:
            self._board.flush()
        # Numbered, since the file does not keep an order.
        curves = {
            f"{_CURVE}{place:03}/{name}": np.array([row[name] for row in self.rows])
            for place, name in enumerate(self.rows[0])
        }
        write_arrays(self.folder / CHECKPOINT, {**arrays, **curves, "diary/step": np.array(step)}, identity)
        self._write_curves()
        self._kept_at = time.monotonic()

    def _write_curves(self) -> None:
        assert self.folder is not None
        scratch = self.folder / (CURVES + ".partial")
        with scratch.open("w", newline="") as file:
            table = csv.DictWriter(file, list(self.rows[0]))
            table.writeheader()
            table.writerows(self.rows)
        os.replace(scratch, self.folder / CURVES)

    def _writer(self) -> Any:
        """TensorBoard's writer, which drops what an earlier run told beyond the checkpoint; None if not installed."""
        if self._board is None:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError:
                return None
            assert self.folder is not None
            self._board = SummaryWriter(self.folder / "tensorboard", purge_step=int(self.rows[-1]["step"]))
        return self._board
