"""From what a hospital sent to an answer, by the service that answers everybody: validated, logged before it is given.

What belongs here: the one way that the FHIR endpoint and CDS Hooks share. What does not: HTTP, resources, cards.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic_core import to_json

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.serving.answers import PredictionsAnswer, predictions_answer
from clinical_assets.serving.hospital.patient_reading import PatientReader, ReadRecord
from clinical_assets.serving.hospital.sent_records import SentRecord
from clinical_assets.serving.predictions import LoggedAnswer, PredictionRequest
from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused
from clinical_assets.serving.requests.reading import read_records
from clinical_assets.serving.requests.record_models import request_spec
from clinical_assets.serving.service import PredictionService


class NoCodes(ClinicalAssetsError):
    """A cohort whose description does not say where a hospital keeps its values."""


@dataclass(frozen=True)
class Asked:
    """Who asks, when.

    Attributes
    ----------
    request, key : str
        Id of the request, and of the caller's key.
    rights : collection of str
        Of the caller.
    received : float
        ``time.perf_counter`` when the request came.
    moment, now : datetime
        When the prediction is made, and the time now.
    encounter : str or None
        The encounter that is meant.
    """

    request: str
    key: str
    rights: Collection[str]
    received: float
    moment: dt.datetime
    now: dt.datetime
    encounter: str | None = None


@dataclass(frozen=True)
class Assessed:
    """An answer that is on disk, what it rests on, and about whom it is."""

    answer: PredictionsAnswer
    logged: LoggedAnswer
    read: ReadRecord
    patient: str


class Assessments:
    """Answers to hospitals, for all cohorts of a service.

    Parameters
    ----------
    service : PredictionService
        Answers.
    """

    def __init__(self, service: PredictionService) -> None:
        self.service = service
        self._readers: dict[str, PatientReader] = {}

    def reader(self, cohort: str) -> PatientReader:
        """Reads what is sent for a cohort.

        Raises
        ------
        NoCodes
            Its description names no code for the column of the subject.
        UnknownCohort
            No description has this name.
        """
        found = self._readers.get(cohort)
        if found is None:
            spec = request_spec(self.service.cohort(cohort).spec)
            if not speaks_fhir(spec):
                raise NoCodes(
                    "The description of this cohort does not say where a hospital keeps its values.",
                    cure="Give its columns a `code`, first of all the one of the subject (docs/serving.md).",
                )
            found = self._readers[cohort] = PatientReader(spec)
        return found

    async def assess(self, cohort: str, sent: SentRecord, asked: Asked) -> Assessed:
        """The answer about a person; when this returns it is on disk.

        Raises
        ------
        RequestRefused
            With everything that is wrong, at the places of the elements that were sent.
        NoCodes, NotServed, LogUnavailable, LogDamaged
            There is no answer.
        """
        read = self.reader(cohort).read(sent, moment=asked.moment, now=asked.now, encounter=asked.encounter)
        found = self.service.cohort(cohort)
        records = read_records(found.model, to_json({"records": [read.record]}))
        request = PredictionRequest(
            asked.request, asked.key, "predict", records.records, asked.received, records.findings
        )
        try:
            if not records.records:
                raise RequestRefused(records.findings)
            logged = await found.predictions.answer(request)
        except RequestRefused as refused:
            raise RequestRefused(_placed(refused, read.sources, self.reader(cohort).spec)) from None
        answer = predictions_answer(logged, request=asked.request, rights=asked.rights, explain=False)
        return Assessed(answer, logged, read, sent.patient.reference)


def speaks_fhir(spec: CohortSpec) -> bool:
    """Whether a description says at least who the subject is in a hospital's records."""
    return spec.subjects.columns[spec.subject_of(spec.subject_table)].code is not None


def _placed(refused: RequestRefused, sources: Mapping[str, str], spec: CohortSpec) -> list[RequestFinding]:
    """Findings about a column, at the element that it was read from, in words of what should be sent."""
    return [_at_source(each, sources, spec) for each in refused.findings]


def _at_source(finding: RequestFinding, sources: Mapping[str, str], spec: CohortSpec) -> RequestFinding:
    column = finding.pointer.removeprefix("/records/0/")
    if column in sources:
        return replace(finding, pointer=sources[column])
    described: Any = spec.subjects.columns.get(column)
    if described is None or described.code is None:
        return replace(finding, pointer="", detail=f"{column}: {finding.detail}")
    code = described.code
    wanted = f"{code.kind} with {code.system} {' or '.join(code.code)}" if code.system != "fhir" else code.code[0]
    cure = f"Send it as {wanted}, final and from before the moment of the prediction."
    return replace(finding, pointer="/entry", detail=f"{column}: {finding.detail}", cure=cure)
