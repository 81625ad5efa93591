"""How a delimited text is laid out: its delimiter, where its header stands, what its columns are called.

What belongs here: everything decided from the beginning of the file. What does not: reading the rest.

Nothing is left to DuckDB's sniffer: it takes the header of an all-text file for a record, skips title lines without
a word, and gives the second of two equal headers another name.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from clinical_assets.cohorts.sources_spec import CsvDialect
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import limit

DELIMITERS = (",", ";", "\t", "|")
ROW = "_row"
_SAMPLE_RECORDS = 200
_MOST_TITLE_LINES = 20
_SEPARATOR_LINE = re.compile(r'"?sep=(\\t|[^"\s]|\t)"?', re.IGNORECASE)
_NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

MAX_COLUMNS = "CLINICAL_ASSETS_MAX_COLUMNS"


@dataclass(frozen=True)
class Layout:
    """The layout of one delimited file.

    Attributes
    ----------
    delimiter, quote : str
        One ASCII character each; an empty quote means that quotes are ordinary text.
    skip : int
        Physical lines before the header, or before the first record when there is no header.
    header : bool
        Whether the first record names the columns.
    names : tuple of str
        Column names, unique without regard to case.
    """

    delimiter: str
    quote: str
    skip: int
    header: bool
    names: tuple[str, ...]


def read_layout(name: str, head: str, *, whole: bool, dialect: CsvDialect, delimiter: str | None = None) -> Layout:
    """Find the layout of a file from its first lines.

    Parameters
    ----------
    name : str
        The file, for messages.
    head : str
        The beginning of the file, decoded, line breaks as they are.
    whole : bool
        True when ``head`` is all there is; otherwise its last line may be cut and is not looked at.
    dialect : CsvDialect
        What the description says.
    delimiter : str, optional
        A delimiter found before, in another file of the same source.

    Raises
    ------
    SourceError
        When the file is empty, the delimiter cannot be told, or the header has doubled or no names.
    """
    _check(name, dialect)
    lines = [line + "\n" for line in head.split("\n")]
    if not whole:
        lines = lines[:-1]
    if not whole and len(lines) <= dialect.skip_rows:
        # The first line does not end within what was looked at: at least so many columns, or no lines at all.
        refuse_width(f"{name}, line 1", 1 + head.count(dialect.delimiter or delimiter or _detect(name, [head], "")))
    skip = dialect.skip_rows
    while skip < len(lines) and not lines[skip].strip("\r\n"):
        skip += 1
    # What Excel reads as the delimiter and never shows; it is no record.
    said = _SEPARATOR_LINE.fullmatch(lines[skip].strip("\ufeff\r\n ")) if skip < len(lines) else None
    if said is not None and dialect.columns is None:
        delimiter = delimiter or {"\\t": "\t"}.get(said[1], said[1])
        skip += 1
    if not any(line.strip() for line in lines[skip:]):
        after = f" after the {dialect.skip_rows} skipped lines" if dialect.skip_rows and head.strip() else ""
        raise SourceError(f"{name} is empty{after}.", cure="Export it again; at least a header line is needed.")
    body = lines[skip:]
    chosen = dialect.delimiter or delimiter or _detect(name, body, dialect.quote)
    sample = list(_records(body, chosen, dialect.quote, whole=whole))
    if not sample:
        raise SourceError(
            f"{name}, line {skip + 1}: no whole record begins here within {len(head)} characters.",
            cure="Look for a quote that is never closed, or a carriage return without line feed.",
        )
    if dialect.columns is None:
        _refuse_title(name, body, skip, chosen, dialect)
        numbered = dialect.repeated_names == "number"
        names, values = _header_names(name, sample[0], skip + 1, numbered=numbered), sample[1:]
    else:
        names, values = _given_names(name, dialect.columns), sample
    _check_width(name, names, values, chosen, header=dialect.columns is None)
    return Layout(chosen, dialect.quote, skip, dialect.columns is None, names)


def fitted_dialect(
    name: str, head: str, *, whole: bool, dialect: CsvDialect, needed: Collection[str], optional: Collection[str]
) -> CsvDialect:
    """The dialect of a file written like a source without a header: it may bring one, or lack optional columns.

    Parameters
    ----------
    name : str
        The file, for messages.
    head : str
        The beginning of the file, decoded.
    whole : bool
        True when ``head`` is all there is.
    dialect : CsvDialect
        Of the source; it names the columns.
    needed, optional : collection of str
        Names of the source's columns that must be there, and of those that may all be left out.

    Returns
    -------
    CsvDialect
        With a header: no ``columns``, so that names tell. Without one: those ``columns`` that the records have values
        for, by position.

    Raises
    ------
    SourceError
        When the records fit neither all columns nor those without the optional ones.
    """
    assert dialect.columns is not None
    _check(name, dialect)
    lines = [line + "\n" for line in head.split("\n")]
    lines = lines if whole else lines[:-1]
    for start in range(dialect.skip_rows + 1):
        for delimiter in [dialect.delimiter] if dialect.delimiter else DELIMITERS:
            first = next(_records(lines[start:], delimiter, dialect.quote), [])
            names = {value.strip() for value in first}
            if names and (names <= set(dialect.columns) or set(needed) <= names):
                return dialect.model_copy(update={"columns": None, "skip_rows": start})
    body = lines[dialect.skip_rows :]
    chosen = dialect.delimiter or _detect(name, body, dialect.quote)
    widths = Counter(_width(record) for record in _records(body, chosen, dialect.quote, whole=whole))
    rest = tuple(column for column in dialect.columns if column not in optional)
    found = widths.most_common(1)[0][0] if widths else len(dialect.columns)
    if found == len(rest) < len(dialect.columns):
        return dialect.model_copy(update={"columns": rest})
    if found not in (len(rest), len(dialect.columns)):
        without = f", or {len(rest)} without {', '.join(optional)}" if len(rest) < len(dialect.columns) else ""
        raise SourceError(
            f"{name} has no header and {found} values per record; the source has {len(dialect.columns)} "
            f"columns{without}.",
            cure=f"Add a header line with the names of the columns, or give the values of: {', '.join(rest)}.",
        )
    return dialect


def _width(record: Sequence[str]) -> int:
    """Values of a record; a delimiter at its end is none."""
    return len(record) - (len(record) > 1 and not record[-1])


def _check(name: str, dialect: CsvDialect) -> None:
    for key, text in (("delimiter", dialect.delimiter or ","), ("quote", dialect.quote)):
        if text and (not text.isascii() or text in "\r\n\0" or text == " "):
            raise SourceError(
                f"{name}: {key} {text!r} cannot be used.", cure=f"Use one visible ASCII character, or a tab, as {key}."
            )
    if dialect.quote and dialect.quote == dialect.delimiter:
        raise SourceError(f"{name}: delimiter and quote are both {dialect.quote!r}.", cure="Correct one of them.")


def _records(lines: Sequence[str], delimiter: str, quote: str, *, whole: bool = True) -> Iterator[list[str]]:
    """The first records of ``lines`` that are not blank, as the standard library reads them."""
    reader = csv.reader(
        iter(lines),
        delimiter=delimiter,
        quotechar=quote or None,
        quoting=csv.QUOTE_MINIMAL if quote else csv.QUOTE_NONE,
        skipinitialspace=delimiter != "\t",
    )
    before = csv.field_size_limit(max(csv.field_size_limit(), sum(map(len, lines)) + 1))
    try:
        found = 0
        for record in reader:
            complete = whole or reader.line_num < len(lines)
            if not complete or found == _SAMPLE_RECORDS:
                return
            if any(value.strip() for value in record) or len(record) > 1:
                found += 1
                yield record
    except csv.Error:
        # A carriage return inside a record: the sample ends before it, and the scan of the whole file names its line.
        return
    finally:
        csv.field_size_limit(before)


def _detect(name: str, body: Sequence[str], quote: str) -> str:
    """The delimiter that gives the header and the most records one and the same number of values."""
    scores: dict[str, tuple[float, int]] = {}
    for candidate in DELIMITERS:
        widths = [len(record) for record in _records(body, candidate, quote)]
        if widths and widths[0] > 1:
            scores[candidate] = (sum(width == widths[0] for width in widths[1:]) / max(len(widths) - 1, 1), widths[0])
    if not scores:
        return ","
    best = max(share for share, _ in scores.values())
    fitting = [candidate for candidate, (share, _) in scores.items() if share == best]
    if len(fitting) > 1:
        shown = " and ".join(_NAMES[candidate] for candidate in fitting)
        raise SourceError(
            f"{name}: {shown} would both give a regular table, so the delimiter cannot be told.",
            cure="Set `csv: {delimiter: ...}` in the source.",
        )
    return fitting[0]


def _refuse_title(name: str, body: Sequence[str], skip: int, delimiter: str, dialect: CsvDialect) -> None:
    """Refuse a file that begins with lines of text, when the table below them can be told.

    Raises
    ------
    SourceError
        With the number of lines to skip.
    """
    own = [len(record) for record in _records(body, delimiter, dialect.quote)]
    if all(width == own[0] for width in own[1:]) and own[0] > 1:
        return
    for start in (line for line in range(1, min(_MOST_TITLE_LINES, len(body) - 1)) if body[line].strip()):
        for candidate in (dialect.delimiter,) if dialect.delimiter else DELIMITERS:
            records = list(_records(body[start:], candidate, dialect.quote))
            width = len(records[0]) if records else 0
            regular = len(records) > 2 and width > max(own[0], 1) and all(len(one) == width for one in records)
            # A header: every column has a name of its own, and none is a number.
            if regular and len({text.strip() for text in records[0] if not _is_number(text)} - {""}) == width:
                raise SourceError(
                    f"{name}: the table seems to begin on line {skip + start + 1} with {width} columns (delimiter "
                    f"{_NAMES.get(candidate, repr(candidate))}); above it stands text that is no header.",
                    cure=f"Set `csv: {{skip_rows: {skip + start}}}` in the source.",
                )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[-+]?[\d.,]+", text.strip()) is not None


def _header_names(name: str, raw: Sequence[str], line: int, *, numbered: bool) -> tuple[str, ...]:
    # One way to write a letter with its accent: what two systems call the same column must be one name.
    stripped = [unicodedata.normalize("NFC", text.strip()) for text in raw]
    if not any(stripped):
        raise SourceError(
            f"{name}, line {line}: the header line names no column.",
            cure="Set `skip_rows` if the header stands further down, or `columns` if there is none.",
        )
    # Row numbers written by R and pandas have no name; the column keeps its place and is called after it.
    names = tuple(text or f"column_{place}" for place, text in enumerate(stripped, start=1))
    if numbered:
        times: Counter[str] = Counter()
        for place, text in enumerate(names):
            times[text.lower()] += 1
            if times[text.lower()] > 1:
                names = (*names[:place], f"{text}_{times[text.lower()]}", *names[place + 1 :])
    _check_names(
        f"{name}, line {line}",
        names,
        cure="Rename one in the source, or set `csv: {repeated_names: number}`, which calls the second name_2. If the "
        "line holds values and the file has no header, set `columns`.",
    )
    return names


def _given_names(name: str, columns: Sequence[str]) -> tuple[str, ...]:
    _check_names(f"{name}: `columns` of the description", columns, cure="Give every column a name of its own.")
    return tuple(columns)


def _check_names(where: str, names: Sequence[str], *, cure: str) -> None:
    refuse_width(where, len(names))
    seen: dict[str, int] = {}
    for place, text in enumerate(names, start=1):
        if text.lower() == ROW:
            raise SourceError(
                f"{where}: column {place} is called {text!r}, which is reserved for the record number.",
                cure="Rename it in the source.",
            )
        # DuckDB does not tell names apart by case.
        if (first := seen.setdefault(text.lower(), place)) != place:
            raise SourceError(
                f"{where}: columns {first} and {place} are both called {names[first - 1]!r}"
                + ("." if text == names[first - 1] else f" and {text!r}, which differ in case alone."),
                cure=cure,
            )


def refuse_width(where: str, columns: int) -> None:
    """Refuse a table with more columns than the limit.

    Raises
    ------
    SourceError
        Naming both numbers.
    """
    if columns > limit(MAX_COLUMNS):
        raise SourceError(
            f"{where}: {columns:,} columns, and the limit is {limit(MAX_COLUMNS):,}.",
            cure=f"Check the delimiter, read fewer columns, or set {MAX_COLUMNS} and give DuckDB more memory.",
        )


def check_columns(where: str, names: Sequence[str]) -> None:
    """Refuse column names that are doubled without regard to case, or reserved.

    Raises
    ------
    SourceError
        Naming both columns.
    """
    _check_names(where, names, cure="Rename one in the source.")


def _check_width(
    name: str, names: Sequence[str], values: Sequence[Sequence[str]], delimiter: str, *, header: bool
) -> None:
    if not values or any(len(record) == len(names) for record in values):
        return
    if all(len(record) == len(names) + 1 and not record[-1] for record in values):
        return  # a delimiter at the end of every record, which is no value
    width, count = Counter(len(record) for record in values).most_common(1)[0]
    what = "the header names" if header else "the description names"
    cure = "Set `delimiter`, or correct the header."
    if width == len(names) + 1 and header:
        cure = "If the first value is a row name without header, set `skip_rows: 1` and `columns`."
    raise SourceError(
        f"{name}: {what} {len(names)} columns, but none of the first {len(values)} records has as many values; "
        f"{count} have {width} (delimiter {_NAMES.get(delimiter, repr(delimiter))}).",
        cure=cure,
    )
