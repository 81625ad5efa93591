"""What laboratories really send is read right, or refused by name: identifiers, formats, damaged names, wrong pairs."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from clinical_assets.pathways.expression.expression import ExpressionError, ExpressionMatrix, read_expression
from clinical_assets.pathways.expression.gene_names import LARGEST_UNFIT_SHARE, judge_names, recognise_identifiers
from clinical_assets.pathways.expression.gene_sets import Provenance, provenance
from clinical_assets.pathways.expression.pair_checks import agreement, sample_plane
from clinical_assets.pathways.expression.pairing import PairedExpression, pair_samples
from clinical_assets.pathways.inputs.sample_sheet_file import read_sample_sheet

GENES = tuple(f"GENE{i}" for i in range(400))


def logs(n: int = 6, *, seed: int = 0, shared: float = 1.0) -> np.ndarray:
    """log2 values of n pairs (normal, tumour, normal, ...) whose differences share a direction."""
    rng = np.random.default_rng(seed)
    level, change = rng.normal(8, 2, size=400), rng.normal(0, shared, size=400)
    values = [level + rng.normal(0, 0.5, size=400) + (i % 2) * change for i in range(2 * n)]
    return np.round(np.column_stack(values), 3)


def names(n: int = 6) -> list[str]:
    return [f"S{i // 2}{'nt'[i % 2]}" for i in range(2 * n)]


def sheet_of(samples: list[str], subjects: list[str] | None = None) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "sample": samples,
            "subject": subjects or [f"p{i // 2}" for i in range(len(samples))],
            "condition": ["normal", "tumour"] * (len(samples) // 2),
        }
    )


def write(folder: Path, values: np.ndarray, samples: list[str], **more: object) -> Path:
    columns = {"gene": GENES, **{s: values[:, i] for i, s in enumerate(samples)}, **more}
    pl.DataFrame(columns).write_csv(folder / "m.csv")
    return folder / "m.csv"


def paired_from(folder: Path, sheet: str, *, matrix: str = "m.csv") -> PairedExpression:
    (folder / "sheet.csv").write_text(sheet, encoding="utf-8")
    read = read_sample_sheet(folder / "sheet.csv")
    return pair_samples(
        read_expression(folder / matrix, samples=frozenset(read["sample"])), read, control="normal", affected="tumour"
    )


def pairs_of(values: np.ndarray, *, scale: str = "log2") -> PairedExpression:
    samples = names(values.shape[1] // 2)
    source = Provenance("m.csv", "0" * 64, None, "expression matrix")
    matrix = ExpressionMatrix(values, GENES, tuple(samples), "symbol", scale, (), source)  # type: ignore[arg-type]
    return pair_samples(matrix, sheet_of(samples), control="normal", affected="tumour")


def test_a_sample_called_1_10_is_never_the_sample_1_1_of_another_person(tmp_path: Path) -> None:
    samples = ["1.1", "1.2", "1.10", "1.20", "001", "002"]
    write(tmp_path, logs(3), samples)
    lines = "sample,subject,condition\n1.1,7,normal\n1.2,7,tumour\n1.10,07,normal\n1.20,07,tumour\n"
    paired = paired_from(tmp_path, lines + "001,1.0,normal\n002,1.0,tumour\n")
    assert paired.subjects == ("7", "07", "1.0")
    np.testing.assert_array_equal(paired.control, logs(3)[:, [0, 2, 4]].T)
    np.testing.assert_array_equal(paired.affected, logs(3)[:, [1, 3, 5]].T)


@pytest.mark.parametrize(("separator", "encoding"), [(";", "utf-8"), ("\t", "utf-8-sig"), (",", "utf-8")])
def test_a_sheet_is_read_by_the_reader_of_all_tables(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = ["sample,subject,condition,label", "a,p1,normal,NA", "b,p1,tumour,"]
    text = "\n".join(rows).replace(",", separator) + "\n"
    (tmp_path / "sheet.csv").write_bytes(gzip.compress(text.encode(encoding)))
    (tmp_path / "sheet.csv").rename(tmp_path / "sheet.csv.gz")
    sheet = read_sample_sheet(tmp_path / "sheet.csv.gz")
    assert sheet["sample"].to_list() == ["a", "b"]
    assert sheet["label"].to_list() == [None, None]


def test_a_sheet_that_lost_its_identifiers_or_a_line_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"sample": [1.1, 1.2], "subject": ["a", "a"], "condition": ["x", "y"]}).write_parquet(
        tmp_path / "sheet.parquet"
    )
    with pytest.raises(ExpressionError, match=r"sample is stored as decimal numbers, where 1\.1 and 1\.10"):
        read_sample_sheet(tmp_path / "sheet.parquet")
    (tmp_path / "sheet.csv").write_text("sample,subject,condition\na,p,normal\nb,p\n", encoding="utf-8")
    with pytest.raises(ExpressionError, match=r"sheet\.csv, line 3"):
        read_sample_sheet(tmp_path / "sheet.csv")


def test_a_near_name_is_offered_and_never_taken(tmp_path: Path) -> None:
    write(tmp_path, logs(2), ["X01.A.n", "X01.A.t", "good.n", "good.t"])
    lines = "sample,subject,condition\n01-A-n,p1,normal\n01-A-t,p1,tumour\ngood.n,p2,normal\ngood.t,p2,tumour\n"
    (refused,) = paired_from(tmp_path, lines).refused
    assert refused.reason == "sample '01-A-n' (normal) is not in the matrix; is it 'X01.A.n' there?"


def test_columns_outside_the_sheet_judge_nothing(tmp_path: Path) -> None:
    values = logs(3)
    write(tmp_path, values, names(3), entrez=np.arange(400) * 1000, chromosome=["chr1"] * 400, hole=[None] * 400)
    lines = "sample,subject,condition\n" + "".join(
        f"{s},{s[:2]},{['normal', 'tumour'][s[2] == 't']}\n" for s in names(3)
    )
    paired = paired_from(tmp_path, lines)
    np.testing.assert_array_equal(paired.control, values[:, ::2].T)
    assert any("3 of 9 columns are no samples of the sheet" in said for said in paired.statements)


def test_standardised_rows_are_refused_and_centred_ones_unless_stated(tmp_path: Path) -> None:
    values = logs()
    centred = values - values.mean(axis=1, keepdims=True)
    write(tmp_path, centred, names())
    with pytest.raises(ExpressionError, match=r"the rows look centred \(mean 0 in 100% of the genes\)"):
        read_expression(tmp_path / "m.csv")
    assert read_expression(tmp_path / "m.csv", scale="log2").scale == "log2"
    write(tmp_path, centred / centred.std(axis=1, keepdims=True), names())
    for scale in ("auto", "log2"):
        with pytest.raises(ExpressionError, match="the rows look standardised"):
            read_expression(tmp_path / "m.csv", scale=scale)  # type: ignore[arg-type]
    write(tmp_path, values, names())
    assert read_expression(tmp_path / "m.csv").scale == "log2"


def test_exchanged_samples_stop_the_subject_and_leave_the_others_as_they_are() -> None:
    values = logs()
    sound = pairs_of(values)
    assert (sound.refused, sound.doubtful) == ((), ())
    values[:, [4, 5]] = values[:, [5, 4]]
    paired = pairs_of(values)
    assert [r.subject for r in paired.refused] == ["p2"]
    assert "look exchanged: its changes correlate -0." in paired.refused[0].reason
    np.testing.assert_array_equal(paired.differences, sound.differences[[0, 1, 3, 4, 5]])


def test_nothing_is_said_about_exchange_where_subjects_share_no_change() -> None:
    assert pairs_of(logs(shared=0.0)).refused == ()
    assert abs(float(np.median(agreement(pairs_of(logs(shared=0.0)).differences)))) < 0.3


def test_equal_constant_empty_and_borrowed_samples_stop_their_subject() -> None:
    values = logs(7)
    values[:, 1] = values[:, 0]
    values[:, 3] = 5.0
    values[:, 5] = values[:, 7]
    values[:250, 9] = values[:250, 8]
    paired = pairs_of(values)
    reasons = {r.subject: r.reason for r in paired.refused}
    assert reasons["p0"].startswith("both samples are the same: 100.0%")
    assert reasons["p1"] == "the affected sample has one value for all genes"
    assert reasons["p2"] == reasons["p3"] == "a sample is the same as that of 1 other subjects"
    assert [(d.subject, d.reason[:3]) for d in paired.doubtful] == [("p4", "62%")]
    assert paired.subjects == ("p4", "p5", "p6")
    counts = np.round(2 ** logs())
    counts[5:, 2] = 0
    assert "empty: 99% of its genes are 0" in pairs_of(counts, scale="counts").refused[0].reason


def test_the_plane_of_samples_keeps_pairs_apart_by_condition() -> None:
    paired = pairs_of(logs())
    control, affected, shares = sample_plane(paired.control, paired.affected)
    assert np.ptp(np.sign(control[:, 0])) == 0
    assert (np.sign(control[:, 0]) != np.sign(affected[:, 0])).all()
    assert 0.5 < shares[0] < 1
    assert shares[1] < shares[0]


@pytest.mark.parametrize(
    "name",
    ["2-Sep", "02-sept", "1-Mrz", "1. März", "Sep-02", "1-Dez", "2-set", "2019-09-02", "2/9/2019", "02.09.19", "1-déc"],
)
def test_dates_are_known_in_any_spelling(name: str) -> None:
    with pytest.raises(ExpressionError, match="turned into dates"):
        recognise_identifiers((*GENES, name), where="m.csv")


def test_names_that_are_no_genes_are_listed_and_refused_beyond_the_limit() -> None:
    few = ("N_unmapped", "__no_feature", "Unassigned_NoFeatures", "2-Sep", "2.31E+13")
    judged = judge_names((*GENES, *few), where="m.csv")
    assert judged.keep == (True,) * 400 + (False,) * 5
    assert any("(summary line): 3 ('N_unmapped', '__no_feature'" in said for said in judged.statements)
    limit = int(LARGEST_UNFIT_SHARE * 400)
    with pytest.raises(ExpressionError, match=r"rows have names that are no genes, such as '43891'"):
        judge_names((*GENES, *["43891"] * (limit + 1)), where="m.csv")
    assert judge_names(tuple(str(i) for i in range(1, 400)), where="m.csv").kind == "entrez"


SAMPLES = names(2)


def _rows(values: np.ndarray, *, between: str = "", quote: str = "") -> str:
    return "".join(
        f"{quote}{g}{quote}{between}\t" + "\t".join(f"{v:g}" for v in row) + "\n"
        for g, row in zip(GENES, values, strict=True)
    )


def _texts() -> dict[str, str]:
    values, header = logs(2), "\t".join(SAMPLES)
    quoted = "\t".join(f'"{s}"' for s in SAMPLES)
    series = f'!Series_title\t"x"\n!series_matrix_table_begin\n"ID_REF"\t{quoted}\n'
    return {
        "plain.tsv": f"gene\t{header}\n" + _rows(values),
        "short_header.txt": f"{header}\n" + _rows(values, quote='"'),
        "semicolons.csv": (f"gene\t{header}\n" + _rows(values)).replace("\t", ";"),
        "v12.gct": f"#1.2\n400\t4\nName\tDescription\t{header}\n" + _rows(values, between="\tna"),
        "v13.gct": f"#1.3\n400\t4\t1\t1\nid\tdesc\t{header}\nage\tna\t1\t2\t3\t4\n" + _rows(values, between="\tna"),
        "GSE1_series_matrix.txt": series + _rows(values, quote='"') + "!series_matrix_table_end\n",
        "counts.txt": "# Program:featureCounts v2\nGeneid\tChr\tStart\tEnd\tStrand\tLength\t"
        + f"{header}\n"
        + _rows(values, between="\tchr1;chr1\t1;5\t2;9\t+;+\t100"),
    }


@pytest.mark.parametrize("name", _texts())
def test_every_layout_gives_the_same_matrix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(_texts()[name], encoding="utf-8")
    read = read_expression(tmp_path / name)
    np.testing.assert_allclose(read.values, logs(2))
    assert (list(read.samples), read.genes) == (SAMPLES, GENES)


def test_star_tables_are_read_from_their_folder_without_the_summary_lines(tmp_path: Path) -> None:
    folder = tmp_path / "star"
    folder.mkdir()
    ids = [f"ENSG{i:011d}.3" for i in range(40)]
    for k, sample in enumerate(("a", "b")):
        rows = [f"{g}\t{i + 30 + k}\t{i + 60 + k}\t{i}" for i, g in enumerate(ids)]
        (folder / f"{sample}_ReadsPerGene.out.tab").write_text("\n".join(["N_unmapped\t9\t9\t9", *rows]) + "\n")
    read = read_expression(folder, strand="forward")
    assert (read.samples, read.scale) == (("a", "b"), "counts")
    assert read.genes[0] == "ENSG00000000000"
    np.testing.assert_array_equal(read.values[:, 1], np.arange(40) + 61)
    assert any("N_unmapped" in said for said in read.statements)
    (folder / "a_ReadsPerGene.out.tab").write_text("x\t1\t1\t1\n")
    assert provenance(folder, version=None, kind="x").sha256 != read.source.sha256


def test_broken_layouts_say_where_and_what(tmp_path: Path) -> None:
    def refused(name: str, text: str, message: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ExpressionError, match=message):
            read_expression(tmp_path / name)

    refused("cut.gct", "#1.2\n5\t1\nName\tDescription\ta\nG1\tna\t1.5\n", "states 5 genes, the file holds 1")
    refused("x_series_matrix.txt", '!series_matrix_table_begin\n"ID_REF"\t"a"\n', "has no end")
    refused("e.txt", '!series_matrix_table_begin\n"ID_REF"\t"a"\n!series_matrix_table_end\n', "table .* is empty")
    refused("twice.csv", "gene,a,a\nTP53,1.5,2\n", "column 'a' stands there twice")
    refused("comma.csv", 'gene;a;b\nTP53;"1,5";2\n', "gene 'TP53' has '1,5' there")
