"""The three designs of the study and their combination, one row per subject."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.pathways.expression.pairing import subject_rows
from clinical_assets.pathways.expression.synthetic import CASE, SyntheticCohort
from clinical_assets.pathways.scores.scores import PathwayScores, score_subjects
from clinical_assets.pathways.study.designs import DesignError, StudyData, study_data


def test_the_designs_hold_what_they_are_named_for(
    cohort: SyntheticCohort, scores: PathwayScores, data: StudyData
) -> None:
    one, change, pathways, together = data.designs
    np.testing.assert_array_equal(one.x, cohort.paired.affected.astype(np.float32))
    np.testing.assert_array_equal(change.x, cohort.paired.differences.astype(np.float32))
    np.testing.assert_array_equal(pathways.x, scores.score)
    np.testing.assert_array_equal(together.x, np.hstack([one.x, change.x, pathways.x]))
    assert together.features == one.features + change.features + pathways.features
    assert len(set(together.features)) == len(together.features)
    assert data.y.tolist() == [int(x == CASE) for x in cohort.paired.labels]
    assert data.synthetic


def test_subjects_without_a_label_are_left_out_and_named(cohort: SyntheticCohort, scores: PathwayScores) -> None:
    labels = (None, *cohort.paired.labels[1:])
    data = study_data(replace(cohort.paired, labels=labels), scores, positive=CASE)
    assert data.left_out == (cohort.paired.subjects[0],)
    assert data.subjects == cohort.paired.subjects[1:]
    np.testing.assert_array_equal(data.design("pathways").x, scores.score[1:])


def test_removing_features_removes_names_and_columns_together(data: StudyData) -> None:
    design = data.design("pathways")
    less = design.without([0, 3])
    assert less.features == tuple(f for i, f in enumerate(design.features) if i not in (0, 3))
    np.testing.assert_array_equal(less.x, np.delete(design.x, [0, 3], axis=1))


def test_what_is_no_study_is_refused(cohort: SyntheticCohort, scores: PathwayScores, data: StudyData) -> None:
    with pytest.raises(DesignError, match="positive is 'dead'"):
        study_data(cohort.paired, scores, positive="dead")
    with pytest.raises(DesignError, match="there is no design 'proteins'"):
        data.design("proteins")
    labelled = list(zip(cohort.paired.subjects, cohort.paired.labels, strict=True))
    cases = [s for s, label in labelled if label == CASE]
    others = [s for s, label in labelled if label != CASE]
    paired = subject_rows(cohort.paired, [*cases[:4], *others])
    with pytest.raises(InsufficientData, match="smaller class has 4 subjects"):
        study_data(paired, score_subjects(paired, cohort.sets), positive=CASE)
    with pytest.raises(DesignError, match="different subjects"):
        study_data(paired, scores, positive=CASE)
