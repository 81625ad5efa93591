"""A champion with another logistic map behind it: the smallest update of an ageing model.

The graph, the features and the statement stay as they are; intercept, or intercept and slope, of the map from raw to
served risk are fitted on records whose outcome has become known, and judged on others of them that were set apart by a
hash of the subject. What comes out is a bundle with a digest of its own, which goes through the gates like any other.

What belongs here: making that bundle and its evidence. What does not: deciding that it is due (``monitoring``).
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clinical_assets.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.modelling import plots, trainings
from clinical_assets.modelling.bundle import DESCRIPTION, MANIFEST, MODEL, RUN, Bundle
from clinical_assets.modelling.evaluation import evaluate
from clinical_assets.modelling.recalibration import Recalibration
from clinical_assets.modelling.reference import GROUP_PREFIX, relation_of
from clinical_assets.modelling.result import Counts, plain
from clinical_assets.modelling.splits import split_holdout
from clinical_assets.modelling.subgroups import subgroup_rows
from clinical_assets.statistics.updating import MIN_SLOPE

if TYPE_CHECKING:
    import duckdb
    import polars as pl

    from clinical_assets.cohorts.spec import CohortSpec
    from clinical_assets.settings import Settings

UpdateKind = Literal["intercept", "intercept_and_slope"]
DERIVED = "derived"
_SAME = 1e-9
#: Hashed with the subject to set records apart: another split than the training's, which those records never saw.
SALT = "clinical_assets recalibration"


@dataclass(frozen=True)
class Recalibrated:
    """A derived bundle with the rows behind it.

    Attributes
    ----------
    training : Training
        Its place beside the cohort's trainings, as the newest.
    rows : polars.DataFrame
        What the map was fitted on and judged with, as ``reference`` keeps it: ``risk`` is the base model's for the
        training part and the derived model's for the holdout.
    intercept, slope : float
        The map between the base model's served log-odds and the new ones.
    """

    training: trainings.Training
    rows: pl.DataFrame
    intercept: float
    slope: float


def fit_map(event: np.ndarray, risk: np.ndarray, *, kind: UpdateKind) -> tuple[float, float]:
    """Intercept and slope between served log-odds and recalibrated ones; the slope is 1 for ``intercept``.

    Source: Vergouwe et al. 2017, doi 10.1002/sim.7179.
    """
    from clinical_assets.statistics.calibration import calibration_intercept
    from clinical_assets.statistics.logistic import logit
    from clinical_assets.statistics.updating import fit_recalibration

    if kind == "intercept":
        return float(calibration_intercept(event, risk).value), 1.0
    found = fit_recalibration(event, logit(risk))
    return found.intercept, found.slope


def derive(
    base: trainings.Training,
    spec: CohortSpec,
    matured: pl.DataFrame,
    *,
    kind: UpdateKind,
    settings: Settings,
    run_id: str,
    cause: str,
) -> Recalibrated:
    """Recalibrate a model on matured records and keep it as the cohort's newest training.

    Parameters
    ----------
    base : Training
        The champion's.
    matured : polars.DataFrame
        One row per unit that the champion scored and whose outcome is known: key, subject, ``risk`` as served,
        ``outcome`` (class number), the bundle's features, protected attributes with ``protected_`` before their names.
    cause : str
        Digest of the recommendation that asked for it.

    Raises
    ------
    ClinicalAssetsError
        The model has more than two classes.
    InsufficientData
        One part of the rows has no events, or nothing but events.
    """
    import polars as pl

    bundle = base.bundle()
    if len(bundle.classes) != 2:
        raise ClinicalAssetsError(
            f"{bundle.digest} has {len(bundle.classes)} classes; a map of one risk cannot recalibrate it.",
            cure="Refit it: clinical-assets materialize ... --job train_cohort.",
        )
    subject = spec.subject_of(spec.subject_table)
    matured = matured.sort(list(spec.key))  # sums depend on the order of their parts
    split = split_holdout(matured, subject=subject, share=spec.modelling.holdout_share, salt=SALT)
    event, risk = matured["outcome"].to_numpy(), matured["risk"].to_numpy()
    for name, part in (("fitted on", split.train), ("judged with", split.holdout)):
        if not 0 < event[part].sum() < part.sum():
            raise InsufficientData(
                f"Among {int(part.sum())} records to be {name} are {int(event[part].sum())} events.",
                cure="Wait for more outcomes.",
            )
    intercept, slope = fit_map(event[split.train], risk[split.train], kind=kind)
    groups = [name for name in matured.columns if name.startswith(GROUP_PREFIX)]
    first = list(dict.fromkeys((*spec.key, subject)))
    rows = matured.select(
        *first,
        pl.Series("part", np.where(split.holdout, "holdout", "train")),
        "outcome",
        "risk",
        *bundle.feature_columns,
        *groups,
    )
    derived = {
        "from": bundle.digest,
        "kind": kind,
        "intercept": intercept,
        "slope": slope,
        "n": int(split.train.sum()),
        "events": int(event[split.train].sum()),
        "cause": cause,
    }
    made = _write(bundle, derived, folder=trainings.models_folder(settings, spec.name), run_id=run_id)
    held = rows["part"].to_numpy() == "holdout"
    served = rows["risk"].to_numpy().copy()
    served[held] = made.score(rows.filter(pl.col("part") == "holdout"))
    rows = rows.with_columns(pl.Series("risk", served))
    results, pictures = _results(base, made, spec, rows, derived)
    # With the report, not after it: the newest training must never be one without its description.
    files = {**pictures, "spec.json": (base.report / "spec.json").read_bytes()}
    training = trainings.keep(settings, spec.name, bundle=made, results=results, files=files, run_id=run_id)
    return Recalibrated(training=training, rows=rows, intercept=intercept, slope=slope)


def keep_rows(connection: duckdb.DuckDBPyConnection, rows: pl.DataFrame, digest: str) -> None:
    """Keep the rows under the derived bundle's digest, where gates and reports look for them."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS reference")
    connection.register("_derived", rows.to_arrow())
    try:
        connection.execute(f"CREATE OR REPLACE TABLE {relation_of(digest)} AS SELECT * FROM _derived")
    finally:
        connection.unregister("_derived")


def verify_map(rows: pl.DataFrame, description: Mapping[str, Any], *, base: Bundle) -> bool:
    """Whether the map in a derived bundle is what its training rows give again.

    Constants may differ by a billionth: another machine adds in another order.

    Parameters
    ----------
    rows : polars.DataFrame
        The derived bundle's reference rows.
    description : mapping
        Content of its ``bundle.json``.
    """
    import polars as pl

    told = description[DERIVED]
    train = rows.filter(pl.col("part") == "train")
    found = fit_map(train["outcome"].to_numpy(), train["risk"].to_numpy(), kind=told["kind"])
    composed = _composed(base.description["recalibration"], *found).to_json()
    stored = description["recalibration"]
    constants = [(found[0], told["intercept"]), (found[1], told["slope"])]
    constants += [
        (a, b) for name in ("intercepts", "slopes") for a, b in zip(composed[name], stored[name], strict=True)
    ]
    same = all(math.isclose(a, b, rel_tol=_SAME, abs_tol=_SAME) for a, b in constants)
    return same and composed["at_floor"] == stored["at_floor"] and told["from"] == base.digest


def _composed(stored: Mapping[str, Any], intercept: float, slope: float) -> Recalibration:
    """The map from raw to newly served log-odds: the old one, then the new one."""
    at_floor = bool(stored["at_floor"]) or slope <= MIN_SLOPE
    return Recalibration((intercept + slope * stored["intercepts"][0],), (slope * stored["slopes"][0],), at_floor)


def _write(base: Bundle, derived: Mapping[str, Any], *, folder: Path, run_id: str) -> Bundle:
    import onnx
    from onnx import numpy_helper

    recalibration = _composed(base.description["recalibration"], derived["intercept"], derived["slope"])
    model = onnx.load_model_from_string((base.folder / MODEL).read_bytes())
    values = {"intercept": recalibration.intercept, "slope": recalibration.slope}
    for constant in model.graph.initializer:
        if constant.name in values:
            constant.CopyFrom(numpy_helper.from_array(np.asarray(values.pop(constant.name)), constant.name))
    if values:
        raise ClinicalAssetsError(
            f"The graph of {base.digest} has no constant {', '.join(values)}.", cure="Train the cohort again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".bundle-", dir=folder))
    try:
        for path in base.folder.iterdir():
            if path.name not in (MANIFEST, RUN):
                shutil.copyfile(path, work / path.name)
        (work / MODEL).write_bytes(model.SerializeToString(deterministic=True))
        description = {**base.description, "recalibration": recalibration.to_json(), DERIVED: dict(derived)}
        text = json.dumps(description, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (work / DESCRIPTION).write_text(text + "\n", encoding="utf-8")
        return Bundle.seal_and_move(work, folder, run={"dagster_run_id": run_id})
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _results(
    base: trainings.Training, bundle: Bundle, spec: CohortSpec, rows: pl.DataFrame, derived: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The base model's results with everything about performance replaced by what the set-apart new records say."""
    import polars as pl

    held = rows.filter(pl.col("part") == "holdout")
    event, risk = held["outcome"].to_numpy(), held["risk"].to_numpy()
    judged = evaluate(event, risk, decisions=spec.decisions, seed=spec.modelling.search.seed)
    names = [name for name in held.columns if name.startswith(GROUP_PREFIX)]
    attributes = held.select(pl.col(name).alias(name.removeprefix(GROUP_PREFIX)) for name in names)
    groups = subgroup_rows(event, risk, attributes, sample="holdout", decisions=spec.decisions)

    def counts(part: str) -> dict[str, Any]:
        outcome = rows.filter(pl.col("part") == part)["outcome"].to_numpy()
        return dict(plain(Counts(outcome.size, int(outcome.sum()), (int((1 - outcome).sum()), int(outcome.sum())))))

    note = {
        "code": "recalibrated",
        "message": (
            f"Recalibrated ({derived['kind'].replace('_', ' ')}) from {derived['from']} on {derived['n']} later "
            f"records with {derived['events']} events. Candidates, threshold table and leakage report are the base "
            "model's; holdout and subgroups are later records that were set apart."
        ),
        "cure": "Read it beside the base model's card.",
    }
    results = {
        **base.results,
        "metrics": plain(judged.metrics),
        "insufficient": dict(judged.insufficient),
        "train": counts("train"),
        "holdout": counts("holdout"),
        "subgroups": plain(groups),
        "warnings": [*base.results["warnings"], note],
        "bundle_digest": bundle.digest,
        DERIVED: dict(derived),
    }
    pictures: dict[str, bytes] = {}
    if judged.calibration is not None:
        pictures["calibration.png"] = plots.calibration_picture(judged.calibration, synthetic=spec.synthetic)
    if judged.decision_curve is not None:
        pictures["decision_curve.png"] = plots.decision_curve_picture(
            judged.decision_curve, threshold=float(bundle.description["threshold"]), synthetic=spec.synthetic
        )
    return results, pictures
