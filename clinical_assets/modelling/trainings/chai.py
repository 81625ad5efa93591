"""The fields of CHAI's applied model card, filled from description and results.

Names and order are those of the schema v0.1 of the Coalition for Health AI (https://mc.chai.org/v0.1/schema.xsd). A
field that only a person can fill and nobody has filled is null; nothing is made up.
"""

from __future__ import annotations

from typing import Any

from clinical_assets.cohorts.card_statements import CardStatements
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.description.group_counts import ShownEstimate, groups_for_readers
from clinical_assets.modelling.description.training_results import StoredEstimate, TrainingResults

Fields = dict[str, Any]


def chai_fields(spec: CohortSpec, results: TrainingResults) -> dict[str, Fields]:
    """Sections of the applied model card, each a mapping of field to text, list, mapping or None."""
    said = spec.card or CardStatements()
    made = results.provenance
    facts = {
        "OutcomesAndOutputs": f"{spec.target.description} Output: a risk from 0 to 1"
        + ("." if spec.target.binary else f" for each of {len(spec.target.classes)} classes."),
        "ModelType": results.model.name,
        "FoundationModels": "none",
        "InputDataSource": spec.data.source,
        "OutputAndInputDataTypes": f"{len(results.model.feature_columns)} numbers from SQL over the cohort's "
        "tables; one probability per unit.",
        "DevelopmentDataCharacterization": f"{results.n} units, {results.events} events; "
        f"{results.train.n} trained on, {results.holdout.n} held out. Table 1 is on the card.",
        "BiasMitigationApproaches": said.bias_mitigation,
        "OngoingMaintenance": said.maintenance,
        "Security": said.security,
        "Transparency": "Terms, settings, importances, digests and versions are on the card.",
    }
    return {
        "BasicInfo": {
            "ModelName": f"{spec.title} ({spec.name})",
            "ModelDeveloper": spec.owner.team,
            "DeveloperContact": contact_of(spec),
        },
        "ReleaseInfo": {
            "ReleaseStage": said.release_stage,
            "ReleaseDate": "The day of the last signature; see the dossier's history.",
            "ReleaseVersion": f"{results.bundle_digest}, clinical_assets {made.code_version or 'not on file'}",
            "GlobalAvailability": said.availability,
            "RegulatoryApproval": said.regulatory_status,
        },
        "ModelSummary": {
            "Summary": spec.intended_use,
            "Keywords": [spec.disease.name, *spec.disease.icd10, "risk prediction"],
        },
        "UsesAndDirections": {
            "IntendedUseAndWorkflow": f"{spec.intended_use} {said.workflow or ''}".strip(),
            "PrimaryIntendedUsers": said.users,
            "HowToUse": said.how_to_use or "; ".join(f"{tier.name}: {tier.action}" for tier in spec.decisions.tiers),
            "TargetedPatientPopulation": said.population,
            "CautionedOutOfScopeSettings": spec.not_for,
        },
        "Warnings": {
            "KnownRisksAndLimitations": list(spec.data.limits),
            "KnownBiasesOrEthicalConsiderations": said.known_biases,
            "ClinicalRiskLevel": risk_level_of(said),
        },
        "AISystemFacts": facts,
        "TransparencyInformation": {
            "FundingSource": said.funding,
            "ThirdPartyInformation": said.third_parties,
            "StakeholdersConsulted": said.stakeholders,
        },
        "KeyMetrics": _key_metrics(spec, results),
        "Resources": {
            "EvaluationReferences": said.evidence,
            "ClinicalTrial": said.ethics,
            "PeerReviewedPublications": said.publications,
            "PatientConsentOrDisclosure": said.consent,
            "StakeholdersConsulted": said.stakeholders,
        },
        "Bibliography": {"Bibliography": [f"doi {spec.data.doi}"] if spec.data.doi else []},
    }


def contact_of(spec: CohortSpec) -> str | None:
    """Where to ask: the card's contact, or the owner's."""
    return (spec.card.contact if spec.card else None) or spec.owner.contact


def risk_level_of(said: CardStatements) -> str | None:
    """The risk level with its rationale."""
    if said.risk_level is None:
        return None
    level = said.risk_level.capitalize()
    return level if said.risk_rationale is None else f"{level}: {said.risk_rationale}"


def _key_metrics(spec: CohortSpec, results: TrainingResults) -> Fields:
    limits, held = spec.decisions.limits, results.holdout
    shared = {
        "TestType": "Internal: a holdout set apart by a hash of the subject before anything was fitted.",
        "TestingDataDescription": f"{held.n} units with {held.events} events of the same source.",
        "ValidationProcessAndJustification": "Nested cross-validation chose the model; the holdout was scored once.",
    }
    advantage = results.metrics.get("net_benefit_advantage")
    slope, ratio = (results.metrics.get(name) for name in ("calibration_slope", "observed_expected_ratio"))
    lower, upper = limits.calibration_slope
    return {
        "UsefulnessUsabilityEfficacy": {
            "MetricGoal": "Net benefit above that of treating everyone and no one.",
            "Result": _estimate(advantage),
            "Interpretation": _against(advantage, 0.0, above="more useful than either default"),
            **shared,
        },
        "FairnessEquity": {
            "MetricGoal": f"Sensitivities of two groups differ by at most {limits.tpr_difference:g}.",
            "Result": _sensitivities(spec, results),
            "Interpretation": "The bias gate judges differences with their intervals; a group too small for that is "
            "insufficient, not fair.",
            **shared,
        },
        "SafetyReliability": {
            "MetricGoal": f"Calibration slope within {lower:g} to {upper:g}; observed / expected near 1.",
            "Result": f"Slope {_estimate(slope)}; observed / expected {_estimate(ratio)}",
            "Interpretation": _within(slope, lower, upper),
            **shared,
        },
    }


def _sensitivities(spec: CohortSpec, results: TrainingResults) -> str:
    rows = [row for row in groups_for_readers(results.subgroups) if row.sample == "holdout"]
    shown = [
        f"{row.attribute} {spec.group_label(row.attribute, row.group)}: "
        + (_estimate(row.metrics.get("sensitivity")) if row.status == "ok" else "insufficient")
        for row in rows
    ]
    return "; ".join(shown) or "no protected attribute is described"


def _estimate(found: StoredEstimate | ShownEstimate | None) -> str:
    if found is None or found.value is None:
        return "could not be estimated"
    low, high = ("unbounded" if end is None else f"{end:z.3f}" for end in (found.ci_low, found.ci_high))
    return f"{found.value:z.3f} (95 % interval {low} to {high})"


def _against(found: StoredEstimate | None, limit: float, *, above: str) -> str:
    if found is None or found.ci_low is None:
        return "Could not be judged."
    if found.ci_low > limit:
        return f"The interval lies above {limit:g}: {above}."
    return f"The interval holds {limit:g} or lies below it: not shown to be {above}."


def _within(found: StoredEstimate | None, lower: float, upper: float) -> str:
    if found is None or found.value is None:
        return "Could not be judged."
    inside = lower <= found.value <= upper
    return "The estimate is within its limits." if inside else "The estimate is outside its limits."
