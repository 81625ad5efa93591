"""Promises about records, as checks that can fail.

A check looks at the tables themselves, not at what the step that wrote them said, so that it can be run again at any
time. Blocking ones stop the rest of their own run; whoever promotes or serves looks again.
"""

import dagster as dg

from clinical_assets.defs.shared.cohort_asset import broken, cohort_check
from clinical_assets.workspace import CohortHandle


@cohort_check(asset="raw_records", blocking=True)
def snapshot_is_restorable(cohort: CohortHandle) -> dg.AssetCheckResult:
    """The newest snapshot of every table still has the bytes and the content that its name promises."""
    from clinical_assets.foundation.errors import WarehouseError
    from clinical_assets.warehouse.snapshots.snapshot_files import list_snapshots
    from clinical_assets.warehouse.snapshots.snapshots import verify_snapshot

    sound, wrong = [], []
    for table in cohort.spec.tables:
        try:
            kept = list_snapshots(cohort.name, table, settings=cohort.settings)
            if kept:
                verify_snapshot(kept[0], settings=cohort.settings)
                sound.append(kept[0])
            else:
                wrong.append(f"There is no snapshot of table {table!r}.")
        except WarehouseError as error:
            wrong.append(str(error))
    return broken(wrong, snapshots_verified=len(sound), rows=sum(snapshot.rows for snapshot in sound))


@cohort_check(asset="validated_records", blocking=True)
def no_record_is_lost(cohort: CohortHandle) -> dg.AssetCheckResult:
    """Every raw record is either validated or in quarantine, and none is in both."""
    # Literals, because bound parameters would import pandas.
    from clinical_assets.warehouse.store.sql_text import literal

    rows = []
    with cohort.warehouse.reader() as connection:
        for name in cohort.spec.tables:
            raw, validated, refused, both = connection.execute(
                f"""
                SELECT (SELECT count(*) FROM raw."{name}"), (SELECT count(*) FROM validated."{name}"),
                       (SELECT count(_row) FROM quarantine.records WHERE table_name = {literal(name)}),
                       (SELECT count(*) FROM validated."{name}" AS v JOIN quarantine.records AS q
                          ON q.table_name = {literal(name)} AND q._row = v._row)
                """
            ).fetchone() or (0, 0, 0, 0)
            rows.append({"table": name, "raw": raw, "validated": validated, "refused": refused, "in both": both})
    wrong = [
        f"table {row['table']}: {row['raw']} raw, {row['validated']} validated, {row['refused']} refused records, "
        f"{row['in both']} of them both"
        for row in rows
        if row["raw"] != row["validated"] + row["refused"] or row["in both"]
    ]
    return broken(wrong, counts=rows)


@cohort_check(asset="validated_records", blocking=True)
def refused_share_is_small(cohort: CohortHandle) -> dg.AssetCheckResult:
    """No table has more refused records than the cohort's description allows."""
    # Literals, because bound parameters would import pandas.
    from clinical_assets.warehouse.store.sql_text import literal

    rows = []
    with cohort.warehouse.reader() as connection:
        for name, table in cohort.spec.tables.items():
            raw, refused, unreadable = connection.execute(
                f"""SELECT (SELECT count(*) FROM raw."{name}"), count(_row), count(*) - count(_row)
                    FROM quarantine.records WHERE table_name = {literal(name)}"""
            ).fetchone() or (0, 0, 0)
            # A line that could not be read is a refused record, too, though it never became a raw one.
            share = (refused + unreadable) / (raw + unreadable) if raw + unreadable else None
            rows.append(
                {
                    "table": name,
                    "raw": raw,
                    "refused": refused,
                    "unreadable lines": unreadable,
                    "share": share,
                    "limit": table.refused_limit,
                }
            )
    wrong = [
        f"table {row['table']}: "
        + ("no records" if row["share"] is None else f"{row['share']:.1%} refused, {row['limit']:.1%} allowed")
        for row in rows
        if row["share"] is None or row["share"] > row["limit"]
    ]
    return broken(wrong, shares=rows)


@cohort_check(asset="validated_records")
def values_are_plausible(cohort: CohortHandle) -> dg.AssetCheckResult:
    """Values are within the plausible limits of the description; those outside were kept, and are worth a look."""
    from clinical_assets.warehouse.store.sql_text import quoted

    rows = []
    with cohort.warehouse.reader() as connection:
        for name, table in cohort.spec.tables.items():
            for column, described in table.columns.items():
                if described.plausible is None:
                    continue
                low, high = described.plausible
                limits = [f"{quoted(column)} < {low!r}"] * (low is not None)
                limits += [f"{quoted(column)} > {high!r}"] * (high is not None)
                (outside,) = connection.execute(
                    f"""SELECT count(*) FROM validated."{name}" WHERE {" OR ".join(limits) or "false"}"""
                ).fetchone() or (0,)
                rows.append({"table": name, "column": column, "low": low, "high": high, "outside": outside})
    outside = sum(row["outside"] for row in rows)
    return broken([f"{outside} values outside their plausible limits"] if outside else [], warns=True, limits=rows)
