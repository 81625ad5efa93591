"""The locked holdout of a candidate as arrays, and whether it is what it claims to be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.governance.verdicts import Verdict
from clinical_assets.modelling.inputs import FloatArray, IntArray
from clinical_assets.modelling.losses import action_risk

if TYPE_CHECKING:
    import polars as pl

    from clinical_assets.governance.candidate import ReleaseCandidate

# How far a stored risk may be from the one that the bundle gives now.
TOLERANCE = 1e-6


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
        Subject numbers where a subject has several rows.
    """

    frame: pl.DataFrame
    rows: pl.DataFrame
    y: IntArray
    risk: FloatArray
    subjects: IntArray | None

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

    from clinical_assets.modelling.reference import read_reference

    with candidate.warehouse.reader() as connection:
        frame = read_reference(connection, candidate.digest)
    rows = frame.filter(pl.col("part") == "holdout")
    action_from = int(candidate.bundle.description["action_from"])
    subject = candidate.spec.subject_of(candidate.spec.subject_table)
    numbers = np.unique(rows[subject].cast(pl.String).to_numpy().astype(str), return_inverse=True)[1].reshape(-1)
    repeated = rows[subject].n_unique() < rows.height
    return Holdout(
        frame=frame,
        rows=rows,
        y=(rows["outcome"].to_numpy() >= action_from).astype(np.int64),
        risk=rows["risk"].to_numpy().astype(np.float64),
        subjects=numbers.astype(np.int64) if repeated else None,
    )


def integrity(candidate: ReleaseCandidate, holdout: Holdout) -> list[Verdict]:
    """Is the holdout decided by the subjects' hash alone, and do its risks come from this bundle?"""
    return [_locked(candidate, holdout), _reproduced(candidate, holdout)]


def trained_with(candidate: ReleaseCandidate) -> dict[str, Any]:
    """The description as it was when the candidate was trained."""
    path = candidate.training.report / "spec.json"
    if not path.exists():
        return candidate.spec.training_facts()
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _locked(candidate: ReleaseCandidate, holdout: Holdout) -> Verdict:
    from clinical_assets.modelling import recalibrated, splits

    subject = candidate.spec.subject_of(candidate.spec.subject_table)
    # A recalibrated model's rows are later records, split by a hash of their own.
    derived = recalibrated.DERIVED in candidate.bundle.description
    split = splits.split_holdout(
        holdout.frame,
        subject=subject,
        share=float(trained_with(candidate)["modelling"]["holdout_share"]),
        salt=recalibrated.SALT if derived else splits.SALT,
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
    again = action_risk(bundle.score(holdout.rows), action_from=int(bundle.description["action_from"]))
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
