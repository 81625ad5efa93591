"""Measures of censored outcomes beside R's ``riskRegression::Score`` and ``survival::survfit``.

GBSG-2 (of lifelines) and three data sets of R's packages survival and relsurv (one with competing risks) get a made-up
risk score. R judges it at a horizon with its weights for the censored (marginal Kaplan-Meier); here the outcome model
``fixed_horizon`` makes classes and case weights of the same times, and ``evaluate`` and ``with_the_censored`` judge as
they do in every training. Ends with 1 where AUROC, Brier score, index of prediction accuracy, observed risk, observed
over expected or the observed risks of fifths differ by more than 1e-3. Net benefit and integrated calibration index
stand beside other estimators in R: a Kaplan-Meier risk within the alerts (Vickers 2008), and a Cox or Fine-Gray model
on a spline of the predicted risk (Austin et al. 2020).

Horizons are days (months in mgus2) on which nobody is censored: R leaves those out, here they are known to be free of
the event until then.

Needs ``Rscript`` with riskRegression, survival and relsurv (Debian: r-cran-riskregression, r-cran-relsurv).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from assets_tests.worlds.tables.sql_cohorts import INDEX, project_of, validated, with_visits
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.evaluation.followed import FollowedRisks, with_the_censored
from clinical_assets.statistics.survival.censored_outcomes import censored_outcomes
from clinical_assets.statistics.survival.observed_expected import observed_groups

TOLERANCE = 1e-3
SCRIPT = Path(__file__).with_name("survival_measures.R")
#: Data set, horizon in its unit (nobody is censored on it), threshold of the net benefit.
SETS = (("rotterdam", 1825, 0.3), ("gbsg2", 1050, 0.3), ("mgus2", 120, 0.05), ("colrec", 6001, 0.5))
COMPARED = ("auroc", "brier", "scaled_brier", "observed_risk", "observed_expected_ratio")


def ours(path: Path, horizon: int, threshold: float) -> tuple[dict[str, float], np.ndarray, int]:
    """Measures by the outcome model and the evaluation of every training, fifths, and how many were censored."""
    rows = pl.read_csv(path)
    names = {0: "alive", 1: "event", 2: "other death"}
    spec = with_visits(
        landmark_days=0,
        vars={
            "time_column": "followed_days",
            "event_column": "status",
            "event_values": ["event"],
            "competing_values": ["other death"],
            "horizon_days": horizon,
        },
    )
    people = [
        (f"p{number:06}", INDEX, 40, time, names[status])
        for number, (time, status) in enumerate(zip(rows["time"], rows["event"], strict=True))
    ]
    connection = validated(spec, {"subjects": people, "visits": []})
    with tempfile.TemporaryDirectory() as folder:
        sql = project_of(Path(folder), {}, spec).compile("fixed_horizon").sql
    judged = connection.execute(f"SELECT * FROM ({sql}) ORDER BY subject_id").pl()
    used, risk = judged["exclusion"].is_null().to_numpy(), rows["risk"].to_numpy()
    costs = spec.decisions.costs.model_copy(update={"false_positive": threshold, "false_negative": 1 - threshold})
    report = evaluate(
        judged["outcome"].to_numpy()[used].astype(np.int64),
        risk[used],
        decisions=spec.decisions.model_copy(update={"costs": costs}),
        weights=judged["case_weight"].to_numpy()[used],
        n_resamples=200,
        leave_out=frozenset({"auprc", "curves"}),
    )
    people = censored_outcomes(judged["follow_up_days"], judged["event_code"], horizon=horizon)
    found = with_the_censored(report, FollowedRisks(people, risk)).metrics
    names = (*COMPARED, "net_benefit", "ici")
    return (
        {name: found[name].value for name in names},
        observed_groups(people, risk, n_bins=5).observed,
        int((~used).sum()),
    )


def gbsg2() -> pl.DataFrame:
    """Women of GBSG-2 with a made-up risk of relapse or death."""
    from lifelines.datasets import load_gbsg2

    women = pl.DataFrame({name: column.to_numpy() for name, column in load_gbsg2().items()})
    nodes, grade, receptors = women["pnodes"].clip(0, 15), women["tgrade"] == "III", women["progrec"].clip(0, 1000)
    log_odds = -1.7 + 0.1 * nodes + 0.3 * grade.cast(int) - 0.001 * receptors
    return women.select("time", pl.col("cens").alias("event"), (1 / (1 + (-log_odds).exp())).alias("risk"))


def main() -> int:
    """Print one line per data set and measure."""
    if shutil.which("Rscript") is None:
        print(
            "Not compared: Rscript is missing. On Debian, apt-get install r-cran-riskregression r-cran-relsurv",
            file=sys.stderr,
        )
        return 0
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        gbsg2().write_csv(Path(folder) / "gbsg2.csv")
        asked = [f"{name}={horizon}={threshold}" for name, horizon, threshold in SETS]
        run = subprocess.run(["Rscript", str(SCRIPT), folder, *asked], capture_output=True, text=True, check=False)
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            return 1
        print("| data | n | censored before | horizon | measure | here | R | difference |")
        print("|---|---|---|---|---|---|---|---|")
        for judge in json.loads(run.stdout)["data"]:
            mine, fifths, censored = ours(Path(folder) / f"{judge['name']}.csv", judge["horizon"], judge["threshold"])
            pairs = [(name, mine[name], judge[name]) for name in COMPARED]
            both = zip(fifths, judge["group_observed"], strict=True)
            pairs += [(f"observed, fifth {place}", *each) for place, each in enumerate(both, 1)]
            worst = max(worst, *(abs(value - other) for _, value, other in pairs))
            pairs += [("net benefit, beside Vickers", mine["net_benefit"], judge["net_benefit_km"])]
            pairs += [("ICI, beside Cox on a spline", mine["ici"], judge["ici_cox"])]
            for measure, value, other in pairs:
                print(
                    f"| {judge['name']} | {judge['n']:,} | {censored:,} | {judge['horizon']} | {measure} | "
                    f"{value:.5f} | {other:.5f} | {value - other:+.1e} |"
                )
    print(f"largest difference of what is the same estimator: {worst:.1e}; at most {TOLERANCE:.0e} is allowed")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
