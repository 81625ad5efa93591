"""The locked holdout of a candidate as arrays, and whether it is what it claims to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.types import FloatArray, IntArray
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.candidate.evidence_check import changed_evidence
from clinical_assets.governance.candidate.kept_description import trained_spec
from clinical_assets.governance.candidate.reproduction import restore_features
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.modelling.bundle.scorer import TOLERANCE
from clinical_assets.modelling.evaluation.training_warnings import TWINS
from clinical_assets.modelling.table import splits
from clinical_assets.modelling.table.inputs import features_of
from clinical_assets.modelling.table.together import repeated_units, units_of_rows
from clinical_assets.modelling.table.twins import find_twins
from clinical_assets.modelling.trainings import recalibrated
from clinical_assets.modelling.trainings.reference import case_weights, read_reference
from clinical_assets.sources.files import workspace

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Holdout:
    """Rows that the model has not seen.

    Attributes
    ----------
    frame : polars.DataFrame
        All rows of the reference, training rows too.
    rows : polars.DataFrame
        The holdout rows.
    y : array of shape (n,), 0 or 1
        1 is class ``action_from`` or a more severe one.
    risk : array of shape (n,)
        Served risk of it.
    subjects : array of shape (n,) or None
        Numbers of subjects, or of what is kept together, where one has several rows.
    weights : array of shape (n,) or None
        Case weights over their mean, where the training had any.
    """

    frame: pl.DataFrame
    rows: pl.DataFrame
    y: IntArray
    risk: FloatArray
    subjects: IntArray | None
    weights: FloatArray | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return int(self.y.size)

    @property
    def events(self) -> int:
        """Events among them."""
        return int(self.y.sum())


def holdout_of(candidate: ReleaseCandidate) -> Holdout:
    """The rows that were kept for a candidate's bundle.

    Raises
    ------
    ReferenceMissing
        It was trained elsewhere.
    """
    import polars as pl

    with candidate.warehouse.reader() as connection:
        frame = read_reference(connection, candidate.digest)
    rows = frame.filter(pl.col("part") == "holdout")
    action_from = candidate.bundle.description.action_from
    subject = candidate.spec.subject_of(candidate.spec.subject_table)
    return Holdout(
        frame=frame,
        rows=rows,
        y=(rows["outcome"].to_numpy() >= action_from).astype(np.int64),
        risk=rows["risk"].to_numpy().astype(np.float64),
        subjects=repeated_units(rows, subject=subject),
        weights=case_weights(rows, candidate.bundle.feature_columns),
    )


def integrity(candidate: ReleaseCandidate, holdout: Holdout) -> list[Verdict]:
    """Is the holdout what the training kept: rows, outcomes and risks, and in the part that the hash decides?"""
    verdicts = [_unchanged(candidate), _locked(candidate, holdout), _reproduced(candidate, holdout)]
    if candidate.bundle.description.derived is None:
        # A recalibrated model's rows are later records, which its training entry names by digest alone.
        verdicts.append(_recomputed(candidate, holdout))
    return verdicts


def trained_with(candidate: ReleaseCandidate) -> dict[str, Any]:
    """The description as it was when the candidate was trained."""
    path = candidate.training.report / "spec.json"
    if not path.exists():
        return candidate.spec.training_facts()
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _unchanged(candidate: ReleaseCandidate) -> Verdict:
    changed = changed_evidence(candidate)
    retrain = f"Train {candidate.cohort} again."
    if changed is None:
        return Verdict(
            "performance",
            "evidence_unchanged",
            "insufficient",
            f"The training's ledger entry has no digests of its rows and results: it is older than they are. {retrain}",
            limit="= 0",
        )
    return Verdict(
        "performance",
        "evidence_unchanged",
        "fail" if changed else "pass",
        f"Changed since the training entered it in the ledger: {', '.join(changed)}. Where nobody was erased since, "
        f"find out who did it. {retrain}"
        if changed
        else "Rows, outcomes and results are those that the training entered in the ledger, by digest.",
        value=float(len(changed)),
        limit="= 0",
    )


def _recomputed(candidate: ReleaseCandidate, holdout: Holdout) -> Verdict:
    """Outcomes once more from the raw snapshots, against those that are judged by."""
    import polars as pl

    spec, key = trained_spec(candidate), list(candidate.spec.key)
    if spec is None:
        return _not_recomputed("the description that it was trained with is not kept.")
    with workspace(candidate.settings) as folder:
        try:
            warehouse, _ = restore_features(candidate, spec, folder)
            outcomes = warehouse.query("SELECT * FROM model.outcomes")
        except ClinicalAssetsError as error:
            return _not_recomputed(error.message)
    again = outcomes.select(*key, pl.col("outcome").alias("recomputed"))
    joined = holdout.frame.select(*key, "outcome").join(again, on=key, how="left", nulls_equal=True)
    differs = int(joined.filter(~pl.col("outcome").eq_missing(pl.col("recomputed"))).height)
    return Verdict(
        "performance",
        "outcomes_recomputed",
        "fail" if differs else "pass",
        f"{differs:,} of {joined.height:,} outcomes are not those that the raw snapshots give: they were changed after "
        f"the training. Train {candidate.cohort} again."
        if differs
        else f"All {joined.height:,} outcomes come out again from the raw snapshots.",
        value=float(differs),
        limit="= 0",
        n=joined.height,
    )


def _not_recomputed(why: str) -> Verdict:
    return Verdict(
        "performance",
        "outcomes_recomputed",
        "insufficient",
        f"Outcomes cannot be computed from the raw snapshots again: {why}",
        limit="= 0",
    )


def _locked(candidate: ReleaseCandidate, holdout: Holdout) -> Verdict:
    subject = candidate.spec.subject_of(candidate.spec.subject_table)
    # A recalibrated model's rows are later records, split by a hash of their own.
    derived = candidate.bundle.description.derived is not None
    together = units = units_of_rows(holdout.frame, subject=subject)
    if any(warning.code == TWINS for warning in candidate.training.results.warnings):
        together = find_twins(features_of(holdout.frame, candidate.bundle.feature_columns), units).groups
    split = splits.split_holdout(
        holdout.frame,
        subject=subject,
        share=float(trained_with(candidate)["modelling"]["holdout_share"]),
        salt=recalibrated.SALT if derived else splits.SALT,
        together=together,
    )
    moved = int((split.holdout != (holdout.frame["part"] == "holdout").to_numpy()).sum())
    return Verdict(
        "performance",
        "holdout_locked",
        "fail" if moved else "pass",
        f"{moved:,} of {holdout.frame.height:,} rows are not in the part that their subject's hash decides: someone "
        "moved rows between training and holdout. Train again."
        if moved
        else f"All {holdout.frame.height:,} rows are in the part that their subject's hash decides; no subject is in "
        "both.",
        value=float(moved),
        limit="= 0",
        n=holdout.frame.height,
    )


def _reproduced(candidate: ReleaseCandidate, holdout: Holdout) -> Verdict:
    bundle = candidate.bundle
    again = bundle.action_risk(holdout.rows)
    apart = float(np.abs(again - holdout.risk).max()) if holdout.n else 0.0
    same = apart <= TOLERANCE
    return Verdict(
        "performance",
        "scores_reproduced",
        "pass" if same else "fail",
        f"The bundle gives the kept risks of the holdout again, within {TOLERANCE:g}."
        if same
        else f"The bundle gives risks that differ from the kept ones by up to {apart:.2g}: features or risks were "
        "changed after the training. Train again.",
        value=apart,
        limit=f"<= {TOLERANCE:g}",
        n=holdout.n,
    )
