"""Pairs are complete or refused with a reason, and their normalisation is stated."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from clinical_assets.pathways.expression.expression import ExpressionError, ExpressionMatrix, expression_matrix
from clinical_assets.pathways.expression.gene_sets import Provenance
from clinical_assets.pathways.expression.normalisation import Normalisation
from clinical_assets.pathways.expression.pairing import pair_samples, sample_sheet, subject_rows

SOURCE = Provenance("matrix.csv", "0" * 64, None, "expression matrix")


def cohort(n: int = 4, *, scale: str = "log2", seed: int = 0) -> tuple[ExpressionMatrix, pl.DataFrame]:
    rng = np.random.default_rng(seed)
    genes = tuple(f"G{i}" for i in range(60))
    values = rng.normal(8, 2, size=(60, 2 * n)) if scale == "log2" else rng.poisson(80, size=(60, 2 * n)) * 1.0
    samples = tuple(f"p{i // 2}{'nt'[i % 2]}" for i in range(2 * n))
    sheet = pl.DataFrame(
        {
            "sample": samples,
            "subject": [s[:2] for s in samples],
            "condition": ["normal" if s.endswith("n") else "tumour" for s in samples],
            "label": ["high" if i // 2 % 2 else "low" for i in range(2 * n)],
            "age_years": [50 + i // 2 for i in range(2 * n)],
        }
    )
    matrix = expression_matrix(values, genes, samples, source=SOURCE, scale=scale)  # type: ignore[arg-type]
    return matrix, sample_sheet(sheet)


def pair(matrix: ExpressionMatrix, sheet: pl.DataFrame, **options: object):  # type: ignore[no-untyped-def]
    return pair_samples(matrix, sheet, control="normal", affected="tumour", **options)  # type: ignore[arg-type]


def test_differences_are_affected_minus_control_whatever_the_order_of_columns() -> None:
    matrix, sheet = cohort()
    paired = pair(matrix, sheet.reverse())
    assert paired.subjects == ("p3", "p2", "p1", "p0")
    np.testing.assert_array_equal(paired.differences[3], matrix.values[:, 1] - matrix.values[:, 0])
    assert paired.labels == ("high", "low", "high", "low")
    assert paired.covariates["age_years"].to_list() == [53, 52, 51, 50]


def test_incomplete_subjects_are_refused_one_by_one_with_a_reason() -> None:
    matrix, sheet = cohort(5)
    extra = pl.DataFrame(
        {"sample": ["x"], "subject": ["p2"], "condition": ["tumour"], "label": ["low"], "age_years": [1]}
    )
    sheet = pl.concat([sheet.filter(pl.col("sample") != "p0t"), extra])
    sheet = sheet.with_columns(
        sample=pl.when(pl.col("sample") == "p1n").then(pl.lit("lost")).otherwise("sample"),
        label=pl.when(pl.col("sample") == "p3t").then(pl.lit("other")).otherwise("label"),
    )
    paired = pair(matrix, sheet)
    assert paired.subjects == ("p4",)
    reasons = {r.subject: r.reason for r in paired.refused}
    assert reasons["p0"].startswith("0 samples of condition 'tumour'")
    assert reasons["p1"] == "sample 'lost' (normal) is not in the matrix"
    assert reasons["p2"].startswith("2 samples of condition 'tumour'")
    assert "different labels" in reasons["p3"]


def test_a_cohort_without_any_pair_or_condition_is_refused() -> None:
    matrix, sheet = cohort(2)
    with pytest.raises(ExpressionError, match=r"no subject has both samples.*'p0': 0 samples of condition 'normal'"):
        pair(matrix, sheet.with_columns(condition=pl.Series(["tumour", "tumour", "normal", "other"])))
    with pytest.raises(ExpressionError, match="no sample has the condition 'metastasis'"):
        pair_samples(matrix, sheet, control="normal", affected="metastasis")


def test_sample_sheets_are_checked_by_row() -> None:
    sheet = cohort()[1]
    with pytest.raises(ExpressionError, match=r"lacks the columns \['subject'\]"):
        sample_sheet(sheet.drop("subject"))
    with pytest.raises(ExpressionError, match="sample 'p0n' is listed twice"):
        sample_sheet(pl.concat([sheet, sheet[:1]]))
    with pytest.raises(ExpressionError, match="data row 3: condition is empty"):
        sample_sheet(sheet.with_columns(condition=pl.when(pl.col("sample") == "p1n").then(None).otherwise("condition")))


def test_counts_are_normalised_by_pair_and_independent_of_other_subjects() -> None:
    matrix, sheet = cohort(5, scale="counts")
    spec = Normalisation(genes=matrix.genes)
    whole = pair(matrix, sheet, normalisation=spec)
    alone = pair(matrix, sheet.filter(pl.col("subject") == "p3"), normalisation=spec)
    np.testing.assert_array_equal(whole.differences[3], alone.differences[0])
    np.testing.assert_array_equal(whole.library_sizes[3], matrix.values[:, 6:8].sum(axis=0))
    assert any(s.startswith("TMM against the subject's own control") for s in whole.statements)


def test_the_expression_filter_is_by_spec_and_says_that_it_looks_at_the_cohort() -> None:
    matrix, sheet = cohort(3)
    paired = pair(matrix, sheet, normalisation=Normalisation(min_level=8.0, min_share=0.5))
    expected = (matrix.values >= 8).mean(axis=1) >= 0.5
    assert paired.genes == tuple(g for g, k in zip(matrix.genes, expected, strict=True) if k)
    assert any("looks at the whole cohort" in s for s in paired.statements)
    with pytest.raises(ExpressionError, match="no gene reaches 99"):
        pair(matrix, sheet, normalisation=Normalisation(min_level=99.0))
    with pytest.raises(ExpressionError, match="lacks 1 genes of the fixed list, such as 'NOPE'"):
        pair(matrix, sheet, normalisation=Normalisation(genes=("G1", "NOPE")))


def test_a_normalisation_that_does_not_fit_the_scale_is_refused() -> None:
    matrix, sheet = cohort()
    with pytest.raises(ExpressionError, match="'tmm' does not fit the scale 'log2'"):
        pair(matrix, sheet, normalisation=Normalisation(method="tmm"))


def test_centring_takes_out_a_shift_of_the_whole_array_and_the_shift_is_always_stated() -> None:
    matrix, sheet = cohort()
    plain, centred = (pair(matrix, sheet, normalisation=Normalisation(centre=c)) for c in (False, True))
    np.testing.assert_allclose(np.median(centred.differences, axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(
        plain.differences - np.median(plain.differences, axis=1, keepdims=True), centred.differences
    )
    assert any("Median difference over all genes" in s and "not subtracted" in s for s in plain.statements)


def test_samples_in_different_batches_are_named() -> None:
    matrix, sheet = cohort()
    paired = pair(matrix, sheet.with_columns(batch=pl.lit("b1")))
    assert paired.batches[0] == ("b1", "b1")
    crossed = pair(matrix, sheet.with_columns(batch=pl.col("condition")))
    assert any("4 of 4 subjects have their two samples in different batches" in s for s in crossed.statements)


def test_subjects_can_be_chosen_by_name() -> None:
    paired = pair(*cohort())
    some = subject_rows(paired, ["p2", "p0"])
    np.testing.assert_array_equal(some.differences, paired.differences[[2, 0]])
    assert some.covariates["subject"].to_list() == ["p2", "p0"]
    with pytest.raises(ExpressionError, match="'p9' is not in the cohort"):
        subject_rows(paired, ["p9"])
