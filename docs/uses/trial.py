"""A trial of a challenger on a simulated ward, from the first signature to the verdict, and its page.

    python docs/uses/trial.py trial.html

Models, gates, signatures, log, evidence and page are made by the code that serves; patients and what becomes of them
are drawn: three in ten die, the champion finds six of ten of these, both models alert three of ten others. One
challenger finds eight of ten of those who die, the other three or four.
"""

# ruff: noqa: T201 (a script for a terminal)
from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from assets_tests.worlds.ward.released import made_again
from assets_tests.worlds.ward.trial import WardTrial, ward_trial
from clinical_assets.experiments.reports import write_reports
from clinical_assets.experiments.watching import newest_experiment, view_experiment, watch_experiment

DAY = 100


def life(trial: WardTrial, words: str, *, challenger: float) -> Path:
    """Run a trial day by day until it ends by itself, and say what was seen; its page."""
    trial.begin()
    trial.expose()
    for day in range(1, 60):
        trial.answer(DAY, found={"champion": 0.6, "challenger": challenger}, seed=day)
        view = watch_experiment(trial.cohort, actor="daemon")
        assert view is not None
        verdict = view.judgement.verdict
        if verdict or day % 4 == 0:
            print(f"{words}, {day * DAY} patients: {verdict or 'goes on'}. {view.judgement.reason}", flush=True)
        if verdict:
            break
    ended = newest_experiment(trial.cohort)
    assert ended is not None
    return write_reports(trial.cohort.settings, trial.cohort.spec, view_experiment(trial.cohort, ended))


def main() -> None:
    """One trial of a better challenger and one of a worse, on copies of the same ward."""
    with tempfile.TemporaryDirectory() as folder:
        made = made_again(Path(folder) / "ward")
        worse = ward_trial(made.copy_to(Path(folder) / "worse"))
        life(worse, "finds fewer", challenger=0.35)
        page = life(ward_trial(made), "finds more", challenger=0.8)
        shutil.copy(page, sys.argv[1])


if __name__ == "__main__":
    main()
