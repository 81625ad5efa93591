"""AUROC, Brier score and scaled Brier score of censored outcomes, beside R's ``riskRegression::Score``.

Three data sets of R's package survival (one with competing risks) get a made-up risk score. R judges it at a horizon
with its weights for the censored (marginal Kaplan-Meier); here the outcome model ``fixed_horizon`` makes classes and
case weights of the same times, and ``evaluate`` judges as it does in every training. Ends with 1 where the two differ
by more than 1e-3. Horizons are days (months in mgus2) on which nobody is censored: R leaves those out, here
they are known to be free of the event until then.

Needs ``Rscript`` with riskRegression and survival (Debian: r-cran-riskregression).
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

TOLERANCE = 1e-3
R = """
suppressMessages({library(survival); library(riskRegression); library(prodlim)})
folder <- commandArgs(TRUE)[1]
rot <- with(rotterdam, data.frame(time=pmin(rtime, dtime), status=ifelse(recur == 1 | death == 1, 1, 0),
  risk=plogis(-1.5 + .12 * pmin(nodes, 15) + .4 * (grade == 3) - .0008 * pmin(pgr, 1000))))
g <- with(gbsg, data.frame(time=rfstime, status=status,
  risk=plogis(-1.7 + .1 * pmin(nodes, 15) + .3 * (grade == 3) - .001 * pmin(pgr, 1000))))
m <- subset(mgus2, !is.na(mspike))
m <- with(m, data.frame(time=ifelse(pstat == 1, ptime, futime), status=ifelse(pstat == 1, 1, ifelse(death == 1, 2, 0)),
  risk=plogis(-4 + .9 * mspike - .01 * (age - 70))))
out <- list()
one <- function(name, d, horizon) {
  d <- subset(d, time > 0)
  write.csv(d, file.path(folder, paste0(name, ".csv")), row.names=FALSE)
  f <- if (any(d$status == 2)) Hist(time, status) ~ 1 else Surv(time, status) ~ 1
  s <- Score(list(x=d$risk), formula=f, data=d, times=horizon, cause=1, metrics=c("auc", "brier"), summary="ipa",
             cens.model="km", conf.int=FALSE, null.model=TRUE)
  b <- as.data.frame(s$Brier$score); b <- b[b$model == "x", ]
  cat(sprintf('{"name": "%s", "horizon": %d, "n": %d, "auroc": %.8f, "brier": %.8f, "scaled_brier": %.8f}\\n', name,
      horizon, nrow(d), as.data.frame(s$AUC$score)$AUC[1], b$Brier, b$IPA))
}
one("rotterdam", rot, 1825)
one("gbsg", g, 1050)
one("mgus2", m, 120)
"""


def ours(path: Path, horizon: int) -> tuple[dict[str, float], int]:
    """Measures by the outcome model and the evaluation of every training; and how many were censored."""
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
        for number, (time, status) in enumerate(zip(rows["time"], rows["status"], strict=True))
    ]
    connection = validated(spec, {"subjects": people, "visits": []})
    with tempfile.TemporaryDirectory() as folder:
        sql = project_of(Path(folder), {}, spec).compile("fixed_horizon").sql
    judged = connection.execute(f"SELECT * FROM ({sql}) ORDER BY subject_id").pl()
    used = judged["exclusion"].is_null().to_numpy()
    found = evaluate(
        judged["outcome"].to_numpy()[used].astype(np.int64),
        rows["risk"].to_numpy()[used],
        decisions=spec.decisions,
        weights=judged["case_weight"].to_numpy()[used],
        n_resamples=200,
        leave_out=frozenset({"auprc", "ici", "curves"}),
    ).metrics
    return {name: found[name].value for name in ("auroc", "brier", "scaled_brier")}, int((~used).sum())


def main() -> int:
    """Print one line per data set and measure."""
    if shutil.which("Rscript") is None:
        print("Not compared: Rscript is missing. On Debian, apt-get install r-cran-riskregression", file=sys.stderr)
        return 0
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(["Rscript", "-e", R, folder], capture_output=True, text=True, check=False)
        if run.returncode:
            print(run.stderr, file=sys.stderr)
            return 1
        print("| data | n | censored before | horizon | measure | here | riskRegression | difference |")
        print("|---|---|---|---|---|---|---|---|")
        for line in run.stdout.splitlines():
            judge = json.loads(line)
            mine, censored = ours(Path(folder) / f"{judge['name']}.csv", judge["horizon"])
            for measure, value in mine.items():
                difference = value - judge[measure]
                worst = max(worst, abs(difference))
                print(
                    f"| {judge['name']} | {judge['n']:,} | {censored:,} | {judge['horizon']} | {measure} | "
                    f"{value:.5f} | {judge[measure]:.5f} | {difference:+.1e} |"
                )
    print(f"largest difference: {worst:.1e}; at most {TOLERANCE:.0e} is allowed")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    raise SystemExit(main())
