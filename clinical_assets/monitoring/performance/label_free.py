"""What a champion's performance would be if its risks were right: an estimate before outcomes are known.

Under calibrated risks the expected confusion matrix at a threshold, and the expected ranking, follow from the risks
alone (confidence-based performance estimation). It notices that the mix of patients changed; it cannot notice that
risks became wrong, because it takes them for right. It is therefore named an estimate wherever it is shown, and never
judged.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.warehouse.outcomes.received_tables import BATCH, SCORED, has_table
from clinical_assets.warehouse.store.sql_text import literal, quoted

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class LabelFree:
    """Expected values under calibrated risks; none of them was observed.

    Attributes
    ----------
    n : int
        Scored records.
    event_rate, alert_rate : float
        Mean risk, and share at or above the threshold (this one is observed).
    sensitivity, specificity, ppv : float or None
        None where nobody is on the side that the rate divides by.
    net_benefit : float
        Per patient, at the deployed threshold.
    auroc : float or None
        Chance that a random event has a higher risk than a random non-event.
    """

    n: int
    event_rate: float
    alert_rate: float
    sensitivity: float | None
    specificity: float | None
    ppv: float | None
    net_benefit: float
    auroc: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values, with the word that says what they are."""
        return {"estimated_without_labels": True, **asdict(self)}


def expected_performance(risk: FloatArray, *, threshold: float) -> LabelFree:
    """Expected performance of calibrated risks.

    Parameters
    ----------
    risk : array of shape (n,), in [0, 1], n > 0
        Served risks of records without outcomes.
    threshold : float in (0, 1)
        At or above it a record raises an alert.

    Source: confidence-based performance estimation, Guillory et al. 2021 (arXiv:2107.03315), and the calibration
    identity E[Y | p] = p; net benefit after Vickers & Elkin 2006, doi 10.1177/0272989X06295361.
    """
    p = np.asarray(risk, dtype=np.float64)
    alert = p >= threshold
    hits, false_alarms = float(p[alert].sum()), float((1 - p[alert]).sum())
    missed, spared = float(p[~alert].sum()), float((1 - p[~alert]).sum())
    return LabelFree(
        n=int(p.size),
        event_rate=float(p.mean()),
        alert_rate=float(alert.mean()),
        sensitivity=_ratio(hits, hits + missed),
        specificity=_ratio(spared, spared + false_alarms),
        ppv=_ratio(hits, hits + false_alarms),
        net_benefit=(hits - false_alarms * threshold / (1 - threshold)) / p.size,
        auroc=_expected_auroc(p),
    )


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _expected_auroc(p: FloatArray) -> float | None:
    """Sum over pairs of P(i is the event, j is not) where i ranks above j, ties half, over all pairs of two records."""
    order = np.argsort(p, kind="stable")
    values, events = np.unique(p[order], return_counts=True)
    event_mass, rest_mass = values * events, (1 - values) * events
    below = np.concatenate([[0.0], np.cumsum(rest_mass)[:-1]])
    # Two records, not one twice: a record's own pair is taken out of the ties.
    own = values * (1 - values) * events
    concordant = float((event_mass * below).sum() + 0.5 * (event_mass * rest_mass - own).sum())
    pairs = float(event_mass.sum() * rest_mass.sum() - own.sum())
    return concordant / pairs if pairs > 0 else None


def label_free_report(connection: duckdb.DuckDBPyConnection, spec: CohortSpec, bundle: Bundle) -> LabelFree | None:
    """Expected performance on all units that a bundle scored, by the newest score of each; None where there is none."""
    if not has_table(connection, *SCORED.split(".")):
        return None
    risk = connection.execute(
        f"SELECT risk FROM {SCORED} WHERE bundle_digest = {literal(bundle.digest)} QUALIFY row_number() OVER "
        f"(PARTITION BY {', '.join(map(quoted, spec.key))} ORDER BY scored_at DESC, {BATCH}) = 1"
    ).fetchnumpy()["risk"]
    if not risk.size:
        return None
    return expected_performance(np.asarray(risk), threshold=bundle.description.threshold)
