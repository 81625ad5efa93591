"""Made-up kept reports of every verdict, for tests of pages and for looking at them."""

from __future__ import annotations

from functools import cache
from typing import Any

from assets_tests.worlds.tables.batches import FEATURES, records
from clinical_assets.cohorts.governance import Monitoring
from clinical_assets.foundation.settings import Settings
from clinical_assets.monitoring import report_store
from clinical_assets.monitoring.drift.drift import drift_report
from clinical_assets.monitoring.drift.report import DriftReport
from clinical_assets.monitoring.reports import BY_NAME

DIGEST = "sha256:" + "5f" * 32
_VERDICTS: dict[report_store.ReportName, tuple[str, ...]] = {
    "data_quality_report": ("sound", "alarm", "insufficient"),
    "drift_report": ("stable", "drift", "insufficient"),
    "performance_report": ("as promised", "worse", "insufficient"),
    "fairness_report": ("pass", "fail", "insufficient"),
    "update_recommendation": ("none", "wait", "repair_data", "ask", "intercept", "intercept_and_slope", "refit"),
}
#: Of each registered report; one that is not named above has these words.
VERDICTS = {name: _VERDICTS.get(name, ("sound", "alarm", "insufficient")) for name in report_store.NAMES}
_PARTS: dict[str, list[dict[str, Any]]] = {
    "data_quality_report": [
        {"column": name, "kind": kind, "then": 0.02, "now": now, "p": p, "alarm": p < 1e-4, "reason": reason}
        for name, kind, now, p, reason in (
            ("all columns", "refused", 0.01, 0.9, ""),
            (
                "systolic_blood_pressure_mean_mmhg",
                "stuck",
                0.98,
                1e-30,
                "systolic_blood_pressure_mean_mmhg: 98% of the records have the same value; 1% had it in the reference",
            ),
            ("crp_mg_l", "missing", 0.03, 0.4, ""),
        )
    ],
    "performance_report": [
        {
            "arm": arm,
            "measure": measure,
            "value": value,
            "ci_low": value - 0.08,
            "ci_high": value + 0.07,
            "n": 812,
            "events": 201,
            "card": value + 0.02,
            "card ci_low": value - 0.05,
            "card ci_high": value + 0.09,
            "worse": measure == "calibration_slope" if arm == "all" else None,
        }
        for arm in ("all", "acted upon", "not acted upon")
        for measure, value in (("auroc", 0.7812345), ("calibration_intercept", -0.12), ("calibration_slope", 0.71))
    ],
    "fairness_report": [
        {
            "criterion": f"{group}: {measure}",
            "verdict": "fail" if group == "sex=f" else "pass",
            "value": 0.213,
            "ci_low": 0.1,
            "ci_high": 0.32,
            "limit": 0.2,
            "reason": "The difference is larger than allowed by more than chance." if group == "sex=f" else "",
        }
        for group in ("sex=f", "region=north", "sex=f, region=south")
        for measure in ("tpr_difference", "calibration_intercept_difference")
    ],
}
_ROLLING = [
    {
        "from": f"2026-0{month}-01T00:00:00",
        "until": f"2026-0{month}-28T00:00:00",
        "n": 130 + month,
        "events": 30,
        "intercept": {"value": 0.1 * month - 0.2, "ci_low": 0.1 * month - 0.6, "ci_high": 0.1 * month + 0.2},
        "slope": {"value": 1.1 - 0.07 * month, "ci_low": 0.8 - 0.07 * month, "ci_high": 1.4 - 0.07 * month}
        if month != 3
        else {"insufficient": "no event"},
    }
    for month in range(1, 7)
]
_METRICS = {
    "data_quality_report": {"mean missing share": 0.03, "alarms": 0.0, "records": 400.0},
    "drift_report": {"psi_max": 0.12, "prediction_psi": 0.05},
    "performance_report": {
        "auroc": 0.78,
        "calibration_intercept": 0.1,
        "calibration_slope": 0.9,
        "net_benefit": 0.08,
    },
}


@cache
def drifted(shift: float) -> DriftReport:
    """A drift report of made-up batches whose age, and what depends on it, moved by `shift` standard deviations."""
    return drift_report(
        records(2_000, seed=1),
        records(800, seed=2, shift=shift),
        features=FEATURES,
        importance={name: float(i + 1) for i, name in enumerate(FEATURES)},
        limits=Monitoring(),
    )


def report(name: report_store.ReportName, verdict: str, *, number: int = 0) -> dict[str, Any]:
    """One report as the assets keep it; numbers move with `number`."""
    content: dict[str, Any] = {
        "verdict": verdict,
        "summary": f"{name.replace('_', ' ').capitalize()} {number}: {verdict}. Two sentences for a person stand here, "
        "long enough to see how lines break on a narrow screen.",
        "bundle_digest": DIGEST,
    }
    if name == "update_recommendation":
        tests = [
            {"smaller": smaller, "larger": "refit", "statistic": 61.2, "df": 9, "p_value": 7.8e-10}
            for smaller in ("original", "intercept", "intercept and slope")
        ]
        return {
            **content,
            "action": verdict,
            "rule": "closed_test",
            "reason": content["summary"],
            "wanted": "intercept_and_slope",
            "n": 812,
            "events": 201,
            "cause": "sha256:" + "0c" * 32,
            "evidence": {
                "acted_share_of_alerts": 0.04,
                "closed_test": {"kind": "refit", "alpha": 0.01, "tests": tests, "intercept": None, "slope": None},
                "auroc_gain_cross_validated": 0.003,
                "mean_change_of_risk": 0.0412,
                "groups": ["sex=f: tpr_difference"],
            },
        }
    metrics = {key: value + 0.03 * number for key, value in _METRICS.get(name, {}).items()}
    inner: dict[str, Any] = {"n": 812}
    table = BY_NAME[name].table
    if table is not None:
        inner[table] = _PARTS.get(name, [{"of": "rows", "value": 0.25}])
    if name == "drift_report":
        inner = drifted(0.6 if verdict == "drift" else 0.0).to_json()
    if name == "performance_report":
        inner["rolling"] = _ROLLING
    window = "2026-05-01T10:00:00 to 2026-05-28T10:00:00 UTC, 12 batches"
    return {**content, "window": window, "metrics": metrics, "report": inner}


def keep_all(settings: Settings, cohort: str, *, number: int, history: int = 1) -> None:
    """Every report of a cohort with its verdict of this number, after some earlier ones."""
    for name, verdicts in VERDICTS.items():
        for past in range(history):
            report_store.keep(settings, cohort, name, report(name, verdicts[number % len(verdicts)], number=past))
