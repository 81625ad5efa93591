"""The update question for one cohort: what its reports and its ledger say, put to the rules of ``updates``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.table.inputs import features_of
from clinical_assets.modelling.table.twins import find_twins
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.performance.followed_records import weights_of
from clinical_assets.monitoring.updates.updates import Recommendation, UpdateHistory, recommend
from clinical_assets.records.clock import parse
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger

if TYPE_CHECKING:
    import polars as pl


_EXPLAINED_ROWS = 500


def history_of(records: RecordsDatabase, cohort: str, *, now: datetime | None = None) -> UpdateHistory:
    """When the cohort's model was updated by recommendation, from the audit ledger."""
    entries = Ledger(records).entries(cohort=cohort, action="retrain")
    return UpdateHistory(
        updates=tuple(parse(entry.at) for entry in entries),
        now=now or datetime.now(UTC),
        kinds=tuple(str(entry.reason) for entry in entries),
    )


def recommend_for(
    rows: pl.DataFrame | None, spec: CohortSpec, bundle: Bundle, *, settings: Settings, history: UpdateHistory
) -> tuple[Recommendation, str]:
    """What should happen to a champion, and a digest that names the cause: the same evidence has the same cause.

    Parameters
    ----------
    rows : polars.DataFrame or None
        As ``windows.matured_records`` gives them, None before any outcome is known. Of a subject with several units, or
        with twins under other identifiers, the newest one is judged by, because the tests take records for independent.
    spec : CohortSpec
        The cohort's description.
    bundle : Bundle
        The champion.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    history : UpdateHistory
        Updates made so far and when the last one was.
    """
    newest = [report_store.latest(settings, spec.name, name) for name in ("data_quality_report", "fairness_report")]
    mine = [each.report if each is not None and each.bundle_digest == bundle.digest else {} for each in newest]
    known = rows is not None and rows.height > 0
    judged = _judged_by(rows, spec, bundle) if rows is not None and known else _nobody(len(bundle.feature_columns))
    found = recommend(
        **judged,
        limits=spec.monitoring,
        plan=spec.pccp,
        history=history,
        quality_alarms=mine[0].get("alarms", ()),
        failing_groups=mine[1].get("failing", ()),
        seed=spec.modelling.search.seed,
    )
    cause = value_digest(
        {
            "bundle": bundle.digest,
            "action": found.action,
            "wanted": found.wanted,
            "rule": found.rule,
            "n": found.n,
            "events": found.events,
            "known_at": str(rows["known_at"].max()) if rows is not None and known else None,
            "alarms": list(mine[0].get("alarms", ())),
            "groups": list(found.evidence.get("groups", ())),
        }
    )
    return found, cause


def _judged_by(rows: pl.DataFrame, spec: CohortSpec, bundle: Bundle) -> dict[str, Any]:
    """What the rules look at, one row per subject, a subject's twins under other identifiers among its rows."""
    import polars as pl

    rows = rows.sort("scored_at", *spec.key)
    subjects = rows[spec.subject_of(spec.subject_table)].rank("dense").to_numpy()
    twins = find_twins(features_of(rows, bundle.feature_columns), subjects)
    rows = rows.filter(pl.Series(twins.groups).is_last_distinct()).sort(list(spec.key))
    features = features_of(rows, bundle.feature_columns)
    shares = np.abs(bundle.explain(features[:_EXPLAINED_ROWS]).contributions)
    return {
        "event": (rows["outcome"].to_numpy() >= bundle.description.action_from).astype(np.int64),
        "risk": rows["risk"].to_numpy(),
        "features": features,
        "importance": shares.reshape(shares.shape[0], shares.shape[1], -1).mean(axis=(0, 2)).tolist(),
        "alert": rows["is_alert"].to_numpy(),
        "acted": np.array(rows["acted"].to_list(), dtype=object),
        "weights": weights_of(rows),
    }


def _nobody(features: int) -> dict[str, Any]:
    return {
        "event": np.zeros(0, dtype=np.int64),
        "risk": np.zeros(0),
        "features": np.zeros((0, features)),
        "importance": [0.0] * features,
        "alert": np.zeros(0, dtype=bool),
    }
