"""The model card: what a reviewer must know, in Markdown and JSON, filled from description and results.

The sections follow the CHAI applied model card and TRIPOD+AI (doi 10.1136/bmj-2023-078378). What a computer cannot know
stands under *What a person must still write* and is never made up. Synthetic records are named in the first line.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clinical_assets.cohorts.spec import CohortSpec

METRICS = {
    "auroc": ("AUROC", "1 is ideal, 0.5 is chance"),
    "auprc": ("AUPRC", "1 is ideal, the event share is chance"),
    "macro_auroc": ("Macro AUROC", "mean of each class against the rest"),
    "quadratic_kappa": ("Quadratic kappa", "1 is ideal, 0 is chance"),
    "ranked_probability_score": ("Ranked probability score", "0 is ideal"),
    "brier": ("Brier score", "0 is ideal"),
    "scaled_brier": ("Scaled Brier score", "1 is ideal, 0 is the event share for everyone"),
    "calibration_intercept": ("Calibration intercept", "0 is ideal"),
    "calibration_slope": ("Calibration slope", "1 is ideal"),
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
    "decision_curve": "Decision curve on the holdout",
    "cost_curve": "Cost per patient by threshold, out of fold",
    "risk_distribution": "Predicted risk by outcome, holdout",
    "contributions": "Mean absolute contributions",
    "candidates": "Candidates, nested cross-validation",
}
FOR_A_PERSON = (
    "Clinical workflow: who sees the score, when, and what they may do against it.",
    "Evidence that acting on the score helps patients (impact study), and what happens to those not flagged.",
    "How the sample was recruited, who was not, and whether it resembles the patients meant.",
    "How outcome and predictors were measured, by whom, and whether assessors were blinded.",
    "Approval by an ethics board, funding, conflicts of interest.",
    "Whether the costs and tiers above are those of the institution that will use the model.",
    "Plan for monitoring, retraining and withdrawal, with a named person.",
)

Picture = Callable[[str], str]


def card_json(spec: CohortSpec, results: Mapping[str, Any]) -> dict[str, Any]:
    """The card as plain values: the description's part and the results' part side by side."""
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
        "results": dict(results),
        "for_a_person": list(FOR_A_PERSON),
    }


def card_markdown(spec: CohortSpec, results: Mapping[str, Any], *, picture: Picture, pictures: Sequence[str]) -> str:
    """The card as Markdown.

    Parameters
    ----------
    spec : CohortSpec
        The cohort.
    results : mapping
        As ``report.make_report`` collected them.
    picture : callable
        Gives the address of a picture by its name: a file beside the card, or a data address for the Dagster UI.
    pictures : sequence of str
        Names of the pictures that exist.
    """
    sections = [
        _head(spec, results),
        _data(spec, results),
        _performance(results),
        _drawn(picture, pictures),
        _decision(spec, results),
        _candidates(results),
        _subgroups(results),
        _findings(results),
        _limits(spec),
        _origin(results),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _head(spec: CohortSpec, results: Mapping[str, Any]) -> str:
    lines = [f"# Model card: {spec.title}"]
    if spec.synthetic:
        lines.append("> **SYNTHETIC RECORDS.** Made by a generator. Nothing below says anything about patients.")
    lines += [
        f"Cohort `{spec.name}` · model `{results['selected']}` · bundle `{results['bundle_digest'][:23]}…`",
        f"**Intended use.** {spec.intended_use}",
        f"**Not for.** {spec.not_for}",
        f"**Disease.** {spec.disease.name} (ICD-10 {', '.join(spec.disease.icd10)})",
        f"**Owner.** {spec.owner.team}",
    ]
    return "\n\n".join(lines)


def _data(spec: CohortSpec, results: Mapping[str, Any]) -> str:
    prediction = spec.prediction
    horizon = f"{prediction.horizon_days} days" if prediction.horizon_days else "not stated"
    parts = [
        {"part": part, "patients or units": results[part]["n"], "events": results[part]["events"]}
        for part in ("train", "holdout")
    ]
    return "\n\n".join(
        [
            "## Data",
            f"{spec.data.source} Collected: {spec.data.collected or 'not stated'}. Licence: {spec.data.licence}."
            + (f" DOI: {spec.data.doi}." if spec.data.doi else ""),
            f"**Prediction.** {prediction.moment} Horizon: {horizon}."
            + (f" Censoring: {prediction.censoring}" if prediction.censoring else ""),
            f"**Outcome.** {spec.target.description} Classes: {', '.join(spec.target.classes)}.",
            _table(parts),
            "The holdout was set apart by a hash of the subject before anything was fitted, and was scored once.",
            f"**Sample size.** {results['sample_size']['statement']}",
        ]
    )


def _performance(results: Mapping[str, Any]) -> str:
    rows = [
        {"measure": METRICS[name][0], "value (95 % interval)": _interval(estimate), "reading": METRICS[name][1]}
        for name, estimate in _ordered(results["metrics"])
    ]
    missing = [f"- {name}: insufficient. {why}" for name, why in results["insufficient"].items()]
    n, events = results["holdout"]["n"], results["holdout"]["events"]
    lines = ["## Performance on the holdout", f"n = {n}, events = {events}.", _table(rows), *missing]
    if events < 100 or n - events < 100:
        # Collins et al. 2016, doi 10.1002/sim.6787: at least 100 events and 100 non-events for an external validation.
        lines.insert(2, "**Small sample.** Fewer than 100 events or non-events: read the intervals, not the values.")
    return "\n\n".join(lines)


def _ordered(metrics: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, metrics[name]) for name in METRICS if name in metrics]


def _drawn(picture: Picture, pictures: Sequence[str]) -> str:
    return "\n\n".join(f"![{title}]({picture(name)})" for name, title in PICTURES.items() if name in pictures)


def _decision(spec: CohortSpec, results: Mapping[str, Any]) -> str:
    costs, threshold = spec.decisions.costs, results["threshold"]
    policies = [
        {
            "policy": row["policy"],
            "alerts": f"{row['alerts']['value']:.0f}",
            "caught": f"{row['caught']['value']:.0f}",
            "missed": f"{row['missed']['value']:.0f}",
            "false alarms": f"{row['false_alarms']['value']:.0f}",
            f"cost ({costs.unit})": f"{row['cost']['value']:.4g}",
        }
        for row in results["business_table"]
    ]
    tiers = [
        {
            "tier": tier["name"],
            "risk": f"{tier['lower']:.0%} to {tier['upper']:.0%}",
            "share": f"{tier['share']['value']:.1%}",
            "observed risk": _interval(tier["observed_risk"]) if tier["observed_risk"] else "nobody in it",
            "action": tier["action"],
        }
        for tier in results["tiers"]
    ]
    return "\n\n".join(
        [
            "## Decision",
            f"A false alarm costs {costs.false_positive:g}, a miss {costs.false_negative:g} ({costs.unit}): act from "
            f"**{threshold['value']:.1%}**. On out-of-fold scores the cheapest threshold was "
            f"{threshold['optimum']:.1%} (95 % interval {threshold['optimum_low']:.1%} to "
            f"{threshold['optimum_high']:.1%}). {costs.rationale}",
            "Per 1,000 patients, out of fold:",
            _table(policies),
            _table(tiers),
        ]
    )


def _candidates(results: Mapping[str, Any]) -> str:
    rows = [
        {
            "candidate": ("**" + row["name"] + "**") if row["name"] == results["selected"] else row["name"],
            "AUROC": _interval(row["metrics"].get("auroc")),
            "Brier": _interval(row["metrics"].get("brier")),
            "calibration slope": _interval(row["metrics"].get("calibration_slope")),
            "cost per patient": _interval(row["metrics"].get("expected_cost")),
        }
        for row in results["candidates"]
    ]
    return "\n\n".join(["## Candidates (nested cross-validation on the training rows)", _table(rows)])


def _subgroups(results: Mapping[str, Any]) -> str:
    rows = [
        {
            "rows": row["sample"].replace("_", " "),
            "attribute": row["attribute"],
            "group": row["group"],
            "n": row["n"],
            "events": row["events"],
            "AUROC": _interval(row["metrics"].get("auroc")) if row["status"] == "ok" else "insufficient",
            "observed / expected": _interval(row["metrics"].get("observed_expected_ratio")),
            "sensitivity": _interval(row["metrics"].get("sensitivity")),
        }
        for row in results["subgroups"]
    ]
    if not rows:
        return "## Subgroups\n\nThe cohort describes no protected attribute: nothing can be said about groups."
    return "\n\n".join(["## Subgroups", _table(rows)])


def _findings(results: Mapping[str, Any]) -> str:
    lines = [f"- {row['message']} {row['cure']}" for row in results["warnings"]]
    lines += [f"- Possible leak, `{row['column']}`: {row['evidence']}" for row in results["leakage"]]
    return "\n\n".join(["## Findings", "\n".join(lines) or "None."])


def _limits(spec: CohortSpec) -> str:
    limits = "\n".join(f"- {limit}" for limit in spec.data.limits)
    person = "\n".join(f"- [ ] {item}" for item in FOR_A_PERSON)
    return f"## Limits of the data\n\n{limits}\n\n## What a person must still write\n\n{person}"


def _origin(results: Mapping[str, Any]) -> str:
    made = results["provenance"]
    rows = [
        {"what": "bundle", "digest or version": results["bundle_digest"]},
        {"what": "feature table", "digest or version": made["data_digest"]},
        {"what": "description", "digest or version": made["spec_digest"]},
        {"what": "feature SQL", "digest or version": made["features_sql_digest"]},
        *({"what": f"raw {name}", "digest or version": digest} for name, digest in made["snapshots"].items()),
        {"what": "clinical_assets", "digest or version": made["code_version"]},
        *({"what": name, "digest or version": version} for name, version in made["libraries"].items()),
    ]
    return "\n\n".join(["## Origin", _table(rows)])


def _interval(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "-"
    low, high = (("unbounded" if end is None else f"{end:z.3f}") for end in (estimate["ci_low"], estimate["ci_high"]))
    return f"{estimate['value']:z.3f} ({low} to {high})"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    head = list(rows[0])
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(row[name]).replace("|", "\\|") for name in head) + " |" for row in rows]
    return "\n".join(lines)
