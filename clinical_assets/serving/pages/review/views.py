"""What screens for reviewers are filled from: the queue, a review, a gate, the ledger.

What belongs here: what such a screen shows. What does not: deciding anything (``dossiers``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from clinical_assets.reporting.views import Badge, GateView, TableView
from clinical_assets.serving.pages.views import Screen


@dataclass(frozen=True)
class ExperimentLine:
    """An experiment in the queue: name, state as a light, how it stands in a sentence, whether it has a page."""

    name: str
    state: Badge
    words: str
    has_page: bool


@dataclass(frozen=True)
class QueueRow:
    """One cohort in the reviewers' queue.

    Attributes
    ----------
    missing : str
        What a release of its newest model waits for, or what is wrong with it.
    lights : tuple of (str, Badge)
        Label and light of each monitoring report.
    """

    name: str
    title: str
    synthetic: bool
    state: Badge
    gates: str
    missing: str
    has_dossier: bool
    has_monitoring: bool
    lights: tuple[tuple[str, Badge], ...]
    experiment: ExperimentLine | None


@dataclass(frozen=True, kw_only=True)
class QueueScreen(Screen):
    """Dossiers that wait, and the lights of what serves."""

    template: ClassVar[str] = "screens/queue.html.j2"
    rows: tuple[QueueRow, ...]


@dataclass(frozen=True, kw_only=True)
class ReviewScreen(Screen):
    """What would be signed, and what stands against it.

    Attributes
    ----------
    said : tuple of str
        What changed since the champion.
    lacking : tuple of (str, int)
        Role and number of signatures still lacking.
    blockers : tuple of (str, str)
        What stands against a release, and its cure.
    open_criteria : tuple of (str, str)
        Gate and criterion of what could not be judged and nobody has waived.
    approving : tuple of str
        Roles that the reader may approve as.
    waiving, approved, rejected : bool
        Whether the reader may waive, and has approved or rejected this dossier.
    done : tuple of str
        What was signed just now.
    problem, cure : str or None
        Why it was refused.
    values : dict
        What was written into the forms.
    """

    template: ClassVar[str] = "screens/review.html.j2"
    cohort: str
    bundle_digest: str
    dossier_digest: str
    gates: tuple[GateView, ...]
    said: tuple[str, ...]
    comparison: TableView | None
    lacking: tuple[tuple[str, int], ...]
    signatures: TableView
    blockers: tuple[tuple[str, str], ...]
    open_criteria: tuple[tuple[str, str], ...]
    approving: tuple[str, ...]
    waiving: bool
    approved: bool
    rejected: bool
    done: tuple[str, ...]
    problem: str | None
    cure: str | None
    values: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class GateScreen(Screen):
    """Every criterion of a gate, and its evidence as JSON."""

    template: ClassVar[str] = "screens/gate.html.j2"
    cohort: str
    gate: GateView
    evidence: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class LedgerRow:
    """One entry of the timeline."""

    seq: int
    at: str
    actor: str
    action: str
    cohort: str
    digest: str
    what: str


@dataclass(frozen=True, kw_only=True)
class LedgerScreen(Screen):
    """The newest entries, and whether the chain is whole."""

    template: ClassVar[str] = "screens/ledger.html.j2"
    rows: tuple[LedgerRow, ...]
    older: str | None
    verified: tuple[Badge, str] | None
    actions: tuple[str, ...]
    cohorts: tuple[str, ...]
    all_cohorts: bool
    cohort: str
    action: str
