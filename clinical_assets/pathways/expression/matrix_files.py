"""Files that hold a gene x sample matrix, as laboratories and repositories write them.

What belongs here: from a file to numbers with the names of rows and columns. What does not: what the names and numbers
are (``gene_names``, ``expression``).

Recognised by content, not by name: GEO series matrix, GCT (1.2 and 1.3), the table of featureCounts, and R's
``write.table`` with its header one name short. STAR's ``ReadsPerGene.out.tab`` files are read together, from a folder
of them. All text is read as text first: a sample called 1.10 is never 1.1, a gene 001 never 1.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from clinical_assets.pathways.expression.gene_names import ExpressionError

if TYPE_CHECKING:
    import polars as pl

Strand = Literal["unstranded", "forward", "reverse"]
GZIP_MAGIC = b"\x1f\x8b"
_MISSING = ("", "NA", "NaN", "nan", "null", "NULL", "N/A")
_FEATURE_COUNTS = ("Geneid", "Chr", "Start", "End", "Strand", "Length")
#: What layer is called that AnnData keeps beside X, with genes of its own.
_RAW = "raw"
_STAR_ENDING = "ReadsPerGene.out.tab"
_STAR_COLUMN: dict[Strand, int] = {"unstranded": 1, "forward": 2, "reverse": 3}


@dataclass(frozen=True)
class MatrixTable:
    """A matrix as the file holds it.

    Attributes
    ----------
    values : float64 array, shape (n_genes, n_samples)
        NaN where a cell is empty.
    genes, samples : tuple of str
    others : tuple of str
        Columns that were not asked for, numbers or not.
    statements : tuple of str
        What was recognised, in words.
    """

    values: NDArray[np.float64]
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    others: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Text:
    """Lines of a text table, where its parts stand, and what was recognised."""

    body: str
    header: tuple[str, ...]
    separator: str
    first_line: int
    gene_column: str | None = None
    annotations: tuple[str, ...] = ()
    statement: str = ""


def read_matrix_file(
    path: Path,
    *,
    gene_column: str | None = None,
    samples: Collection[str] | None = None,
    layer: str | None = None,
    strand: Strand = "unstranded",
) -> MatrixTable:
    """Read a matrix; parameters as in `expression.read_expression`.

    Raises
    ------
    ExpressionError
        With file, row and column of what cannot be read.
    """
    if path.is_dir():
        return _read_star(path, strand)
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".h5ad"):
        return _read_h5ad(path, gene_column, samples, layer)
    if layer is not None:
        raise ExpressionError(f"{path.name} has no layers", cure="remove layer: only h5ad files have them")
    if name.endswith(".parquet"):
        return _of_frame(_read_parquet(path), path.name, gene_column, samples)
    if not name.endswith((".csv", ".tsv", ".txt", ".tab", ".gct", ".out")):
        raise ExpressionError(
            f"{path.name}: the ending is none of .csv, .tsv, .txt, .tab, .gct, .parquet, .h5ad",
            cure="convert or rename the file",
        )
    text = _recognise(_decoded(path), path.name, name)
    return _of_text(text, path.name, gene_column, samples)


def _decoded(path: Path) -> str:
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == GZIP_MAGIC else raw
    except (OSError, EOFError) as error:
        raise ExpressionError(
            f"{path.name} cannot be read: {error}", cure="check the path, or fetch it again"
        ) from None
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ExpressionError(f"{path.name} is neither UTF-8 nor Windows-1252 text", cure="save it as UTF-8")


def _recognise(text: str, where: str, name: str) -> _Text:
    if text.startswith(("#1.2", "#1.3")):
        return _gct(text, where)
    start = text.find("!series_matrix_table_begin")
    if start >= 0:
        return _series_matrix(text, start, where)
    lines = text.splitlines()
    skip = 0
    while skip < len(lines) and (not lines[skip].strip() or lines[skip].startswith("#")):
        skip += 1
    if len(lines) - skip < 2:
        raise ExpressionError(f"{where} has {max(0, len(lines) - skip - 1)} rows", cure="check that this is the file")
    separator = _separator(lines[skip], lines[skip + 1], comma_first=name.endswith(".csv"))
    header = _cells(lines[skip], separator)
    short = len(_cells(lines[skip + 1], separator)) == len(header) + 1
    header = ("row names", *header) if short else header
    found = _Text("\n".join(lines[skip + 1 :]), header, separator, skip + 2)
    if tuple(header[: len(_FEATURE_COUNTS)]) == _FEATURE_COUNTS:
        said = "Table of featureCounts: positions, strand and length left aside."
        return replace(found, gene_column="Geneid", annotations=_FEATURE_COUNTS[1:], statement=said)
    return replace(found, statement="Header without a name for the row names, as R writes it.") if short else found


def _separator(header: str, row: str, *, comma_first: bool) -> str:
    order = (",", ";", "\t") if comma_first else ("\t", ";", ",")
    both = [(min(header.count(mark), row.count(mark)), -order.index(mark), mark) for mark in order]
    most, _, mark = max(both)
    return mark if most else order[0]


def _cells(line: str, separator: str) -> tuple[str, ...]:
    import csv

    return tuple(cell.strip() for cell in next(csv.reader([line.rstrip("\r\n")], delimiter=separator)))


def _gct(text: str, where: str) -> _Text:
    lines = text.splitlines()
    try:
        numbers = [int(cell) for cell in lines[1].split()]
        header = _cells(lines[2], "\t")
    except (IndexError, ValueError):
        raise ExpressionError(
            f"{where}, line 2: a GCT file states its size there", cure="fetch the file again"
        ) from None
    described, below = (numbers[2], numbers[3]) if lines[0].startswith("#1.3") and len(numbers) > 3 else (1, 0)
    body = lines[3 + below :]
    found = sum(bool(line.strip()) for line in body)
    if found != numbers[0]:
        raise ExpressionError(
            f"{where}: line 2 states {numbers[0]:,} genes, the file holds {found:,}", cure="fetch the file again"
        )
    return _Text(
        "\n".join(body),
        header,
        "\t",
        4 + below,
        gene_column=header[0],
        annotations=header[1 : 1 + described],
        statement=f"GCT {lines[0][1:4]}, {numbers[0]:,} rows, {numbers[1]:,} samples.",
    )


def _series_matrix(text: str, start: int, where: str) -> _Text:
    body = text[start:].split("\n", 1)[1]
    end = body.find("!series_matrix_table_end")
    if end < 0:
        raise ExpressionError(f"{where}: the table of the series matrix has no end", cure="fetch the file again")
    lines = body[:end].splitlines()
    if len(lines) < 2:
        raise ExpressionError(
            f"{where}: the table of the series matrix is empty, as for sequencing series",
            cure="use the supplementary table of counts of the series",
        )
    first = text[:start].count("\n") + 3
    return _Text("\n".join(lines[1:]), _cells(lines[0], "\t"), "\t", first, statement="GEO series matrix.")


def _of_text(text: _Text, where: str, gene_column: str | None, samples: Collection[str] | None) -> MatrixTable:
    import polars as pl

    if len(set(text.header)) != len(text.header):
        twice = next(name for i, name in enumerate(text.header) if name in text.header[:i])
        raise ExpressionError(f"{where}: column {twice!r} stands there twice", cure="name each column once")
    if len(text.header) < 2:
        raise ExpressionError(f"{where} has {len(text.header)} columns", cure="check separator")
    try:
        frame = pl.read_csv(
            io.BytesIO(text.body.encode()),
            has_header=False,
            separator=text.separator,
            schema=dict.fromkeys(text.header, pl.String),
            null_values=list(_MISSING),
        )
    except pl.exceptions.PolarsError as error:
        raise ExpressionError(f"{where} cannot be read: {error}", cure="check format and separator") from error
    table = _of_frame(
        frame.drop(text.annotations), where, gene_column or text.gene_column, samples, first_line=text.first_line
    )
    return replace(table, statements=(text.statement, *table.statements) if text.statement else table.statements)


def _read_parquet(path: Path) -> pl.DataFrame:
    import polars as pl

    try:
        return pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ExpressionError(f"{path.name} cannot be read: {error}", cure="check the file") from error


def _of_frame(
    frame: pl.DataFrame,
    where: str,
    gene_column: str | None,
    samples: Collection[str] | None,
    *,
    first_line: int | None = None,
) -> MatrixTable:
    import polars as pl

    if frame.width < 2 or not frame.height:
        raise ExpressionError(f"{where} has {frame.height} rows and {frame.width} columns", cure="check separator")
    column = gene_column or frame.columns[0]
    if column not in frame.columns:
        raise ExpressionError(f"{where} has no column {column!r}", cure=f"name one of {frame.columns[:5]}")
    genes = frame[column]
    if genes.dtype.is_float() or (genes.dtype == pl.String and _decimals(genes)):
        raise ExpressionError(
            f"{where}: column {column!r} holds decimal numbers, not gene identifiers", cure="name gene_column"
        )
    genes = genes.cast(pl.String).str.strip_chars()
    if genes.null_count():
        row = int(genes.is_null().arg_true()[0])
        line = "" if first_line is None else f" (line {first_line + row})"
        raise ExpressionError(f"{where}: data row {row + 1}{line} has no gene name", cure="remove or name the row")
    others = [name for name in frame.columns if name != column]
    wanted = others if samples is None else [name for name in others if name in samples]
    numbers = [_numbers(frame[name], genes, where) for name in wanted]
    values = np.column_stack(numbers) if numbers else np.empty((frame.height, 0))
    left = tuple(name for name in others if name not in set(wanted))
    statements = (f"{len(left):,} of {len(others):,} columns are no samples of the sheet.",) if left else ()
    return MatrixTable(values, tuple(genes.to_list()), tuple(wanted), left, statements)


def _decimals(genes: pl.Series) -> bool:
    return bool(genes.head(1000).str.contains(r"^-?\d+\.\d+$").all())


def _numbers(column: pl.Series, genes: pl.Series, where: str) -> NDArray[np.float64]:
    import polars as pl

    if column.dtype.is_numeric():
        return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    if column.dtype != pl.String:
        raise ExpressionError(f"{where}: column {column.name!r} is not numeric", cure="keep one gene column only")
    numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    wrong = (numbers.is_null() & column.is_not_null()).arg_true()
    if len(wrong):
        seen = str(column[int(wrong[0])])
        cure = "use a decimal point" if "," in seen else "keep one gene column only, or name the samples in the sheet"
        raise ExpressionError(
            f"{where}: column {column.name!r} is not numeric: gene {genes[int(wrong[0])]!r} has {seen[:20]!r} there "
            f"({len(wrong):,} such cells)",
            cure=cure,
        )
    return numbers.fill_null(np.nan).to_numpy()


def _read_star(folder: Path, strand: Strand) -> MatrixTable:
    import polars as pl

    files = sorted(folder.glob(f"*{_STAR_ENDING}"))
    if not files:
        raise ExpressionError(f"{folder.name} is a folder without *{_STAR_ENDING}", cure="name a file")
    columns: list[NDArray[np.float64]] = []
    names: list[str] = []
    genes: tuple[str, ...] = ()
    for path in files:
        frame = pl.read_csv(path, separator="\t", has_header=False, infer_schema=False)
        if frame.width != 4:
            raise ExpressionError(f"{path.name} has {frame.width} columns, STAR writes 4", cure="leave it out")
        found = tuple(frame.to_series(0).to_list())
        if genes and found != genes:
            raise ExpressionError(f"{path.name} has other genes than {files[0].name}", cure="use one annotation")
        genes = found
        columns.append(_numbers(frame.to_series(_STAR_COLUMN[strand]), frame.to_series(0), path.name))
        names.append(path.name.removesuffix(_STAR_ENDING).rstrip("._-") or path.stem)
    said = f"{len(files)} tables of STAR, {strand} counts."
    return MatrixTable(np.column_stack(columns), genes, tuple(names), statements=(said,))


def _read_h5ad(path: Path, gene_column: str | None, samples: Collection[str] | None, layer: str | None) -> MatrixTable:
    if importlib.util.find_spec("anndata") is None:
        raise ExpressionError(
            f"{path.name} is an AnnData file and the package anndata is not installed",
            cure="pip install anndata, or save the matrix as Parquet",
        )
    import anndata

    if path.is_file() and path.open("rb").read(2) == GZIP_MAGIC:
        raise ExpressionError(
            f"{path.name} is compressed as a whole, which HDF5 cannot read", cure="unpack it: gunzip FILE"
        )
    try:
        data = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise ExpressionError(
            f"{path.name} is no AnnData file: {said[:100]}", cure="fetch it again, or rename it"
        ) from error
    values, var = _layer(data, path.name, layer)
    genes = _var_names(var, path.name, gene_column)
    names = tuple(map(str, data.obs_names))
    at = [i for i, name in enumerate(names) if samples is None or name in samples]
    left = tuple(name for name in names if samples is not None and name not in samples)
    dense = values[at].toarray() if hasattr(values, "toarray") else np.asarray(values[at])
    said = f"AnnData, {'X' if layer is None else f'layer {layer!r}'}."
    return MatrixTable(dense.T.astype(np.float64), genes, tuple(names[i] for i in at), left, (said,))


def _layer(data: Any, where: str, layer: str | None) -> tuple[Any, Any]:
    """Values (samples x genes) and the table of the genes; `raw` has genes of its own."""
    layers: Sequence[str] = [*data.layers, *([_RAW] if data.raw is not None and _RAW not in data.layers else [])]
    if layer is not None and layer not in layers:
        raise ExpressionError(f"{where} has no layer {layer!r}", cure=f"name one of {layers}" if layers else "use X")
    if layer == _RAW and _RAW not in data.layers:
        return data.raw.X, data.raw.var
    if layer is not None:
        return data.layers[layer], data.var
    if data.X is None:
        raise ExpressionError(f"{where} has an empty X", cure=f"name a layer: {layers or 'there is none'}")
    return data.X, data.var


def _var_names(var: Any, where: str, gene_column: str | None) -> tuple[str, ...]:
    """Names of the genes: the index of var, or one of its columns; text, categories or whole numbers."""
    if gene_column is None:
        return tuple(str(name).strip() for name in var.index)
    if gene_column not in var.columns:
        raise ExpressionError(
            f"{where} has no column {gene_column!r} in var", cure=f"name one of {list(var.columns)[:5]}"
        )
    column = var[gene_column]
    nameless = column.isna() | (column.astype(str).str.strip() == "")
    if nameless.any():
        raise ExpressionError(
            f"{where}: {int(nameless.sum()):,} genes have no {gene_column!r} in var, the first is "
            f"{str(var.index[int(nameless.argmax())])!r}",
            cure="remove or name these genes, or name another column",
        )
    # A category's values have the type that counts.
    kind = getattr(column.dtype, "categories", column).dtype.kind
    if kind == "f":
        raise ExpressionError(
            f"{where}: column {gene_column!r} of var holds decimal numbers, not gene identifiers",
            cure="store the identifiers as text or whole numbers",
        )
    return tuple(str(name).strip() for name in column)
