"""One text for one value, and one digest for one content.

What belongs here: JSON texts and SHA-256 digests, one function per format that exists. What does not: the digest of a
table (``warehouse.digests``), which DuckDB computes.

Digests are signed, recorded in the ledger and compared for years, so no format here may ever change:

===================  ==============================================================================================
`value_digest`       of a value's `canonical_json`: descriptions, SQL, plans, verdicts
`facts_digest`       of facts as spaced JSON with letters beyond ASCII, then of arrays: results of micro-cohorts
`parts_digest`       of bytes one after the other: trainings, ledger entries
`file_digest`        of a file's bytes
`listing_digest`     of the names and digests of files: bundles, dossiers
===================  ==============================================================================================
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from numpy.typing import NDArray

PREFIX = "sha256:"
HEX_DIGITS = 64

# Escapes instead of letters beyond ASCII: the same bytes whatever the encoding of a file, a column or a terminal.
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def canonical_json(value: object) -> str:
    """JSON in ASCII with sorted keys and no spaces; everything beyond ASCII is escaped, nothing is normalised.

    Raises
    ------
    TypeError
        For what JSON does not have, such as dates.
    ValueError
        For NaN and infinities.
    """
    return _CANONICAL.encode(value)


def readable_json(value: object, *, sort_keys: bool = False) -> str:
    """JSON for a file that people read, too: indented by one space, letters as they are, one line end at the end.

    Parameters
    ----------
    value : object
        Plain values: mappings with text keys, sequences, text, numbers, booleans, None.
    sort_keys : bool
        True where the text must be the same for equal values, as in a file that a digest covers.

    Raises
    ------
    TypeError
        For what JSON does not have.
    ValueError
        For NaN and infinities.
    """
    return json.dumps(value, indent=1, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n"


def value_digest(value: object) -> str:
    """``sha256:`` and the digest of a JSON value: the same for any order of keys.

    Tuples count as lists; 1 and 1.0 differ, as do 1 and "1".

    Raises
    ------
    TypeError
        For what JSON does not have, or keys that are not text (they would collide with text).
    ValueError
        For NaN and infinities.
    """
    _check_keys(value)
    return parts_digest(canonical_json(value).encode("ascii"))


def facts_digest(facts: Mapping[str, Any], *arrays: NDArray[Any]) -> str:
    """``sha256:`` and the digest of plain values and arrays; the same on every machine.

    An array counts with its type, its shape and its little-endian bytes in C order.
    """
    import numpy as np

    parts = [json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()]
    for array in arrays:
        little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
        parts += [f"{little.dtype.str}{little.shape}".encode(), little.tobytes()]
    return parts_digest(*parts)


def parts_digest(*parts: bytes) -> str:
    """``sha256:`` and the digest of bytes, one part after the other without anything between."""
    total = hashlib.sha256()
    for part in parts:
        total.update(part)
    return PREFIX + total.hexdigest()


def file_digest(path: Path) -> str:
    """``sha256:`` and the digest of a file's bytes."""
    return PREFIX + file_sha256(path)


def listing_digest(files: Mapping[str, str]) -> str:
    """``sha256:`` and the digest of a folder.

    Parameters
    ----------
    files : mapping
        Name (with ``/`` between folders) to SHA-256 in hexadecimal digits; any order.
    """
    return parts_digest("".join(f"{name} {digest}\n" for name, digest in sorted(files.items())).encode())


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, 64 hexadecimal digits; the file is read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_sha256(content: bytes) -> str:
    """SHA-256 of bytes, 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def hex_of(digest: str) -> str:
    """The 64 hexadecimal digits of a digest, without ``sha256:``; what has no such beginning stays."""
    return digest.removeprefix(PREFIX)


def plain(value: Any, *, finite: bool = True) -> Any:
    """Dataclasses, pydantic models, arrays, tuples and numpy's numbers as what JSON has.

    Parameters
    ----------
    value : object
        What is to be written as JSON.
    finite : bool
        True turns NaN and infinities into null; False leaves them, so that writing them as JSON is refused.
    """
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), finite=finite) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item, finite=finite) for key, item in value.items()}
    if hasattr(value, "tolist"):  # numpy's arrays and numbers, without loading numpy
        return plain(value.tolist(), finite=finite)
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(item, finite=finite) for item in value]
    if finite and isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _check_keys(value: object) -> None:
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"key {key!r} is not text")
            _check_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _check_keys(item)
