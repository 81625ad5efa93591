"""A champion with another logistic map behind it: the smallest update of an ageing model.

The graph, the features and the statement stay as they are; intercept, or intercept and slope, of the map from raw to
served risk are fitted on records whose outcome has become known, and judged on others of them that were set apart by a
hash of the subject, twins together as in a training. What comes out is a bundle with a digest of its own, which goes
through the gates like any other.

What belongs here: making that bundle and its evidence. What does not: deciding that it is due (``monitoring``).
"""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import CASE_WEIGHT, GROUP_PREFIX
from clinical_assets.foundation.canonical import plain
from clinical_assets.foundation.errors import ClinicalAssetsError, InsufficientData
from clinical_assets.foundation.sealed_folder import new_folder
from clinical_assets.foundation.settings import Settings
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import (
    MANIFEST,
    BundleDescription,
    Derivation,
    LinearExplanation,
    RecalibrationKind,
    StoredRecalibration,
    StoredUncertainty,
)
from clinical_assets.modelling.bundle.bundle_files import MODEL, RUN
from clinical_assets.modelling.bundle.scorer import square_factor, triangle
from clinical_assets.modelling.description.model_terms import model_terms
from clinical_assets.modelling.description.performance import age_bands
from clinical_assets.modelling.description.risk_certainty import risk_certainty
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.modelling.evaluation.evaluation import evaluate
from clinical_assets.modelling.evaluation.followed import FollowedRisks, followed_rows, with_the_censored
from clinical_assets.modelling.evaluation.result import Counts
from clinical_assets.modelling.evaluation.subgroups import subgroup_rows
from clinical_assets.modelling.evaluation.training_warnings import TWINS, twin_findings
from clinical_assets.modelling.search.recalibration import Recalibration
from clinical_assets.modelling.table.inputs import features_of
from clinical_assets.modelling.table.splits import split_holdout
from clinical_assets.modelling.table.twins import Twins, find_twins
from clinical_assets.modelling.trainings import plots, trainings
from clinical_assets.modelling.trainings.reference import case_weights, relation_of
from clinical_assets.modelling.trainings.scored import Scored, performance_views, scored_pictures
from clinical_assets.statistics.calibration.calibration import calibration_intercept
from clinical_assets.statistics.calibration.linear_uncertainty import coefficient_factor, with_map
from clinical_assets.statistics.calibration.logistic import expit, logit
from clinical_assets.statistics.calibration.updating import MIN_SLOPE, fit_recalibration

if TYPE_CHECKING:
    import duckdb
    import polars as pl


_SAME = 1e-9
_CERTAIN = 1e-6
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


def fit_map(
    event: np.ndarray, risk: np.ndarray, *, kind: RecalibrationKind, weights: FloatArray | None = None
) -> tuple[float, float]:
    """Intercept and slope between served log-odds and recalibrated ones; the slope is 1 for ``intercept``.

    ``weights`` (n,) say for how many a record stands where some were censored.

    Source: Vergouwe et al. 2017, doi 10.1002/sim.7179.
    """
    if kind == "intercept":
        return float(calibration_intercept(event, risk, weights=weights).value), 1.0
    found = fit_recalibration(event, logit(risk), weights=weights)
    return found.intercept, found.slope


def derive(
    base: trainings.Training,
    spec: CohortSpec,
    matured: pl.DataFrame,
    *,
    kind: RecalibrationKind,
    settings: Settings,
    run_id: str,
    cause: str,
    censored: pl.DataFrame | None = None,
) -> Recalibrated:
    """Recalibrate a model on matured records and keep it as the cohort's newest training.

    Parameters
    ----------
    base : Training
        The champion's.
    spec : CohortSpec
        The cohort's description.
    matured : polars.DataFrame
        One row per unit that the champion scored and whose outcome is known: key, subject, ``risk`` as served,
        ``outcome`` (class number), the bundle's features, protected attributes with ``protected_`` before their names,
        and ``case_weight`` where some were censored.
    kind : "intercept" or "intercept and slope"
        The update that was recommended.
    settings : Settings
        Where the data, keys and reports of this installation lie.
    run_id : str
        The run that derives; it stands beside the bundle, outside its digest.
    cause : str
        Digest of the recommendation that asked for it.
    censored : polars.DataFrame, optional
        Units censored before the horizon, in the columns of `matured`: those of the set-apart part are at risk in its
        observed risk.

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
    twins = find_twins(features_of(matured, bundle.feature_columns), matured[subject].rank("dense").to_numpy())
    split = split_holdout(
        matured, subject=subject, share=spec.modelling.holdout_share, salt=SALT, together=twins.groups
    )
    event, risk = matured["outcome"].to_numpy(), matured["risk"].to_numpy()
    for name, part in (("fitted on", split.train), ("judged with", split.holdout)):
        if not 0 < event[part].sum() < part.sum():
            raise InsufficientData(
                f"Among {int(part.sum())} records to be {name} are {int(event[part].sum())} events.",
                cure="Wait for more outcomes.",
            )
    weights = case_weights(matured.filter(pl.Series(split.train)), bundle.feature_columns)
    intercept, slope = fit_map(event[split.train], risk[split.train], kind=kind, weights=weights)
    beside = [name for name in matured.columns if name.startswith(GROUP_PREFIX) or name == CASE_WEIGHT]
    first = list(dict.fromkeys((*spec.key, subject)))
    rows = matured.select(
        *first,
        pl.Series("part", np.where(split.holdout, "holdout", "train")),
        "outcome",
        "risk",
        *bundle.feature_columns,
        *(name for name in beside if name not in bundle.feature_columns),
    )
    derived = Derivation(
        base=bundle.digest,
        kind=kind,
        intercept=intercept,
        slope=slope,
        n=int(split.train.sum()),
        events=int(event[split.train].sum()),
        cause=cause,
    )
    widened = _widened(
        bundle.description,
        derived,
        event[split.train],
        risk[split.train],
        groups=twins.groups[split.train],
        weights=weights,
    )
    made = _write(bundle, derived, widened, folder=trainings.models_folder(settings, spec.name), run_id=run_id)
    held = rows["part"].to_numpy() == "holdout"
    served = rows["risk"].to_numpy().copy()
    served[held] = made.score(rows.filter(pl.col("part") == "holdout"))
    rows = rows.with_columns(pl.Series("risk", served))
    followed = None
    if censored is not None and censored.height and spec.time_to_event is not None:
        apart = split_holdout(censored, subject=subject, share=spec.modelling.holdout_share, salt=SALT).holdout
        everybody = pl.concat(
            [matured.filter(pl.Series(split.holdout)), censored.filter(pl.Series(apart))], how="diagonal"
        )
        horizon = spec.time_to_event.horizon_days
        followed = followed_rows(everybody, made.score(everybody), subject=subject, horizon=horizon)
    results, pictures = _results(base, made, spec, rows, derived, twins, followed)
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


def verify_map(rows: pl.DataFrame, description: BundleDescription, *, base: Bundle, subject: str) -> bool:
    """Whether the map in a derived bundle, and how certain its risks are, is what its training rows give again.

    Constants may differ by a billionth: another machine adds in another order.

    Parameters
    ----------
    rows : polars.DataFrame
        The derived bundle's reference rows.
    description : BundleDescription
        Content of its ``bundle.json``.
    base : Bundle
        The bundle that it was derived from.
    subject : str
        Column of `rows` with the person.
    """
    import polars as pl

    derived, stored = description.derived, description.recalibration
    if derived is None:
        return False
    trained = rows["part"].to_numpy() == "train"
    train = rows.filter(pl.Series(trained))
    event, risk = train["outcome"].to_numpy(), train["risk"].to_numpy()
    weights = case_weights(train, base.feature_columns)
    found = fit_map(event, risk, kind=derived.kind, weights=weights)
    composed = _composed(base.description.recalibration, *found)
    constants = [(found[0], derived.intercept), (found[1], derived.slope)]
    constants += zip(composed.intercepts, stored.intercepts, strict=True)
    constants += zip(composed.slopes, stored.slopes, strict=True)
    same = all(math.isclose(a, b, rel_tol=_SAME, abs_tol=_SAME) for a, b in constants)
    twins = find_twins(features_of(rows, base.feature_columns), rows[subject].rank("dense").to_numpy())
    widened = _widened(base.description, derived, event, risk, groups=twins.groups[trained], weights=weights)
    same &= _as_certain(widened, description.uncertainty)
    return same and composed.at_floor == stored.at_floor and derived.base == base.digest


def _as_certain(one: StoredUncertainty | None, other: StoredUncertainty | None) -> bool:
    """Whether two say the same of how certain risks are; factors as covariances, which sums in another order change."""
    if one is None or other is None or one.factor is None or other.factor is None:
        return one == other
    first, second = (square_factor(each.factor) for each in (one, other) if each.factor is not None)
    if first.shape != second.shape or one.level != other.level:
        return False
    return bool(np.allclose(first @ first.T, second @ second.T, rtol=_CERTAIN, atol=_CERTAIN))


def _composed(stored: StoredRecalibration, intercept: float, slope: float) -> Recalibration:
    """The map from raw to newly served log-odds: the old one, then the new one."""
    at_floor = stored.at_floor or slope <= MIN_SLOPE
    return Recalibration((intercept + slope * stored.intercepts[0],), (slope * stored.slopes[0],), at_floor)


def _widened(
    base: BundleDescription,
    derived: Derivation,
    event: np.ndarray,
    risk: np.ndarray,
    *,
    groups: np.ndarray,
    weights: FloatArray | None,
) -> StoredUncertainty | None:
    """The uncertainty of the risks after the map, with what is uncertain about the map itself."""
    stored = base.uncertainty
    if stored is None or stored.factor is None or not isinstance(base.explanation, LinearExplanation):
        return stored
    log_odds = logit(risk)
    served = expit(derived.intercept + derived.slope * log_odds)
    design = np.column_stack([np.ones(risk.size), log_odds])[:, : 1 if derived.kind == "intercept" else 2]
    known = coefficient_factor(design, event, served, unseen=served, groups=groups, weights=weights)
    map_factor = np.zeros((2, 2))
    map_factor[: known.shape[0], : known.shape[0]] = known
    old = base.recalibration
    terms = old.slopes[0] * np.array([base.explanation.intercept, *base.explanation.coefficients])
    terms[0] += old.intercepts[0]
    factor = with_map(square_factor(stored.factor), terms, slope=derived.slope, map_factor=map_factor)
    return stored.model_copy(update={"factor": triangle(factor)})


def _write(
    base: Bundle, derived: Derivation, uncertainty: StoredUncertainty | None, *, folder: Path, run_id: str
) -> Bundle:
    import onnx
    from onnx import numpy_helper

    recalibration = _composed(base.description.recalibration, derived.intercept, derived.slope)
    model = onnx.load_model_from_string((base.folder / MODEL).read_bytes())
    values = {"intercept": recalibration.intercept, "slope": recalibration.slope}
    for constant in model.graph.initializer:
        if constant.name in values:
            constant.CopyFrom(numpy_helper.from_array(np.asarray(values.pop(constant.name)), constant.name))
    if values:
        raise ClinicalAssetsError(
            f"The graph of {base.digest} has no constant {', '.join(values)}.", cure="Train the cohort again."
        )
    with new_folder(folder / "bundle") as work:
        for path in base.folder.iterdir():
            if path.name not in (MANIFEST, RUN):
                shutil.copyfile(path, work / path.name)
        (work / MODEL).write_bytes(model.SerializeToString(deterministic=True))
        stored = StoredRecalibration.model_validate(recalibration.to_json())
        changed = {"recalibration": stored, "derived": derived}
        # A base of an older version has no such field, and gets none.
        kept = {} if uncertainty is None else {"uncertainty": uncertainty}
        base.description.model_copy(update=changed | kept).write(work)
        return Bundle.seal_and_move(work, folder, run={"dagster_run_id": run_id})


def _results(
    base: trainings.Training,
    bundle: Bundle,
    spec: CohortSpec,
    rows: pl.DataFrame,
    derived: Derivation,
    twins: Twins,
    followed: FollowedRisks | None,
) -> tuple[TrainingResults, dict[str, bytes]]:
    """The base model's results with everything about performance replaced by what the set-apart new records say."""
    import polars as pl

    held = rows.filter(pl.col("part") == "holdout")
    event, risk = held["outcome"].to_numpy(), held["risk"].to_numpy()
    together = twins.groups[rows["part"].to_numpy() == "holdout"]
    clusters = together if np.unique(together).size < together.size else None
    drawn_as: dict[str, Any] = {"groups": clusters, "weights": case_weights(held, bundle.feature_columns)}
    judged = evaluate(event, risk, decisions=spec.decisions, seed=spec.modelling.search.seed, **drawn_as)
    if followed is not None:
        judged = with_the_censored(judged, followed)
    names = [name for name in held.columns if name.startswith(GROUP_PREFIX)]
    attributes = held.select(pl.col(name).alias(name.removeprefix(GROUP_PREFIX)) for name in names)
    groups = subgroup_rows(event, risk, attributes, sample="holdout", decisions=spec.decisions, **drawn_as)

    def counts(part: str) -> dict[str, Any]:
        outcome = rows.filter(pl.col("part") == part)["outcome"].to_numpy()
        return dict(plain(Counts(outcome.size, int(outcome.sum()), (int((1 - outcome).sum()), int(outcome.sum())))))

    note = {
        "code": "recalibrated",
        "message": (
            f"Recalibrated ({derived.kind.replace('_', ' ')}) from {derived.base} on {derived.n} later "
            f"records with {derived.events} events. Candidates, threshold table, leakage report, participants "
            "and Table 1 are the base model's; holdout and subgroups are later records that were set apart."
        ),
        "cure": "Read it beside the base model's card.",
    }
    # Gates take it that such a warning speaks of the rows that are kept with the model.
    kept = [warning for warning in base.results.warnings if warning.code != TWINS]
    attributes_of = {name: attributes[name].to_list() for name in attributes.columns}
    bands = age_bands(held, train=rows.filter(pl.col("part") == "train"), feature_columns=bundle.feature_columns)
    scored = Scored.of(held, spec, feature_columns=bundle.feature_columns, labels=attributes_of, bands=bands)
    results = TrainingResults.model_validate(
        {
            **base.results.plain(),
            **performance_views(scored, spec),
            "model_terms": model_terms(bundle),
            "risk_certainty": risk_certainty(bundle, features_of(held, bundle.feature_columns)),
            "metrics": plain(judged.metrics),
            "insufficient": dict(judged.insufficient),
            "train": counts("train"),
            "holdout": counts("holdout"),
            "subgroups": plain(groups),
            "warnings": [*kept, *(plain(found) for found in twin_findings(twins)), note],
            "bundle_digest": bundle.digest,
            "derived": derived,
        }
    )
    drawn = scored_pictures(scored, spec, metrics=results.metrics, calibration=judged.calibration)
    if judged.decision_curve is not None:
        drawn["decision_curve"] = plots.decision_curve_picture(
            judged.decision_curve, threshold=bundle.description.threshold, synthetic=spec.synthetic
        )
    return results, {f"{name}.png": picture for name, picture in drawn.items()}
