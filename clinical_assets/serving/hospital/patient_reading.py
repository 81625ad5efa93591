"""From what a hospital sent about a person to a record of the cohort, column by column, by the description's codes.

What belongs here: which element fills which column, and what was known at the moment. What does not: whether the
record is right (``requests.record_checks``, which sees it as any other).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from clinical_assets.cohorts.external.codes import SYSTEM_ADDRESSES, ColumnCode
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.tables import Column
from clinical_assets.serving.hospital.fhir_records import TOOK_PLACE, Condition, Encounter
from clinical_assets.serving.hospital.observations import Clock, Value, ValueRefused, latest, value_of
from clinical_assets.serving.hospital.sent_records import Placed, SentRecord
from clinical_assets.serving.hospital.times import TimeSpan, age_years, read_time
from clinical_assets.serving.requests.findings import RecordWarning, RequestFinding, RequestRefused

_CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
_VERIFIED = "http://terminology.hl7.org/CodeSystem/condition-ver-status"
_OVER = ("inactive", "remission", "resolved")
_UNSURE = ("unconfirmed", "provisional", "differential")


@dataclass
class ReadRecord:
    """A record, and where it came from.

    Attributes
    ----------
    moment : datetime
        Until when values counted.
    record : dict
        Column to value as JSON would have it; columns that nothing was found for are absent.
    sources : dict
        Column to the pointer of the element that its value was taken from.
    basis : list of str
        References of the resources that were used, each once.
    notes : list of RecordWarning
        What was left out, converted or made missing.
    """

    moment: dt.datetime
    record: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    basis: list[str] = field(default_factory=list)
    notes: list[RecordWarning] = field(default_factory=list)


class PatientReader:
    """Reads records of one cohort; made once.

    Parameters
    ----------
    spec : CohortSpec
        As ``record_models.request_spec`` gives it.
    """

    def __init__(self, spec: CohortSpec) -> None:
        self.spec = spec
        self.coded: Mapping[str, Column] = {
            name: column for name, column in spec.subjects.columns.items() if column.code is not None
        }
        self.zone = ZoneInfo(spec.timezone or "UTC")

    def read(
        self, sent: SentRecord, *, moment: dt.datetime, now: dt.datetime, encounter: str | None = None
    ) -> ReadRecord:
        """The record of a person at a moment.

        Parameters
        ----------
        sent : SentRecord
            What was sent.
        moment, now : datetime
            When the prediction is made, and when it is asked for.
        encounter : str, optional
            Id of the encounter that is meant; by default the latest.

        Raises
        ------
        RequestRefused
            With every value that cannot be taken.
        """
        read = ReadRecord(moment=moment)
        clock = Clock(moment, now, self.zone)
        findings: list[RequestFinding] = []
        index = self.spec.index_column
        # The index date says until when values count, so it comes first.
        for name in sorted(self.coded, key=lambda each: each != index):
            try:
                self._fill(name, self.coded[name], sent, clock, read, encounter)
            except ValueRefused as refused:
                findings.append(refused.finding)
            if name == index:
                clock = self._until_landmark(read, clock)
        if findings:
            raise RequestRefused(findings)
        read.moment = clock.moment
        return read

    def _fill(
        self, name: str, column: Column, sent: SentRecord, clock: Clock, read: ReadRecord, encounter: str | None
    ) -> None:
        code = column.code
        assert code is not None
        notes: tuple[tuple[str, str], ...] = ()
        value: Value = None
        pointer, reference = sent.patient.pointer, sent.patient.reference
        if code.kind == "Patient":
            value, pointer = self._of_patient(column, code, sent, clock)
        elif code.kind == "Encounter":
            found = _encounter(sent, clock, encounter)
            if found is not None:
                value, pointer, reference = self._of_encounter(column, code, found), found.pointer, found.reference
        elif code.kind == "Condition":
            value, pointer, reference, notes = _condition(code, sent, clock)
        else:
            chosen = latest(code, sent.observations, clock)
            notes, pointer, reference = chosen.notes, chosen.pointer, chosen.reference
            if chosen.said is not None:
                value, more = value_of(chosen.said, column, pointer)
                notes = (*notes, *more)
        read.notes.extend(RecordWarning(kind, name, words) for kind, words in notes)
        if value is not None:
            read.record[name] = value
            read.sources[name] = pointer
            if reference and reference not in read.basis:
                read.basis.append(reference)

    def _of_patient(self, column: Column, code: ColumnCode, sent: SentRecord, clock: Clock) -> tuple[Value, str]:
        patient, pointer = sent.patient.resource, sent.patient.pointer
        match code.code[0]:
            case "Patient.id":
                return _identifier(patient.id, column), f"{pointer}/id"
            case "Patient.identifier":
                named = {each.value for each in patient.identifier if each.system == code.namespace and each.value}
                if len(named) > 1:
                    cure = "Send one number of this system."
                    raise ValueRefused(RequestFinding(f"{pointer}/identifier", "ambiguous", "several numbers", cure))
                return _identifier(next(iter(named), None), column), f"{pointer}/identifier"
            case "Patient.gender":
                return _mapped(patient.gender, column, code, f"{pointer}/gender"), f"{pointer}/gender"
        where = f"{pointer}/birthDate"
        if patient.birthDate is None:
            return None, where
        born = read_time(patient.birthDate, clock.zone)
        if born is None or "T" in patient.birthDate:
            raise ValueRefused(RequestFinding(where, "time", "is no FHIR date", "Send YYYY-MM-DD."))
        if column.type == "date":
            if born.earliest.date() != born.latest.date():
                cure = "Send the date with its day."
                raise ValueRefused(RequestFinding(where, "time", "has no day", cure))
            return born.earliest.date().isoformat(), where
        age = age_years(born, clock.moment)
        if age is None:
            cure = "Send the date with its day: two ages are possible, or the birth is after the moment."
            raise ValueRefused(RequestFinding(where, "time", "does not say the age at the moment", cure))
        return age, where

    def _of_encounter(self, column: Column, code: ColumnCode, found: Placed[Encounter]) -> Value:
        encounter = found.resource
        if code.code[0] == "Encounter.serviceProvider":
            provider = encounter.serviceProvider
            if provider is None:
                return None
            where = f"{found.pointer}/serviceProvider"
            return _mapped(provider.display or provider.reference, column, code, where)
        period = encounter.period
        text = None if period is None else period.start if code.code[0].endswith("start") else period.end
        if text is None:
            return None
        span = _span(text, found, "period", self.zone)
        if column.type == "date":
            return span.earliest.astimezone(self.zone).date().isoformat()
        return span.earliest.isoformat() if span.earliest == span.latest else None

    def _until_landmark(self, read: ReadRecord, clock: Clock) -> Clock:
        """Values count until so many days after the index date, as they do in training."""
        index = read.record.get(str(self.spec.index_column))
        if not isinstance(index, str):
            return clock
        span = read_time(index, self.zone)
        if span is None:
            return clock
        landmark = span.latest + dt.timedelta(days=self.spec.prediction.landmark_days)
        return Clock(min(clock.moment, landmark), clock.now, clock.zone)


def _identifier(text: str | None, column: Column) -> Value:
    """A number stays a text where it is none: the type is the check's business, which repeats no identifier."""
    if text is not None and column.type == "integer" and text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    return text


def _mapped(text: str | None, column: Column, code: ColumnCode, pointer: str) -> Value:
    """A code or name as a category: by ``values``, or because the category or its label is called so."""
    if text is None:
        return None
    categories = column.categories or {}
    found = [name for name, codes in code.values.items() if text in codes]
    if not code.values:
        found = [name for name, label in categories.items() if text in (name, label)]
    if len(found) != 1:
        permitted = ", ".join(each for codes in code.values.values() for each in codes) or ", ".join(
            label for label in categories.values()
        )
        cure = "Send one that stands for a category."
        raise ValueRefused(RequestFinding(pointer, "category", "stands for no category", cure, permitted=permitted))
    return int(found[0]) if column.type == "integer" else found[0]


def _encounter(sent: SentRecord, clock: Clock, wanted: str | None) -> Placed[Encounter] | None:
    """The encounter that is meant, or the latest that had begun at the moment."""
    begun = []
    for each in sent.encounters:
        start = each.resource.period.start if each.resource.period is not None else None
        if wanted is not None and each.resource.id != wanted:
            continue
        if each.resource.status not in TOOK_PLACE or start is None:
            continue
        span = _span(start, each, "period", clock.zone)
        if clock.knows(span):
            begun.append((span.latest, each))
    return max(begun, key=lambda pair: pair[0])[1] if begun else None


def _condition(code: ColumnCode, sent: SentRecord, clock: Clock) -> tuple[Value, str, str, tuple[tuple[str, str], ...]]:
    """Whether the person has a condition: True where one is confirmed and not over, False where it was ruled out."""
    address = SYSTEM_ADDRESSES[code.system]
    notes: dict[str, str] = {}
    ruled_out: Placed[Condition] | None = None
    for each in sent.conditions:
        condition = each.resource
        verified, clinical = condition.verificationStatus, condition.clinicalStatus
        if condition.code is None or not any(
            one.system == address and _covers(code, one.code or "") for one in condition.code.coding
        ):
            continue
        if verified is not None and verified.has(_VERIFIED, ("entered-in-error",)):
            continue
        if not _is_known(each, clock):
            notes["after_moment"] = "A condition that may be of after the moment of the prediction was left out."
        elif verified is not None and verified.has(_VERIFIED, ("refuted",)):
            ruled_out = each
        elif verified is not None and verified.has(_VERIFIED, _UNSURE):
            notes["not_confirmed"] = "A condition that is not confirmed was left out."
        elif (clinical is None or not clinical.has(_CLINICAL, _OVER)) and not _has_ended(each, clock):
            return True, each.pointer, each.reference, ()
    if ruled_out is not None:
        return False, ruled_out.pointer, ruled_out.reference, tuple(notes.items())
    return (False if code.absent == "no" and not notes else None), "", "", tuple(notes.items())


def _covers(code: ColumnCode, given: str) -> bool:
    """ICD-10 is a tree of prefixes: I25 is also I25.1, and not I250. Of SNOMED CT a code is itself alone."""
    if not code.system.startswith("icd10"):
        return given in code.code
    return any(given == one or given.startswith(one if "." in one else f"{one}.") for one in code.code)


def _is_known(each: Placed[Condition], clock: Clock) -> bool:
    """Whether it was recorded, or where that is not said began, before the moment; without a time, if it is now."""
    found = each.resource
    period = found.onsetPeriod
    begun = found.onsetDateTime or (period.start if period is not None else None)
    spans = [
        _span(text, each, name, clock.zone)
        for name, text in (("recordedDate", found.recordedDate), ("onsetDateTime", begun))
        if text is not None
    ]
    return all(clock.knows(span) for span in spans) if spans else clock.moment >= clock.now


def _has_ended(each: Placed[Condition], clock: Clock) -> bool:
    text = each.resource.abatementDateTime
    return text is not None and _span(text, each, "abatementDateTime", clock.zone).latest <= clock.moment


def _span(text: str, each: Placed[Any], name: str, zone: ZoneInfo) -> TimeSpan:
    span = read_time(text, zone)
    if span is None:
        cure = "Send YYYY, YYYY-MM, YYYY-MM-DD, or a date with time and offset."
        raise ValueRefused(RequestFinding(f"{each.pointer}/{name}", "time", "is no FHIR dateTime", cure))
    return span
