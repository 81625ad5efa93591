"""What the pages of micro-cohorts are filled from: a subject, who is who, a study.

What belongs here: frozen view models, as in ``views``. What does not: what stands on a page (``pathways.results``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clinical_assets.reporting.views import EmbeddedPicture, TableView


@dataclass(frozen=True)
class PathwayRow:
    """A pathway of one subject; effect in log2, genes that moved its way of those measured; None: no direction."""

    name: str
    is_up: bool | None
    effect: float
    agreeing: int
    genes: int
    z: float
    p: float
    fdr: float
    go: str | None = None


@dataclass(frozen=True)
class GeneRow:
    """A gene's log2 expression in both samples."""

    gene: str
    control: float
    affected: float


@dataclass(frozen=True)
class SubjectPage:
    """Findings of one subject: pathways, the genes behind the first of them, and how to read them."""

    template: ClassVar[str] = "subject.html.j2"

    title: str
    synthetic: bool
    subject: str
    conditions: tuple[str, str]
    facts: tuple[tuple[str, str], ...]
    up: int
    down: int
    tested: int
    expected: float
    decided_on: str
    alpha: float
    remark: str
    called: int
    pathways: tuple[PathwayRow, ...]
    genes: tuple[tuple[str, tuple[GeneRow, ...]], ...]
    n_genes: int
    others: tuple[PathwayRow, ...]
    both_ways: bool
    statements: tuple[str, ...]


@dataclass(frozen=True)
class SubjectLine:
    """A subject in the index of pages."""

    number: int
    subject: str
    label: str
    up: int
    down: int
    page: str


@dataclass(frozen=True)
class SubjectsPage:
    """Who is who: the index of the subjects' pages."""

    template: ClassVar[str] = "subjects.html.j2"

    title: str
    synthetic: bool
    conditions: tuple[str, str]
    subjects: tuple[SubjectLine, ...]


@dataclass(frozen=True)
class AblationView:
    """An ablated design: the conclusion, its evidence, and the numbers before and after by both ways."""

    heading: str
    conclusion: str
    verdict: str
    table: TableView
    removed: tuple[tuple[str, str, str | None], ...]


@dataclass(frozen=True)
class StudyPage:
    """The report of a study for a person: question, design, result by both protocols, ablation, what follows."""

    template: ClassVar[str] = "study.html.j2"

    title: str
    synthetic: bool
    question: str
    use: tuple[tuple[str, str], ...]
    headline: tuple[str, ...]
    design: tuple[str, ...]
    results: TableView
    panels: tuple[EmbeddedPicture, ...]
    null: EmbeddedPicture | None
    ablations: tuple[AblationView, ...]
    ablation_pictures: tuple[EmbeddedPicture, ...]
    heat_map: EmbeddedPicture | None
    sets: tuple[tuple[str, str, str | None], ...]
    follows: tuple[str, ...]
    follows_not: tuple[str, ...]
    statements: tuple[str, ...]
