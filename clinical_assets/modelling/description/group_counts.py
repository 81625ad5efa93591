"""Counts of groups as a reader may see them: small ones suppressed, and with them what would give them away.

Group tables count the same people as Table 1, once more by class: rows less events are the rows without the event. A
group whose events or non-events are suppressed there has its rows withheld here, or the difference would say the count;
and as totals are known, never is one group of an attribute suppressed alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from clinical_assets.foundation.stored_format import StoredDocument
from clinical_assets.modelling.description.table_one import LEAST, TOO_FEW, WITHHELD, suppressed
from clinical_assets.modelling.description.training_results import StoredGroup

Count = int | str
# Shares of events or of non-events: of fewer than five they would say how many there are.
_OF_EVENTS, _OF_OTHERS = ("sensitivity",), ("specificity",)


class ShownEstimate(StoredDocument):
    """A value with its interval, without the counts it rests on."""

    value: int | float | None
    ci_low: int | float | None
    ci_high: int | float | None
    method: str
    level: int | float


class ShownGroup(StoredDocument):
    """One group as a reader may see it; a count is text where it is suppressed or withheld."""

    sample: str
    attribute: str
    group: str
    n: Count
    events: Count
    status: str
    reason: str
    metrics: dict[str, ShownEstimate]


def group_counts(counts: Sequence[tuple[int, int]]) -> list[tuple[Count, Count]]:
    """Rows and events of every group of one attribute, as they may be shown.

    Parameters
    ----------
    counts : sequence of (int, int)
        Rows, and events among them, of each group.

    Examples
    --------
    >>> group_counts([(60, 20), (40, 3), (90, 30)])  # 20 is withheld, or 3 would follow from the total
    [('withheld', 'withheld'), ('withheld', '< 5'), (90, 30)]
    >>> group_counts([(60, 20), (3, 0), (90, 30)])
    [('withheld', 20), ('withheld', 0), (90, 30)]
    """
    events = suppressed([yes for _, yes in counts])
    others = suppressed([n - yes for n, yes in counts])
    shown: list[tuple[Count, Count]] = []
    for (n, _), yes, no in zip(counts, events, others, strict=True):
        # Not even that they are fewer than five: with a shown number of events it would bound the others.
        shown.append((n if isinstance(yes, int) and isinstance(no, int) else WITHHELD, yes))
    return shown


def groups_for_readers(rows: Sequence[StoredGroup]) -> list[ShownGroup]:
    """Groups with their counts as `group_counts` shows them.

    Estimates lose the counts they rest on; where rows are withheld, a reason with numbers becomes one without, and a
    rate that rests on fewer than five events or non-events is left out.
    """
    blocks: dict[tuple[str, str], list[int]] = {}
    for place, row in enumerate(rows):
        blocks.setdefault((row.sample, row.attribute), []).append(place)
    found: dict[int, ShownGroup] = {}
    for places in blocks.values():
        shown = group_counts([(rows[place].n, rows[place].events) for place in places])
        for place, (n, events) in zip(places, shown, strict=True):
            found[place] = _row(rows[place], n=n, events=events)
    return [found[place] for place in range(len(rows))]


def _row(row: StoredGroup, *, n: Count, events: Count) -> ShownGroup:
    few = {
        *(_OF_EVENTS if 0 < row.events < LEAST else ()),
        *(_OF_OTHERS if 0 < row.n - row.events < LEAST else ()),
    }
    return ShownGroup(
        sample=row.sample,
        attribute=row.attribute,
        group=row.group,
        n=n,
        events=events,
        status=row.status,
        reason=f"{TOO_FEW} rows or events" if row.reason and isinstance(n, str) else row.reason,
        metrics={
            name: ShownEstimate(
                value=each.value, ci_low=each.ci_low, ci_high=each.ci_high, method=each.method, level=each.level
            )
            for name, each in row.metrics.items()
            if name not in few
        },
    )


def counted(n: Count, events: Count) -> str:
    """Counts of a group; one that is suppressed stands as it is."""
    return ", ".join(
        f"{name} = {count:,}" if isinstance(count, int) else f"{name} {count}"
        for name, count in (("n", n), ("events", events))
    )
