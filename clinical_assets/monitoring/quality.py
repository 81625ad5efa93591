"""Do the newest batches look like records at all? Broken values are an alarm for whoever delivers them, not drift.

A sensor that stops, a unit that changes or a column that moves makes values that no patient has. What such values do
to scores must be repaired at the source; a model that learned from them would be wrong twice.

What belongs here: refused, missing, stuck, shifted and impossible values of a window against the champion's reference.
What does not: whether patients changed (``drift``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.trainings.reference import relation_of
from clinical_assets.monitoring.windows import BatchWindow, drift_relation
from clinical_assets.reporting.formats import counted
from clinical_assets.warehouse.outcomes.received_tables import BATCH, RAW, VALID, has_table
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb


QualityVerdict = Literal["sound", "alarm", "insufficient"]
QualityFindingKind = Literal["refused", "missing", "stuck", "scale", "outside", "alike", "delivery"]
#: Chance of any false alarm in a report of sound records, shared by all its questions.
FALSE_ALARM = 0.001
_LEAST_ROWS = 20
# What counts as broken rather than changed; patients do not do this.
_MISSING_JUMP = 0.25
_STUCK_SHARE = 0.95
_MODE_THEN = 0.5
_SCALE = 4.0
_OUTSIDE_SHARE = 0.05
_KINDS = {"unknown": "of a format that is not read"}


@dataclass(frozen=True)
class Question:
    """One question about one column, and its answer.

    Attributes
    ----------
    kind : str
        ``refused`` (records), ``missing``, ``stuck`` (one value for nearly everybody), ``scale`` (medians apart by a
        factor of four or more), ``outside`` (values beyond anything in the reference) ``alike`` (outcomes of a batch)
        or ``delivery`` (refused as a whole).
    then, now : float
        The number in the reference and in the window: shares, or medians for ``scale``.
    p : float
        Chance of so much under the reference.
    alarm : bool
    reason : str
        For a person; empty without alarm.
    """

    column: str
    kind: QualityFindingKind
    then: float
    now: float
    p: float
    alarm: bool
    reason: str


@dataclass(frozen=True)
class QualityReport:
    """What the values of a window look like.

    Attributes
    ----------
    verdict : "sound", "alarm" or "insufficient"
    summary : str
    n : int
        Records of the window.
    questions : tuple of Question
    findings : dict
        Refused values by rule, as validation counted them.
    """

    verdict: QualityVerdict
    summary: str
    n: int
    questions: tuple[Question, ...]
    findings: dict[str, int]

    @property
    def alarms(self) -> tuple[str, ...]:
        """What looks broken, in words."""
        return tuple(each.reason for each in self.questions if each.alarm)

    def metrics(self) -> dict[str, float]:
        """Numbers to plot over time."""
        missing = [each.now for each in self.questions if each.kind == "missing"]
        refused = [each.now for each in self.questions if each.kind == "refused"]
        found = {"records": float(self.n), "alarms": float(len(self.alarms))}
        found |= {"mean missing share": float(np.mean(missing))} if missing else {}
        return found | ({"refused share": refused[0]} if refused else {})

    def rows(self) -> list[dict[str, Any]]:
        """Alarms first, then every column's missing share."""
        shown = [each for each in self.questions if each.alarm]
        shown += [each for each in self.questions if not each.alarm and each.kind in ("missing", "refused")]
        return [asdict(each) for each in shown]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "n": self.n,
            "alarms": list(self.alarms),
            "questions": [asdict(each) for each in self.questions],
            "findings": dict(self.findings),
        }


def quality_report(
    connection: duckdb.DuckDBPyConnection,
    spec: CohortSpec,
    bundle: Bundle,
    window: BatchWindow,
    *,
    more: Sequence[Question] = (),
) -> QualityReport:
    """Look at the values of a window.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The cohort's warehouse.
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        The champion: its features are looked at, against its reference rows.
    window : BatchWindow
        The batches that are looked at.
    more : sequence of Question
        Further questions, such as those about outcomes.
    """
    names = bundle.feature_columns
    columns = ", ".join(f"CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}" for name in names)
    then = connection.execute(f"SELECT {columns} FROM {relation_of(bundle.digest)}").fetchnumpy()
    seen = drift_relation(connection, spec, window, bundle_digest=bundle.digest, features=names)
    now = connection.execute(f"SELECT {columns} FROM {seen}").fetchnumpy()
    level = FALSE_ALARM / max(1, 4 * len(names) + 1)
    questions = [_refused(connection, spec, window, level), *more]
    for name in names:
        questions += column_questions(name, _plain(then[name]), _plain(now[name]), level=level)
    alarms = [each for each in questions if each.alarm]
    verdict: QualityVerdict = "alarm" if alarms else "sound" if window.rows >= _LEAST_ROWS else "insufficient"
    return QualityReport(
        verdict=verdict,
        summary=_summary(verdict, alarms, window.rows),
        n=window.rows,
        questions=tuple(questions),
        findings=_findings(connection, window),
    )


def delivery_questions(refused: Mapping[str, int]) -> list[Question]:
    """The question about deliveries that never reached a table: an alarm until a later one of their kind does.

    Parameters
    ----------
    refused : mapping
        Open refusals by kind, as ``refused_deliveries.open_refusals`` gives them.
    """
    total = sum(refused.values())
    kinds = ", ".join(f"{_KINDS.get(kind, kind)}: {count}" for kind, count in refused.items())
    if not total:
        return [Question("deliveries", "delivery", 0.0, 0.0, 1.0, alarm=False, reason="")]
    words = f"{counted(total, 'delivery was', 'deliveries were')} refused as a whole ({kinds}) and nothing came since"
    return [Question("deliveries", "delivery", 0.0, float(total), 0.0, alarm=True, reason=words)]


def nothing_but_refusals(refused: Mapping[str, int]) -> QualityReport:
    """The report before any record was scored, where deliveries came and none could be used."""
    questions = delivery_questions(refused)
    words = f"No record was scored by the present champion yet, although records were sent: {questions[0].reason}."
    return QualityReport("alarm", words, 0, tuple(questions), {})


def column_questions(name: str, then: FloatArray, now: FloatArray, *, level: float) -> list[Question]:
    """The questions about one feature.

    Parameters
    ----------
    name : str
        Name of the feature.
    then, now : arrays of shape (m,) and (n,)
        Values in the reference and in the window; NaN is missing.
    level : float
        Chance of a false alarm that one question may have.
    """
    from scipy.stats import binom

    if not then.size or not now.size:
        return []
    asked: list[Question] = []
    missing = (float(np.isnan(then).mean()), float(np.isnan(now).mean()))
    # A share of the reference is an estimate; one more case keeps a share of zero from calling one value an alarm.
    expected = (np.isnan(then).sum() + 1) / (then.size + 2)
    p = float(binom.sf(np.isnan(now).sum() - 1, now.size, expected))
    broken = missing[1] - missing[0] >= _MISSING_JUMP and p < level
    words = f"{name}: {missing[1]:.0%} missing, {missing[0]:.0%} in the reference"
    asked.append(Question(name, "missing", *missing, p, broken, words if broken else ""))
    before, after = then[~np.isnan(then)], now[~np.isnan(now)]
    if before.size < _LEAST_ROWS or after.size < _LEAST_ROWS or np.unique(before).size < 5:
        return asked
    asked.append(_stuck(name, before, after, level))
    asked.append(_scale(name, before, after, level))
    asked.append(_outside(name, before, after, level))
    return asked


def _stuck(name: str, before: FloatArray, after: FloatArray, level: float) -> Question:
    from scipy.stats import binom

    values, counts = np.unique(after, return_counts=True)
    mode, share = float(values[counts.argmax()]), float(counts.max() / after.size)
    expected = (float((before == mode).sum()) + 1) / (before.size + 2)
    p = float(binom.sf(counts.max() - 1, after.size, expected))
    broken = share >= _STUCK_SHARE and expected < _MODE_THEN and p < level
    words = f"{name}: {share:.0%} of the records have the same value; {expected:.0%} had it in the reference"
    return Question(name, "stuck", expected, share, p, broken, words if broken else "")


def _scale(name: str, before: FloatArray, after: FloatArray, level: float) -> Question:
    from scipy.stats import binom

    old, new = float(np.median(before)), float(np.median(after))
    spread = float(np.subtract(*np.quantile(before, [0.75, 0.25])))
    ratio = max(new / old, old / new) if old * new > 0 else 1.0
    # How many would lie on the new side of the middle between both medians, if nothing had changed?
    middle = np.sign(old) * np.sqrt(old * new) if ratio > 1 else old
    beyond = [int(((each > middle) if new > old else (each < middle)).sum()) for each in (before, after)]
    p = float(binom.sf(beyond[1] - 1, after.size, (beyond[0] + 1) / (before.size + 2)))
    # Medians may differ by a factor where values lie about zero; the distance must be large in the old spread, too.
    broken = ratio >= _SCALE and abs(new - old) > 3 * spread and p < level
    words = f"{name}: median {new:.3g}, {old:.3g} in the reference, as if the unit had changed"
    return Question(name, "scale", old, new, p, broken, words if broken else "")


def _outside(name: str, before: FloatArray, after: FloatArray, level: float) -> Question:
    from scipy.stats import binom

    low, high = float(before.min()), float(before.max())
    margin = 0.5 * (high - low)
    outside = (after < low - margin) | (after > high + margin)
    share = float(outside.mean())
    p = float(binom.sf(outside.sum() - 1, after.size, 1 / (before.size + 2)))
    broken = share >= _OUTSIDE_SHARE and p < level
    words = f"{name}: {share:.0%} of the values lie far outside of anything in the reference ({low:.3g} to {high:.3g})"
    return Question(name, "outside", 0.0, share, p, broken, words if broken else "")


def _refused(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, window: BatchWindow, level: float) -> Question:
    from scipy.stats import binom

    chosen = f"WHERE {BATCH} IN {literal(window.batches)}"
    # What was delivered again counts once, accepted or refused; what stands twice in one batch is two records.
    refused = 0
    if has_table(connection, RAW, "refused_records"):
        alike = (
            f"SELECT table_name, record, count(*) AS times FROM {RAW}.refused_records {chosen} "
            f"GROUP BY {BATCH}, table_name, record"
        )
        found = connection.execute(
            f"SELECT coalesce(sum(most), 0) FROM (SELECT max(times) AS most FROM ({alike}) GROUP BY table_name, record)"
        ).fetchone()
        refused = int((found or (0,))[0])
    # Refused records are counted over all tables, so the others must be, too.
    rows = 0
    for name in (each for each in spec.tables if has_table(connection, VALID, each)):
        keys = ", ".join(map(quoted, spec.tables[name].key))
        counted = f"SELECT count(*) FROM (SELECT DISTINCT {keys} FROM {VALID}.{quoted(name)} {chosen})"
        rows += int((connection.execute(counted).fetchone() or (0,))[0])
    limit = max(spec.subjects.refused_limit, spec.decisions.limits.refused_share)
    total = rows + refused
    share = refused / total if total else 0.0
    p = float(binom.sf(refused - 1, total, limit)) if total else 1.0
    broken = bool(share > limit and p < max(level, 1e-4))
    words = f"{refused} of {total} records were refused, {limit:.0%} are allowed"
    return Question("all columns", "refused", limit, float(share), p, broken, words if broken else "")


def _findings(connection: duckdb.DuckDBPyConnection, window: BatchWindow) -> dict[str, int]:
    if not has_table(connection, RAW, "findings"):
        return {}
    found = connection.execute(
        f"SELECT rule, count(*) FROM {RAW}.findings WHERE {BATCH} IN {literal(window.batches)} "
        "GROUP BY rule ORDER BY ALL"
    ).fetchall()
    return {str(rule): int(count) for rule, count in found}


def _plain(values: Any) -> FloatArray:
    """A column as numbers; DuckDB hands nullable ones over as a masked array."""
    return np.ma.filled(np.ma.asarray(values, dtype=np.float64), np.nan)


def _summary(verdict: QualityVerdict, alarms: Sequence[Question], n: int) -> str:
    if verdict == "alarm":
        told = "; ".join(each.reason for each in alarms[:5])
        return f"{len(alarms)} of the questions about {n} records and their delivery raise an alarm: {told}"
    if verdict == "insufficient":
        return f"{n} records are too few to tell broken values from chance."
    return f"The values of {n} records look as values of this cohort do."
