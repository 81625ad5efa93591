"""What a monitoring report is: its name and words, what is drawn, exported and alerted of it, and what makes it.

What belongs here: the form that every report declares. The reports themselves are the modules of
``clinical_assets.monitoring.reports``, one each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field

from clinical_assets.foundation.stored_format import VersionedDocument

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.modelling.bundle.bundle import Bundle
    from clinical_assets.monitoring.windows import BatchWindow
    from clinical_assets.workspace import CohortHandle


class StoredReport(VersionedDocument):
    """A report of one window.

    Attributes
    ----------
    made_at : str
        UTC.
    verdict, summary : str
        What it comes to, in its own word and in a sentence.
    window : str or None
        Records or outcomes that it is about.
    bundle_digest : str
        The model that it is about.
    metrics : dict
        Numbers that are drawn over time.
    report : dict
        Everything, as the report itself writes it.
    cause, action, rule, reason, n, events, wanted, evidence
        Of an update recommendation, which has no `metrics` and no `report`; see `Recommendation`. ``cause`` is a
        digest: the same evidence has the same.
    """

    made_at: str
    verdict: str
    summary: str
    window: str | None = None
    bundle_digest: str
    metrics: dict[str, int | float | None] = Field(default_factory=dict)
    report: dict[str, Any] = Field(default_factory=dict)
    cause: str | None = None
    action: str | None = None
    rule: str | None = None
    reason: str | None = None
    n: int | None = None
    events: int | None = None
    wanted: str | None = None
    evidence: dict[str, Any] = Field(default_factory=dict)


class NothingToReport(Exception):
    """A report has nothing to say yet; its words say why."""


@dataclass(frozen=True)
class ChampionContext:
    """What a report is about: a cohort, and the model that serves it.

    Attributes
    ----------
    cohort : CohortHandle
        The cohort.
    digest : str
        Digest of the bundle that serves.
    bundle : Bundle
        The same bundle, verified.
    """

    cohort: CohortHandle
    digest: str
    bundle: Bundle

    def newest(self, connection: duckdb.DuckDBPyConnection, *, at_least: int) -> BatchWindow:
        """The newest batches that the champion scored, as many as are needed for `at_least` units.

        Raises
        ------
        NothingToReport
            It scored none.
        """
        from clinical_assets.monitoring import windows

        window = windows.newest_batches(connection, self.cohort.spec, bundle_digest=self.digest, at_least=at_least)
        if window is None:
            raise NothingToReport("No record was scored by the present champion yet.")
        return window


class Report(Protocol):
    """What a report answers."""

    @property
    def verdict(self) -> str:
        """What it comes to, in the report's own word."""
        ...

    @property
    def summary(self) -> str:
        """One sentence for people."""
        ...

    def metrics(self) -> dict[str, float]:
        """Numbers that are drawn over time."""

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The details, one row per feature, criterion or group."""

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain values."""


@dataclass(frozen=True)
class Promise:
    """What a check of the newest report promises.

    Attributes
    ----------
    name : str
        Name of the check.
    words : str
        The promise.
    severity : "error" or "warning"
        What a report that is not green comes to.
    """

    name: str
    words: str
    severity: Literal["error", "warning"]


@dataclass(frozen=True)
class ReportLine:
    """A metric that is drawn over time.

    Attributes
    ----------
    metric : str
        Its name among the report's metrics.
    label : str
        What the axis is called.
    low, high : float
        The least range of the axis: that of a model that keeps its promises, so that noise does not look like an alarm.
    rest : float or None
        The value where the eye should rest.
    """

    metric: str
    label: str
    low: float
    high: float
    rest: float | None = None


@dataclass(frozen=True)
class ReportNews:
    """What came and what went between a report and the one before it, for the sentences a page begins with.

    Attributes
    ----------
    came, went : str
        How new and how vanished findings are introduced.
    findings : callable
        A kept report to its findings in words, such as the columns that drift; the same words for the same finding.
    """

    came: str
    went: str
    findings: Callable[[StoredReport], Iterable[str]]


@dataclass(frozen=True)
class ReportType:
    """One monitoring report.

    Attributes
    ----------
    name : str
        Name of the asset and of the folder of kept reports.
    place : int
        Its place among the reports on a page.
    label : str
        Heading on a page.
    alert : str
        Kind of the alert when it turns.
    maker : str or None
        ``module:function`` that makes it from a ``ChampionContext``, as a report and the name of its window. A name,
        because what it needs is loaded when the report is made, and may lie on a floor above this one. None where an
        asset of its own makes it.
    question : str
        Description of the asset.
    kinds : tuple of str
        What it is made with, as Dagster shows it.
    promise : Promise or None
        The check on it.
    lines : tuple of ReportLine
        What is drawn over time.
    exported : mapping
        Metrics of the report by the name of the gauge that shows them.
    table : str or None
        Which list of its ``to_json`` a page shows as a table, its rows mappings with the same keys. None for no table.
    news : ReportNews or None
        Findings that may come and go. Without any a page tells when the light changes, and no more.
    """

    name: str
    place: int
    label: str
    alert: str
    maker: str | None = None
    question: str = ""
    kinds: tuple[str, ...] = ("python",)
    promise: Promise | None = None
    lines: tuple[ReportLine, ...] = ()
    exported: Mapping[str, str] = field(default_factory=dict)
    table: str | None = None
    news: ReportNews | None = None
