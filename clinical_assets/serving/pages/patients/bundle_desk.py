"""The desk of a bundle alone: the same form and the same answer, from a folder on a laptop, on no record.

What belongs here: opening a folder and asking it. What does not: whether a model was released, which nobody checks here
and every screen says so.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path

import duckdb
from fastapi import Request

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.canonical import value_digest
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.description.training_results import TrainingResults
from clinical_assets.modelling.trainings.trainings import RESULTS, SPEC
from clinical_assets.records.prediction_log.writer import LogReceipt
from clinical_assets.reporting.formats import words
from clinical_assets.serving.access.callers import LOCAL
from clinical_assets.serving.answers import PredictionsAnswer, predictions_answer
from clinical_assets.serving.follow_up import ActionFact
from clinical_assets.serving.pages.entrance.tokens import PageSession, PageTokens
from clinical_assets.serving.pages.entrance.visitors import Visitor, no_access
from clinical_assets.serving.pages.patients.desk import choice_of
from clinical_assets.serving.pages.patients.forms import CohortForm, label_of
from clinical_assets.serving.pages.views import CohortChoice
from clinical_assets.serving.predictions import LoggedAnswer, UnitAnswer
from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused
from clinical_assets.serving.requests.reading import read_records
from clinical_assets.serving.requests.record_checks import RecordChecker
from clinical_assets.serving.requests.record_models import predict_model, request_spec
from clinical_assets.serving.scoring.champion_scorer import ChampionScorer
from clinical_assets.serving.scoring.champions import ServedCohort
from clinical_assets.serving.scoring.labels import FeatureLabel

_NOWHERE = LogReceipt(0, "sha256:" + "0" * 64)


class NoDescription(ClinicalAssetsError):
    """A bundle without the description that it was made from, which forms and checks are made of."""


class BundleDesk:
    """Answers from a bundle's folder, to whoever sits at this machine.

    Parameters
    ----------
    folder : Path
        The bundle; every file is verified against its digest.
    catalogue : Catalogue
        Where the cohort's description is looked for where the training's report does not lie beside the bundle.

    Raises
    ------
    BundleError
        The folder is no bundle, or a file of it was changed.
    NoDescription
        Neither the report nor the catalogue has the description that the model was made from.
    """

    recorded = False

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        bundle = Bundle.load(folder)
        self.spec = described_by(bundle, catalogue)
        self.tokens = PageTokens(secrets.token_bytes(32))
        request = request_spec(self.spec)
        self._model = predict_model(request)
        self._form = CohortForm(request, self._model)
        self._checker = RecordChecker(request, is_erased=lambda _subject: False)
        scorer = ChampionScorer(self.spec, bundle, labels=_labels(self.spec, bundle))
        nobody = Champion(cohort=self.spec.name, digest=bundle.digest, since="", by="", previous=(), promotion="")
        self._served = ServedCohort(nobody, bundle, scorer)
        self._choice = choice_of(self.spec, None)
        self._visitor = Visitor(None, PageSession("local", "local", "", time.time()))

    async def visitor(self, request: Request) -> Visitor:
        """Whoever sits here."""
        del request
        return self._visitor

    async def cohorts(self, visitor: Visitor) -> tuple[CohortChoice, ...]:
        """The one cohort of the bundle."""
        del visitor
        return (self._choice,)

    async def choice(self, visitor: Visitor, cohort: str) -> tuple[CohortChoice, CohortSpec, CohortForm]:
        """The same, its description and its form."""
        del visitor
        if cohort != self.spec.name:
            raise no_access()
        return self._choice, self.spec, self._form

    async def ask(self, visitor: Visitor, cohort: str, body: bytes, *, request: str) -> PredictionsAnswer:
        """The answer, which is nowhere on record."""
        del visitor, cohort
        return await asyncio.to_thread(self._answer, body, request)

    async def act(self, visitor: Visitor, cohort: str, fact: ActionFact, *, request: str) -> bool:
        """Nothing is put on record."""
        del visitor, cohort, fact, request
        raise no_access()

    def _answer(self, body: bytes, request: str) -> PredictionsAnswer:
        read = read_records(self._model, body)
        checked = self._checker.check([read.records])
        (asked,) = checked.requests
        known = {finding.pointer for finding in read.findings}
        findings = [*read.findings, *(each for each in asked.findings if each.pointer not in known)]
        if findings:
            raise RequestRefused(findings)
        cure = "Compare the values with the description of the cohort."
        try:
            scores = self._served.scorer.score(checked.of([0]))
        except (duckdb.Error, BundleError):
            finding = RequestFinding("/records", "features", "the features of a record cannot be made", cure)
            raise RequestRefused([finding]) from None
        absent = [place for place, key in enumerate(asked.keys) if key not in scores]
        if absent:
            raise RequestRefused(
                RequestFinding(f"/records/{place}", "features", "is no prediction unit", cure) for place in absent
            )
        units = tuple(
            UnitAnswer(scores[key], (*warned, *scores[key].warnings), _NOWHERE, self._served.bundle)
            for key, warned in zip(asked.keys, asked.warnings, strict=True)
        )
        answer = LoggedAnswer(self._served, units)
        return predictions_answer(answer, request=request, rights=LOCAL.rights, explain=False)


def described_by(bundle: Bundle, catalogue: Catalogue) -> CohortSpec:
    """The description that a bundle was made from: of the report beside it, else of the catalogue; errors as above."""
    made_from = bundle.description.provenance.spec_digest
    beside = bundle.folder.parent / "report" / SPEC
    if beside.is_file():
        facts = json.loads(beside.read_text(encoding="utf-8"))
        if value_digest(facts) == made_from:
            return CohortSpec.model_validate(facts)
    if bundle.cohort in catalogue.names():
        spec = catalogue.spec(bundle.cohort)
        if value_digest(spec.training_facts()) == made_from:
            return spec
    raise NoDescription(
        f"The description that this model of {bundle.cohort} was made from is neither {beside} nor in the catalogue.",
        cure="Copy the folder of the training as a whole, or name the catalogue with the description of that time: "
        "CLINICAL_ASSETS_CATALOGUE.",
    )


def _labels(spec: CohortSpec, bundle: Bundle) -> dict[str, FeatureLabel]:
    """What features are called: by the columns of the same name, by the report beside the bundle, or by their own."""
    columns = spec.subjects.columns
    beside = bundle.folder.parent / "report" / RESULTS
    results = TrainingResults.read(beside) if beside.is_file() else None
    described = results.feature_labels if results is not None and results.bundle_digest == bundle.digest else {}
    found = {}
    for name in bundle.feature_columns:
        column = columns.get(name)
        unit = None if column is None or column.unit == "1" else column.unit
        told = described.get(name, words(name)).removesuffix(".")
        found[name] = FeatureLabel(told if column is None else label_of(name, column), unit)
    return found
