"""What lies among the descriptions and makes no cohort."""

from __future__ import annotations

from rich.markup import escape

from clinical_assets.cli import context
from clinical_assets.cli.data.paired_cohorts import paired
from clinical_assets.cli.output import err
from clinical_assets.cohorts.registry import CatalogueNote


def catalogue_notes() -> tuple[CatalogueNote, ...]:
    """What lies among the descriptions and makes no cohort."""
    return (*context.catalogue().notes, *paired().notes)


def show_notes() -> None:
    """Print them to the error stream."""
    for note in catalogue_notes():
        mark = "[red]broken[/red]" if note.broken else "[yellow]note[/yellow]  "
        err.print(f"{mark} {escape(note.text)} {escape(note.cure)}", highlight=False)
