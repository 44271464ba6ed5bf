"""Turn a loop over rows into a Numba kernel: serial for small batches, parallel for large ones."""

import inspect
import os
import types
from collections.abc import Callable
from typing import Any

# Read when OpenMP's threads start: after some 10 microseconds of waiting they sleep. By default they spin on, which
# costs a factor of ten where another process wants the core.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")

import numba

PARALLEL_ROWS = 1024
"""Batches below this many rows run on one thread unless rows are long: starting threads costs about 20 microseconds."""
PARALLEL_VALUES = 2**18
"""Values of the first argument from which on threads pay, however few the rows."""
_ONE_THREAD = numba.config.NUMBA_NUM_THREADS == 1  # type: ignore[attr-defined]


def compiled(function: Callable) -> Any:
    """Compile a function that kernels of the same file call."""
    return _njit(function, parallel=False)


def kernel(function: Callable) -> Callable:
    """Compile a kernel whose first argument has a row for each iteration of its `numba.prange` loop.

    IEEE order of operations is kept (no fastmath), so both versions give the same bits.
    """
    serial = _njit(function, parallel=False)
    parallel = _njit(function, parallel=True)

    def dispatch(first, *others):  # type: ignore[no-untyped-def]
        if _ONE_THREAD or (first.shape[0] < PARALLEL_ROWS and first.size < PARALLEL_VALUES):
            return serial(first, *others)
        return parallel(first, *others)

    dispatch.__name__ = function.__name__
    dispatch.__doc__ = function.__doc__
    return dispatch


def _njit(function: Callable, parallel: bool) -> Any:
    # The shape checker of the tests wraps functions; Numba needs the function itself.
    function = inspect.unwrap(function)
    if parallel:
        # Numba's cache tells versions apart by name, not by option: a copy of another name gets its own files.
        function = types.FunctionType(function.__code__, function.__globals__)
        function.__qualname__ += "_parallel"
    options: dict[str, Any] = {"parallel": parallel, "nogil": True, "error_model": "numpy"}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to cache in can be written
        return numba.njit(**options)(function)
