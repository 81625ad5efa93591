"""The card says what the model is, who took part and who answers, with labels in place of codes."""

from __future__ import annotations

import numpy as np

from assets_tests.worlds.ward.trained import COHORT, Trained
from clinical_assets.cohorts.registry import SHIPPED, Catalogue
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.modelling.trainings import plots
from clinical_assets.modelling.trainings.card import card_json, card_markdown
from clinical_assets.modelling.trainings.card_sections import importance_rows
from clinical_assets.modelling.trainings.chai import chai_fields

# Elements of CHAI's schema v0.1 that must be there (minOccurs 1).
CHAI = {
    "BasicInfo": ("ModelName", "ModelDeveloper", "DeveloperContact"),
    "ReleaseInfo": ("ReleaseStage", "ReleaseDate", "ReleaseVersion", "GlobalAvailability"),
    "ModelSummary": ("Summary", "Keywords"),
    "UsesAndDirections": (
        "IntendedUseAndWorkflow",
        "PrimaryIntendedUsers",
        "HowToUse",
        "TargetedPatientPopulation",
        "CautionedOutOfScopeSettings",
    ),
    "Warnings": ("KnownRisksAndLimitations", "KnownBiasesOrEthicalConsiderations", "ClinicalRiskLevel"),
    "AISystemFacts": (
        "OutcomesAndOutputs",
        "ModelType",
        "InputDataSource",
        "OutputAndInputDataTypes",
        "DevelopmentDataCharacterization",
        "BiasMitigationApproaches",
        "OngoingMaintenance",
    ),
    "TransparencyInformation": ("FundingSource", "StakeholdersConsulted"),
    "KeyMetrics": ("UsefulnessUsabilityEfficacy", "FairnessEquity", "SafetyReliability"),
    "Resources": ("PeerReviewedPublications", "PatientConsentOrDisclosure", "StakeholdersConsulted"),
}


def _text(trained: Trained, results: TrainingResults | None = None) -> str:
    spec = trained.catalogue.spec(COHORT)
    return card_markdown(spec, results or trained.training.results, picture=lambda name: f"{name}.png", pictures=())


def test_every_field_of_chais_card_is_there_and_what_nobody_said_is_not_made_up(trained_ward: Trained) -> None:
    spec = trained_ward.catalogue.spec(COHORT)
    found = chai_fields(spec, trained_ward.training.results)
    for section, names in CHAI.items():
        assert set(names) <= set(found[section])
    assert found["UsesAndDirections"]["PrimaryIntendedUsers"] == spec.card.users if spec.card else False
    assert found["TransparencyInformation"]["StakeholdersConsulted"] is None
    assert "| StakeholdersConsulted | not stated |" in _text(trained_ward)


def test_both_forms_of_the_card_hold_the_same_parts(trained_ward: Trained) -> None:
    text = _text(trained_ward)
    results = card_json(trained_ward.catalogue.spec(COHORT), trained_ward.training.results)["results"]
    for term in results["model_terms"]["terms"]:
        assert f"| {term['feature']}{' is missing' if term['is_flag'] else ''} | {term['coefficient']:.6g} |" in text
    assert f"{results['model_terms']['intercept']:.6g} plus" in text
    for row in results["table_one"]["rows"]:
        assert " | ".join(row["cells"]) in text
    certainty = results["risk_certainty"]
    assert f"interval is {100 * certainty['median_width']:.1f} percentage points wide" in text
    assert f"is {100 * certainty['mean_other_tier_prob']:.0f} % on average" in text
    assert f"{results['participants']['used']:,} used" in text
    assert text.count("| in use |") == 1


def test_a_card_of_an_older_training_says_what_it_lacks(trained_ward: Trained) -> None:
    later = ("model_terms", "table_one", "participants", "rates", "age_groups", "directions")
    older = {name: value for name, value in trained_ward.training.results.to_json().items() if name not in later}
    text = _text(trained_ward, TrainingResults.of(older, where="an older report"))
    for words in ("kept no terms", "kept no Table 1", "kept no flow"):
        assert words in text


def test_a_feature_is_called_by_what_its_description_says_where_a_training_kept_it(trained_ward: Trained) -> None:
    results = trained_ward.training.results
    assert set(results.feature_labels) <= set(results.contributions)
    name = next(iter(results.contributions))
    named = results.model_copy(update={"feature_labels": {name: "Seizure (HP:0001250): coded as present."}})
    rows = importance_rows(named)
    assert [row["what it is"] for row in rows] == ["Seizure (HP:0001250): coded as present", *["-"] * (len(rows) - 1)]
    assert "what it is" not in importance_rows(results.model_copy(update={"feature_labels": {}}))[0]


def test_groups_are_named_by_their_labels() -> None:
    spec = Catalogue((SHIPPED,)).spec("framingham_chd")
    assert spec.group_label("sex", "0") == "0: Female"
    assert spec.group_label("sex", "unknown") == "unknown"
    assert spec.labelled("tpr_difference[sex=0 & education=4]") == (
        "tpr_difference[sex=0: Female & education=4: College degree]"
    )
    assert spec.labelled("sex=1: it has 2 rows") == "sex=1: Male: it has 2 rows"
    assert spec.labelled("sex=01, unisex=0, sex=0: Female") == "sex=01, unisex=0, sex=0: Female"


def test_risks_of_a_few_in_a_million_are_drawn() -> None:
    risk = np.linspace(2e-6, 5e-5, 200)
    event = np.arange(200) % 20 == 0
    drawn = plots.risk_distribution_panels(event, risk, classes=["no", "yes"], tiers={"Low": 0.0, "High": 2e-5})
    assert drawn[0].xlim is not None
    low, high = drawn[0].xlim
    assert low < risk.min() * 1.01
    assert high > risk.max()


def test_a_rare_outcome_fills_its_panel_as_a_common_one_does() -> None:
    rng = np.random.default_rng(1)
    risk = 1 / (1 + np.exp(-rng.normal(-3.5, 1.1, 3000)))
    event = (rng.random(3000) < risk).astype(int)
    assert event.mean() < 0.07
    drawn = plots.risk_distribution_panels(event, risk, classes=["no", "yes"], tiers={"Low": 0.0, "High": 0.1})
    common, rare = (max(panel.ys) for panel in drawn)
    assert 0.3 < rare / common < 3
    assert drawn[1].log
    assert all(min(panel.ys) >= 0 for panel in drawn)
