"""What a reader must be told about a training: small numbers, idle columns, doubtful fits, results that disagree.

What belongs here: findings about data and model. Findings about the threshold are made in ``thresholds``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import InsufficientData
from clinical_assets.foundation.types import FloatArray
from clinical_assets.modelling.evaluation.evaluation import Evaluation
from clinical_assets.modelling.search.fitting import FittedModel
from clinical_assets.modelling.search.published import candidate_type
from clinical_assets.modelling.table.findings import Finding
from clinical_assets.modelling.table.inputs import ModelInput
from clinical_assets.modelling.table.preparation import in_single_precision
from clinical_assets.modelling.table.sample_size import SampleSize
from clinical_assets.modelling.table.twins import Twins
from clinical_assets.statistics.calibration.label_noise import label_noise
from clinical_assets.statistics.uncertainty.effective_size import effective_sample_size
from clinical_assets.statistics.uncertainty.intervals import Estimate

#: Code of the finding that says that subjects were put together.
TWINS = "twins"
#: Code of the finding that says what case weights cost.
CASE_WEIGHTS = "case_weights"
#: Code of the finding that says how many labels are estimated to be wrong.
LABEL_NOISE = "label_noise"
# Of many values of full precision a few always lie side by side.
_MERGED_SHARE = 0.01


def observe(
    train: ModelInput,
    spec: CohortSpec,
    *,
    model: FittedModel,
    inside: Evaluation,
    outside: Evaluation,
    size: SampleSize,
) -> tuple[Finding, ...]:
    """Findings of one training.

    Parameters
    ----------
    train : ModelInput
        Training rows.
    spec : CohortSpec
        The cohort's description.
    model : FittedModel
        The winner.
    inside, outside : Evaluation
        Its nested estimate, and the report on the holdout.
    size : SampleSize
        Records that a model of so many parameters needs, and those there were.
    """
    return (
        *_columns(train, spec),
        *_numbers(inside, outside, size, spec),
        *_fit(model),
        *_results(inside, outside),
    )


def twin_findings(twins: Twins) -> tuple[Finding, ...]:
    """What is told of records that stand under several identifiers.

    Parameters
    ----------
    twins : Twins
        As ``table.twins.find_twins`` gave them.
    """
    if not twins.count:
        return ()
    near = twins.count - twins.exact
    return (
        Finding(
            TWINS,
            f"{twins.count:,} of {twins.rows.size:,} rows have a twin under another identifier: {twins.exact:,} equal "
            f"it in every feature, {near:,} nearly or in all but one. Twins stand on one side of every split and count "
            f"as one: {np.unique(twins.groups).size:,} groups are left.",
            "Find out whether people were entered twice, and give them one identifier at the source.",
        ),
    )


def weight_findings(train: ModelInput, holdout: ModelInput) -> tuple[Finding, ...]:
    """What is told of case weights: how many records of equal weight the weighted ones are worth.

    Source: Kish 1965, Survey Sampling, Wiley, section 8.2.
    """
    if train.weights is None or holdout.weights is None:
        return ()
    worth = " and ".join(
        f"{part.n:,} {name} rows as much as {effective_sample_size(part.weights):,.0f} of equal weight"
        for part, name in ((train, "training"), (holdout, "holdout"))
        if part.weights is not None
    )
    return (
        Finding(
            CASE_WEIGHTS,
            f"every figure is weighted by the case weights, and intervals come from resampling weighted rows: {worth}.",
            "Say on the card how the weights were made and for which population they stand. Where the outcome model "
            "made them, rows stand for units censored before the horizon: see the description's rule for censoring.",
        ),
    )


def noise_findings(train: ModelInput, risk: FloatArray, spec: CohortSpec) -> tuple[Finding, ...]:
    """What is told of labels that may be wrong, where the description asks for it.

    Parameters
    ----------
    train : ModelInput
        Training rows.
    risk : array of shape (n,)
        Nested risks of class ``action_from`` or a more severe one.
    spec : CohortSpec
        ``modelling.label_noise``.
    """
    noise = spec.modelling.label_noise
    if noise is None:
        return ()
    try:
        found = label_noise((train.y >= spec.target.action_from).astype(np.int64), risk)
    except InsufficientData as error:
        told = f"how many training labels are wrong cannot be told: {error.message}."
    else:
        told = (
            f"an estimated {found.value:.1%} ({found.ci_low:.1%} to {found.ci_high:.1%}) of {train.n:,} training "
            "labels are wrong, overlap of the classes apart."
        )
    if noise.doubted_weight is not None:
        told += (
            " In every fit the most doubted labels, as many as are wrong at least, count "
            f"{noise.doubted_weight:g} instead of 1; rows that a model is judged on count as they are."
        )
    return (Finding(LABEL_NOISE, told, "Let people check labels against the records, the most doubted first."),)


def _columns(train: ModelInput, spec: CohortSpec) -> Iterator[Finding]:
    known = ~np.isnan(train.X)
    empty = np.asarray(~known.any(axis=0))
    equal = np.fmax.reduce(train.X, axis=0) == np.fmin.reduce(train.X, axis=0)
    flat = np.asarray(known.all(axis=0) & equal)
    for code, mask, what in (("empty_columns", empty, "no value"), ("constant_columns", flat, "one value only")):
        names = [name for name, chosen in zip(train.feature_columns, mask, strict=True) if chosen]
        if names:
            yield Finding(
                code,
                f"{', '.join(names)} {'has' if len(names) == 1 else 'have'} {what} among the training rows and cannot "
                "contribute.",
                "Take out what is never measured, or look for the mistake that emptied it.",
            )
    kinds = [candidate_type(name, spec.modelling) for name in spec.modelling.candidates]
    merged = dict(_merged(train)) if any(kind.single for kind in kinds) else {}
    if merged:
        told = ", ".join(
            f"{name} (of {before:,} values {after:,} are left)" for name, (before, after) in merged.items()
        )
        yield Finding(
            "single_precision",
            f"boosted trees and forests read numbers of about seven digits, in which values merge: {told}.",
            "Subtract a constant in the feature model, such as the first date, or make it years or days.",
        )
    # A column of the subject table may be named to answer a suspected grouping.
    strangers = sorted(set(spec.modelling.known_before) - set(train.feature_columns) - set(spec.subjects.columns))
    if strangers:
        yield Finding(
            "known_before_unknown",
            f"modelling.known_before names {', '.join(strangers)}, which {'is' if len(strangers) == 1 else 'are'} no "
            "feature.",
            "Correct the name or remove the entry.",
        )


def _merged(train: ModelInput) -> Iterator[tuple[str, tuple[int, int]]]:
    """Columns that lose more than one in a hundred distinct values in single precision: how many there were and are."""
    for name, column in zip(train.feature_columns, train.X.T, strict=True):
        known = column[~np.isnan(column)]
        before, after = np.unique(known).size, np.unique(in_single_precision(known)).size
        if before - after > _MERGED_SHARE * before:
            yield name, (before, after)


def _numbers(inside: Evaluation, outside: Evaluation, size: SampleSize, spec: CohortSpec) -> Iterator[Finding]:
    least = spec.decisions.limits.minimum_events
    for evaluation, rows in ((inside, "training"), (outside, "holdout")):
        rarer = min(evaluation.events, evaluation.n - evaluation.events)
        if rarer < least:
            yield Finding(
                "few_events",
                f"the {rows} rows hold {evaluation.events} events among {evaluation.n}; below {least} of either "
                "outcome every estimate is wide.",
                "Widen the cohort before trusting the numbers; read the intervals, not the values.",
            )
    if not size.is_met:
        yield Finding(
            "sample_size",
            size.statement,
            "Offer fewer features, or collect more patients; expect the model to be too sure of itself elsewhere.",
        )
    if outside.insufficient:
        yield Finding(
            "insufficient",
            "the holdout cannot support "
            + ", ".join(f"{name} ({reason})" for name, reason in sorted(outside.insufficient.items()))
            + ".",
            "Read the nested estimates instead, or widen the cohort.",
        )


def _fit(model: FittedModel) -> Iterator[Finding]:
    estimator = model.pipeline[-1]
    if model.name.startswith("logistic") and int(np.max(estimator.n_iter_)) >= estimator.max_iter:
        yield Finding(
            "not_converged",
            f"{model.name} stopped after {estimator.max_iter} iterations before it had converged.",
            "Look for features on wild scales or copies of one another.",
        )
    if model.recalibration.at_floor:
        yield Finding(
            "recalibration_at_floor",
            "out-of-fold scores rank the outcome no better than chance, so recalibration gives everyone about the same "
            "risk.",
            "Do not use the model; the features do not tell this outcome.",
        )


def _results(inside: Evaluation, outside: Evaluation) -> Iterator[Finding]:
    nested, held = inside.metrics.get("auroc"), outside.metrics.get("auroc")
    if nested is not None and nested.ci_low <= 0.5:
        yield Finding(
            "no_discrimination",
            f"the nested AUROC is {nested.value:.3f} ({nested.ci_low:.3f} to {nested.ci_high:.3f}): chance is not "
            "excluded.",
            "Do not use the model; more patients or other features are needed.",
        )
    if nested is not None and held is not None and _apart(nested, held):
        yield Finding(
            "holdout_differs",
            f"the AUROC on the holdout is {held.value:.3f} ({held.ci_low:.3f} to {held.ci_high:.3f}) and the nested "
            f"estimate {nested.value:.3f} ({nested.ci_low:.3f} to {nested.ci_high:.3f}): chance rarely parts them so.",
            "Trust neither alone; validate on new patients.",
        )
    advantage = outside.metrics.get("net_benefit_advantage")
    if advantage is not None and advantage.value <= 0:
        yield Finding(
            "no_net_benefit_on_holdout",
            f"on the holdout the model is worth no more than treating everyone or no one (advantage "
            f"{advantage.value:.4f}, {advantage.ci_low:.4f} to {advantage.ci_high:.4f}, n = {advantage.n}).",
            "Do not act on the model at these costs before it has shown a benefit on new patients.",
        )


def _apart(first: Estimate, second: Estimate) -> bool:
    """Whether two independent estimates differ by more than the interval of their difference allows."""
    low, high = (first, second) if first.value < second.value else (second, first)
    return high.value - low.value > float(np.hypot(low.ci_high - low.value, high.value - high.ci_low))
