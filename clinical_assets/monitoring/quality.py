"""Do the newest batches look like records at all? Broken values are an alarm for whoever delivers them, not drift.

A sensor that stops, a unit that changes or a column that moves makes values that no patient has. What such values do
to scores must be repaired at the source; a model that learned from them would be wrong twice.

What belongs here: refused, missing, stuck, shifted and impossible values of a window against the champion's reference.
What does not: whether patients changed (``drift``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.modelling.reference import relation_of
from clinical_assets.modelling.scored import FEATURES
from clinical_assets.statistics.inputs import FloatArray
from clinical_assets.warehouse.received_tables import BATCH, BATCHES, RAW, VALID, has_table
from clinical_assets.warehouse.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb

    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.modelling.bundle import Bundle
    from clinical_assets.monitoring.windows import BatchWindow

Verdict = Literal["sound", "alarm", "insufficient"]
Kind = Literal["refused", "missing", "stuck", "scale", "outside"]
#: Chance of any false alarm in a report of sound records, shared by all its questions.
FALSE_ALARM = 0.001
_LEAST_ROWS = 20
# What counts as broken rather than changed; patients do not do this.
_MISSING_JUMP = 0.25
_STUCK_SHARE = 0.95
_MODE_THEN = 0.5
_SCALE = 4.0
_OUTSIDE_SHARE = 0.05


@dataclass(frozen=True)
class Question:
    """One question about one column, and its answer.

    Attributes
    ----------
    kind : str
        ``refused`` (records), ``missing``, ``stuck`` (one value for nearly everybody), ``scale`` (medians apart by a
        factor of four or more) or ``outside`` (values beyond anything in the reference).
    then, now : float
        The number in the reference and in the window: shares, or medians for ``scale``.
    p : float
        Chance of so much under the reference.
    alarm : bool
    reason : str
        For a person; empty without alarm.
    """

    column: str
    kind: Kind
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

    verdict: Verdict
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
    connection: duckdb.DuckDBPyConnection, spec: CohortSpec, bundle: Bundle, window: BatchWindow
) -> QualityReport:
    """Look at the values of a window.

    Parameters
    ----------
    connection : DuckDBPyConnection
        The cohort's warehouse.
    bundle : Bundle
        The champion: its features are looked at, against its reference rows.
    """
    names = bundle.feature_columns
    columns = ", ".join(f"CAST({quoted(name)} AS DOUBLE) AS {quoted(name)}" for name in names)
    then = connection.execute(f"SELECT {columns} FROM {relation_of(bundle.digest)}").fetchnumpy()
    now = connection.execute(
        f"SELECT {columns} FROM {FEATURES} WHERE {BATCH} IN {literal(window.batches)} "
        f"AND bundle_digest = {literal(bundle.digest)}"
    ).fetchnumpy()
    level = FALSE_ALARM / max(1, 4 * len(names) + 1)
    questions = [_refused(connection, spec, window, level)]
    for name in names:
        questions += column_questions(name, _plain(then[name]), _plain(now[name]), level=level)
    alarms = [each for each in questions if each.alarm]
    verdict: Verdict = "alarm" if alarms else "sound" if window.rows >= _LEAST_ROWS else "insufficient"
    return QualityReport(
        verdict=verdict,
        summary=_summary(verdict, alarms, window.rows),
        n=window.rows,
        questions=tuple(questions),
        findings=_findings(connection, window),
    )


def column_questions(name: str, then: FloatArray, now: FloatArray, *, level: float) -> list[Question]:
    """The questions about one feature.

    Parameters
    ----------
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
    (refused,) = connection.execute(f"SELECT coalesce(sum(refused_rows), 0) FROM {BATCHES} {chosen}").fetchone() or (0,)
    # Refused records are counted over all tables, so the others must be, too.
    tables = [name for name in spec.tables if has_table(connection, VALID, name)]
    rows = sum(
        int((connection.execute(f"SELECT count(*) FROM {VALID}.{quoted(name)} {chosen}").fetchone() or (0,))[0])
        for name in tables
    )
    limit = max(spec.subjects.refused_limit, spec.decisions.limits.refused_share)
    total = int(rows) + int(refused)
    share = refused / total if total else 0.0
    p = float(binom.sf(int(refused) - 1, total, limit)) if total else 1.0
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


def _summary(verdict: Verdict, alarms: Sequence[Question], n: int) -> str:
    if verdict == "alarm":
        told = "; ".join(each.reason for each in alarms[:5])
        return f"{len(alarms)} of the questions about {n} records raise an alarm: {told}"
    if verdict == "insufficient":
        return f"{n} records are too few to tell broken values from chance."
    return f"The values of {n} records look as values of this cohort do."
