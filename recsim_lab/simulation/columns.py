"""What holds for the columns of a catalogue and of a population: a row for each, numbers that are finite, codes."""

import numpy as np


def check_columns(table: object, num_rows: int, noun: str) -> None:
    """Refuse arrays of another length, floats that are NaN or infinite, and negative integers.

    Compiled loops read these arrays without looking, so what is wrong must be found here; finite columns also
    keep utilities finite. `continues` alone may hold -1.

    Raises:
        ValueError: naming the column, the rule and the value.
    """
    for name, values in vars(table).items():
        if not isinstance(values, np.ndarray):
            continue
        if len(values) != num_rows:
            raise ValueError(f"{name} must have a row for each of {num_rows} {noun}, got {len(values)}")
        if np.issubdtype(values.dtype, np.floating):
            if not np.isfinite(values).all():
                raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
        elif values.size and values.min() < (-1 if name == "continues" else 0):
            raise ValueError(f"{name} must be at least {-1 if name == 'continues' else 0}, got {values.min()}")
