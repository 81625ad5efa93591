"""The folder of findings: one page per subject, and an index that says who is who.

What belongs here: files and their order, and the findings in short. What does not: what stands on a page
(``subject_page``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clinical_assets.foundation import sealed_folder
from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
from clinical_assets.pathways.expression.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.expression.pairing import PairedExpression
from clinical_assets.pathways.results.kept_results import SUBJECT_PAGES
from clinical_assets.pathways.results.subject_page import subject_page
from clinical_assets.pathways.scores.scores import PathwayScores
from clinical_assets.reporting.micro_cohort_views import SubjectLine, SubjectsPage
from clinical_assets.reporting.pages import render_page


@dataclass(frozen=True)
class PageFinding:
    """What one subject's page says, without the subject's name.

    Attributes
    ----------
    number : int
        From 1, in the order of the scores.
    label : str or None
    up, down : int
        Dysregulated pathways.
    strongest : tuple of (str, float, float)
        Name, z and p of those with the strongest evidence, first first.
    page : str
        File name within the folder of pages.
    """

    number: int
    label: str | None
    up: int
    down: int
    strongest: tuple[tuple[str, float, float], ...]
    page: str


def findings(scores: PathwayScores, labels: Sequence[str | None], *, n_strongest: int = 3) -> tuple[PageFinding, ...]:
    """Every subject's findings in short, in the order of the scores."""
    found = []
    for row, label in enumerate(labels):
        called = np.flatnonzero(scores.score[row])
        order = called[np.lexsort((-np.abs(scores.statistic[row, called]), scores.p_value[row, called]))]
        found.append(
            PageFinding(
                number=row + 1,
                label=label,
                up=int((scores.score[row] > 0).sum()),
                down=int((scores.score[row] < 0).sum()),
                strongest=tuple(
                    (scores.names[s], float(scores.statistic[row, s]), float(scores.p_value[row, s]))
                    for s in order[:n_strongest]
                ),
                page=page_name(row + 1),
            )
        )
    return tuple(found)


def page_name(number: int) -> str:
    """File name of a subject's page; a subject's own identifier may be no file name."""
    return f"subject-{number:03d}.html"


def write_pages(
    folder: Path, paired: PairedExpression, scores: PathwayScores, sets: MeasuredGeneSets, *, title: str
) -> Path:
    """Write one page per subject and ``index.html``; a whole new folder takes the place of the old one.

    Parameters
    ----------
    folder : Path
        Of the cohort; the pages come into ``pages`` within.
    paired, scores, sets
        Of the same cohort.
    title : str
        Of the index.

    Returns
    -------
    Path
        The index.
    """
    pages = folder / SUBJECT_PAGES
    with sealed_folder.new_folder(pages, mode=sealed_folder.PRIVATE_FOLDER) as new:
        lines = []
        for number, subject in enumerate(paired.subjects, start=1):
            write_whole(new / page_name(number), subject_page(paired, scores, sets, subject), mode=PRIVATE)
            up, down = int((scores.score[number - 1] > 0).sum()), int((scores.score[number - 1] < 0).sum())
            lines.append(SubjectLine(number, subject, paired.labels[number - 1] or "", up, down, page_name(number)))
        index = SubjectsPage(title, paired.synthetic, (paired.conditions[0], paired.conditions[1]), tuple(lines))
        write_whole(new / "index.html", render_page(index), mode=PRIVATE)
        sealed_folder.replace(new, pages)
    return pages / "index.html"
