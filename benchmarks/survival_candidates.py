"""What leaving out the censored did to risks by a horizon, and what weights for them and Cox's hazards do instead.

For shipped cohorts whose outcome is a time: mean risk out of fold over the observed risk of everybody at risk
(Kaplan-Meier), AUROC and Brier score with weights for the censored, of a logistic ridge fitted without the censored,
the same with weights, and ``cox_ridge``. The longer horizons show what more censoring does. Every risk of a row is from
models that had not seen it (5 outer folds, 3 inner, 6 settings).

    python benchmarks/survival_candidates.py            # about 15 seconds of CPU; needs the extras data and data-gpl
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from assets_tests.worlds.tables.shipped import CATALOGUE, build_cohort, own_settings
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.search.search import nested
from clinical_assets.modelling.table.inputs import ModelInput, model_input
from clinical_assets.statistics.discrimination.discrimination import auroc
from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
from clinical_assets.statistics.survival.incidence import risk_at_horizon
from clinical_assets.warehouse.features.feature_table import load_feature_table
from clinical_assets.warehouse.features.features import build_features
from clinical_assets.warehouse.sql.project import SqlProject

#: Cohort, and days of the horizon.
COHORTS = (
    ("breast_cancer_recurrence", 730),
    ("breast_cancer_recurrence", 1825),
    ("colon_cancer_recurrence", 1095),
    ("heart_failure_mortality", 60),
    ("heart_failure_mortality", 90),
    ("lung_cancer_survival", 180),
    ("lung_cancer_survival", 365),
)
SEARCH = {"trials": 6, "inner_folds": 3, "outer_folds": 5}


def observed(data: ModelInput) -> float:
    """Kaplan-Meier risk at the horizon of the rows and of the censored."""
    follow_up = data.follow_up
    assert follow_up is not None
    days = np.concatenate([follow_up.days, follow_up.censored_days])
    codes = np.concatenate([follow_up.event, np.zeros(len(follow_up.censored_days), dtype=np.int64)])
    return risk_at_horizon(censored_outcomes(days, codes, horizon=follow_up.horizon)).value


def shown(name: str, data: ModelInput, spec: CohortSpec, *, judged: ModelInput, wanted: float) -> str:
    """Mean risk over observed, AUROC and Brier score of one candidate."""
    risk = nested([name], data, modelling=spec.modelling)[name].risk
    weights = np.ones(data.n) if judged.weights is None else judged.weights
    brier = np.average((judged.y - risk) ** 2, weights=weights)
    ratio = np.average(risk, weights=weights) / wanted
    return f"{ratio:.2f}, {auroc(judged.y, risk, weights=weights).value:.3f}, {brier:.4f}"


def main() -> None:
    """Print one line per cohort and horizon."""
    print("| cohort, horizon | at risk | censored before | observed | censored left out | weighted | `cox_ridge` |")
    print("|---|---|---|---|---|---|---|")
    for cohort, horizon in COHORTS:
        content = CATALOGUE.spec(cohort).canonical()
        content["prediction"]["horizon_days"] = horizon
        content["modelling"] = {"search": SEARCH}
        spec = CohortSpec.model_validate(content)
        with tempfile.TemporaryDirectory() as folder:
            warehouse = build_cohort(cohort, own_settings(Path(folder))).warehouse
            build_features(spec, SqlProject(CATALOGUE.sql_folders, spec), warehouse)
            data = model_input(load_feature_table(warehouse, spec), spec)
        assert data.follow_up is not None
        wanted, lost = observed(data), len(data.follow_up.censored_days)
        cells = [
            shown(name, rows, spec, judged=data, wanted=wanted)
            for name, rows in (
                ("logistic_ridge", replace(data, weights=None)),
                ("logistic_ridge", data),
                ("cox_ridge", data),
            )
        ]
        head = f"{cohort}, {horizon} days | {data.n + lost:,} | {lost:,} | {100 * wanted:.1f} %"
        print(f"| {head} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
