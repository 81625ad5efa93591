"""Scores of pathways that were made elsewhere: a row per subject, a column per pathway.

What belongs here: from a file to checked scores. What does not: what is studied with them (``study.designs``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from clinical_assets.cohorts.paired.sources import ScoreTable
from clinical_assets.pathways.expression.gene_names import ExpressionError
from clinical_assets.pathways.expression.gene_sets import provenance
from clinical_assets.pathways.inputs.sample_sheet_file import read_table
from clinical_assets.pathways.study.designs import ReadyScores

_MISSING = frozenset({"", "na", "nan", "null", "none"})


def read_scores(
    source: ScoreTable,
    folder: Path,
    *,
    synthetic: bool,
    erased: Callable[[Sequence[str]], Sequence[bool]] | None = None,
) -> ReadyScores:
    """Read ready-made scores.

    Parameters
    ----------
    source : ScoreTable
        Which file and columns.
    folder : Path
        Where the description lies.
    synthetic : bool
        The data is made up.
    erased : callable, optional
        Which of some subjects were erased on request; they are left out.

    Raises
    ------
    ExpressionError
        A column is missing, a subject empty or twice there, or a score no finite number; names row and column.
    """
    path = folder / source.matrix
    frame = read_table(path, what="table of scores")
    for name in (source.subject_column, source.label_column, *source.leave_out):
        if name not in frame.columns:
            raise ExpressionError(
                f"table of scores {path.name} has no column {name!r}",
                cure="name it in the description: subject_column, label_column, leave_out",
            )
    subjects = [str(value or "").strip() for value in frame[source.subject_column].to_list()]
    if not all(subjects):
        raise ExpressionError(f"{path.name}, row {subjects.index('') + 1}: no subject", cure="complete the column")
    repeated = [i + 1 for i, subject in enumerate(subjects) if subject in subjects[:i]]
    if repeated:
        raise ExpressionError(
            f"{path.name}, row {repeated[0]}: its subject stands there twice", cure="a subject has one row of scores"
        )
    others = {source.subject_column, source.label_column, *source.leave_out}
    features = tuple(name for name in frame.columns if name not in others)
    if not features:
        raise ExpressionError(f"{path.name} has no column of scores", cure="a column per pathway")
    values = np.array([_numbers(frame[name].to_list(), name, path.name) for name in features]).T
    labels = [None if _missing(value) else str(value).strip() for value in frame[source.label_column].to_list()]
    gone = [False] * len(subjects) if erased is None else erased(subjects)
    keep = [i for i, each in enumerate(gone) if not each]
    return ReadyScores(
        subjects=tuple(subjects[i] for i in keep),
        features=features,
        values=values[keep],
        labels=tuple(labels[i] for i in keep),
        kind="ternary" if set(np.unique(values)) <= {-1.0, 0.0, 1.0} else "real",
        source=provenance(path, version=None, kind="table of scores"),
        synthetic=synthetic,
    )


def _missing(value: object) -> bool:
    return value is None or str(value).strip().lower() in _MISSING


def _numbers(cells: Sequence[object], name: str, where: str) -> list[float]:
    numbers = []
    for row, cell in enumerate(cells, start=1):
        try:
            number = float(str(cell))
        except ValueError:
            number = np.nan
        if not np.isfinite(number):
            raise ExpressionError(
                f"{where}, row {row}, column {name!r}: {'no score' if _missing(cell) else 'no finite number'}",
                cure="give a number, remove the row, or name the column in leave_out",
            )
        numbers.append(number)
    return numbers
