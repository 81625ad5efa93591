"""AnnData files are read as they are written: X, layers and raw, dense or sparse, genes by index or column."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from clinical_assets.pathways.expression.expression import read_expression
from clinical_assets.pathways.expression.gene_names import ExpressionError

anndata = pytest.importorskip("anndata")
pd = pytest.importorskip("pandas")

GENES = ("TP53", "MYC", "HLA-A", "SCYL3")
#: Genes x samples, on the log2 scale.
LOGS = np.array([[5.25, 6.5], [2.0, 0.0], [9.5, 8.75], [0.0, 3.125]])
#: Transcript names, as an index that no gene set knows.
PROBES = ("probe 1", "probe 2", "probe 3", "probe 4")


def made(x: Any = LOGS.T, *, genes: tuple[str, ...] = GENES, **parts: Any) -> Any:
    return anndata.AnnData(x, obs=pd.DataFrame(index=["a", "b"]), var=pd.DataFrame(index=list(genes)), **parts)


def written(folder: Path, data: Any) -> Path:
    path = folder / "m.h5ad"
    data.write_h5ad(path)
    return path


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_dense_and_sparse_x_give_genes_by_samples(tmp_path: Path, kind: Any) -> None:
    read = read_expression(written(tmp_path, made(kind(LOGS.T))))
    np.testing.assert_array_equal(read.values, LOGS)
    assert (read.genes, read.samples, read.scale) == (GENES, ("a", "b"), "log2")


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_only_the_samples_of_the_sheet_are_read_in_the_order_of_the_file(tmp_path: Path, kind: Any) -> None:
    read = read_expression(written(tmp_path, made(kind(LOGS.T))), samples=["nobody", "b"])
    np.testing.assert_array_equal(read.values, LOGS[:, 1:])
    assert read.samples == ("b",)


def test_samples_that_the_file_does_not_have_are_refused_with_those_that_it_has(tmp_path: Path) -> None:
    with pytest.raises(ExpressionError, match=r"none of the 1 samples.*'a', 'b'"):
        read_expression(written(tmp_path, made(sparse.csr_matrix(LOGS.T))), samples=["nobody"])


def test_a_layer_is_read_in_place_of_x(tmp_path: Path) -> None:
    data = made(np.zeros((2, 4)), layers={"logs": sparse.csr_matrix(LOGS.T)})
    np.testing.assert_array_equal(read_expression(written(tmp_path, data), layer="logs").values, LOGS)


def test_a_layer_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    path = written(tmp_path, made(layers={"logs": LOGS.T}))
    with pytest.raises(ExpressionError, match=r"no layer 'counts'") as refused:
        read_expression(path, layer="counts")
    assert "'logs'" in str(refused.value.cure)


def test_an_empty_x_is_refused_with_the_layers_that_could_be_meant(tmp_path: Path) -> None:
    path = written(tmp_path, made(None, layers={"logs": LOGS.T}))
    with pytest.raises(ExpressionError, match="empty X") as refused:
        read_expression(path)
    assert "'logs'" in str(refused.value.cure)
    np.testing.assert_array_equal(read_expression(path, layer="logs").values, LOGS)


def test_raw_has_all_genes_where_x_has_the_chosen_ones(tmp_path: Path) -> None:
    data = made()
    data.raw = data.copy()
    path = written(tmp_path, data[:, ["MYC", "TP53"]].copy())
    assert read_expression(path).genes == ("MYC", "TP53")
    read = read_expression(path, layer="raw")
    assert read.genes == GENES
    np.testing.assert_array_equal(read.values, LOGS)


def test_a_layer_called_raw_comes_before_the_part_of_that_name(tmp_path: Path) -> None:
    data = made(np.zeros((2, 4)), layers={"raw": LOGS.T})
    data.raw = made(np.zeros((2, 4)))
    np.testing.assert_array_equal(read_expression(written(tmp_path, data), layer="raw").values, LOGS)


@pytest.mark.parametrize(
    ("column", "read_as"),
    [
        (list(GENES), GENES),
        ([" TP53", "MYC ", "HLA-A", "SCYL3"], GENES),
        (pd.Categorical(GENES), GENES),
        ([7157, 4609, 3105, 57147], ("7157", "4609", "3105", "57147")),
        (pd.Categorical([7157, 4609, 3105, 57147]), ("7157", "4609", "3105", "57147")),
    ],
    ids=["text", "text with spaces", "categories", "numbers", "categories of numbers"],
)
def test_genes_are_read_from_a_column_of_var(tmp_path: Path, column: Any, read_as: tuple[str, ...]) -> None:
    data = made(genes=PROBES)
    data.var["gene"] = column
    read = read_expression(written(tmp_path, data), gene_column="gene")
    assert read.genes == read_as
    np.testing.assert_array_equal(read.values, LOGS)


@pytest.mark.parametrize(
    "column",
    [["TP53", None, "HLA-A", "SCYL3"], pd.Categorical(["TP53", None, "HLA-A", "SCYL3"]), [*GENES[:1], " "] * 2],
)
def test_a_gene_without_a_name_in_the_column_is_refused_by_its_place_in_the_index(tmp_path: Path, column: Any) -> None:
    data = made(genes=PROBES)
    data.var["gene"] = column
    with pytest.raises(ExpressionError, match=r"genes have no 'gene' in var, the first is 'probe 2'"):
        read_expression(written(tmp_path, data), gene_column="gene")


def test_gene_numbers_that_became_decimal_are_refused(tmp_path: Path) -> None:
    data = made(genes=PROBES)
    data.var["entrez"] = [7157.0, 4609.0, 3105.0, 57147.0]
    with pytest.raises(ExpressionError, match="'entrez' of var holds decimal numbers"):
        read_expression(written(tmp_path, data), gene_column="entrez")


def test_a_column_that_var_does_not_have_is_refused_with_those_that_it_has(tmp_path: Path) -> None:
    data = made()
    data.var["symbol"] = list(GENES)
    with pytest.raises(ExpressionError, match="no column 'gene' in var") as refused:
        read_expression(written(tmp_path, data), gene_column="gene")
    assert "symbol" in str(refused.value.cure)


@pytest.mark.filterwarnings("ignore:Observation names are not unique")
def test_a_sample_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    data = made()
    data.obs_names = ["a", "a"]
    with pytest.raises(ExpressionError, match="a"):
        read_expression(written(tmp_path, data))


def test_a_file_that_is_no_hdf5_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.h5ad").write_bytes(b"gene,a,b\nTP53,1,2\n")
    with pytest.raises(ExpressionError, match=r"m\.h5ad is no AnnData file"):
        read_expression(tmp_path / "m.h5ad")


def test_an_hdf5_file_of_something_else_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5ad", "w") as file:
        file["matrix"] = LOGS
    with pytest.raises(ExpressionError):
        read_expression(tmp_path / "m.h5ad")


def test_a_compressed_file_is_refused_with_the_way_to_unpack_it(tmp_path: Path) -> None:
    path = tmp_path / "m.h5ad.gz"
    path.write_bytes(gzip.compress(written(tmp_path, made()).read_bytes()))
    with pytest.raises(ExpressionError, match="compressed") as refused:
        read_expression(path)
    assert "gunzip" in str(refused.value.cure)
