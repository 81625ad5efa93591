"""The bias gate's questions asked again after release: are groups of people served as well as the others, now?

The rules are the gate's own (``gates.bias``); what differs is the rows: matured outcomes of the present champion.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.governance.gates.bias.gate import judge_groups
from clinical_assets.governance.gates.bias.groups import groups_of, known_groups, labels_of
from clinical_assets.governance.verdicts.verdict import Outcome, Verdict, summary
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.monitoring import windows
from clinical_assets.monitoring.performance.followed_records import weights_of
from clinical_assets.monitoring.report_type import ChampionContext, NothingToReport

if TYPE_CHECKING:
    import polars as pl


_MOST_METRICS = 40


@dataclass(frozen=True)
class FairnessReport:
    """Verdicts on groups.

    Attributes
    ----------
    verdict : "pass", "fail" or "insufficient"
    summary : str
    n, events : int
    verdicts : tuple of Verdict
    """

    verdict: Outcome
    summary: str
    n: int
    events: int
    verdicts: tuple[Verdict, ...]

    @property
    def failing(self) -> tuple[str, ...]:
        """What fails, in words."""
        return tuple(f"{each.criterion}: {each.reason}" for each in self.verdicts if each.verdict == "fail")

    def metrics(self) -> dict[str, float]:
        """Values of the criteria, the first 40, for plots over time."""
        found = {each.criterion: each.value for each in self.verdicts if each.value is not None}
        return dict(list(found.items())[:_MOST_METRICS])

    def rows(self) -> list[dict[str, Any]]:
        """One row per criterion."""
        return [{name: value for name, value in each.row().items() if name != "gate"} for each in self.verdicts]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"n": self.n, "events": self.events, "failing": list(self.failing), "criteria": self.rows()}


def make(champion: ChampionContext) -> tuple[FairnessReport, str]:
    """The report on all matured outcomes of the champion's scores, and the name of its window.

    Raises
    ------
    NothingToReport
        No outcome is known yet.
    """
    with champion.cohort.warehouse.reader() as connection:
        rows = windows.matured_records(connection, champion.cohort.spec, bundle_digest=champion.digest)
    if rows is None or not rows.height:
        raise NothingToReport("No outcome of a scored record is known yet.")
    report = fairness_report(rows, champion.cohort.spec, champion.bundle)
    return report, f"outcomes known by {str(rows['known_at'].max())[:19]} UTC"


def fairness_report(rows: pl.DataFrame, spec: CohortSpec, bundle: Bundle) -> FairnessReport:
    """Judge groups on matured outcomes.

    Parameters
    ----------
    rows : polars.DataFrame
        As ``monitoring.windows.matured_records`` gives them.
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        The champion that scored the rows: its threshold decides the alerts.
    """
    event = (rows["outcome"].to_numpy() >= bundle.description.action_from).astype(np.int64)
    subject = rows[spec.subject_of(spec.subject_table)]
    if not spec.protected:
        words = "The cohort describes no protected attribute: nothing can be said about groups."
        return FairnessReport("insufficient", words, event.size, int(event.sum()), ())
    verdicts = judge_groups(
        event,
        rows["risk"].to_numpy(),
        tuple(groups_of(labels_of(rows, spec, everyone=rows))),
        known=known_groups(spec, rows),
        limits=spec.decisions.limits,
        threshold=bundle.description.threshold,
        subjects=None if subject.n_unique() == rows.height else subject.rank("dense").to_numpy().astype(np.int64),
        weights=weights_of(rows),
        seed=spec.modelling.search.seed,
    )
    outcome = summary(verdicts)
    failing = [each.criterion for each in verdicts if each.verdict == "fail"]
    small = sum(each.verdict == "insufficient" for each in verdicts)
    words = f"{len(verdicts)} criteria on {event.size} outcomes: {len(failing)} fail, {small} cannot be judged."
    if failing:
        words += f" Failing: {', '.join(failing[:6])}."
    return FairnessReport(outcome, words, int(event.size), int(event.sum()), verdicts)
