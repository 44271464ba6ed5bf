"""What a thing was made with, as text: equal for equal parameters, whatever has been learned since."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

LONGEST = 32
"""Collections of more entries are told by their number and a checksum."""


def fingerprint(value: Any) -> str:
    """Dataclasses by the fields that `__init__` takes, arrays by shape and checksum, plain values as they are.

    Fields with `init=False` hold what was learned or worked out, and do not count. Of anything else only the name
    of the type (of functions and classes, their own) is told: two values may differ and have one fingerprint.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f"{value.dtype}{list(value.shape)} {_checksum(np.ascontiguousarray(value).tobytes())}"
    if is_dataclass(value) and not isinstance(value, type):
        parts = (f"{f.name}={fingerprint(getattr(value, f.name))}" for f in fields(value) if f.init)
        return f"{type(value).__qualname__}({', '.join(parts)})"
    if isinstance(value, Mapping):
        return _collection(value, [f"{fingerprint(key)}: {fingerprint(entry)}" for key, entry in value.items()])
    if isinstance(value, list | tuple | np.ndarray):
        return _collection(value, [fingerprint(entry) for entry in value])
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _collection(value: Any, entries: list[str]) -> str:
    text = ", ".join(entries)
    kind = type(value).__name__
    return f"{kind}({text})" if len(entries) <= LONGEST else f"{kind} of {len(entries)} {_checksum(text.encode())}"


def _checksum(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=6).hexdigest()
