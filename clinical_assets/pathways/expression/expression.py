"""Expression matrices: reading them, and stating what they hold.

What belongs here: the matrix, the scale, repeated genes. What does not: files (``matrix_files``), names of genes
(``gene_names``), who belongs to whom (``pairing``), making samples comparable (``normalisation``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.pathways.expression.gene_names import (
    ExpressionError,
    IdentifierKind,
    judge_names,
    recognise_identifiers,
    without_version,
)
from clinical_assets.pathways.expression.gene_sets import Provenance, provenance
from clinical_assets.pathways.expression.matrix_files import Strand, read_matrix_file

__all__ = [
    "Duplicates",
    "ExpressionError",
    "ExpressionMatrix",
    "IdentifierKind",
    "Scale",
    "expression_matrix",
    "map_identifiers",
    "read_expression",
    "recognise_identifiers",
]

Scale = Literal["counts", "linear", "log2"]
Duplicates = Literal["refuse", "sum", "mean", "highest_mean"]

#: A log2 value above this would be a count of more than 33 million.
_LARGEST_LOG2 = 25.0
#: Share of rows that must agree before a matrix is called centred, and how much it takes to tell.
_AGREE = 0.95
_ENOUGH_SAMPLES, _ENOUGH_GENES = 4, 20


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
    other_columns : tuple of str
        Columns of the file that were not asked for: where to look for a sample under a slightly different name.
    """

    values: NDArray[np.float64]
    genes: tuple[str, ...]
    samples: tuple[str, ...]
    identifier_kind: IdentifierKind
    scale: Scale
    statements: tuple[str, ...]
    source: Provenance
    other_columns: tuple[str, ...] = ()

    @property
    def library_sizes(self) -> NDArray[np.float64]:
        """Column sums, shape (n_samples,): reads per sample if the scale is counts."""
        return np.asarray(self.values.sum(axis=0))


def read_expression(
    path: str | Path,
    *,
    samples: Collection[str] | None = None,
    gene_column: str | None = None,
    identifier_kind: IdentifierKind | Literal["auto"] = "auto",
    scale: Scale | Literal["auto"] = "auto",
    duplicates: Duplicates = "refuse",
    version: str | None = None,
    layer: str | None = None,
    strand: Strand = "unstranded",
) -> ExpressionMatrix:
    """Read a gene x sample matrix.

    Parameters
    ----------
    path : path
        CSV, TSV or text (.csv, .tsv, .txt, .tab, each also gzipped), Parquet, GCT, a GEO series matrix, the table of
        featureCounts, AnnData (.h5ad, with anndata installed), or a folder of STAR's ``ReadsPerGene.out.tab``.
    samples : collection of str, optional
        Columns to read, as a sample sheet names them: scale, missing values and repeated genes are judged from these
        alone. All columns by default.
    gene_column : str, optional
        Column of gene identifiers; the first by default. In AnnData a column of ``var`` instead of its index.
    identifier_kind, scale : str
        Recognised by default and stated in the result; a stated value is checked instead.
    duplicates : {"refuse", "sum", "mean", "highest_mean"}
        What to do with rows of the same gene. ``sum`` suits counts and is refused on log2; ``highest_mean`` looks at
        all samples, so it lets other subjects choose a subject's row.
    version : str, optional
        Kept as provenance.
    layer : str, optional
        Layer of an AnnData file instead of its X; `raw` is what AnnData keeps under that name, with genes of its own.
    strand : {"unstranded", "forward", "reverse"}
        Column of STAR's tables.

    Raises
    ------
    ExpressionError
        With file, row and column: unreadable, empty or non-numeric cells, NaN or infinite values, repeated names,
        identifiers of mixed kinds or turned into dates, an ambiguous scale, centred or standardised rows.
    """
    path = Path(path)
    source = provenance(path, version=version, kind="expression matrix")
    table = read_matrix_file(path, gene_column=gene_column, samples=samples, layer=layer, strand=strand)
    if not table.samples:
        raise ExpressionError(
            f"{source.file}: none of the {len(samples or ()):,} samples of the sheet is a column; there are "
            f"{', '.join(repr(name) for name in table.others[:3])}, ...",
            cure="write the samples into the sheet as the matrix names them",
        )
    matrix = expression_matrix(
        table.values,
        table.genes,
        table.samples,
        identifier_kind=identifier_kind,
        scale=scale,
        duplicates=duplicates,
        source=source,
    )
    return replace(matrix, statements=(*table.statements, *matrix.statements), other_columns=table.others)


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
    judged = judge_names(genes, where=where)
    rows = np.array(judged.keep)
    amounts, genes = amounts[rows], tuple(gene for gene, keep in zip(genes, judged.keep, strict=True) if keep)
    bad = ~np.isfinite(amounts)
    if bad.any():
        row, column = (int(i[0]) for i in np.nonzero(bad))
        raise ExpressionError(
            f"{where}: gene {genes[row]!r}, sample {samples[column]!r} is {amounts[row, column]} "
            f"({int(bad.sum()):,} such cells)",
            cure="remove or impute the gene before; a missing value cannot be ranked",
        )
    kind = judged.kind
    if identifier_kind not in ("auto", kind):
        raise ExpressionError(
            f"{where}: the identifiers look like {kind}, not {identifier_kind}", cure="correct the description"
        )
    statements = [f"Gene identifiers: {kind}" + (" (recognised)." if identifier_kind == "auto" else " (as stated).")]
    statements.extend(judged.statements)
    if kind == "ensembl" and any("." in g for g in genes):
        genes = tuple(without_version(g) for g in genes)
        statements.append("Version suffixes of Ensembl identifiers were cut off.")
    found, reason = _recognise_scale(amounts, scale, where=where)
    _refuse_standardised(amounts, found, scale, where=where)
    if found == "log2" and duplicates == "sum":
        raise ExpressionError(
            f"{where}: log2 values of one gene cannot be summed: the sum of logarithms is that of a product",
            cure="choose duplicates='mean' or 'highest_mean'",
        )
    statements.append(f"Scale: {found} ({reason}).")
    amounts, genes, note = _resolve_duplicates(amounts, genes, duplicates, where=where)
    if note:
        statements.append(note)
    return ExpressionMatrix(amounts, genes, samples, kind, found, tuple(statements), source)


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


def _refuse_standardised(values: NDArray[np.float64], found: Scale, stated: str, *, where: str) -> None:
    """Refuse rows of mean 0: of log2 values, a difference then is one; standardised, genes of no change look large."""
    if found != "log2" or values.shape[1] < _ENOUGH_SAMPLES:
        return
    spread = values.std(axis=1, ddof=1)
    varying = spread > 0
    if varying.sum() < _ENOUGH_GENES:
        return
    middle = np.abs(values.mean(axis=1)[varying]) / spread[varying]
    # The mean of n values of mean 0 lies within 2 / sqrt(n) of their spread in 95 of 100 rows.
    centred = float((middle < 2 / np.sqrt(values.shape[1])).mean())
    if centred < _AGREE or not 0.3 < float((values < 0).mean()) < 0.7:
        return
    width = spread[varying]
    standardised = bool(np.quantile(width, 0.9) < 1.25 * np.quantile(width, 0.1) and 0.5 < np.median(width) < 1.5)
    if standardised:
        raise ExpressionError(
            f"{where}: the rows look standardised (mean 0, spread 1 in {centred:.0%} of the genes): how much a gene "
            "changed can no longer be told",
            cure="give the log2 values from before",
        )
    if stated == "auto":
        raise ExpressionError(
            f"{where}: the rows look centred (mean 0 in {centred:.0%} of the genes): levels can no longer be told",
            cure="give the log2 values from before, or state scale='log2' for ratios to a common reference",
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
