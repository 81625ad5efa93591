"""A study comes back from its file as it was, an ablation of it is the same as one of a fresh study."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clinical_assets.pathways.results.kept_results import STUDY, KeptError
from clinical_assets.pathways.results.study_store import keep_study, plain, read_kept_study
from clinical_assets.pathways.study.ablation import AblationError, ablation
from clinical_assets.pathways.study.designs import StudyData
from clinical_assets.pathways.study.study import Budget, micro_cohort_study
from clinical_assets.pathways.study.study_results import StudyResult
from clinical_assets.pathways.study.sweep import Forest, Logistic

FAMILIES = (Forest(n_estimators=(5,), max_features=(None,), criterion=("gini",)), Logistic(c=(0.1,)))
PLAN = Budget(families=FAMILIES, n_folds=3, inner_folds=2, permutations=2, level=0.34)
FROM = {"plan": {"folds": 3, "families": ("a", "b")}, "expression": "sha256:e", "scores": "sha256:s"}


@pytest.fixture(scope="module")
def result(data: StudyData) -> StudyResult:
    return micro_cohort_study(data, budget=PLAN, seed=2)


def test_a_study_is_read_back_whole(tmp_path: Path, result: StudyResult) -> None:
    kept = keep_study(tmp_path, result, **FROM)
    read, digest = read_kept_study(tmp_path, **FROM)
    assert digest == kept.digest
    assert plain(read) == plain(result)
    assert read.headline() == result.headline()
    for again, first in zip(read.rows, result.rows, strict=True):
        assert again.study.best == first.study.best
        assert again.honest.chosen == first.honest.chosen
        np.testing.assert_array_equal(again.study.train, first.study.train)
        assert again.honest.called.dtype == first.honest.called.dtype
    assert keep_study(tmp_path, read, **FROM).digest == digest


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({"expression": "sha256:f"}, "made from other expression"),
        ({"scores": "sha256:t"}, "made from other scores"),
        ({"plan": {"folds": 4, "families": ("a", "b")}}, "another plan: folds changed"),
    ],
)
def test_a_study_of_something_else_is_refused(
    tmp_path: Path, result: StudyResult, other: dict[str, object], told: str
) -> None:
    keep_study(tmp_path, result, **FROM)
    with pytest.raises(KeptError, match=told):
        read_kept_study(tmp_path, **{**FROM, **other})


def test_an_absent_or_damaged_file_is_refused(tmp_path: Path, result: StudyResult) -> None:
    with pytest.raises(KeptError, match="is not there yet"):
        read_kept_study(tmp_path, **FROM)
    keep_study(tmp_path, result, **FROM)
    whole = (tmp_path / STUDY).read_text()
    (tmp_path / STUDY).write_text(whole[:-100])
    with pytest.raises(KeptError, match="cannot be understood"):
        read_kept_study(tmp_path, **FROM)
    said = json.loads(whole)
    said["facts"]["result"]["n"] += 1
    (tmp_path / STUDY).write_text(json.dumps(said))
    with pytest.raises(KeptError, match="does not fit its digest"):
        read_kept_study(tmp_path, **FROM)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_an_ablation_of_the_saved_study_is_that_of_a_fresh_one(
    data: StudyData, result: StudyResult, family: Forest | Logistic
) -> None:
    saved = next(row for row in result.rows if (row.design, row.family) == ("pathways", family.name))
    same = {"design": "pathways", "family": family, "n_removed": 4, "n_random": 3, "budget": PLAN, "seed": 2}
    fresh, retrained = ablation(data, **same), ablation(data, **same, saved=saved)
    assert plain(fresh) == plain(retrained)


def test_a_saved_study_of_other_data_is_refused(data: StudyData, result: StudyResult) -> None:
    saved = next(row for row in result.rows if (row.design, row.family) == ("pathways", "random forest"))
    same = {"design": "pathways", "n_removed": 4, "n_random": 2, "budget": PLAN, "seed": 2}
    with pytest.raises(AblationError, match="not of 'pathways' and 'logistic regression'"):
        ablation(data, **same, family=FAMILIES[1], saved=saved)
    with pytest.raises(AblationError, match="3 outer folds, this budget 4"):
        ablation(data, **{**same, "budget": replace(PLAN, n_folds=4)}, family=FAMILIES[0], saved=saved)
    turned = replace(saved, honest=replace(saved.honest, called=1 - saved.honest.called))
    with pytest.raises(AblationError, match="do not give the saved calls"):
        ablation(data, **same, family=FAMILIES[0], saved=turned)
