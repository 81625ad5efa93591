"""Every cohort in one line: its model, how good it is, what the gates said, what it waits for, what serves, its lights.

What belongs here: reading that line from the stores, and the page of all cohorts. What does not: judging anything, and
the page of one cohort (``monitoring.pages``). What cannot be read of a cohort is said in its line and hides no other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from clinical_assets.cohorts.paired.paired import paired_catalogue
from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.candidate.candidate import candidate_of
from clinical_assets.governance.dossier import folder as dossier_folder
from clinical_assets.governance.promotion.blocker import in_short, waits_for
from clinical_assets.governance.promotion.blockers import blockers_by_people
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.modelling.trainings import trainings
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.reports import BY_NAME
from clinical_assets.monitoring.traffic_lights import Signal, signal_of
from clinical_assets.pathways.results.kept_results import STUDY, STUDY_PAGE, SUBJECT_PAGES, read_kept
from clinical_assets.records.clock import utc_now
from clinical_assets.records.schema import ledger
from clinical_assets.reporting.formats import fixed
from clinical_assets.reporting.pages import render_page
from clinical_assets.reporting.views import AllCohortsPage, Badge, CohortLine
from clinical_assets.workspace import CohortHandle, Workspace

INDEX = "index.html"


@dataclass
class PortfolioEntry:
    """What is known of one cohort; what there is not yet is None or empty.

    Attributes
    ----------
    cohort, records, owner : str
        Name; "real" or "synthetic"; team that answers for it.
    is_micro_cohort : bool
        Paired samples of a handful of people, which have studies and no champion.
    model, bundle_digest : str or None
        Candidate that the newest training selected, and its bundle.
    n, events : int or None
        Holdout of that training; of a micro-cohort its subjects.
    auroc : mapping or None
        ``value``, ``ci_low`` and ``ci_high`` on the holdout, from 0 to 1.
    site : str or None
        Disease and its ICD-10 codes.
    calibration_slope, net_benefit : mapping or None
        As ``auroc``; 1 is ideal of the slope, and net benefit is per unit at the cost threshold.
    failed : tuple of str
        Criteria that a gate failed, with the gate before a slash.
    finding : str or None
        Of a micro-cohort the headline of its study; of a refused training why.
    gates : mapping
        Outcome by gate, of those that were evaluated on the newest model.
    blocked_by : tuple of str
        Codes of what is wrong with a release of the newest model.
    waits_for : tuple of str
        What people have still to do for it.
    champion, champion_since, retired_at : str or None
        What serves, since when; or when the last was taken out of service. UTC.
    signed_by : tuple of str
        Who approved the champion, or the newest model where nothing serves.
    last_batch : str or None
        When the newest batch of records was taken in, UTC.
    lights : mapping
        Light by report.
    links : mapping
        Files that there are to read, by name.
    problems : list of str
        What could not be read, and why.
    """

    cohort: str
    records: str | None = None
    owner: str | None = None
    is_micro_cohort: bool = False
    model: str | None = None
    bundle_digest: str | None = None
    n: int | None = None
    events: int | None = None
    auroc: Mapping[str, Any] | None = None
    site: str | None = None
    calibration_slope: Mapping[str, Any] | None = None
    net_benefit: Mapping[str, Any] | None = None
    failed: tuple[str, ...] = ()
    finding: str | None = None
    gates: Mapping[str, str] = field(default_factory=dict)
    blocked_by: tuple[str, ...] = ()
    waits_for: tuple[str, ...] = ()
    champion: str | None = None
    champion_since: str | None = None
    retired_at: str | None = None
    signed_by: tuple[str, ...] = ()
    last_batch: str | None = None
    lights: Mapping[str, Signal] = field(default_factory=dict)
    links: dict[str, Path] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def release(self) -> str:
        """What stands between the newest model and serving, in a few words."""
        if self.blocked_by:
            return f"blocked: {', '.join(self.blocked_by)}"
        if self.waits_for:
            return f"waits for {in_short(self.waits_for)}"
        return "serves" if self.champion is not None and self.champion == self.bundle_digest else "–"

    @property
    def gate_words(self) -> str:
        """How many gates passed, and which did not."""
        if not self.gates:
            return "–"
        other = [f"{gate}: {outcome}" for gate, outcome in self.gates.items() if outcome != "pass"]
        words = f"{len(self.gates) - len(other)} of {len(GATES)} pass" + (f"; {', '.join(other)}" if other else "")
        return words + (f" (failed: {', '.join(self.failed)})" if self.failed else "")

    @property
    def performance(self) -> str:
        """AUROC with its interval."""
        return _measured(self.auroc)

    @property
    def slope(self) -> str:
        """Calibration slope with its interval."""
        return _measured(self.calibration_slope)

    @property
    def benefit(self) -> str:
        """Net benefit at the cost threshold with its interval, to two digits: that of a rare event is small."""
        return _measured(self.net_benefit, show=lambda value: "unbounded" if value is None else f"{value:.2g}")

    @property
    def champion_words(self) -> str:
        """Since when something serves, or that it was retired."""
        if self.champion_since is not None:
            return f"since {self.champion_since[:10]}"
        return f"retired {self.retired_at[:10]}" if self.retired_at else "no champion"


def _measured(measure: Mapping[str, Any] | None, *, show: Callable[[float | None], str] = fixed) -> str:
    if measure is None or measure["value"] is None:
        return "–"
    low, high = (show(measure[end]) for end in ("ci_low", "ci_high"))
    return f"{show(measure['value'])} ({low} to {high})"


def portfolio(workspace: Workspace) -> list[PortfolioEntry]:
    """A line for each cohort and micro-cohort of the catalogue, in its order."""
    batches = _newest_batches(workspace)
    found = [_cohort(workspace.cohort(name), batches.get(name)) for name in workspace.catalogue.names()]
    return found + [_micro_cohort(workspace, name) for name in paired_catalogue(workspace.catalogue.folders).names()]


def entry_of(workspace: Workspace, cohort: str) -> PortfolioEntry:
    """The line of one cohort of the catalogue, without its newest batch."""
    return _cohort(workspace.cohort(cohort), None)


def write_portfolio(workspace: Workspace, entries: list[PortfolioEntry] | None = None) -> Path:
    """Write ``data/reports/index.html``: a line for each cohort with links, those with a model first.

    Parameters
    ----------
    workspace : Workspace
        The installation.
    entries : list of PortfolioEntry, optional
        As `portfolio` gives them; read now where left out.
    """
    place = workspace.settings.data / "reports" / INDEX
    known = portfolio(workspace) if entries is None else entries
    # Of a catalogue of which little was trained, what was trained stands on the first screen.
    known = sorted(known, key=lambda each: each.model is None and each.finding is None and each.champion is None)
    lines = tuple(_line(each, place.parent) for each in known)
    labels = tuple(BY_NAME[name].label for name in report_store.NAMES)
    page = AllCohortsPage(written_at=utc_now()[:19].replace("T", " "), labels=labels, cohorts=lines)
    return write_whole(place, render_page(page))


def _cohort(cohort: CohortHandle, last_batch: str | None) -> PortfolioEntry:
    entry = PortfolioEntry(cohort.name, last_batch=last_batch)
    with _noted(entry):
        entry.owner = cohort.spec.owner.team
        entry.records = "synthetic" if cohort.spec.synthetic else "real"
        entry.site = f"{cohort.spec.disease.name} ({', '.join(cohort.spec.disease.icd10)})"
    with _noted(entry):
        served = champion_pointer.last(cohort.settings, cohort.name)
        if served is not None and served.retired:
            entry.retired_at = served.since
        elif served is not None:
            entry.champion, entry.champion_since = served.digest, served.since
    reports = report_store.folder_of(cohort.settings, cohort.name)
    with _noted(entry):
        entry.lights = {
            name: signal_of(report_store.latest(cohort.settings, cohort.name, name)) for name in report_store.NAMES
        }
    for label, file in (("monitoring", INDEX), ("Evidently", "evidently.html")):
        if (reports / file).is_file():
            entry.links[label] = reports / file
    told = trainings.latest_pointer(cohort.settings, cohort.name)
    if told is not None and told.refused is not None:
        entry.finding = "training refused"
    elif told is not None:
        with _noted(entry):
            _newest_model(entry, cohort)
    return entry


def _newest_model(entry: PortfolioEntry, cohort: CohortHandle) -> None:
    training = cohort.training()
    results = training.results
    entry.model, entry.bundle_digest = results.selected, results.bundle_digest
    entry.n, entry.events = results.holdout.n, results.holdout.events
    # A model of the stand-in stays one when the files have come since.
    entry.records = "synthetic" if results.synthetic else entry.records
    for name in ("auroc", "calibration_slope", "net_benefit"):
        measure = results.metrics.get(name)
        setattr(entry, name, measure.to_json() if measure else None)
    card = training.report / "model_card.md"
    if card.is_file():
        entry.links["card"] = card
    if not cohort.records.exists:
        return
    runs = latest_verdicts(cohort.records, bundle_digest=results.bundle_digest)
    entry.gates = {gate: runs[gate].outcome for gate in GATES if gate in runs}
    entry.failed = tuple(
        f"{gate}/{each.criterion}"
        for gate in GATES
        if gate in runs
        for each in runs[gate].verdicts
        if each.verdict == "fail"
    )
    place = dossier_folder.place_of(cohort.settings, cohort.name, results.bundle_digest)
    if place.is_dir():
        entry.links["dossier"] = place / dossier_folder.INDEX
        if entry.champion != entry.bundle_digest:
            digest = dossier_folder.verify(place).digest
            found = blockers_by_people(candidate_of(cohort), dossier_digest=digest)
            entry.waits_for = waits_for(found)
            entry.blocked_by = () if entry.waits_for else tuple(sorted({each.code for each in found}))
    elif entry.champion != entry.bundle_digest:
        entry.waits_for = ("gates and dossier",)
    given, _ = true_signatures(cohort.records, bundle_digest=entry.champion or results.bundle_digest)
    names = (f"{each.printed_name} ({each.role})" for each in given if each.kind == "approval")
    entry.signed_by = tuple(dict.fromkeys(names))


def _micro_cohort(workspace: Workspace, name: str) -> PortfolioEntry:
    entry = PortfolioEntry(name, is_micro_cohort=True)
    with _noted(entry):
        spec = paired_catalogue(workspace.catalogue.folders).spec(name)
        entry.owner, entry.records = spec.owner.team, "synthetic" if spec.synthetic else "real"
    folder = workspace.settings.data / "micro_cohorts" / name
    if (folder / STUDY).is_file():
        with _noted(entry):
            facts, _, _ = read_kept(folder / STUDY, asset="micro_cohort_study")
            entry.n, entry.events = facts["result"]["n"], facts["result"]["events"]
            entry.finding = facts["headline"]
    for label, file in (("study", folder / STUDY_PAGE), ("subjects", folder / SUBJECT_PAGES / INDEX)):
        if file.is_file():
            entry.links[label] = file
    return entry


@contextmanager
def _noted(entry: PortfolioEntry) -> Iterator[None]:
    """Say in the cohort's line what could not be read."""
    try:
        yield
    except ClinicalAssetsError as error:
        entry.problems.append(error.message.splitlines()[0])


def _newest_batches(workspace: Workspace) -> dict[str, str]:
    if not workspace.records.exists:
        return {}
    query = sa.select(ledger.c.cohort, sa.func.max(ledger.c.at)).where(ledger.c.action == "batch")
    with workspace.records.read() as connection:
        return {str(row[0]): str(row[1]) for row in connection.execute(query.group_by(ledger.c.cohort))}


def _line(entry: PortfolioEntry, folder: Path) -> CohortLine:
    signals = [entry.lights[name] for name in report_store.NAMES] if entry.lights else []
    return CohortLine(
        name=entry.cohort,
        kind=" ".join(filter(None, (entry.records, "micro-cohort" if entry.is_micro_cohort else None))) or "–",
        owner=entry.owner or "–",
        site=entry.site or "–",
        model=entry.model or entry.finding or "no model yet",
        performance=entry.performance,
        slope=entry.slope,
        benefit=entry.benefit,
        counts="–" if entry.n is None else f"{entry.n}, {entry.events}",
        gates=entry.gate_words,
        release=entry.release,
        champion=entry.champion_words if not entry.is_micro_cohort else "–",
        signed_by=", ".join(entry.signed_by) or "–",
        last_batch=entry.last_batch[:10] if entry.last_batch else "–",
        problems=tuple(entry.problems),
        links=tuple((label, os.path.relpath(path, folder)) for label, path in entry.links.items()),
        badges=tuple(Badge(each.colour, each.word) for each in signals),
    )
