"""A small synthetic cohort that several tests look at; nothing changes it."""

from __future__ import annotations

import pytest

from clinical_assets.pathways.expression.synthetic import CASE, SyntheticCohort, synthetic_paired_cohort
from clinical_assets.pathways.scores.scores import PathwayScores, score_subjects
from clinical_assets.pathways.study.designs import StudyData, study_data


@pytest.fixture(scope="session")
def cohort() -> SyntheticCohort:
    return synthetic_paired_cohort(
        n_subjects=16, n_genes=300, n_sets=24, n_planted=4, effect=0.8, penetrance=1.0, set_size=(15, 30), seed=3
    )


@pytest.fixture(scope="session")
def scores(cohort: SyntheticCohort) -> PathwayScores:
    return score_subjects(cohort.paired, cohort.sets)


@pytest.fixture(scope="session")
def data(cohort: SyntheticCohort, scores: PathwayScores) -> StudyData:
    return study_data(cohort.paired, scores, positive=CASE)
