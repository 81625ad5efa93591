"""Objects in R's data files, read by the package ``rdata``: values are decoded, and no R code runs.

What belongs here: ``.rda`` and ``.RData`` files, lazy-load databases, and the text tables that R packages ship. What
does not: archives (``debian``), and what a column means.

A lazy-load database is a pair: ``.rdx``, a serialised list that gives place and length of each object, and ``.rdb``,
the objects one after another, each with its unpacked length (four bytes, big-endian) and, for other compressions than
zlib, a letter for which (R Internals, section 1.6, and ``lazyload.c`` of R).
"""

from __future__ import annotations

import bz2
import gzip
import importlib.util
import lzma
import warnings
import zlib
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from clinical_assets.foundation.errors import SourceError

if TYPE_CHECKING:
    import polars as pl

_LAZY, _INDEX = ".rdb", ".rdx"
_SLOT = "@"
_RAW_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 6}]


def files_of(file: str) -> tuple[str, ...]:
    """The file, and the index beside it where it is a lazy-load database.

    >>> files_of("data/Rdata.rdb"), files_of("data/one.rda")
    (('data/Rdata.rdb', 'data/Rdata.rdx'), ('data/one.rda',))
    """
    return (file, file.removesuffix(_LAZY) + _INDEX) if file.endswith(_LAZY) else (file,)


def read_objects(name: str, content: bytes) -> dict[str, Any]:
    """Every object of a ``.rda`` or ``.RData`` file, as rdata converts it.

    Raises
    ------
    SourceError
        The package ``rdata`` is not installed, or the file is none of R's.
    """
    rdata = _library(name)
    parsed = _parsed(name, content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # unknown R classes are converted to their plain parts, which is wanted
        converted: dict[str, Any] = rdata.conversion.convert(parsed)
    return converted


def read_frame(file: str, content: Mapping[str, bytes], wanted: str | None) -> pl.DataFrame:
    """One data frame, with R's missing values as null and factors as their labels; row names are left out.

    Parameters
    ----------
    file : str
        Its path in the package: ``.rdb`` (lazy-load database), ``.rda``, ``.RData``, or ``.txt`` and ``.txt.gz``
        (columns parted by blanks, the first line naming them).
    content : mapping of str to bytes
        Of each of `files_of`.
    wanted : str or None
        Name of the object; ``object@slot@slot`` for a list of columns inside an S4 object. None for a text table.

    Raises
    ------
    SourceError
        The file has no such object, or it is no table.
    """
    name = PurePosixPath(file).name
    if name.endswith((".txt", ".txt.gz")):
        return _text_table(name, content[file])
    rdata = _library(name)
    if wanted is None:
        raise SourceError(f"{name} holds objects, and the description names none.", cure="Set `object` in the source.")
    top, *slots = wanted.split(_SLOT)
    if file.endswith(_LAZY):
        node = _parsed(name, _lazy(name, content[file], content[files_of(file)[1]], top)).object
    else:
        node = _named(name, _parsed(name, content[file]).object, top)
    for slot in slots:
        node = _named(name, node.attributes, slot)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _frame(f"{name}, object {wanted}", rdata.conversion.convert(node))


def _library(name: str) -> Any:
    if importlib.util.find_spec("rdata") is None:
        raise SourceError(
            f"{name} is an R data file and the package rdata is not installed",
            cure="install the extra: pip install 'clinical-assets[rdata]'",
        )
    import rdata

    return rdata


def _parsed(name: str, content: bytes) -> Any:
    rdata = _library(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return rdata.parser.parse_data(content)
        except (NotImplementedError, ValueError, EOFError, OSError) as error:
            raise SourceError(
                f"{name} cannot be read as R data: {type(error).__name__}.", cure="Fetch the package again."
            ) from None


def _lazy(name: str, database: bytes, index: bytes, wanted: str) -> bytes:
    """The serialised object: cut out and unpacked."""
    rdata = _library(name)
    places = rdata.conversion.convert(_parsed(name, index))
    if wanted not in places["variables"]:
        raise _no_object(name, wanted, places["variables"])
    start, length = (int(number) for number in places["variables"][wanted])
    packed = database[start : start + length]
    size, rest = int.from_bytes(packed[:4], "big"), packed[4:]
    try:
        if int(places["compressed"][0]) == 1:
            plain = zlib.decompress(rest)
        else:
            kind, rest = rest[:1], rest[1:]
            plain = {
                b"Z": lambda: lzma.decompress(rest, format=lzma.FORMAT_RAW, filters=_RAW_XZ),
                b"2": lambda: bz2.decompress(rest),
                b"1": lambda: zlib.decompress(rest),
                b"0": lambda: rest,
            }[kind]()
    except (zlib.error, lzma.LZMAError, OSError, KeyError):
        plain = b""
    if len(plain) != size or not size:
        raise SourceError(f"{name}: object {wanted} is damaged.", cure="Fetch the package again.")
    return plain


def _named(name: str, pairs: Any, wanted: str) -> Any:
    """The value of a name in one of R's linked lists: objects of a file, slots of an object."""
    known = []
    while pairs is not None and isinstance(pairs.value, tuple):
        # A name that stood earlier in the file is a reference to that place.
        tag = getattr(pairs.tag, "referenced_object", None) or pairs.tag
        known.append(tag.value.value.decode() if tag is not None else "")
        if known[-1] == wanted:
            return pairs.value[0]
        pairs = pairs.value[1]
    raise _no_object(name, wanted, known)


def _no_object(name: str, wanted: str, known: Any) -> SourceError:
    return SourceError(
        f"{name} has no object {wanted!r}.",
        cure=f"Correct `object`: there are {', '.join(sorted(map(str, known))[:40])}.",
    )


def _frame(where: str, found: Any) -> pl.DataFrame:
    import pandas as pd
    import polars as pl

    if isinstance(found, Mapping) and found:
        try:
            found = pd.DataFrame({key: list(values) for key, values in found.items()})
        except (TypeError, ValueError):
            found = None
    if not isinstance(found, pd.DataFrame):
        raise SourceError(f"{where} is no table.", cure="Name a data frame.")
    columns = []
    for place, name in enumerate(found.columns):
        values = found.iloc[:, place]
        if not (pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values)):
            values = values.astype(object).where(values.notna(), None).map(_text)
        columns.append(pl.Series(str(name), pl.from_pandas(values.reset_index(drop=True), nan_to_null=True)))
    return pl.DataFrame(columns)


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _text_table(name: str, content: bytes) -> pl.DataFrame:
    import polars as pl

    try:
        text = (gzip.decompress(content) if name.endswith(".gz") else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SourceError(f"{name} cannot be read: {type(error).__name__}.", cure="Fetch the package again.") from None
    header, *rows = [line.split() for line in text.splitlines() if line.strip()]
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header) or '"' in "".join(row):
            raise SourceError(
                f"{name}, line {number}: {len(row)} values for {len(header)} columns, or quotes, which are not read.",
                cure="Export the table as CSV and name that file.",
            )
    return pl.DataFrame(rows, schema=dict.fromkeys(header, pl.String), orient="row")
