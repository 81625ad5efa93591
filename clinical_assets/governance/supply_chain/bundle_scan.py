"""What the files of a bundle are: an exact list of names, and each file parsed as the type that its name stands for.

What belongs here: telling a bundle's own files from anything else. Nothing is loaded by what it is: an ONNX graph is
read as a protocol buffer, JSON as JSON, SQL as one parsed query, a booster line by line. What only the graph may be
made of is the work of ``onnx_rules``; whether files were changed, of the manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_assets.modelling.bundle.bundle_description import DESCRIPTION, MANIFEST
from clinical_assets.modelling.bundle.bundle_files import MODEL, RUN, STATEMENT

_LARGEST_BYTES = 512 * 1024**2
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# LightGBM's text format: a word, "name=values", a "[parameter: value]", or the list of categories at its end.
_BOOSTER_LINE = re.compile(
    r"(tree|end of trees|end of parameters|feature_importances:|parameters:|[\w. -]+=.*|\[\w+: .*\]|"
    r"pandas_categorical:(null|\[.*\])|)"
)


@dataclass(frozen=True)
class BundleFile:
    """What one file turned out to be.

    Attributes
    ----------
    name : str
        Its path below the bundle's folder.
    kind : str
        ``onnx``, ``json``, ``sql``, ``booster``, or ``unknown`` for what a bundle may not hold.
    problem : str or None
        Why it does not belong into a bundle; None is good.
    """

    name: str
    kind: str
    problem: str | None


class _NotOfItsType(Exception):
    """A content that is not what its name says."""


def scan_folder(folder: Path) -> tuple[BundleFile, ...]:
    """Every entry below a bundle's folder, and every file that is missing there.

    Parameters
    ----------
    folder : Path
        The bundle; nothing outside of it is opened, and links are not followed.

    Returns
    -------
    tuple of BundleFile
        By name. A booster may be there when ``bundle.json`` names it for explanations, and must be.
    """
    booster = _named_booster(folder)
    wanted = {**_TYPES, **({booster: _BOOSTERS[booster]} if booster else {})}
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    found = [_scanned(name, path, wanted) for name, path in present.items()]
    found += [BundleFile(name, "unknown", "it is missing") for name in wanted.keys() - present.keys()]
    return tuple(sorted(found, key=lambda each: each.name))


def _scanned(name: str, path: Path, wanted: Mapping[str, tuple[str, Callable[[bytes], None]]]) -> BundleFile:
    if path.is_symlink() or not path.is_file():
        return BundleFile(name, "unknown", "a link" if path.is_symlink() else "a folder or a device")
    if name not in wanted:
        return BundleFile(name, "unknown", "no bundle holds a file of this name")
    kind, check = wanted[name]
    if path.stat().st_size > _LARGEST_BYTES:
        return BundleFile(name, "unknown", "larger than 512 MiB")
    try:
        check(path.read_bytes())
    except _NotOfItsType as error:
        return BundleFile(name, "unknown", str(error))
    return BundleFile(name, kind, None)


def _named_booster(folder: Path) -> str | None:
    try:
        name = _object((folder / DESCRIPTION).read_bytes())["explanation"]["file"]
    except (OSError, _NotOfItsType, KeyError, TypeError):
        return None  # the description itself is judged by name
    return name if name in _BOOSTERS else None


def _check_onnx(content: bytes) -> None:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError):
        raise _NotOfItsType("it cannot be read as an ONNX model") from None
    # Protocol buffers read almost anything; a graph that computes something does not come about by chance.
    if not (model.ir_version and model.opset_import and model.graph.node):
        raise _NotOfItsType("it holds no ONNX graph")
    # A reader skips fields that it does not know: what the format has no name for could hide there.
    model.DiscardUnknownFields()
    if model.SerializeToString(deterministic=True) != content:
        raise _NotOfItsType("it holds bytes that are no part of its ONNX graph")


def _check_json(content: bytes) -> None:
    _object(content)


def _object(content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(_text(content))
    except (ValueError, RecursionError):
        raise _NotOfItsType("it cannot be read as JSON") from None
    if not isinstance(value, dict):
        raise _NotOfItsType("it is no JSON object")
    return value


def _check_sql(content: bytes) -> None:
    import sqlglot
    from sqlglot import exp

    try:
        statements = sqlglot.parse(_text(content), read="duckdb")
    except (sqlglot.errors.SqlglotError, RecursionError):
        statements = []
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise _NotOfItsType("it is not one SELECT statement")


def _check_lightgbm(content: bytes) -> None:
    # By its lines and not by the library: its reader ends the process on some broken texts.
    lines = _text(content).splitlines()
    if lines[:1] != ["tree"] or "end of trees" not in lines:
        raise _NotOfItsType("it is no text of a LightGBM booster")
    odd = next((number for number, line in enumerate(lines, start=1) if not _BOOSTER_LINE.fullmatch(line)), None)
    if odd is not None:
        raise _NotOfItsType(f"line {odd} is none of a LightGBM booster")


def _check_xgboost(content: bytes) -> None:
    # Not by the library either: it ends the process on an empty object.
    value = _object(content)
    if value.keys() != {"learner", "version"} or not isinstance(value["learner"], dict):
        raise _NotOfItsType("it is no JSON of an XGBoost booster")


def _text(content: bytes) -> str:
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise _NotOfItsType("it is no text") from None
    if _CONTROL.search(text):
        raise _NotOfItsType("it holds control characters")
    return text


_TYPES: Mapping[str, tuple[str, Callable[[bytes], None]]] = {
    MODEL: ("onnx", _check_onnx),
    DESCRIPTION: ("json", _check_json),
    STATEMENT: ("sql", _check_sql),
    MANIFEST: ("json", _check_json),
    RUN: ("json", _check_json),
}
# As ``modelling.contributions`` writes them.
_BOOSTERS: Mapping[str, tuple[str, Callable[[bytes], None]]] = {
    "booster.txt": ("booster", _check_lightgbm),
    "booster.json": ("booster", _check_xgboost),
}
