"""Expression matrices: reading them, and stating what they hold.

What belongs here: the matrix, its readers, the kind of gene identifier, the scale, repeated genes. What does not:
who belongs to whom (``pairing``), making samples comparable (``normalisation``), published cohorts (``connectors``).
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.errors import ClinicalAssetsError
from clinical_assets.pathways.gene_sets import Provenance, provenance

if TYPE_CHECKING:
    import polars as pl

IdentifierKind = Literal["symbol", "entrez", "ensembl"]
Scale = Literal["counts", "linear", "log2"]
Duplicates = Literal["refuse", "sum", "mean", "highest_mean"]

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?$")
_ENTREZ = re.compile(r"\d+$")
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9._@/-]*$")
#: Spreadsheets turn SEPT2 and MARCH1 into dates (Ziemann et al. 2016, doi 10.1186/s13059-016-1044-7).
_DATE = re.compile(
    r"(\d{1,2}-(jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)|\d{4}-\d{2}-\d{2}.*)$", re.IGNORECASE
)
#: A log2 value above this would be a count of more than 33 million.
_LARGEST_LOG2 = 25.0
#: Share of identifiers that must look alike.
_AGREE = 0.95


class ExpressionError(ClinicalAssetsError):
    """An expression matrix or sample sheet that cannot be used."""


@dataclass(frozen=True)
class ExpressionMatrix:
    """Expression of genes in samples.

    Attributes
    ----------
    values : float64 array, shape (n_genes, n_samples)
        Finite. Unit by `scale`.
    genes, samples : tuple of str
        Unique row and column names.
    identifier_kind : {"symbol", "entrez", "ensembl"}
    scale : {"counts", "linear", "log2"}
        Raw read counts; other non-negative amounts (TPM, intensities); or log2 of either.
    statements : tuple of str
        What was recognised and done, for the record.
    source : Provenance
    """

    values: NDArray[np.float64]
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    identifier_kind: IdentifierKind
    scale: Scale
    statements: tuple[str, ...]
    source: Provenance

    @property
    def library_sizes(self) -> NDArray[np.float64]:
        """Column sums, shape (n_samples,): reads per sample if the scale is counts."""
        return self.values.sum(axis=0)


def read_expression(
    path: str | Path,
    *,
    gene_column: str | None = None,
    identifier_kind: IdentifierKind | Literal["auto"] = "auto",
    scale: Scale | Literal["auto"] = "auto",
    duplicates: Duplicates = "refuse",
    version: str | None = None,
) -> ExpressionMatrix:
    """Read a gene x sample matrix from CSV, TSV (also gzipped), Parquet or, with anndata installed, h5ad.

    Parameters
    ----------
    path : path
        The ending decides: .csv, .tsv, .txt (each also .gz), .parquet, .h5ad (samples x genes, as AnnData has it).
    gene_column : str, optional
        Column of gene identifiers; the first by default.
    identifier_kind, scale : str
        Recognised by default and stated in the result; a stated value is checked instead.
    duplicates : {"refuse", "sum", "mean", "highest_mean"}
        What to do with rows of the same gene. ``sum`` suits counts; ``highest_mean`` looks at all samples, so it lets
        other subjects choose a subject's row.
    version : str, optional
        Kept as provenance.

    Raises
    ------
    ExpressionError
        With file, row and column: unreadable, empty or non-numeric cells, NaN or infinite values, repeated names,
        identifiers of mixed kinds or turned into dates, an ambiguous scale.
    """
    path = Path(path)
    source = provenance(path, version=version, kind="expression matrix")
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(".h5ad"):
        values, genes, samples = _read_h5ad(path)
    else:
        values, genes, samples = _split(_read_table(path, name), path.name, gene_column)
    return expression_matrix(
        values, genes, samples, identifier_kind=identifier_kind, scale=scale, duplicates=duplicates, source=source
    )


def expression_matrix(
    values: ArrayLike,
    genes: tuple[str, ...],
    samples: tuple[str, ...],
    *,
    source: Provenance,
    identifier_kind: IdentifierKind | Literal["auto"] = "auto",
    scale: Scale | Literal["auto"] = "auto",
    duplicates: Duplicates = "refuse",
) -> ExpressionMatrix:
    """Check values (n_genes, n_samples) and names, and state what they are. Parameters as in `read_expression`."""
    where = source.file
    amounts: NDArray[np.float64] = np.array(values, dtype=np.float64)
    if amounts.shape != (len(genes), len(samples)) or not amounts.size:
        raise ExpressionError(
            f"{where}: values of shape {amounts.shape} for {len(genes)} genes and {len(samples)} samples",
            cure="give one row per gene and one column per sample",
        )
    if len(set(samples)) != len(samples):
        twice = next(s for i, s in enumerate(samples) if s in samples[:i])
        raise ExpressionError(f"{where}: sample {twice!r} stands there twice", cure="name each column once")
    bad = ~np.isfinite(amounts)
    if bad.any():
        row, column = (int(i[0]) for i in np.nonzero(bad))
        raise ExpressionError(
            f"{where}: gene {genes[row]!r}, sample {samples[column]!r} is {amounts[row, column]} "
            f"({int(bad.sum()):,} such cells)",
            cure="remove or impute the gene before; a missing value cannot be ranked",
        )
    kind = recognise_identifiers(genes, where=where)
    if identifier_kind not in ("auto", kind):
        raise ExpressionError(
            f"{where}: the identifiers look like {kind}, not {identifier_kind}", cure="correct the description"
        )
    statements = [f"Gene identifiers: {kind}" + (" (recognised)." if identifier_kind == "auto" else " (as stated).")]
    if kind == "ensembl" and any("." in g for g in genes):
        genes = tuple(g.split(".")[0] for g in genes)
        statements.append("Version suffixes of Ensembl identifiers were cut off.")
    found, reason = _recognise_scale(amounts, scale, where=where)
    statements.append(f"Scale: {found} ({reason}).")
    amounts, genes, note = _resolve_duplicates(amounts, genes, duplicates, where=where)
    if note:
        statements.append(note)
    return ExpressionMatrix(amounts, genes, samples, kind, found, tuple(statements), source)


def recognise_identifiers(genes: tuple[str, ...], *, where: str) -> IdentifierKind:
    """Kind of the gene identifiers; mixed kinds, empty names and dates are refused by name."""
    dates = [g for g in genes if _DATE.match(g)]
    if dates:
        raise ExpressionError(
            f"{where}: {len(dates)} gene names were turned into dates by a spreadsheet, such as {dates[0]!r}",
            cure="go back to the file before it passed through the spreadsheet",
        )
    shares: dict[IdentifierKind, float] = {
        "ensembl": sum(bool(_ENSEMBL.match(g)) for g in genes) / len(genes),
        "entrez": sum(bool(_ENTREZ.match(g)) for g in genes) / len(genes),
    }
    shares["symbol"] = sum(bool(_SYMBOL.match(g)) for g in genes) / len(genes) - shares["ensembl"]
    kind = max(shares, key=lambda k: shares[k])
    if shares[kind] < _AGREE:
        seen = ", ".join(f"{share:.0%} {k}" for k, share in shares.items())
        raise ExpressionError(
            f"{where}: gene identifiers are of mixed or unknown kind ({seen}), such as {genes[0]!r}",
            cure="use one kind: gene symbols, Entrez numbers or Ensembl gene identifiers",
        )
    return kind


def map_identifiers(
    matrix: ExpressionMatrix,
    mapping: Mapping[str, str],
    *,
    to: IdentifierKind,
    duplicates: Duplicates = "refuse",
) -> ExpressionMatrix:
    """Rename genes by a mapping (such as `connectors.gene_mapping`); genes without one are dropped and counted."""
    keep = [i for i, g in enumerate(matrix.genes) if g in mapping]
    if not keep:
        raise ExpressionError(
            f"{matrix.source.file}: none of {len(matrix.genes)} {matrix.identifier_kind} identifiers is in the mapping",
            cure=f"use a mapping from {matrix.identifier_kind} to {to}",
        )
    genes = tuple(mapping[matrix.genes[i]] for i in keep)
    values, genes, note = _resolve_duplicates(matrix.values[keep], genes, duplicates, where=matrix.source.file)
    dropped = len(matrix.genes) - len(keep)
    said = f"Identifiers mapped from {matrix.identifier_kind} to {to}; {dropped:,} genes without a match dropped."
    statements = (*matrix.statements, said, *([note] if note else []))
    return replace(matrix, values=values, genes=genes, identifier_kind=to, statements=statements)


def _recognise_scale(values: NDArray[np.float64], stated: Scale | Literal["auto"], *, where: str) -> tuple[Scale, str]:
    low, high = float(values.min()), float(values.max())
    whole = bool(np.all(values == np.round(values)))
    span = f"values {low:.4g} to {high:.4g}"
    if stated != "auto":
        if stated != "log2" and low < 0:
            raise ExpressionError(f"{where}: {stated} cannot be negative, {span}", cure="state scale='log2'")
        if stated == "counts" and not whole:
            raise ExpressionError(
                f"{where}: stated as counts, but values are not whole numbers",
                cure="give raw counts, or state scale='linear' (estimated counts, TPM)",
            )
        if stated == "log2" and high > _LARGEST_LOG2:
            raise ExpressionError(f"{where}: {span} cannot be log2", cure="state scale='linear' or 'counts'")
        return stated, f"as stated; {span}"
    if whole and low >= 0 and high > _LARGEST_LOG2:
        return "counts", f"recognised: whole numbers, {span}"
    if low >= 0 and high > _LARGEST_LOG2:
        return "linear", f"recognised: {span}, too large for log2"
    if not whole and high <= _LARGEST_LOG2:
        return "log2", f"recognised: {span}"
    raise ExpressionError(
        f"{where}: the scale cannot be told from {span}" + (", all whole numbers" if whole else ""),
        cure="state scale='counts', 'linear' or 'log2'",
    )


def _resolve_duplicates(
    values: NDArray[np.float64], genes: tuple[str, ...], policy: Duplicates, *, where: str
) -> tuple[NDArray[np.float64], tuple[str, ...], str]:
    names = np.array(genes, dtype=object)
    unique, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    if unique.size == names.size:
        return values, genes, ""
    repeated = names.size - unique.size
    if policy == "refuse":
        twice = str(names[np.setdiff1d(np.arange(names.size), first)[0]])
        raise ExpressionError(
            f"{where}: {repeated:,} rows repeat a gene, such as {twice!r}",
            cure="choose duplicates='sum' (counts), 'mean' or 'highest_mean'",
        )
    if policy == "highest_mean":
        order = np.lexsort((-values.mean(axis=1), inverse))
        rows = order[np.concatenate([[True], np.diff(inverse[order]) > 0])]
        merged = values[rows]
    else:
        merged = np.zeros((unique.size, values.shape[1]))
        np.add.at(merged, inverse, values)
        if policy == "mean":
            merged /= np.bincount(inverse)[:, None]
    order = np.argsort(first)
    said = f"{repeated:,} rows of repeated genes resolved by {policy}."
    return merged[order], tuple(str(g) for g in unique[order]), said


def _read_table(path: Path, name: str) -> pl.DataFrame:
    import polars as pl

    try:
        if name.endswith(".parquet"):
            return pl.read_parquet(path)
        if name.endswith((".csv", ".tsv", ".txt")):
            separator = "," if name.endswith(".csv") else "\t"
            return pl.read_csv(path, separator=separator, infer_schema_length=None, null_values=["", "NA", "NaN"])
    except (pl.exceptions.PolarsError, OSError) as error:
        raise ExpressionError(f"{path.name} cannot be read: {error}", cure="check format and separator") from error
    raise ExpressionError(
        f"{path.name}: the ending is none of .csv, .tsv, .txt, .parquet, .h5ad", cure="convert or rename the file"
    )


def _split(
    frame: pl.DataFrame, where: str, gene_column: str | None
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...]]:
    import polars as pl

    if frame.width < 2 or not frame.height:
        raise ExpressionError(f"{where} has {frame.height} rows and {frame.width} columns", cure="check separator")
    column = gene_column or frame.columns[0]
    if column not in frame.columns:
        raise ExpressionError(f"{where} has no column {column!r}", cure=f"name one of {frame.columns[:5]}")
    if frame[column].dtype.is_float():
        raise ExpressionError(
            f"{where}: column {column!r} holds decimal numbers, not gene identifiers", cure="name gene_column"
        )
    rows = frame.drop(column)
    words = [c for c, t in rows.schema.items() if not t.is_numeric()]
    if words:
        raise ExpressionError(f"{where}: column {words[0]!r} is not numeric", cure="keep one gene column only")
    genes = frame[column].cast(pl.String)
    if genes.null_count():
        line = int(genes.is_null().arg_true()[0]) + 1
        raise ExpressionError(f"{where}: data row {line} has no gene name", cure="remove or name the row")
    return rows.cast(pl.Float64).to_numpy(), tuple(genes.to_list()), tuple(rows.columns)


def _read_h5ad(path: Path) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[str, ...]]:
    if importlib.util.find_spec("anndata") is None:
        raise ExpressionError(
            f"{path.name} is an AnnData file and the package anndata is not installed",
            cure="pip install anndata, or save the matrix as Parquet",
        )
    import anndata

    data = anndata.read_h5ad(path)
    values = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    return values.T.astype(np.float64), tuple(map(str, data.var_names)), tuple(map(str, data.obs_names))
