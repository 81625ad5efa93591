"""An answer as FHIR R4: a RiskAssessment with the Device that made it and the Provenance of both, tagged as made by AI.

What belongs here: the resources. What does not: what may be told (the rights decide it in ``answers``).

``probabilityDecimal`` is a percentage: R4 says "Decimal values are expressed as percentages as well (max = 100)". The
tag is ``AIAST`` of HL7's v3 ObservationValue, as the guide AI Transparency on FHIR (1.0.0-ballot) uses it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from typing import Any

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.serving.answers import PredictionAnswer, PredictionsAnswer
from clinical_assets.serving.hospital.patient_reading import ReadRecord
from clinical_assets.serving.requests.findings import RecordWarning

AIAST = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "AIAST",
    "display": "Artificial Intelligence asserted",
}
PREDICTION_SYSTEM = "urn:clinical-assets:prediction"
BUNDLE_SYSTEM = "urn:clinical-assets:model-bundle"
_AUTHOR = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def assessment_bundle(
    answer: PredictionsAnswer, *, spec: CohortSpec, read: ReadRecord, patient: str, recorded: dt.datetime
) -> dict[str, Any]:
    """The resources of an answer about one person, as plain values.

    Parameters
    ----------
    answer : PredictionsAnswer
        As the caller may see it.
    spec : CohortSpec
        Description of the cohort.
    read : ReadRecord
        What the answer rests on.
    patient : str
        Reference of the person, as it was sent.
    recorded : datetime
        When the answer was made.
    """
    (given,) = answer.predictions
    assessment, device, provenance = (f"urn:uuid:{uuid.uuid4()}" for _ in range(3))
    resources = [
        (assessment, _assessment(answer, given, spec=spec, read=read, patient=patient, device=device)),
        (device, _device(answer, spec)),
        (provenance, _provenance(answer, assessment, device, read.basis, recorded)),
    ]
    return {
        "resourceType": "Bundle",
        "meta": {"security": [AIAST]},
        "identifier": {"system": "urn:ietf:rfc:3986", "value": f"urn:uuid:{answer.request_id}"},
        "type": "collection",
        "timestamp": _instant(recorded),
        "entry": [{"fullUrl": address, "resource": content} for address, content in resources],
    }


def _assessment(
    answer: PredictionsAnswer,
    given: PredictionAnswer,
    *,
    spec: CohortSpec,
    read: ReadRecord,
    patient: str,
    device: str,
) -> dict[str, Any]:
    prediction: dict[str, Any] = {
        "outcome": {"text": spec.target.description},
        "qualitativeRisk": {"text": given.tier},
    }
    if given.risk is not None:
        prediction["probabilityDecimal"] = 100 * given.risk
    if spec.prediction.horizon_days is not None:
        end = read.moment + dt.timedelta(days=spec.prediction.horizon_days)
        prediction["whenPeriod"] = {"start": _instant(read.moment), "end": _instant(end)}
    if given.reasons is not None:
        prediction["rationale"] = "; ".join(reason_lines(given))
    notes = [{"text": text} for text in (*interval_lines(given), *note_lines(given, read.notes))]
    if answer.model.synthetic:
        notes.insert(0, {"text": "The model was made from records that are made up: not for the care of patients."})
    return {
        "resourceType": "RiskAssessment",
        "meta": {"security": [AIAST]},
        "identifier": [{"system": PREDICTION_SYSTEM, "value": given.prediction}],
        "status": "final",
        "method": {"text": f"Prediction model of the cohort {spec.name}; threshold {answer.threshold:.4g}"},
        "code": {"text": spec.title},
        "subject": {"reference": patient},
        "occurrenceDateTime": _instant(read.moment),
        "performer": {"reference": device},
        **({"basis": [{"reference": each} for each in read.basis]} if read.basis else {}),
        "prediction": [prediction],
        "mitigation": given.action,
        **({"note": notes} if notes else {}),
    }


def _device(answer: PredictionsAnswer, spec: CohortSpec) -> dict[str, Any]:
    return {
        "resourceType": "Device",
        "meta": {"security": [AIAST]},
        "identifier": [{"system": BUNDLE_SYSTEM, "value": answer.model.digest}],
        "status": "active",
        "deviceName": [{"name": spec.title, "type": "user-friendly-name"}],
        "type": {"text": "Software: clinical prediction model"},
        "version": [{"value": answer.model.digest}],
        "property": [
            {"type": {"text": "Intended use"}, "valueCode": [{"text": spec.intended_use}]},
            {"type": {"text": "Not for"}, "valueCode": [{"text": spec.not_for}]},
            {
                "type": {"text": "Recorded promotion"},
                "valueCode": [{"text": answer.model.promotion or "none: a challenger in an experiment"}],
            },
        ],
    }


def _provenance(
    answer: PredictionsAnswer, assessment: str, device: str, basis: Sequence[str], recorded: dt.datetime
) -> dict[str, Any]:
    model = {"role": "source", "what": {"identifier": {"system": BUNDLE_SYSTEM, "value": answer.model.digest}}}
    return {
        "resourceType": "Provenance",
        "meta": {"security": [AIAST]},
        "target": [{"reference": assessment}],
        "occurredDateTime": _instant(recorded),
        "recorded": _instant(recorded),
        "agent": [
            {"type": {"coding": [{"system": _AUTHOR, "code": "assembler"}]}, "who": {"reference": device}},
        ],
        "entity": [model, *({"role": "source", "what": {"reference": each}} for each in basis)],
    }


def reason_lines(given: PredictionAnswer) -> list[str]:
    """Reasons in words, the largest first; empty for a caller who may not see them."""
    if given.reasons is None:
        return []
    found = []
    for each in given.reasons.contributions:
        value = "not known" if each.value is None else f"{each.value:.6g}{'' if each.unit is None else ' ' + each.unit}"
        found.append(f"{each.label}: {value}, {each.direction} the risk ({each.contribution:+.2f} in log-odds)")
    return found


def interval_lines(given: PredictionAnswer) -> list[str]:
    """The interval of the risk and the chance of another tier; empty where the caller sees none."""
    found = given.risk_interval
    if found is None:
        return []
    return [
        f"{100 * found.level:.0f} % interval of the risk: {100 * found.low:.1f} to {100 * found.high:.1f} %; "
        f"chance that the true risk lies in another tier: {100 * found.other_tier_prob:.0f} %."
    ]


def note_lines(given: PredictionAnswer, notes: Sequence[RecordWarning]) -> list[str]:
    """What must be known when the risk is read, each once: of the reading and of the model."""
    own = [f"{each.field}: {each.detail}" for each in notes]
    return list(dict.fromkeys([*own, *(each.detail for each in given.warnings)]))


def _instant(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
