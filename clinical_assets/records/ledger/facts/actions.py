"""Which facts each action of the ledger has."""

from __future__ import annotations

from collections.abc import Mapping

from clinical_assets.records.ledger.facts.base import LedgerFacts
from clinical_assets.records.ledger.facts.experiments import ExperimentFacts
from clinical_assets.records.ledger.facts.installation import (
    AdoptionFacts,
    AlertFacts,
    ExportFacts,
    PredictionLogFacts,
    UpgradeFacts,
    WitnessFacts,
)
from clinical_assets.records.ledger.facts.intake import NOTED, IngestionFacts, QuarantineFacts
from clinical_assets.records.ledger.facts.models import (
    ChampionFacts,
    DossierFacts,
    GateVerdictFacts,
    RecommendationFacts,
    RetrainFacts,
    TrainingFacts,
)
from clinical_assets.records.ledger.facts.people import (
    ApiAccessFacts,
    ApiKeyFacts,
    LoginFacts,
    LogoutFacts,
    PersonFacts,
    ReviewFacts,
    SignatureFacts,
)
from clinical_assets.records.ledger.facts.privacy import (
    DeidentificationFacts,
    ErasureFacts,
    KeyRotationFacts,
    RemovalFacts,
    RenameFacts,
)

FACTS: Mapping[str, type[LedgerFacts]] = {
    "ingestion": IngestionFacts,
    "quarantine": QuarantineFacts,
    "training": TrainingFacts,
    "gate_verdict": GateVerdictFacts,
    "review": ReviewFacts,
    "signature": SignatureFacts,
    "rejection": SignatureFacts,
    "waiver": SignatureFacts,
    "promotion": ChampionFacts,
    "rollback": ChampionFacts,
    "retirement": ChampionFacts,
    "erasure": ErasureFacts,
    "login": LoginFacts,
    "login_refused": LoginFacts,
    "logout": LogoutFacts,
    "export": ExportFacts,
    "person": PersonFacts,
    "key_rotation": KeyRotationFacts,
    "dossier": DossierFacts,
    "deidentification": DeidentificationFacts,
    **NOTED,
    "recommendation": RecommendationFacts,
    "retrain": RetrainFacts,
    "alert": AlertFacts,
    "upgrade": UpgradeFacts,
    "witness": WitnessFacts,
    "prediction_log": PredictionLogFacts,
    "adoption": AdoptionFacts,
    "api_key": ApiKeyFacts,
    "api_access": ApiAccessFacts,
    "removal": RemovalFacts,
    "rename": RenameFacts,
    "experiment": ExperimentFacts,
}
