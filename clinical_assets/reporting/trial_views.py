"""What the page of an experiment is filled from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clinical_assets.reporting.views import Badge, EmbeddedPicture, TableView


@dataclass(frozen=True)
class ExperimentSection:
    """A heading, a sentence, and what shows it."""

    label: str
    summary: str
    badge: Badge | None = None
    pictures: tuple[EmbeddedPicture, ...] = ()
    table: TableView | None = None


@dataclass(frozen=True)
class ExperimentPage:
    """An experiment: verdict, arms, guardrails, allocation, pairs, stages and the guidelines' items."""

    template: ClassVar[str] = "experiment.html.j2"

    title: str
    synthetic: bool
    cohort: str
    hypothesis: str
    protocol: str
    champion: str
    challenger: str
    written_at: str
    sections: tuple[ExperimentSection, ...]
