"""Ready-made scores are read as they came, or refused with row and column, and make one design."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assets_tests.worlds.descriptions import paired
from clinical_assets.cohorts.paired.paired import PairedCohortSpec
from clinical_assets.cohorts.paired.sources import ScoreTable
from clinical_assets.pathways.expression.gene_names import ExpressionError
from clinical_assets.pathways.inputs.score_table import read_scores
from clinical_assets.pathways.results.score_store import keep_ready, read_ready
from clinical_assets.pathways.study.designs import ReadyScores, ready_data

ROWS = [f"{i:03d}\t{'yes' if i % 2 else 'no'}\t{20 + i}\t{i % 3 - 1}\t{-(i % 2)}" for i in range(1, 13)]


def read(folder: Path, *rows: str, **changed: Any) -> ReadyScores:
    (folder / "s.tsv").write_text("\n".join(["id\tlabel\tage\tGO:1\tGO:2", *rows]) + "\n")
    source = ScoreTable(kind="scores", matrix="s.tsv", subject_column="id", leave_out=("age",))
    return read_scores(source, folder, synthetic=True, **changed)


def test_scores_keep_their_names_values_and_file_and_make_one_design(tmp_path: Path) -> None:
    ready = read(tmp_path, *ROWS)
    assert ready.subjects[0] == "001"
    assert ready.features == ("GO:1", "GO:2")
    assert (ready.kind, ready.labels[:2]) == ("ternary", ("yes", "no"))
    assert ready.values[:3].tolist() == [[0, -1], [1, 0], [-1, -1]]
    data = ready_data(ready, positive="yes")
    assert [design.name for design in data.designs] == ["pathways"]
    np.testing.assert_array_equal(data.designs[0].x, ready.values.astype(np.float32))
    assert (data.negative, int(data.y.sum())) == ("no", 6)
    assert read(tmp_path, *ROWS[:-1], "012\tyes\t30\t0.25\t1").kind == "real"


def test_kept_scores_come_back_the_same_and_erased_subjects_are_left_out(tmp_path: Path) -> None:
    ready = read(tmp_path, *ROWS, erased=lambda subjects: [subject == "002" for subject in subjects])
    assert "002" not in ready.subjects
    kept = keep_ready(tmp_path / "state", ready)
    back, digest = read_ready(tmp_path / "state")
    assert digest == kept.digest
    np.testing.assert_array_equal(back.values, ready.values)
    assert (back.subjects, back.labels, back.source) == (ready.subjects, ready.labels, ready.source)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("001\tyes\t3\t1\t1", "row 13: its subject stands there twice"),
        ("\tyes\t3\t1\t1", "row 13: no subject"),
        ("013\tyes\t3\t\t1", "row 13, column 'GO:1': no score"),
        ("013\tyes\t3\tup\t1", "row 13, column 'GO:1': no finite number"),
        ("013\tyes\t3\tinf\t1", "no finite number"),
    ],
)
def test_a_table_that_is_not_whole_is_refused(tmp_path: Path, row: str, words: str) -> None:
    with pytest.raises(ExpressionError, match=words) as caught:
        read(tmp_path, *ROWS, row)
    assert "013" not in caught.value.message


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"gene_sets": {"kind": "gmt", "path": "x.gmt"}}, "and only they, have gene_sets"),
        ({"scoring": {"alpha": 0.1}}, "scoring does nothing to ready-made scores"),
        ({"study": {"ablation": {"designs": ["combination"]}}}, "one design: pathways"),
    ],
)
def test_a_description_of_scores_says_nothing_of_samples(changed: dict[str, Any], words: str) -> None:
    parts = {"expression": {"kind": "scores", "matrix": "s.csv"}, "gene_sets": {"kind": "none"}}
    PairedCohortSpec.model_validate(paired("ready", **parts))
    with pytest.raises(ValueError, match=words):
        PairedCohortSpec.model_validate(paired("ready", **{**parts, **changed}))
