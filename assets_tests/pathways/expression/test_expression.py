"""Matrices are read from every format alike, and what they hold is recognised, stated or refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from clinical_assets.pathways.expression.expression import (
    ExpressionError,
    ExpressionMatrix,
    expression_matrix,
    map_identifiers,
    read_expression,
)
from clinical_assets.pathways.expression.gene_sets import Provenance

SOURCE = Provenance("matrix.csv", "0" * 64, None, "expression matrix")
GENES = ("TP53", "MYC", "HLA-A", "C1orf112")
LOGS = np.array([[1.5, 2.0], [3.25, 4.0], [0.5, -1.0], [9.0, 8.0]])


def matrix(values: np.ndarray = LOGS, genes: tuple[str, ...] = GENES, **options: object) -> ExpressionMatrix:
    samples = tuple(f"s{i}" for i in range(values.shape[1]))
    return expression_matrix(values, genes, samples, source=SOURCE, **options)  # type: ignore[arg-type]


def test_every_file_format_gives_the_same_matrix(tmp_path: Path) -> None:
    frame = pl.DataFrame({"gene": GENES, "a": LOGS[:, 0], "b": LOGS[:, 1]})
    frame.write_csv(tmp_path / "m.csv")
    frame.write_csv(tmp_path / "m.tsv", separator="\t")
    frame.select("a", "gene", "b").write_parquet(tmp_path / "m.parquet")
    for name, column in (("m.csv", None), ("m.tsv", None), ("m.parquet", "gene")):
        read = read_expression(tmp_path / name, gene_column=column)
        np.testing.assert_array_equal(read.values, LOGS)
        assert (read.genes, read.samples, read.scale, read.identifier_kind) == (GENES, ("a", "b"), "log2", "symbol")
        assert read.source.file == name


@pytest.mark.skipif(importlib.util.find_spec("anndata") is not None, reason="anndata is installed")
def test_h5ad_without_anndata_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "m.h5ad").write_bytes(b"x")
    with pytest.raises(ExpressionError, match="anndata is not installed"):
        read_expression(tmp_path / "m.h5ad")


@pytest.mark.parametrize(
    ("genes", "kind"),
    [
        (GENES, "symbol"),
        (("7157", "4609", "3105", "55732"), "entrez"),
        (("ENSG00000141510.17", "ENSG00000136997", "ENSG00000206503", "ENSG00000000460"), "ensembl"),
    ],
)
def test_the_kind_of_identifier_is_recognised(genes: tuple[str, ...], kind: str) -> None:
    read = matrix(genes=genes)
    assert read.identifier_kind == kind
    assert not any("." in g for g in read.genes) or kind == "symbol"


@pytest.mark.parametrize(
    ("genes", "message"),
    [
        (("TP53", "4609", "ENSG00000206503", "MYC"), "mixed or unknown kind"),
        (("TP53", "MYC", "2-Sep", "HLA-A"), "turned into dates.*'2-Sep'"),
    ],
)
def test_mixed_identifiers_and_dates_are_refused(genes: tuple[str, ...], message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        matrix(genes=genes)


def test_a_wrong_statement_about_identifiers_is_refused() -> None:
    with pytest.raises(ExpressionError, match="look like symbol, not entrez"):
        matrix(identifier_kind="entrez")


def test_the_scale_is_recognised_and_stated() -> None:
    assert matrix().scale == "log2"
    counts = np.array([[0.0, 10], [500, 80], [3, 7], [1, 0]])
    assert matrix(counts).scale == "counts"
    assert matrix(counts + 0.5).scale == "linear"
    assert any("recognised: whole numbers" in s for s in matrix(counts).statements)


@pytest.mark.parametrize(
    ("values", "scale", "message"),
    [
        (np.array([[1.0, 2], [3, 4], [5, 6], [7, 8]]), "auto", "cannot be told"),
        (LOGS, "counts", "cannot be negative"),
        (np.abs(LOGS), "counts", "not whole numbers"),
        (LOGS * 100, "log2", "cannot be log2"),
        (np.where(LOGS > 8.5, 99.5, LOGS), "auto", "cannot be told"),
    ],
)
def test_an_ambiguous_or_wrong_scale_is_refused(values: np.ndarray, scale: str, message: str) -> None:
    with pytest.raises(ExpressionError, match=message):
        matrix(values, scale=scale)


def test_repeated_genes_follow_the_policy() -> None:
    genes = ("TP53", "MYC", "TP53", "C1orf112")
    with pytest.raises(ExpressionError, match="1 rows repeat a gene, such as 'TP53'"):
        matrix(genes=genes)
    with pytest.raises(ExpressionError, match="log2 values of one gene cannot be summed"):
        matrix(genes=genes, duplicates="sum")
    counts = np.round(2 ** (LOGS + 5))
    np.testing.assert_array_equal(matrix(counts, genes, duplicates="sum").values[0], counts[0] + counts[2])
    for policy, expected in (
        ("mean", (LOGS[0] + LOGS[2]) / 2),
        ("highest_mean", LOGS[0]),
    ):
        read = matrix(genes=genes, duplicates=policy)
        assert read.genes == ("TP53", "MYC", "C1orf112")
        np.testing.assert_allclose(read.values[0], expected)
        np.testing.assert_array_equal(read.values[1:], LOGS[[1, 3]])


def test_missing_values_are_refused_by_gene_and_sample() -> None:
    values = LOGS.copy()
    values[2, 1] = np.nan
    with pytest.raises(ExpressionError, match="gene 'HLA-A', sample 's1' is nan"):
        matrix(values)


def test_files_that_are_no_matrix_are_refused(tmp_path: Path) -> None:
    def refused(text: str, message: str, name: str = "m.csv", **options: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ExpressionError, match=message):
            read_expression(tmp_path / name, **options)  # type: ignore[arg-type]

    refused("gene,a,b\nTP53,1.5,x\n", "column 'b' is not numeric")
    refused("gene,a\nTP53,1.5\n,2.5\n", r"data row 2 \(line 3\) has no gene name")
    refused("gene a\nTP53 1.5\n", "1 columns")
    refused("a,b\n1.5,2.5\n", "decimal numbers, not gene identifiers")
    refused("gene,a\nTP53,1.5\n", "no column 'symbol'", gene_column="symbol")
    refused("x", "the ending is none of", name="m.xlsx")


def test_identifiers_are_mapped_and_losses_counted() -> None:
    read = map_identifiers(matrix(), {"TP53": "7157", "MYC": "4609", "HLA-A": "7157"}, to="entrez", duplicates="mean")
    assert read.genes == ("7157", "4609")
    assert read.identifier_kind == "entrez"
    assert any("1 genes without a match" in s for s in read.statements)
    np.testing.assert_allclose(read.values[0], (LOGS[0] + LOGS[2]) / 2)
    with pytest.raises(ExpressionError, match="none of 4 symbol identifiers"):
        map_identifiers(matrix(), {"x": "y"}, to="entrez")
