"""CDS Hooks 2.0: services and their prefetch templates, requests, cards, feedback.

What belongs here: what the specification (cds-hooks.hl7.org/2.0) says of them. What does not: HTTP, and what is done
with feedback (``follow_up``).
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from clinical_assets.cohorts.external.codes import SYSTEM_ADDRESSES
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column
from clinical_assets.serving.answers import PredictionAnswer, PredictionsAnswer
from clinical_assets.serving.follow_up import MAX_FACTS, ActionFact
from clinical_assets.serving.hospital.patient_reading import ReadRecord
from clinical_assets.serving.hospital.risk_assessment import interval_lines, note_lines, reason_lines

HOOK = "patient-view"
OVERRIDE_SYSTEM = "urn:clinical-assets:override-reason"
#: Why a recommendation is not followed; the code and what a person reads.
OVERRIDE_REASONS: Mapping[str, str] = {
    "not-applicable": "Does not apply to this patient",
    "already-done": "Already done or under way",
    "patient-declined": "The patient declined",
    "clinical-judgement": "Clinical judgement differs",
    "wrong-data": "Values of the record are wrong or out of date",
}
#: Latest Observations that are asked for, so that one without a value does not hide the one before.
_LATEST = 5
_LONGEST_SUMMARY, _LONGEST_REASON = 139, 500
_UUID = r"^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
_SEQ_LIMIT = 1 << 48


class _Sent(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)


class HookContext(_Sent):
    """Where in the EHR somebody is."""

    patientId: str = Field(min_length=1, max_length=200)  # noqa: N815 - the specification's names
    encounterId: str | None = Field(None, max_length=200)  # noqa: N815


class HookRequest(_Sent):
    """A call of a service."""

    hook: str = Field(max_length=100, json_schema_extra={"const": HOOK})
    hookInstance: str = Field(pattern=_UUID)  # noqa: N815
    context: HookContext
    prefetch: dict[str, Any] | None = None


class _Code(_Sent):
    code: str | None = Field(None, max_length=200)
    display: str | None = Field(None, max_length=500)


class _Override(_Sent):
    reason: _Code | None = None
    userComment: str | None = Field(None, max_length=10_000)  # noqa: N815


class CardFeedback(_Sent):
    """What became of one card."""

    card: Annotated[str, Field(pattern=_UUID)]
    outcome: Literal["accepted", "overridden"]
    overrideReason: _Override | None = None  # noqa: N815


class FeedbackBody(_Sent):
    """What became of cards; sending the same again changes nothing."""

    feedback: list[CardFeedback] = Field(min_length=1, max_length=MAX_FACTS)


def service_of(spec: CohortSpec, coded: Mapping[str, Column]) -> dict[str, Any]:
    """A cohort as a CDS service."""
    return {
        "id": spec.name,
        "hook": HOOK,
        "title": spec.title,
        "description": f"{spec.intended_use} Not for: {spec.not_for}",
        "prefetch": prefetch_templates(coded),
        "usageRequirements": "All data come by prefetch: this service asks no FHIR server.",
    }


def prefetch_templates(coded: Mapping[str, Column]) -> dict[str, str]:
    """What an EHR sends along, by the codes of the description: the person, and a search per coded column."""
    found = {"patient": "Patient/{{context.patientId}}"}
    of_patient = "patient={{context.patientId}}"
    for name, column in coded.items():
        code = column.code
        assert code is not None
        if code.kind == "Encounter":
            found["encounters"] = f"Encounter?{of_patient}&_sort=-date&_count={_LATEST}"
        elif code.kind != "Patient":
            tokens = ",".join(f"{SYSTEM_ADDRESSES[code.system]}|{each}" for each in code.code)
            latest = f"&status=final,amended,corrected&_sort=-date&_count={_LATEST}"
            # ICD-10 codes stand for everything below them, which a search by code does not find.
            wanted = "" if code.system.startswith("icd10") else f"&code={tokens}"
            key = "conditions" if not wanted else name
            found[key] = f"{code.kind}?{of_patient}{wanted}{latest if code.kind == 'Observation' else ''}"
    return found


def card_of(answer: PredictionsAnswer, *, spec: CohortSpec, read: ReadRecord) -> dict[str, Any]:
    """The card of an answer about one person, as far as the caller may see it."""
    (given,) = answer.predictions
    name = card_id(given.prediction)
    return {
        "uuid": name,
        "summary": _cut(f"{spec.disease.name}: {given.tier}. {given.action}", _LONGEST_SUMMARY),
        "detail": _detail(answer, given, spec, read),
        "indicator": _indicator(given, spec),
        "source": {"label": spec.title, "topic": {"system": "urn:clinical-assets:cohort", "code": spec.name}},
        "suggestions": [{"label": given.action, "uuid": str(uuid.uuid5(uuid.UUID(name), given.tier))}],
        "selectionBehavior": "at-most-one",
        "overrideReasons": [
            {"code": code, "system": OVERRIDE_SYSTEM, "display": words} for code, words in OVERRIDE_REASONS.items()
        ],
    }


def card_id(prediction: str) -> str:
    """The name of a prediction as a UUID of version 8 (RFC 9562): 48 bits of its number, 64 of its line's hash."""
    number, _, digits = prediction.partition("-")
    hashed = int(digits, 16)
    high, low = hashed >> 52, hashed & ((1 << 52) - 1)
    if int(number) >= _SEQ_LIMIT:
        raise ValueError("a log of more than 2**48 lines has no card ids")
    value = int(number) << 80 | 8 << 76 | high << 64 | 0b10 << 62 | low << 10
    return str(uuid.UUID(int=value))


def prediction_of(card: str) -> str:
    """The name of the prediction that a card was about; of a UUID that is no card's, one that is no prediction's."""
    value = uuid.UUID(card).int
    hashed = (value >> 64 & 0xFFF) << 52 | value >> 10 & ((1 << 52) - 1)
    number = value >> 80
    named = f"{number}-{hashed:016x}"
    return named if number and card_id(named) == card.lower() else f"1-{0:016x}"


def actions_of(feedback: Sequence[CardFeedback]) -> list[ActionFact]:
    """Feedback as actions: a card that was answered was shown."""
    return [
        ActionFact(
            prediction=prediction_of(each.card),
            shown=True,
            acted=each.outcome == "accepted",
            override_reason=_reason(each) if each.outcome == "overridden" else None,
        )
        for each in feedback
    ]


def _reason(feedback: CardFeedback) -> str | None:
    given = feedback.overrideReason
    if given is None:
        return None
    code = given.reason
    named = "" if code is None else OVERRIDE_REASONS.get(code.code or "", code.display or code.code or "")
    text = ": ".join(part for part in (named, given.userComment or "") if part)
    return _cut(text, _LONGEST_REASON) or None


def _indicator(given: PredictionAnswer, spec: CohortSpec) -> str:
    tiers = spec.decisions.tiers
    if not given.is_alert:
        return "info"
    return "critical" if len(tiers) > 2 and given.tier == tiers[-1].name else "warning"


def _detail(answer: PredictionsAnswer, given: PredictionAnswer, spec: CohortSpec, read: ReadRecord) -> str:
    lines = [f"**{_plain(given.tier)}**: {_plain(given.action)}"]
    if given.risk is not None:
        lines.append(f"Risk {100 * given.risk:.1f} % (acted upon from {100 * answer.threshold:.1f} %): "
                     f"{_plain(spec.target.description)}")  # fmt: skip
    lines += interval_lines(given)
    if answer.model.synthetic:
        lines.append("**The model was made from records that are made up: not for the care of patients.**")
    lines += _listed("Reasons", reason_lines(given)) + _listed("To be known", note_lines(given, read.notes))
    lines.append(f"Made by AI: a prediction model, {_plain(answer.model.digest)}. Not for: {_plain(spec.not_for)}")
    return "\n\n".join(lines)


def _listed(title: str, found: Iterable[str]) -> list[str]:
    bullets = "\n".join(f"- {_plain(each)}" for each in found)
    return [f"{title}:\n{bullets}"] if bullets else []


def _plain(text: str) -> str:
    """A text whose signs are no Markdown and no HTML."""
    return re.sub(r"([\\`*_\[\]<>#|~&!])", r"\\\1", text)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
