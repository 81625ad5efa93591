"""What reviewers look at, read from the stores: the queue, and one dossier with what stands against it.

What belongs here: from stored evidence to views. What does not: judging it; every word is that of the dossier, of the
gates or of the signatures.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from clinical_assets.experiments.reports import COLOURS, page_path
from clinical_assets.experiments.watching import newest_experiment
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, candidate_of
from clinical_assets.governance.dossier.page import gate_view
from clinical_assets.governance.dossier.stored_dossier import GATES_FILE, Dossier
from clinical_assets.governance.promotion.blocker import Blocker
from clinical_assets.governance.promotion.blockers import blockers
from clinical_assets.governance.signing.approval_status import ApprovalStatus
from clinical_assets.governance.signing.rules import verified_dossier
from clinical_assets.governance.signing.signatures import open_criteria, standing_on, true_signatures
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import NOTHING
from clinical_assets.observability.portfolio import PortfolioEntry
from clinical_assets.reporting.formats import fixed, minute
from clinical_assets.reporting.texts import gettext as _
from clinical_assets.reporting.texts import percent
from clinical_assets.reporting.views import Badge, GateView, TableView
from clinical_assets.serving.pages.review.views import ExperimentLine, QueueRow
from clinical_assets.workspace import Workspace


@dataclass(frozen=True)
class OpenReview:
    """A dossier under review, as it is now."""

    candidate: ReleaseCandidate
    dossier: Dossier
    standing: ApprovalStatus
    blockers: tuple[Blocker, ...]
    open_criteria: tuple[tuple[str, str], ...]

    @property
    def gates(self) -> tuple[GateView, ...]:
        """Gates of the dossier, what needs a person first."""
        return tuple(gate_view(row, self.candidate.spec) for row in self.gate_rows())

    def gate_rows(self) -> list[dict[str, Any]]:
        """Gates of the dossier with the evidence of every verdict."""
        rows: list[dict[str, Any]] = self._content(GATES_FILE)
        return rows

    def changes(self) -> tuple[tuple[str, ...], TableView | None]:
        """What changed since the champion, in sentences, and the measures of both on the same rows."""
        change, comparison = self._content("change.json"), self._content("comparison.json")
        said = [comparison["statement"], *comparison["notes"]]
        if change is not None:
            said += change["details"]
        rows = tuple(
            (each["name"], *(_estimate(each[part]) for part in ("candidate", "champion", "difference")))
            for each in comparison["measures"]
        )
        heads = (_("Measure"), _("Candidate"), _("Champion"), _("Difference"))
        label = _("Candidate and champion on the same rows")
        table = TableView(label, heads, (False, True, True, True), rows, len(rows)) if rows else None
        return tuple(said), table

    def signatures(self) -> TableView:
        """Every true signature on the model, in the order in which they were given."""
        given, _problems = true_signatures(self.candidate.records, bundle_digest=self.candidate.digest)
        rows = tuple(
            (
                each.kind,
                each.printed_name,
                each.role,
                minute(each.signed_at),
                _("yes") if each.dossier_digest == self.dossier.digest else _("no"),
                f"{each.gate}/{each.criterion}" if each.gate else "",
                each.reason or each.meaning,
            )
            for each in given
        )
        heads = (_("Kind"), _("Name"), _("Role"), _("Signed (UTC)"), _("This dossier"), _("Of"), _("Says"))
        return TableView(_("Signatures"), heads, (False,) * len(heads), rows, len(rows))

    def _content(self, name: str) -> Any:
        return json.loads((self.dossier.folder / name).read_text(encoding="utf-8"))


def open_review(workspace: Workspace, cohort: str) -> OpenReview:
    """The dossier of a cohort's newest model.

    Raises
    ------
    ClinicalAssetsError
        There is no model or no dossier, or one was changed; says which.
    """
    candidate = candidate_of(workspace.cohort(cohort))
    dossier = verified_dossier(candidate)
    return OpenReview(
        candidate=candidate,
        dossier=dossier,
        standing=standing_on(candidate, dossier.digest),
        blockers=tuple(blockers(candidate, ask_registry=False)),
        open_criteria=open_criteria(candidate, dossier.digest),
    )


def queue_row(entry: PortfolioEntry, title: str, experiment: ExperimentLine | None) -> QueueRow:
    """One cohort in the queue: what is to be done, in colours and words."""
    if entry.problems:
        state = Badge("red", _("cannot be read"))
    elif entry.model is None:
        state = Badge("grey", _("no model yet"))
    elif entry.champion is not None and entry.champion == entry.bundle_digest:
        state = Badge("green", _("serves"))
    elif entry.blocked_by:
        state = Badge("red", _("blocked"))
    else:
        state = Badge("amber", _("waits for people"))
    missing = [*entry.problems, *entry.waits_for, *entry.blocked_by]
    return QueueRow(
        name=entry.cohort,
        title=title,
        synthetic=entry.records == "synthetic",
        state=state,
        gates=entry.gate_words,
        missing="; ".join(missing),
        has_dossier="dossier" in entry.links,
        has_monitoring="monitoring" in entry.links,
        lights=lights_of(entry.lights),
        experiment=experiment,
    )


def experiment_of_now(workspace: Workspace, cohort: str) -> ExperimentLine | None:
    """The experiment that goes on, or the last one; None where there was none."""
    try:
        found = newest_experiment(workspace.cohort(cohort))
    except ClinicalAssetsError as error:
        return ExperimentLine("", Badge("red", _("cannot be read")), error.message, has_page=False)
    if found is None:
        return None
    name, state = found.protocol.name, found.state
    words = found.end_reason or _("The challenger answers for %(share)s.") % {"share": percent(found.share)}
    page = page_path(workspace.settings, cohort, name)
    return ExperimentLine(name, Badge(COLOURS.get(state, "grey"), state), words, has_page=page.is_file())


def lights_of(lights: Mapping[str, Any]) -> tuple[tuple[str, Badge], ...]:
    """The light of each report with its label; nothing where there is no report at all."""
    if all(light == NOTHING for light in lights.values()):
        return ()
    names = [name for name in report_store.NAMES if name in lights]
    return tuple((BY_NAME[name].label, Badge(lights[name].colour, lights[name].word)) for name in names)


def _estimate(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    return f"{fixed(found['value'])} ({fixed(found['ci_low'])} – {fixed(found['ci_high'])})"
