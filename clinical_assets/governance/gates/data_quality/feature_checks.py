"""Are the features complete, unchanged, recent, free of leaks, and are their labels to be trusted?

What belongs here: criteria of the data quality gate about features, outcome and their age. What does not: single
records (``record_checks``).
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.verdicts.count_verdicts import GATE, counted, share, shortened
from clinical_assets.governance.verdicts.interval_verdicts import judged
from clinical_assets.governance.verdicts.verdict import LASTING, Verdict
from clinical_assets.modelling.description.training_results import StoredLeak
from clinical_assets.modelling.leakage.leakage import find_leaks
from clinical_assets.modelling.trainings.trainings import stored_leak
from clinical_assets.statistics.calibration import label_noise
from clinical_assets.warehouse.features.feature_table import FeatureTable
from clinical_assets.warehouse.sql.tests import run_tests_on

if TYPE_CHECKING:
    import duckdb
    import polars as pl


def missingness(table: FeatureTable, spec: CohortSpec) -> list[Verdict]:
    """Share of missing values of each feature, among the units that may be used for training."""
    missing = table.frame.select(table.feature_columns).null_count().row(0, named=True)
    found = [
        share(
            f"missing_share[{name}]",
            int(missing[name]),
            table.frame.height,
            most=spec.decisions.limits.missing_share,
            what=f"values of {name} are missing",
            cure="Record it more often, or leave the feature out.",
        )
        for name in table.feature_columns
    ]
    return shortened("missing_share", found)


def class_counts(table: FeatureTable, spec: CohortSpec) -> list[Verdict]:
    """Units of each class, against the smallest number that the description accepts."""
    found = Counter(table.frame["outcome"].to_list())
    least = spec.decisions.limits.minimum_events
    n = table.frame.height
    verdicts = []
    for number, label in enumerate(spec.target.classes):
        units = found.pop(number, 0)
        good = units >= least
        reason = f"{units:,} of {n:,} units have the outcome {label!r}; at least {least:,} are asked for."
        verdicts.append(
            Verdict(
                GATE,
                f"class_count[{label}]"[:200],
                "pass" if good else "fail",
                reason if good else f"{reason} Widen the cohort, lengthen the horizon, or merge the class.",
                value=float(units),
                limit=f">= {least}",
                n=n,
                events=units,
            )
        )
    verdicts.append(
        counted(
            "classes_known",
            sum(found.values()),
            n,
            what="units have an outcome that is no class of the description",
            cure="Correct the outcome model or the classes.",
            evidence={"values": sorted(map(str, found))[:20]},
        )
    )
    return verdicts


def unchanged(candidate: ReleaseCandidate, table: FeatureTable) -> Verdict:
    """The features now are those that the model was trained on."""
    made_from = candidate.bundle.description.provenance.data_digest
    same = table.digest == made_from
    return Verdict(
        GATE,
        "data_unchanged",
        "pass" if same else "fail",
        "The features are those that the model was trained on."
        if same
        else f"The features have changed since the model was trained. Train {candidate.cohort} again.",
        limit=f"= {made_from[:19]}",
        n=table.frame.height,
        evidence={"now": table.digest, "trained on": made_from},
    )


def sql_tests(candidate: ReleaseCandidate, connection: duckdb.DuckDBPyConnection) -> Verdict:
    """The tests that stand beside the SQL models hold on the tables as they are."""
    sql = candidate.sql
    results = [r for model in (sql.feature_model, sql.outcome_model) for r in run_tests_on(connection, sql, model)]
    if not results:
        return Verdict(GATE, "sql_tests", "pass", "No test is declared beside the SQL models.", limit="= 0", n=0)
    told = {f"{r.model} {r.test}({r.column or '-'})": r.failures for r in results if not r.passed}
    hard = {f"{r.model} {r.test}({r.column or '-'})" for r in results if not r.passed and r.severity == "error"}
    return counted(
        "sql_tests",
        len(hard),
        len(results),
        what="tests beside the SQL models fail",
        cure=f"clinical-assets sql test {candidate.cohort} shows the rows: {', '.join(sorted(hard)[:5])}.",
        evidence={"failures": told},
    )


def leakage(candidate: ReleaseCandidate, table: FeatureTable, subjects: pl.DataFrame) -> Verdict:
    """No feature knows the outcome: what the training found, and the same search on the tables as they are.

    A leak to be refused fails. A column that only its name makes suspicious is insufficient until `known_before` or a
    signed waiver answers. Suspicions that are warnings, or declared as known before, are listed.
    """
    sql = candidate.sql
    now = [
        stored_leak(leak)
        for leak in find_leaks(table, candidate.spec, raw_frame=subjects, lineage=sql.lineage(sql.feature_model))
    ]
    rows = {(leak.column, leak.kind, leak.action): leak for leak in (*candidate.training.results.leakage, *now)}
    refused, asked, warned = (
        [leak for leak in rows.values() if leak.action == action] for action in ("refuse", "ask", "warn")
    )
    beside = f" Suspicions listed in the evidence: {len(warned)}." if warned else ""
    if refused:
        reason = f"{_named(refused)} would leak the outcome into the model. {refused[0].cure}"
    elif asked and asked[0].kind == "grouping":
        reason = f"Records of one {asked[0].column} may not be independent: {asked[0].evidence} {asked[0].cure}{beside}"
    elif asked:
        reason = f"Only a person knows whether {_named(asked)} is known in time. {asked[0].cure}{beside}"
    else:
        reason = f"No feature is known to hold the outcome.{beside}"
    return Verdict(
        GATE,
        "leakage",
        "fail" if refused else "insufficient" if asked else "pass",
        reason,
        value=float(len(refused)),
        limit="= 0",
        n=table.frame.height,
        evidence={
            "refused": [_evidence(leak) for leak in refused],
            "asked": [_evidence(leak) for leak in asked],
            "warned": [_evidence(leak) for leak in warned],
            "looked at": len(table.feature_columns),
        },
    )


def _named(leaks: list[StoredLeak]) -> str:
    return ", ".join(dict.fromkeys(f"{leak.column} ({leak.kind})" for leak in leaks))


def _evidence(leak: StoredLeak) -> dict[str, Any]:
    return {"column": leak.column, "kind": leak.kind, "value": leak.value, "evidence": leak.evidence}


def freshness(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, *, now: dt.datetime) -> Verdict:
    """Whole days since the oldest of the cohort's tables was last read from its source."""
    import duckdb as db

    limit = spec.decisions.limits.data_age_days
    text = None if limit is None else f"<= {limit}"
    try:
        rows = dict(
            connection.execute("SELECT table_name, max(ingested_at) FROM meta.ingestions GROUP BY ALL").fetchall()
        )
    except db.CatalogException:
        rows = {}
    unknown = [name for name in spec.tables if rows.get(name) is None]
    if unknown:
        reason = f"It is not known when {', '.join(unknown)} was ingested. Materialize raw_records again."
        return Verdict(GATE, "freshness", "insufficient", reason, limit=text)
    oldest = min(spec.tables, key=lambda name: rows[name])
    exact = (now - rows[oldest].replace(tzinfo=dt.UTC)).total_seconds() / 86_400
    age = float(math.floor(exact))
    lasting = f"{oldest}, the oldest table, is {'older than' if limit and exact > limit else 'within'} the allowed age."
    evidence = {
        "ingested_at": {name: rows[name].isoformat() for name in spec.tables},
        LASTING: "No limit is set." if limit is None else lasting,
    }
    if limit is None:
        reason = f"No limit is set; {oldest}, the oldest table, was ingested {age:.0f} days ago."
        return Verdict(GATE, "freshness", "pass", reason, value=age, evidence=evidence)
    good = exact <= limit
    reason = f"{oldest}, the oldest table, was ingested {age:.0f} days ago; allowed are {limit}."
    return Verdict(
        GATE,
        "freshness",
        "pass" if good else "fail",
        reason if good else f"{reason} Ingest again and train on what is there then.",
        value=age,
        limit=text,
        evidence=evidence,
    )


def labels(reference: pl.DataFrame, spec: CohortSpec) -> Verdict:
    """Share of wrong outcome labels among the training rows; see ``label_noise`` for what can be told and what not."""
    limit = spec.decisions.limits.label_noise_share
    y = (reference["outcome"].to_numpy() >= spec.target.action_from).astype(np.int64)
    risk = reference["risk"].to_numpy().astype(np.float64)
    try:
        estimate = label_noise.label_noise(y, risk)
    except InsufficientData as error:
        return Verdict(
            GATE,
            "label_noise",
            "insufficient",
            f"{error.message}. {error.cure or ''}".strip(),
            limit=f"<= {limit:g}",
            n=int(y.size),
            events=int(y.sum()),
        )
    called, by_chance = label_noise.confident_learning(y, risk, seed=spec.modelling.search.seed)
    return judged(
        GATE,
        "label_noise",
        estimate,
        most=limit,
        what="The estimated share of wrong outcome labels, overlap of the classes apart,",
        cure="Let people check the labels against the records.",
        evidence={
            "confident learning calls wrong": called,
            "it would call wrong if no label were": by_chance,
            "training rows": reference.height,
        },
        # A profile likelihood at its floor of 0 does not shrink with the square root of the rows.
        foresee=False,
    )
