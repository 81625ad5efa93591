"""Pictures and the page of a subject show what the results hold, and say when data is synthetic."""

from __future__ import annotations

import html
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from clinical_assets.pathways.expression.synthetic import SyntheticCohort
from clinical_assets.pathways.results.figures import optimism_picture, pathway_heat_map, precision_recall_panel
from clinical_assets.pathways.results.study_report import DrawnScores, StudyBackground, study_report
from clinical_assets.pathways.results.subject_page import SubjectPageError, subject_page
from clinical_assets.pathways.scores.scores import PathwayScores, score_subjects
from clinical_assets.pathways.study.ablation import ablation
from clinical_assets.pathways.study.ablation_results import AblationResult
from clinical_assets.pathways.study.designs import StudyData
from clinical_assets.pathways.study.study import Budget, micro_cohort_study
from clinical_assets.pathways.study.study_results import StudyResult
from clinical_assets.pathways.study.sweep import Logistic

FAMILY = Logistic(c=(0.1,), l1_ratio=(0.0,))
QUICK = Budget(families=(FAMILY,), permutations=3, primary=("pathways", "logistic regression"), level=0.25)


@pytest.fixture(scope="module")
def study(data: StudyData) -> StudyResult:
    return micro_cohort_study(data, budget=QUICK)


def picture(png: bytes) -> np.ndarray:
    assert png.startswith(b"\x89PNG")
    assert len(png) < 150_000
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.fixture(scope="module")
def removed(data: StudyData) -> AblationResult:
    return ablation(data, design="pathways", family=FAMILY, n_removed=5, n_random=3, budget=QUICK)


def test_the_panel_is_drawn_and_changes_with_the_ablation(removed: AblationResult, study: StudyResult) -> None:
    plain = picture(precision_recall_panel(study, family=FAMILY.name))
    ablated = picture(precision_recall_panel(study, family=FAMILY.name, ablations=[removed]))
    assert plain.std() > 5
    assert not np.array_equal(plain, ablated)


def test_pictures_of_the_same_result_are_the_same_bytes(study: StudyResult) -> None:
    assert precision_recall_panel(study, family=FAMILY.name) == precision_recall_panel(study, family=FAMILY.name)
    assert optimism_picture(study) == optimism_picture(study)


def test_the_heat_map_shows_red_where_pathways_are_up_and_blue_where_down(
    cohort: SyntheticCohort, scores: PathwayScores
) -> None:
    labels = cohort.paired.labels
    planted_up, planted_down = scores.names[0], scores.names[1]
    up, down = (
        picture(pathway_heat_map(scores, cohort.sets, labels, names=[name])).astype(int)
        for name in (planted_up, planted_down)
    )

    def pixels(image: np.ndarray, strong: int, weak: int) -> int:
        return int((image[..., strong] - image[..., weak] > 60).sum())

    assert pixels(up, 0, 2) > pixels(down, 0, 2)
    assert pixels(down, 2, 0) > pixels(up, 2, 0)
    picture(pathway_heat_map(scores, cohort.sets, labels, n_sets=10))


def test_the_optimism_picture_needs_a_null(study: StudyResult) -> None:
    picture(optimism_picture(study))
    with pytest.raises(ValueError, match="no permutations"):
        optimism_picture(replace(study, nulls=()))


def test_the_report_of_a_study_says_question_design_both_results_and_what_follows(
    cohort: SyntheticCohort, scores: PathwayScores, study: StudyResult, removed: AblationResult
) -> None:
    background = StudyBackground(
        "Made up", "Show it.", "Patients.", "Generator", "CC0", ("Few.",), ("d0", "d7"), ("How.",)
    )
    numbered = replace(scores, subjects=tuple(f"{i:03d}" for i in range(len(scores.subjects))))
    sets = replace(cohort.sets, descriptions=("GO:0051607", *cohort.sets.descriptions[1:]))
    drawn = DrawnScores(numbered, sets, cohort.paired.labels)
    page = study_report(background, study, QUICK, drawn, ablations=[removed])
    cells = read(page)
    best = next(row for row in study.rows if row.design == "pathways")
    line = next(r for r in cells.rows if r[:2] == ["pathways", FAMILY.name])
    assert line[4] == f"{best.study.cross_validated.balanced_accuracy.value:.2f}"
    assert line[7].startswith(f"{best.honest.performance.balanced_accuracy.value:.2f} [")
    assert "Can “symptomatic” be told from “asymptomatic”" in page
    assert removed.verdict in html.unescape(page)
    assert "The labels chose them" in page
    assert page.count('href="https://www.ebi.ac.uk/QuickGO/term/GO:0051607"') >= 1
    assert not any(subject in page for subject in scores.subjects)
    assert page.count("data:image/png;base64,") == 6
    assert "No ablation of this study has been run yet" in study_report(background, study, QUICK, drawn)
    assert "Pathways by subject" not in study_report(background, study, QUICK, None, ablations=[removed])


def test_every_pathway_of_a_subject_stands_on_the_page(cohort: SyntheticCohort, scores: PathwayScores) -> None:
    rows = read(subject_page(cohort.paired, scores, cohort.sets, scores.subjects[0], n_pathways=1)).rows
    assert {r[0] for r in rows if len(r) == 7} == {"Pathway", *scores.names}


class Cells(HTMLParser):
    """Text of table rows, and whether every element was closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        del attrs
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def read(page: str) -> Cells:
    cells = Cells()
    cells.feed(page)
    assert not cells.open
    return cells


def test_the_page_lists_the_dysregulated_pathways_with_direction_size_and_evidence(
    cohort: SyntheticCohort, scores: PathwayScores
) -> None:
    row = int(np.argmax((scores.score != 0).sum(axis=1)))
    page = subject_page(cohort.paired, scores, cohort.sets, scores.subjects[row])
    rows = {r[0]: r for r in read(page).rows if len(r) == 7}
    for s in np.flatnonzero(scores.score[row]):
        line = rows[scores.names[s]]
        assert line[1] == ("▲ up" if scores.score[row, s] > 0 else "▼ down")
        assert line[2] == f"{scores.median_effect[row, s]:+.2f}"
        assert line[4] == f"{scores.statistic[row, s]:+.1f}"
    assert len(rows) == 1 + len(scores.names)
    assert f"{(scores.score[row] > 0).sum()} up</span>" in page


def test_the_gene_table_shows_both_samples_and_the_largest_changes_first(
    cohort: SyntheticCohort, scores: PathwayScores
) -> None:
    row = int(np.argmax((scores.score != 0).sum(axis=1)))
    page = subject_page(cohort.paired, scores, cohort.sets, scores.subjects[row], n_pathways=1, n_genes=5)
    genes = [r for r in read(page).rows if len(r) == 4][1:]
    changes = [abs(float(r[3])) for r in genes]
    assert len(genes) == 5
    assert changes == sorted(changes, reverse=True)
    g = cohort.paired.genes.index(genes[0][0])
    assert genes[0][1:3] == [f"{cohort.paired.control[row, g]:.1f}", f"{cohort.paired.affected[row, g]:.1f}"]


def test_synthetic_data_is_labelled_at_the_top_and_real_data_is_not(
    cohort: SyntheticCohort, scores: PathwayScores
) -> None:
    page = subject_page(cohort.paired, scores, cohort.sets, scores.subjects[0])
    assert re.search(r'<body>\s*<header>\s*<p class="synthetic"', page)
    real = replace(cohort.paired, synthetic=False)
    assert "SYNTHETIC DATA" not in subject_page(real, scores, cohort.sets, scores.subjects[0])


def test_names_are_escaped_and_no_script_or_outside_material_is_on_the_page(
    cohort: SyntheticCohort, scores: PathwayScores
) -> None:
    names = tuple(f"<b>{n}</b>&" for n in scores.names)
    page = subject_page(
        cohort.paired, replace(scores, names=names), replace(cohort.sets, names=names), scores.subjects[0]
    )
    assert "<b>synthetic" not in page
    assert not re.search(r"<script|https?://|src=|@import", page)


def test_a_subject_without_findings_gets_a_page_that_says_so(cohort: SyntheticCohort) -> None:
    nothing = score_subjects(cohort.paired, cohort.sets, alpha=1e-12)
    page = subject_page(cohort.paired, nothing, cohort.sets, nothing.subjects[0])
    assert "No pathway of 24 tested is dysregulated" in page
    read(page)


def test_strangers_and_mixed_cohorts_are_refused(cohort: SyntheticCohort, scores: PathwayScores) -> None:
    with pytest.raises(SubjectPageError, match="'nobody' is not in the cohort"):
        subject_page(cohort.paired, scores, cohort.sets, "nobody")
    with pytest.raises(SubjectPageError, match="different cohorts"):
        subject_page(cohort.paired, scores, replace(cohort.sets, names=cohort.sets.names[::-1]), scores.subjects[0])
