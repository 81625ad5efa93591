"""What a model of a micro-cohort is fed: the three designs of the study and their combination.

What belongs here: turning paired expression and pathway scores into one table per design, with the outcome. Each row is
one subject, so that every split of rows is a split of subjects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.pathways.expression.gene_sets import Provenance
from clinical_assets.pathways.expression.pairing import PairedExpression
from clinical_assets.pathways.scores.scores import PathwayScores

ONE_TRANSCRIPTOME, FOLD_CHANGE, PATHWAYS, COMBINATION = (
    "one transcriptome",
    "log2 fold change",
    "pathways",
    "combination",
)
#: Below this, five folds cannot hold both classes.
SMALLEST_CLASS = 5


class DesignError(ClinicalAssetsError):
    """Labels or scores that do not make a study."""


@dataclass(frozen=True)
class Design:
    """A table of features, one row per subject.

    Attributes
    ----------
    name : str
    x : float32 array, shape (n_subjects, n_features)
    features : tuple of str
    """

    name: str
    x: NDArray[np.float32]
    features: tuple[str, ...]

    def without(self, columns: ArrayLike) -> Design:
        """The same without some features (positions)."""
        keep = np.setdiff1d(np.arange(len(self.features)), np.asarray(columns))
        return replace(self, x=self.x[:, keep], features=tuple(self.features[i] for i in keep))

    def rows(self, subjects: NDArray[np.int64]) -> Design:
        """The same for some subjects (positions)."""
        return replace(self, x=self.x[subjects])


@dataclass(frozen=True)
class StudyData:
    """The designs of one cohort and its outcome.

    Attributes
    ----------
    subjects : tuple of str
    y : int64 array, shape (n_subjects,)
        1 for the positive label.
    positive, negative : str
    designs : tuple of Design
        One transcriptome (the affected sample), log2 fold change, pathways, and all of them side by side.
    left_out : tuple of str
        Subjects without a label.
    synthetic : bool
    """

    subjects: tuple[str, ...]
    y: NDArray[np.int64]
    positive: str
    negative: str
    designs: tuple[Design, ...]
    left_out: tuple[str, ...]
    synthetic: bool

    def design(self, name: str) -> Design:
        """The design of that name."""
        for design in self.designs:
            if design.name == name:
                return design
        raise DesignError(f"there is no design {name!r}", cure=f"choose from {[d.name for d in self.designs]}")


@dataclass(frozen=True)
class ReadyScores:
    """Scores that were made elsewhere.

    Attributes
    ----------
    subjects, features : tuple of str
        Rows and columns.
    values : float64 array, shape (n_subjects, n_features)
        Finite.
    labels : tuple of str or None
        Of each subject.
    kind : {"ternary", "real"}
        Ternary scores are -1, 0 and 1 alone.
    source : Provenance
        The file.
    synthetic : bool
    """

    subjects: tuple[str, ...]
    features: tuple[str, ...]
    values: NDArray[np.float64]
    labels: tuple[str | None, ...]
    kind: Literal["ternary", "real"]
    source: Provenance
    synthetic: bool

    def statement(self) -> str:
        """What they are, in one sentence."""
        return (
            f"Ready-made {self.kind} scores of {len(self.features):,} pathways from {self.source.file} (SHA-256 "
            f"{self.source.sha256[:12]}); how they were made is not known here."
        )


def ready_data(ready: ReadyScores, *, positive: str) -> StudyData:
    """Lay out ready-made scores: one design, pathways. Raises like `study_data`."""
    keep, y, negative = _labelled(ready.labels, positive)
    return StudyData(
        subjects=tuple(ready.subjects[i] for i in keep),
        y=y,
        positive=positive,
        negative=negative,
        designs=(Design(PATHWAYS, ready.values[keep].astype(np.float32), ready.features),),
        left_out=tuple(s for s, label in zip(ready.subjects, ready.labels, strict=True) if label is None),
        synthetic=ready.synthetic,
    )


def study_data(paired: PairedExpression, scores: PathwayScores, *, positive: str) -> StudyData:
    """Lay out the designs of a cohort with two labels.

    Parameters
    ----------
    paired : PairedExpression
        Both samples of each subject on the log2 scale, with a label per subject.
    scores : PathwayScores
        Of the same subjects in the same order; the ternary scores are the pathway features.
    positive : str
        The label that precision and recall are about.

    Raises
    ------
    DesignError
        Other subjects, or not exactly two labels.
    InsufficientData
        A class of fewer than 5 subjects.
    """
    if scores.subjects != paired.subjects:
        raise DesignError("scores and expression are of different subjects", cure="score this cohort")
    keep, y, negative = _labelled(paired.labels, positive)
    genes = paired.genes
    blocks = [
        Design(
            ONE_TRANSCRIPTOME,
            paired.affected[keep].astype(np.float32),
            tuple(f"{g} ({paired.conditions[1]})" for g in genes),
        ),
        Design(FOLD_CHANGE, paired.differences[keep].astype(np.float32), tuple(f"{g} (log2 FC)" for g in genes)),
        Design(PATHWAYS, scores.score[keep].astype(np.float32), scores.names),
    ]
    together = Design(
        COMBINATION,
        np.concatenate([b.x for b in blocks], axis=1),
        tuple(name for b in blocks for name in b.features),
    )
    return StudyData(
        subjects=tuple(paired.subjects[i] for i in keep),
        y=y,
        positive=positive,
        negative=negative,
        designs=(*blocks, together),
        left_out=tuple(s for s, label in zip(paired.subjects, paired.labels, strict=True) if label is None),
        synthetic=paired.synthetic or scores.synthetic,
    )


def _labelled(all_labels: Sequence[str | None], positive: str) -> tuple[NDArray[np.int64], NDArray[np.int64], str]:
    """Positions of the subjects with a label, 1 for the positive one, and the other label."""
    labels = {label for label in all_labels if label is not None}
    if positive not in labels or len(labels) != 2:
        raise DesignError(
            f"labels are {sorted(labels)}, positive is {positive!r}",
            cure="a study needs two labels, one of them positive",
        )
    keep = np.array([i for i, label in enumerate(all_labels) if label is not None], dtype=np.int64)
    y = np.array([int(label == positive) for label in all_labels if label is not None], dtype=np.int64)
    smallest = int(min(y.sum(), y.size - y.sum()))
    if smallest < SMALLEST_CLASS:
        raise InsufficientData(
            f"the smaller class has {smallest} subjects; {SMALLEST_CLASS} are needed for five folds",
            cure="no study can be made of so few; the scores of single subjects can still be read",
        )
    return keep, y, (labels - {positive}).pop()
