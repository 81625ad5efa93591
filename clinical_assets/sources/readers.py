"""From a file's name to the reader of its format."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

import duckdb

from clinical_assets.cohorts.sources_spec import CsvDialect, ExcelSheet, FileFormat, PhenopacketTable
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.delimited.delimited import number_sql, read_delimited
from clinical_assets.sources.delimited.encoded_text import pickle_refused
from clinical_assets.sources.files import Found
from clinical_assets.sources.reading import Reading
from clinical_assets.sources.typed.columnar import read_parquet
from clinical_assets.sources.typed.converted import read_statistical, read_workbooks
from clinical_assets.sources.typed.json_lines import read_json_lines
from clinical_assets.sources.typed.phenopackets import read_phenopackets

__all__ = ["ENDINGS", "ending_of", "format_of", "number_sql", "read_files", "refuse_pickle_name"]

_FORMATS: dict[str, FileFormat] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".tab": "csv",
    ".txt": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".xlsx": "excel",
    ".xlsm": "excel",
    ".xlsb": "excel",
    ".xls": "excel",
    ".ods": "excel",
    ".xpt": "xport",
    ".sas7bdat": "sas7bdat",
    ".sav": "spss",
    ".zsav": "spss",
    ".dta": "stata",
}
_PACKED = {".gz", ".gzip", ".zst", ".zstd"}
_PACKED_TEXT = [ending + pack for ending, kind in _FORMATS.items() if kind in ("csv", "jsonl") for pack in _PACKED]
#: Endings that a reader is for, longest first: text also packed, other formats as they are.
ENDINGS = tuple(sorted([*_FORMATS, *_PACKED_TEXT], key=lambda ending: (-len(ending), ending)))
_PICKLES = {".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle"}


def ending_of(name: str) -> str | None:
    """The ending of a file's name that a reader is for, in lower case, or None."""
    lower = name.lower()
    return next((ending for ending in ENDINGS if lower.endswith(ending)), None) if lower.endswith(ENDINGS) else None


def format_of(name: str) -> FileFormat:
    """The format that a file's name says, with or without ``.gz`` or ``.zst`` at its end.

    Raises
    ------
    SourceError
        When the ending says nothing, or says pickle.
    """
    refuse_pickle_name(name)
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    if suffixes and suffixes[-1] in _PACKED:
        suffixes.pop()
    if suffixes and suffixes[-1] in _FORMATS:
        return _FORMATS[suffixes[-1]]
    raise SourceError(
        f"{name}: its ending does not say what is in it.",
        cure="Set `format: csv` in the source, or "
        f"{', '.join(sorted({*_FORMATS.values(), 'phenopackets'} - {'csv'}))}; export others.",
    )


def refuse_pickle_name(name: str) -> None:
    """Refuse a file whose name says that it is a pickle, packed or not.

    Raises
    ------
    SourceError
        Always for such a name, even when the description sets a format.
    """
    if _PICKLES & {suffix.lower() for suffix in PurePosixPath(name).suffixes}:
        raise pickle_refused(name)


def read_files(
    connection: duckdb.DuckDBPyConnection,
    found: Sequence[Found],
    *,
    file_format: FileFormat | None,
    dialect: CsvDialect,
    folder: Path,
    excel: ExcelSheet | None = None,
    unnest: Mapping[str, str] | None = None,
    phenopackets: PhenopacketTable | None = None,
) -> Reading:
    """Make files of one format and the same columns ready to be read.

    Raises
    ------
    SourceError
        When a file cannot be read, naming it.
    """
    for one in found:
        refuse_pickle_name(one.name)
    formats = {file_format or format_of(one.name) for one in found}
    if len(formats) > 1:
        raise SourceError(
            f"{found[0].name} and its fellows are of several formats: {', '.join(sorted(formats))}.",
            cure="Narrow the pattern, for instance to *.csv.",
        )
    chosen = formats.pop()
    match chosen:
        case "csv":
            return read_delimited(connection, found, dialect=dialect, folder=folder)
        case "parquet":
            return read_parquet(connection, found)
        case "jsonl":
            return read_json_lines(
                connection, found, encoding=dialect.encoding, folder=folder, unnest=dict(unnest or {})
            )
        case "excel":
            return read_workbooks(connection, found, sheet=excel or ExcelSheet(), folder=folder)
        case "phenopackets":
            return read_phenopackets(connection, found, chosen=phenopackets or PhenopacketTable(), folder=folder)
        case _:
            return read_statistical(connection, found, file_format=chosen, folder=folder)
