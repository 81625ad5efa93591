"""The model card: what a reviewer must know, in Markdown and JSON, filled from description and results.

The sections follow the CHAI applied model card and TRIPOD+AI (doi 10.1136/bmj-2023-078378). What a computer cannot know
stands under *What a person must still write* and is never made up. Synthetic records are named in the first line.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from clinical_assets.cohorts.card_statements import CardStatements
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.description import class_tables
from clinical_assets.modelling.description.group_counts import groups_for_readers
from clinical_assets.modelling.description.training_results import (
    Metrics,
    StoredClassPerformance,
    StoredEstimate,
    TrainingResults,
)
from clinical_assets.modelling.trainings import card_sections as sections
from clinical_assets.modelling.trainings.card_sections import horizon_of, markdown_table, unowned, unsaid
from clinical_assets.modelling.trainings.chai import chai_fields, contact_of
from clinical_assets.reporting.formats import interval

METRICS = {
    "auroc": ("AUROC", "1 is ideal, 0.5 is chance"),
    "auprc": ("AUPRC", "1 is ideal, the event share is chance"),
    "macro_auroc": ("Macro AUROC", "mean of each class against the rest"),
    "quadratic_kappa": ("Quadratic kappa", "1 is ideal, 0 is chance"),
    "macro_mean_absolute_error": ("Mean error in levels", "of the likeliest class, each class alike; 0 is ideal"),
    "ranked_probability_score": ("Ranked probability score", "0 is ideal"),
    "brier": ("Brier score", "0 is ideal"),
    "scaled_brier": (
        "Scaled Brier score (index of prediction accuracy)",
        "1 is ideal, 0 is the event share for everyone",
    ),
    "calibration_intercept": ("Calibration intercept", "0 is ideal"),
    "calibration_slope": ("Calibration slope", "1 is ideal"),
    "observed_risk": ("Observed risk at the horizon", "Kaplan-Meier or Aalen-Johansen, of all at risk"),
    "observed_expected_ratio": ("Observed / expected events", "1 is ideal"),
    "ici": ("Integrated calibration index", "0 is ideal"),
    "e50": ("E50, median calibration error", "0 is ideal"),
    "e90": ("E90, 90th percentile of calibration error", "0 is ideal"),
    "net_benefit": ("Net benefit at the threshold", "the event share is ideal"),
    "net_benefit_treat_all": ("Net benefit of treating everyone", ""),
    "net_benefit_advantage": ("Net benefit beyond the better default", "above 0 the model earns its keep"),
    "expected_cost": ("Expected cost per patient", "in the costs' unit"),
    "sensitivity": ("Sensitivity", ""),
    "specificity": ("Specificity", ""),
    "ppv": ("Positive predictive value", ""),
    "npv": ("Negative predictive value", ""),
    "f1": ("F1 score", "shown because it is asked for; it chooses nothing here"),
    "alert_rate": ("Alert rate", ""),
    "number_needed_to_evaluate": ("Number needed to evaluate", "alerts looked at for one event"),
}
PICTURES = {
    "calibration": "Calibration on the holdout",
    "group_calibration": "Calibration by age and sex, holdout",
    "class_calibration": "Calibration of each class against the rest, holdout",
    "roc": "ROC curve, holdout",
    "precision_recall": "Precision and recall, holdout",
    "risk_distribution": "Predicted risk by outcome, holdout",
    "decision_curve": "Decision curve on the holdout",
    "cost_curve": "Cost per patient by threshold, out of fold",
    "contributions": "Mean absolute contributions, with direction",
    "candidates": "Candidates, nested cross-validation",
}
_ALWAYS_OPEN = "Whether the costs and tiers above are those of the institution that will use the model."

Picture = Callable[[str], str]


def open_points(spec: CohortSpec) -> tuple[str, ...]:
    """What a person must still write on a cohort's card, in words."""
    return (
        *(f"{name} ({words}): not stated" for name, words in unsaid(spec).items()),
        *(
            f"{name} ({words}): marked as a demonstration, nobody answers for it"
            for name, words in unowned(spec).items()
        ),
        _ALWAYS_OPEN,
    )


def card_json(spec: CohortSpec, results: TrainingResults) -> dict[str, Any]:
    """The card as plain values: the description's part and the results' part side by side."""
    said = spec.card or CardStatements()
    return {
        "synthetic": spec.synthetic,
        "cohort": spec.name,
        "title": spec.title,
        "disease": {"name": spec.disease.name, "icd10": list(spec.disease.icd10)},
        "intended_use": spec.intended_use,
        "not_for": spec.not_for,
        "owner": spec.owner.team,
        "data": spec.data.model_dump(mode="json"),
        "prediction": spec.prediction.model_dump(mode="json"),
        "outcome": spec.target.model_dump(mode="json"),
        "costs": spec.decisions.costs.model_dump(mode="json"),
        "statements": {**said.model_dump(mode="json"), "contact": contact_of(spec), "horizon": horizon_of(spec)},
        "chai": chai_fields(spec, results),
        # With the counts that the Markdown shows: a small one would be no secret if this file held it.
        "results": {**results.plain(), **_for_readers(results)},
        "for_a_person": list(open_points(spec)),
    }


def card_markdown(spec: CohortSpec, results: TrainingResults, *, picture: Picture, pictures: Sequence[str]) -> str:
    """The card as Markdown.

    Parameters
    ----------
    spec : CohortSpec
        The cohort.
    results : TrainingResults
        As ``report.make_report`` collected them.
    picture : callable
        Gives the address of a picture by its name: a file beside the card, or a data address for the Dagster UI.
    pictures : sequence of str
        Names of the pictures that exist.
    """
    parts = [
        _head(spec, results),
        sections.people(spec),
        _data(spec, results),
        sections.flow(results),
        sections.table_one(results),
        sections.model(results),
        _performance(results),
        sections.rates(results),
        _classes(results.class_performance),
        _drawn(picture, pictures),
        _decision(spec, results),
        _candidates(spec, results),
        _subgroups(spec, results),
        _findings(results),
        _limits(spec),
        sections.chai(spec, results),
        _origin(results),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _head(spec: CohortSpec, results: TrainingResults) -> str:
    lines = [f"# Model card: {spec.title}"]
    if spec.synthetic:
        lines.append("> **SYNTHETIC RECORDS.** Made by a generator. Nothing below says anything about patients.")
    lines += [
        f"Cohort `{spec.name}` · model `{results.selected}` · bundle `{results.bundle_digest[:23]}…`",
        f"**Intended use.** {spec.intended_use}",
        f"**Not for.** {spec.not_for}",
        f"**Disease.** {spec.disease.name} (ICD-10 {', '.join(spec.disease.icd10)})",
        f"**Owner.** {spec.owner.team}",
    ]
    return "\n\n".join(lines)


def _data(spec: CohortSpec, results: TrainingResults) -> str:
    prediction = spec.prediction
    parts = [
        {"part": part, "patients or units": f"{counts.n:,}", "events": f"{counts.events:,}"}
        for part, counts in (("train", results.train), ("holdout", results.holdout))
    ]
    return "\n\n".join(
        [
            "## Data",
            f"{spec.data.source} Collected: {(spec.data.collected or 'not stated').rstrip('.')}. "
            f"Licence: {spec.data.licence.rstrip('.')}." + (f" DOI: {spec.data.doi}." if spec.data.doi else ""),
            f"**Prediction.** {prediction.moment} Horizon: {horizon_of(spec) or sections.NOT_STATED}."
            + (f" Censoring: {prediction.censoring}" if prediction.censoring else ""),
            f"**Outcome.** {spec.target.description} Classes: {', '.join(spec.target.classes)}.",
            markdown_table(parts),
            "The holdout was set apart by a hash of the subject before anything was fitted, and was scored once.",
            f"**Sample size.** {results.sample_size.statement}",
        ]
    )


def _performance(results: TrainingResults) -> str:
    rows = [
        {"measure": METRICS[name][0], "value (95 % interval)": interval(estimate), "reading": METRICS[name][1]}
        for name, estimate in _ordered(results.metrics)
    ]
    missing = [f"- {name}: insufficient. {why}" for name, why in results.insufficient.items()]
    n, events = results.holdout.n, results.holdout.events
    lines = ["## Performance on the holdout", f"n = {n:,}, events = {events:,}.", markdown_table(rows), *missing]
    lines[2:2] = _censored(results)
    if events < 100 or n - events < 100:
        # Collins et al. 2016, doi 10.1002/sim.6787: at least 100 events and 100 non-events for an external validation.
        lines.insert(2, "**Small sample.** Fewer than 100 events or non-events: read the intervals, not the values.")
    return "\n\n".join(lines)


def _censored(results: TrainingResults) -> list[str]:
    """How many were censored before the horizon and what was done about it; nothing where the outcome is no time."""
    at_risk = results.metrics.get("observed_risk")
    if at_risk is None:
        return []
    return [
        f"{at_risk.n - results.holdout.n:,} more were censored before the horizon. Observed risk, observed / expected "
        "and the groups of the calibration plot are Kaplan-Meier or Aalen-Johansen risks of all at risk. All else "
        "weighs those with a known outcome by the chance not to be censored; its intervals take these weights as known."
    ]


def _for_readers(results: TrainingResults) -> dict[str, Any]:
    groups = {"subgroups": results.subgroups, "age_groups": results.age_groups}
    return {
        name: [row.to_json() for row in groups_for_readers(rows)]
        for name, rows in groups.items()
        if name in results.model_fields_set
    }


def _ordered(metrics: Metrics) -> list[tuple[str, StoredEstimate]]:
    return [(name, metrics[name]) for name in METRICS if name in metrics]


def _classes(found: StoredClassPerformance | None) -> str:
    """Each of more than two classes; nothing for two."""
    rows = class_tables.class_rows(found)
    if not rows:
        return ""
    parts = [
        "## Classes, holdout",
        *class_tables.decision_lines(found),
        markdown_table(rows),
        *(["Each level or a graver one:", markdown_table(cuts)] if (cuts := class_tables.cut_rows(found)) else []),
        "True class by decided class, rows of the holdout:",
        markdown_table(class_tables.confusion_rows(found)),
    ]
    if costs := class_tables.cost_rows(found):
        parts += ["What each decision costs:", markdown_table(costs)]
    return "\n\n".join(parts)


def _drawn(picture: Picture, pictures: Sequence[str]) -> str:
    return "\n\n".join(f"![{title}]({picture(name)})" for name, title in PICTURES.items() if name in pictures)


def _decision(spec: CohortSpec, results: TrainingResults) -> str:
    costs, threshold = spec.decisions.costs, results.threshold
    policies = [
        {
            "policy": row.policy,
            "alerts": f"{row.alerts.value:.0f}",
            "caught": f"{row.caught.value:.0f}",
            "missed": f"{row.missed.value:.0f}",
            "false alarms": f"{row.false_alarms.value:.0f}",
            f"cost ({costs.unit})": f"{row.cost.value:.4g}",
        }
        for row in results.business_table
    ]
    tiers = [
        {
            "tier": tier.name,
            "risk": f"{tier.lower:.0%} to {tier.upper:.0%}",
            "share": f"{tier.share.value:.1%}",
            "observed risk": interval(tier.observed_risk) if tier.observed_risk else "nobody in it",
            "action": tier.action,
        }
        for tier in results.tiers
    ]
    return "\n\n".join(
        [
            "## Decision",
            f"A false alarm costs {costs.false_positive:g}, a miss {costs.false_negative:g} ({costs.unit}): act from "
            f"**{threshold.value:.1%}**. On out-of-fold scores the cheapest threshold was "
            f"{threshold.optimum:.1%} (95 % interval {threshold.optimum_low:.1%} to "
            f"{threshold.optimum_high:.1%}). {costs.rationale}",
            "Per 1,000 patients, out of fold:",
            markdown_table(policies),
            markdown_table(tiers),
        ]
    )


def _candidates(spec: CohortSpec, results: TrainingResults) -> str:
    rows = [
        {
            "candidate": ("**" + row.name + "**") if row.name == results.selected else row.name,
            "AUROC": interval(row.metrics.get("auroc")),
            "Brier": interval(row.metrics.get("brier")),
            "calibration slope": interval(row.metrics.get("calibration_slope")),
            "cost per patient": interval(row.metrics.get("expected_cost")),
        }
        for row in results.candidates
    ]
    formulas = [
        f"- `{name}`: published formula, never refitted. {each.source}{f' (doi {each.doi})' if each.doi else ''}. "
        f"Developed in: {each.population}. Its risk is of: {each.outcome}."
        for name, each in spec.modelling.published.items()
    ]
    parts = ["## Candidates (nested cross-validation on the training rows)", markdown_table(rows), "\n".join(formulas)]
    return "\n\n".join(part for part in parts if part)


_LEFT_OUT = (
    "Rows *left out* are of a group that a model fitted on all other groups judged, as a new one would get it; *left "
    "out recalibrated* after intercept and slope were fitted on one half of the group and judged on the other, both "
    "ways round."
)


def _subgroups(spec: CohortSpec, results: TrainingResults) -> str:
    rows = [
        {
            "rows": row.sample.replace("_", " "),
            "attribute": row.attribute,
            "group": row.group,
            "n": row.n,
            "events": row.events,
            "AUROC": interval(row.metrics.get("auroc")) if row.status == "ok" else "insufficient",
            "calibration slope": interval(row.metrics.get("calibration_slope")),
            "observed / expected": interval(row.metrics.get("observed_expected_ratio")),
            "sensitivity": interval(row.metrics.get("sensitivity")),
        }
        for row in sections.group_rows(spec, results)
    ]
    if not rows:
        return "## Subgroups\n\nThe cohort describes no protected attribute: nothing can be said about groups."
    told = [_LEFT_OUT] if any(row["rows"] == "left out" for row in rows) else []
    return "\n\n".join(["## Subgroups", *told, markdown_table(rows)])


def _findings(results: TrainingResults) -> str:
    lines = [f"- {row.message} {row.cure}" for row in results.warnings]
    lines += [f"- Possible leak, `{row.column}`: {row.evidence}" for row in results.leakage]
    return "\n\n".join(["## Findings", "\n".join(lines) or "None."])


def _limits(spec: CohortSpec) -> str:
    limits = "\n".join(f"- {limit}" for limit in spec.data.limits)
    person = "\n".join(f"- [ ] {item}" for item in open_points(spec))
    return f"## Limits of the data\n\n{limits}\n\n## What a person must still write\n\n{person}"


def _origin(results: TrainingResults) -> str:
    made = results.provenance
    origin = {
        "bundle": results.bundle_digest,
        "feature table": made.data_digest,
        "description": made.spec_digest,
        "feature SQL": made.features_sql_digest,
        **{f"raw {name}": digest for name, digest in made.snapshots.items()},
        "clinical_assets": made.code_version,
        **made.libraries,
    }
    rows = [{"what": what, "digest or version": value or "not on file"} for what, value in origin.items()]
    return "\n\n".join(["## Origin", markdown_table(rows)])
