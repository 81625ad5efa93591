"""Verdicts on what is counted: things that must not occur, and shares.

Shares in the data quality gate are counted over all records there are, not estimated from a sample of them, so the
counted share is held against the limit; the interval beside it (Wilson) says what the next delivery may look like.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from clinical_assets.governance.verdicts.verdict import Gate, Verdict
from clinical_assets.statistics.uncertainty.intervals import wilson_interval
from clinical_assets.warehouse.store.sql_text import quoted

if TYPE_CHECKING:
    import duckdb

GATE: Gate = "data_quality"
SHOWN = 60


def counted(criterion: str, found: int, n: int, *, what: str, cure: str, evidence: dict[str, Any]) -> Verdict:
    """The verdict on something that must not occur at all, among n records."""
    good = found == 0
    reason = f"None of {n:,} {what}." if good else f"{found:,} of {n:,} {what}. {cure}"
    return Verdict(
        GATE, criterion, "pass" if good else "fail", reason, value=float(found), limit="= 0", n=n, evidence=evidence
    )


def share(
    criterion: str, part: int, n: int, *, most: float, what: str, cure: str, evidence: dict[str, Any] | None = None
) -> Verdict:
    """The verdict on a counted share, with its Wilson interval; without any record it is insufficient."""
    limit = f"<= {most:g}"
    if n == 0:
        reason = f"There is no record of which a share of {what} could be counted."
        return Verdict(GATE, criterion, "insufficient", reason, limit=limit, n=0, evidence=evidence or {})
    value = part / n
    low, high = (float(bound) for bound in wilson_interval(part, n))
    good = value <= most
    reason = f"{part:,} of {n:,} {what}, {value:.1%}; allowed are {most:.1%}."
    return Verdict(
        GATE,
        criterion,
        "pass" if good else "fail",
        reason if good else f"{reason} {cure}",
        value=value,
        limit=limit,
        ci_low=low,
        ci_high=high,
        n=n,
        events=part,
        evidence={"method": "counted; wilson", **(evidence or {})},
    )


def shortened(prefix: str, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The verdicts, but of more than 60 passing ones only the worst, in the name of all."""
    passing = [verdict for verdict in verdicts if verdict.verdict == "pass"]
    if len(passing) <= SHOWN:
        return list(verdicts)
    worst = max(passing, key=lambda verdict: verdict.value or 0.0)
    row = {name: value for name, value in worst.row().items() if name not in ("criterion", "reason")}
    told = Verdict(
        **row,
        criterion=f"{prefix}[{len(passing)} others]",
        reason=f"{len(passing)} more keep the limit; the largest is {worst.criterion}: {worst.reason}",
        evidence=worst.evidence,
    )
    return [*(verdict for verdict in verdicts if verdict.verdict != "pass"), told]


def validated(name: str) -> str:
    """The relation of a validated table."""
    return f"validated.{quoted(name)}"


def one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    """The number that a statement yields."""
    row = connection.execute(sql).fetchone()
    return int(row[0]) if row else 0
