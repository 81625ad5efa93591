"""The folder of findings: one page per subject, and an index that says who is who.

What belongs here: files and their order, and the findings in short. What does not: what stands on a page
(``subject_page``).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from clinical_assets.pathways.gene_sets import MeasuredGeneSets
from clinical_assets.pathways.pairing import PairedExpression
from clinical_assets.pathways.scores import PathwayScores
from clinical_assets.pathways.subject_page import subject_page
from clinical_assets.whole_files import PRIVATE, write_whole

FOLDER = "pages"


@dataclass(frozen=True)
class Finding:
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


def findings(scores: PathwayScores, labels: Sequence[str | None], *, n_strongest: int = 3) -> tuple[Finding, ...]:
    """Every subject's findings in short, in the order of the scores."""
    found = []
    for row, label in enumerate(labels):
        called = np.flatnonzero(scores.score[row])
        order = called[np.lexsort((-np.abs(scores.statistic[row, called]), scores.p_value[row, called]))]
        found.append(
            Finding(
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
    folder.mkdir(parents=True, exist_ok=True)
    pages = folder / FOLDER
    # mkdtemp gives a folder that only this account may enter.
    new = Path(tempfile.mkdtemp(dir=folder, prefix=f".{FOLDER}."))
    try:
        rows = []
        for number, subject in enumerate(paired.subjects, start=1):
            write_whole(new / page_name(number), subject_page(paired, scores, sets, subject), mode=PRIVATE)
            up, down = int((scores.score[number - 1] > 0).sum()), int((scores.score[number - 1] < 0).sum())
            rows.append(
                f'<tr><td class="n">{number}</td><td><a href="{page_name(number)}">{escape(subject)}</a></td>'
                f"<td>{escape(paired.labels[number - 1] or '')}</td>"
                f'<td class="n up">{up}</td><td class="n down">{down}</td></tr>'
            )
        write_whole(new / "index.html", _index(title, rows, paired), mode=PRIVATE)
        if pages.exists():
            old = new / "old"
            pages.replace(old)
            shutil.rmtree(old)
        new.replace(pages)
    finally:
        shutil.rmtree(new, ignore_errors=True)  # gone already when all went well
    return pages / "index.html"


_STYLE = """
body { font: 15px/1.45 "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #1d2630; max-width: 46rem;
  margin: 1.5rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid #dde3e8; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; } .up { color: #a01222; } .down { color: #1b579b; }
.synthetic { background: #fdecea; border: 2px solid #b2182b; color: #7d1020; padding: .5rem .8rem; font-weight: 600; }
"""


def _index(title: str, rows: Sequence[str], paired: PairedExpression) -> str:
    warning = (
        '<p class="synthetic" role="note">SYNTHETIC DATA. No patient stands behind any page.</p>'
        if paired.synthetic
        else ""
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{warning}<h1>{escape(title)}</h1>\n"
        f"<p>{len(rows)} subjects; pathways that differ between {escape(paired.conditions[0])} and "
        f"{escape(paired.conditions[1])}. A page each.</p>\n"
        '<table><thead><tr><th class="n">No.</th><th>Subject</th><th>Label</th><th class="n">Pathways up</th>'
        f'<th class="n">down</th></tr></thead><tbody>\n{"".join(rows)}\n</tbody></table>\n</body></html>\n'
    )
