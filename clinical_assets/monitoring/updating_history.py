"""The update question for one cohort: what its reports and its ledger say, put to the rules of ``updates``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from clinical_assets.monitoring import kept_reports
from clinical_assets.monitoring.updates import History, Recommendation, recommend
from clinical_assets.warehouse.digests import value_digest

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.modelling.bundle import Bundle
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.settings import Settings

_EXPLAINED_ROWS = 500


def history_of(records: RecordsDatabase, cohort: str, *, now: datetime | None = None) -> History:
    """When the cohort's model was updated by recommendation, from the audit ledger."""
    from clinical_assets.records.clock import parse
    from clinical_assets.records.ledger import Ledger

    entries = Ledger(records).entries(cohort=cohort, action="retrain")
    return History(updates=tuple(parse(entry.at) for entry in entries), now=now or datetime.now(UTC))


def recommend_for(
    rows: pl.DataFrame, spec: CohortSpec, bundle: Bundle, *, settings: Settings, history: History
) -> tuple[Recommendation, str]:
    """What should happen to a champion, and a digest that names the cause: the same evidence has the same cause.

    Parameters
    ----------
    rows : polars.DataFrame
        As ``windows.matured_records`` gives them.
    """
    event = (rows["outcome"].to_numpy() >= int(bundle.description["action_from"])).astype(np.int64)
    features = rows.select(bundle.feature_columns).to_numpy().astype(np.float64)
    shares = np.abs(bundle.explain(features[:_EXPLAINED_ROWS]).contributions)
    importance = shares.reshape(shares.shape[0], shares.shape[1], -1).mean(axis=(0, 2))
    quality = kept_reports.latest(settings, spec.name, "data_quality_report") or {}
    fairness = kept_reports.latest(settings, spec.name, "fairness_report") or {}
    mine = [
        report.get("report", {}) if report.get("bundle_digest") == bundle.digest else {}
        for report in (quality, fairness)
    ]
    found = recommend(
        event,
        rows["risk"].to_numpy(),
        features,
        importance=importance.tolist(),
        limits=spec.monitoring,
        plan=spec.pccp,
        history=history,
        alert=rows["is_alert"].to_numpy(),
        acted=np.array(rows["acted"].to_list(), dtype=object),
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
            "known_at": str(rows["known_at"].max()),
        }
    )
    return found, cause
