"""What pages are filled from: frozen view models of plain values, one class per page.

A view model holds what is shown and nothing that decides: verdicts, counts and sentences come from the rooms above.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

Colour = Literal["green", "amber", "red", "grey"]
PageValues = Mapping[str, Any]


class Page(Protocol):
    """Any page: its template, and whether the data is synthetic, which stands on top of every page."""

    template: ClassVar[str]
    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def title(self) -> str:
        """What the page is called."""
        ...

    @property
    def synthetic(self) -> bool:
        """Whether its data is."""
        ...


@dataclass(frozen=True)
class Badge:
    """A light: a colour, and the words that say the same without it."""

    colour: Colour
    text: str


@dataclass(frozen=True)
class EmbeddedPicture:
    """An embedded picture with a title, and what it shows for a reader who does not see it."""

    title: str
    alt: str
    source: str

    @classmethod
    def of(cls, png: bytes, *, title: str, alt: str) -> EmbeddedPicture:
        """A picture of PNG bytes."""
        return cls(title, alt, f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}")


@dataclass(frozen=True)
class TableView:
    """A table of cells as they are shown.

    Attributes
    ----------
    label : str
    columns : tuple of str
        Headings.
    numeric : tuple of bool
        Which columns hold nothing but numbers; they are set flush right.
    rows : tuple of tuple of str
    total : int
        Rows that there are; more than shown where the table was cut.
    """

    label: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int


@dataclass(frozen=True)
class HeadlineFigure:
    """One headline figure: label, value and interval as text, what is ideal, and the light of its criterion."""

    label: str
    value: str
    interval: str
    reading: str
    badge: Badge | None = None


@dataclass(frozen=True)
class JudgedRow:
    """One criterion: the row of the verdict, its badge, and what a reader must be warned of.

    Attributes
    ----------
    row : mapping
        ``gate``, ``criterion``, ``verdict``, ``value``, ``ci_low``, ``ci_high``, ``limit``, ``n``, ``events``,
        ``reason``.
    badge : Badge
        Never green where the value lies beyond its limit.
    is_small : bool
        The verdict rests on few patients.
    is_beyond : bool
        The value lies beyond its limit.
    group : str
        The group that the criterion is about, with the labels of its codes; empty where it needs none.
    """

    row: PageValues
    badge: Badge
    is_small: bool
    is_beyond: bool
    group: str = ""


@dataclass(frozen=True)
class GateView:
    """One gate: what needs a person apart from what passed, each in the order of its urgency."""

    gate: str
    label: str
    badge: Badge
    counted: str
    open: tuple[JudgedRow, ...]
    passed: tuple[JudgedRow, ...]


@dataclass(frozen=True)
class DossierPage:
    """The release dossier; the mappings are the dossier's own content files, the tables those of the model card."""

    template: ClassVar[str] = "dossier.html.j2"

    title: str
    synthetic: bool
    cohort: str
    bundle_digest: str
    digest_to_sign: str
    spec: PageValues
    results: PageValues
    gates: tuple[GateView, ...]
    failed: tuple[PageValues, ...]
    waivers: tuple[PageValues, ...]
    beyond: tuple[JudgedRow, ...]
    headline: tuple[HeadlineFigure, ...]
    approval: PageValues
    comparison: PageValues
    is_comparison_small: bool
    stale: str | None
    change: PageValues | None
    lineage: PageValues
    origin: PageValues
    history: PageValues
    sbom: str | None
    is_small: bool
    is_erased: bool
    labels: Mapping[str, str]
    metrics: tuple[PageValues, ...]
    pictures: tuple[EmbeddedPicture, ...]
    for_a_person: Sequence[str]
    horizon: str | None
    people: TableView | None
    flow: tuple[str, ...]
    table_one: TableView | None
    table_one_note: str
    model_lines: tuple[str, ...]
    terms: TableView | None
    importances: TableView | None
    rates: TableView | None
    class_lines: tuple[str, ...]
    class_tables: tuple[TableView | None, ...]
    groups: tuple[PageValues, ...]
    chai: tuple[TableView | None, ...]
    files: tuple[tuple[str, str], ...]
    commands: Mapping[str, str]


@dataclass(frozen=True)
class ShapeBar:
    """One bin of a feature: shares of both samples from 0 to 1, and the widths of their bars."""

    label: str
    reference: float
    batch: float
    reference_width: float
    batch_width: float


@dataclass(frozen=True)
class Shape:
    """A feature's distribution then and now."""

    name: str
    bars: tuple[ShapeBar, ...]


@dataclass(frozen=True)
class DriftRow:
    """One column of a drift report; cells are texts in the order of `DriftView.columns`."""

    name: str
    is_risk: bool
    badge: Badge
    cells: tuple[str, ...]
    reasons: str


@dataclass(frozen=True)
class DriftView:
    """The drift of the newest batches: the rule, what carries it, every column, and the shapes that changed."""

    n_batch: int
    n_reference: int
    rule: str
    carriers: tuple[str, ...]
    weighed: str
    columns: tuple[str, ...]
    rows: tuple[DriftRow, ...]
    total: int
    shapes: tuple[Shape, ...]


@dataclass(frozen=True)
class ReportView:
    """One monitoring report on the page of its cohort.

    Attributes
    ----------
    earlier_model : str or None
        Digest of the model it is about where that is not the one that serves.
    """

    name: str
    label: str
    badge: Badge
    summary: str
    window: str
    made_at: str
    earlier_model: str | None = None
    pictures: tuple[EmbeddedPicture, ...] = ()
    table: TableView | None = None
    drift: DriftView | None = None

    @property
    def has_details(self) -> bool:
        """Whether the report has a section of its own."""
        return bool(self.pictures or self.table or self.drift)


@dataclass(frozen=True)
class MonitoringPage:
    """All reports of a cohort, and what changed since those before."""

    template: ClassVar[str] = "monitoring.html.j2"

    title: str
    synthetic: bool
    cohort: str
    champion: str | None
    written_at: str
    changes: tuple[str, ...]
    reports: tuple[ReportView, ...]
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class CohortLine:
    """One cohort on the page of all, in texts: its newest model, what serves, what to read, a light for each report.

    Attributes
    ----------
    site : str
        Disease and its codes.
    slope, benefit : str
        Calibration slope, and net benefit at the cost threshold, each with its interval.
    counts : str
        Units and events that the performance was judged on.
    release : str
        What stands between the newest model and serving.
    problems : tuple of str
        What could not be read.
    links : tuple of tuple of str
        Label and relative address of each file to read.
    badges : tuple of Badge
        Empty for a micro-cohort, which is not monitored.
    """

    name: str
    kind: str
    owner: str
    site: str
    model: str
    performance: str
    slope: str
    benefit: str
    counts: str
    gates: str
    release: str
    champion: str
    signed_by: str
    last_batch: str
    problems: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    badges: tuple[Badge, ...]


@dataclass(frozen=True)
class AllCohortsPage:
    """Every cohort with its model, its release and its lights."""

    template: ClassVar[str] = "all_cohorts.html.j2"

    written_at: str
    labels: tuple[str, ...]
    cohorts: tuple[CohortLine, ...]
    title: str = "All cohorts"
    synthetic: bool = False
