"""No count of 1 to 4 can be found from what is shown of groups, Table 1 and group tables together."""

from __future__ import annotations

from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from clinical_assets.modelling.description.group_counts import group_counts, groups_for_readers
from clinical_assets.modelling.description.table_one import LEAST, SUPPRESSED, WITHHELD, suppressed
from clinical_assets.modelling.description.training_results import StoredGroup

counts = st.integers(0, 9)
Shown = tuple[str | int, ...]


def possible(shown: Shown, total: int) -> list[tuple[int, ...]]:
    """Every column that a reader may think of: what is shown, and the total."""
    ranges = [
        range(1, LEAST) if each == SUPPRESSED else range(LEAST, total + 1) if each == WITHHELD else (int(each),)
        for each in shown
    ]
    return [each for each in product(*ranges) if sum(each) == total]


def fits(rows: int, shown: str | int) -> bool:
    return shown in (WITHHELD, rows)


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(counts, counts), min_size=3, max_size=3))
def test_small_counts_have_more_than_one_solution_while_there_is_another_to_withhold(
    table: list[tuple[int, int]],
) -> None:
    events, others = [yes for yes, _ in table], [no for _, no in table]
    columns = suppressed(events), suppressed(others)
    groups = group_counts([(yes + no, yes) for yes, no in table])
    assert [each for _, each in groups] == list(columns[0])
    solutions = [
        (yes, no)
        for yes, no in product(possible(columns[0], sum(events)), possible(columns[1], sum(others)))
        if all(fits(one + two, shown) for one, two, (shown, _) in zip(yes, no, groups, strict=True))
    ]
    assert (tuple(events), tuple(others)) in solutions
    for side, (column, mine) in enumerate(zip(columns, (events, others), strict=True)):
        alone = not any(isinstance(each, int) and each >= LEAST for each in column)  # nothing more to withhold
        for place, each in enumerate(column):
            if each == SUPPRESSED and not alone:
                assert len({found[side][place] for found in solutions}) > 1, (mine, column)


def row(group: str, n: int, events: int, *, sample: str = "holdout") -> StoredGroup:
    shared = {"value": 0.5, "ci_low": 0.1, "ci_high": 0.9, "method": "wilson", "level": 0.95}
    estimate = {**shared, "n": n, "events": events}
    few = n < 50
    content = {
        "sample": sample,
        "attribute": "sex",
        "group": group,
        "n": n,
        "events": events,
        "status": "insufficient" if few else "ok",
        "reason": f"{n} rows, at least 50 are needed" if few else "",
        "metrics": {} if few else {"auroc": estimate, "sensitivity": estimate, "specificity": estimate},
    }
    return StoredGroup.of(content, where="a group")


def test_estimates_and_reasons_say_no_count_and_rates_of_few_are_left_out() -> None:
    found = groups_for_readers([row("a", 60, 3), row("b", 4, 2), row("c", 80, 30), row("d", 90, 30)])
    assert [(each.n, each.events) for each in found] == [
        (WITHHELD, SUPPRESSED),
        (WITHHELD, SUPPRESSED),
        (WITHHELD, 30),
        (90, 30),
    ]
    assert set(found[0].metrics) == {"auroc", "specificity"}
    assert set(found[3].metrics["auroc"].to_json()) == {"value", "ci_low", "ci_high", "method", "level"}
    assert found[1].reason == "too few rows or events"


def test_large_groups_stay_as_they_are_and_samples_are_looked_at_apart() -> None:
    rows = [
        row("a", 60, 20),
        row("b", 70, 3, sample="out_of_fold"),
        row("b", 90, 30),
        row("a", 65, 9, sample="out_of_fold"),
    ]
    found = groups_for_readers(rows)
    assert [(each.n, each.events) for each in found] == [
        (60, 20),
        (WITHHELD, SUPPRESSED),
        (90, 30),
        (WITHHELD, WITHHELD),
    ]
