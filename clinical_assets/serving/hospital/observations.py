"""The latest value of an Observation that was known at the moment, in the unit or category of its column.

What belongs here: choosing among Observations, reading values. What does not: other resources (``patient_reading``).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from clinical_assets.cohorts.external.codes import SYSTEM_ADDRESSES, ColumnCode
from clinical_assets.cohorts.tables import Column
from clinical_assets.serving.hospital.fhir_records import FINAL, Measured, Observation, Quantity
from clinical_assets.serving.hospital.sent_records import Placed
from clinical_assets.serving.hospital.times import TimeSpan, read_time
from clinical_assets.serving.hospital.units import UCUM, converted, factor
from clinical_assets.serving.requests.findings import RequestFinding

Value = float | int | str | bool | None


@dataclass(frozen=True)
class Clock:
    """Until when values count.

    Attributes
    ----------
    moment, now : datetime
        When the prediction is made, and when it was asked for; in UTC.
    zone : ZoneInfo
        Of the cohort: where days begin.
    """

    moment: dt.datetime
    now: dt.datetime
    zone: ZoneInfo

    def knows(self, span: TimeSpan) -> bool:
        """Whether it certainly was before the moment."""
        return span.is_known_at(self.moment, now=self.now)


class ValueRefused(Exception):
    """A value that cannot be taken, although it is the one that counts."""

    def __init__(self, finding: RequestFinding) -> None:
        super().__init__(finding.detail)
        self.finding = finding


@dataclass(frozen=True)
class _Candidate:
    at: TimeSpan
    issued: dt.datetime
    said: Measured
    placed: Placed[Observation]
    pointer: str

    @property
    def order(self) -> tuple[dt.datetime, dt.datetime, int]:
        return self.at.latest, self.issued, FINAL[self.placed.resource.status]


@dataclass(frozen=True)
class Chosen:
    """The Observation whose value counts.

    Attributes
    ----------
    said : Measured or None
        The Observation or the component that says it; None where there is none.
    pointer, reference : str
        Where it stands, and how it is referred to.
    notes : tuple of (str, str)
        What was left out: code, and a sentence.
    """

    said: Measured | None
    pointer: str
    reference: str
    notes: tuple[tuple[str, str], ...]


def latest(code: ColumnCode, observations: Iterable[Placed[Observation]], clock: Clock) -> Chosen:
    """The latest Observation with one of the codes that was final and known at the moment.

    Final are ``final``, ``amended`` and ``corrected``; the others are left out and that is said for ``preliminary``.
    Known is what was both measured (``effective[x]``) and, where it says so, issued by then.

    Raises
    ------
    ValueRefused
        Two of the same moment, equally late words, say different things; or a time is none.
    """
    notes: dict[str, str] = {}
    found = []
    for placed, said, pointer in _with_code(code, observations):
        status = placed.resource.status
        if status not in FINAL:
            if status == "preliminary":
                notes["not_final"] = "A preliminary value was left out; it counts when it is final."
            continue
        at = _effective(placed, clock.zone)
        if at is None:
            notes["without_time"] = "A value that does not say when it was measured was left out."
            continue
        issued = _time(placed, "issued", placed.resource.issued, clock.zone)
        if not clock.knows(at) or (issued is not None and not clock.knows(issued)):
            notes["after_moment"] = "A value that may be of after the moment of the prediction was left out."
            continue
        if said.says_something:
            found.append(_Candidate(at, issued.latest if issued else at.latest, said, placed, pointer))
    if not found:
        return Chosen(None, "", "", tuple(notes.items()))
    best = max(found, key=lambda each: each.order)
    for other in found:
        if other.order == best.order and _says(other.said) != _says(best.said):
            cure = "Send the value that holds, or say by `issued` which is the later word."
            raise ValueRefused(RequestFinding(best.pointer, "ambiguous", "two values of the same moment differ", cure))
    return Chosen(best.said, best.pointer, best.placed.reference, tuple(notes.items()))


def value_of(said: Measured, column: Column, pointer: str) -> tuple[Value, tuple[tuple[str, str], ...]]:
    """The value in the words of the column, and what must be said about it.

    Raises
    ------
    ValueRefused
        It is in another unit, of another kind, or no category has its code.
    """
    code = column.code
    assert code is not None
    if code.values and said.valueCodeableConcept is not None:
        return _category(said, code, pointer), ()
    if column.type == "boolean" and code.above is None:
        if said.valueBoolean is None:
            raise _other_kind(pointer, "valueBoolean")
        return said.valueBoolean, ()
    if code.values or column.type == "string":
        raise _other_kind(pointer, "valueCodeableConcept")
    if said.valueQuantity is None:
        if said.valueInteger is not None and code.above is None and column.unit == "1":
            return said.valueInteger, ()
        raise _other_kind(pointer, "valueQuantity")
    quantity = said.valueQuantity
    if code.above is not None:
        return _is_above(quantity, code, f"{pointer}/valueQuantity")
    if quantity.comparator is not None:
        return None, (("bounded", f"Only known to be {quantity.comparator} a limit; it was made missing."),)
    return _number(quantity, str(column.unit), f"{pointer}/valueQuantity")


def _with_code(
    code: ColumnCode, observations: Iterable[Placed[Observation]]
) -> Iterable[tuple[Placed[Observation], Measured, str]]:
    address = SYSTEM_ADDRESSES[code.system]
    for placed in observations:
        if placed.resource.code.has(address, code.code):
            yield placed, placed.resource, placed.pointer
        for number, part in enumerate(placed.resource.component):
            if part.code.has(address, code.code):
                yield placed, part, f"{placed.pointer}/component/{number}"


def _effective(placed: Placed[Observation], zone: ZoneInfo) -> TimeSpan | None:
    found = placed.resource
    period = found.effectivePeriod
    if period is not None and (period.start or period.end):
        # A period counts when it is over.
        spans = [_time(placed, "effectivePeriod", text, zone) for text in (period.start, period.end)]
        first, last = spans[0] or spans[1], spans[1]
        assert first is not None
        open_end = dt.datetime.max.replace(tzinfo=dt.UTC)
        return TimeSpan(first.earliest, last.latest if last is not None else open_end)
    if found.effectiveInstant is not None:
        return _time(placed, "effectiveInstant", found.effectiveInstant, zone)
    return _time(placed, "effectiveDateTime", found.effectiveDateTime, zone)


def _time(placed: Placed[Observation], name: str, text: str | None, zone: ZoneInfo) -> TimeSpan | None:
    if text is None:
        return None
    span = read_time(text, zone)
    if span is None:
        cure = "Send YYYY, YYYY-MM, YYYY-MM-DD, or a date with time and offset."
        raise ValueRefused(RequestFinding(f"{placed.pointer}/{name}", "time", "is no FHIR dateTime", cure))
    return span


def _says(said: Measured) -> object:
    return said.valueQuantity, said.valueCodeableConcept, said.valueBoolean, said.valueInteger


def _category(said: Measured, code: ColumnCode, pointer: str) -> Value:
    assert said.valueCodeableConcept is not None
    address = SYSTEM_ADDRESSES[code.value_system]
    found = [name for name, codes in code.values.items() if said.valueCodeableConcept.has(address, codes)]
    if len(found) == 1:
        return {"true": True, "false": False}.get(found[0], found[0])
    permitted = ", ".join(f"{each} ({name})" for name, codes in code.values.items() for each in codes)
    where = f"{pointer}/valueCodeableConcept"
    cure = f"Send one code of {address} that stands for a category."
    words = "has codes of several categories" if found else "has no code of a category"
    raise ValueRefused(RequestFinding(where, "category", words, cure, permitted=permitted))


def _is_above(quantity: Quantity, code: ColumnCode, pointer: str) -> tuple[Value, tuple[tuple[str, str], ...]]:
    assert code.above is not None
    value, notes = _number(quantity, str(code.unit), pointer)
    assert isinstance(value, float)
    limit, comparator = code.above, quantity.comparator
    if comparator is None:
        return value > limit, notes
    # A bound decides only where the limit lies on the other side of it.
    if value >= limit if comparator == ">" else comparator == ">=" and value > limit:
        return True, notes
    if comparator in ("<", "<=") and value <= limit:
        return False, notes
    return None, (("bounded", f"Only known to be {comparator} another value; it was made missing."),)


def _number(quantity: Quantity, unit: str, pointer: str) -> tuple[Value, tuple[tuple[str, str], ...]]:
    if quantity.value is None:
        raise ValueRefused(RequestFinding(f"{pointer}/value", "null", "must be given", "Send the value."))
    given = quantity.code if quantity.system == UCUM else None
    if given is None and unit == "1" and quantity.system is None and quantity.code is None:
        given = "1"
    if given is None:
        cure = f"Send `system` {UCUM} and `code` {unit}."
        raise ValueRefused(RequestFinding(f"{pointer}/code", "unit", "has no UCUM unit", cure, permitted=unit))
    by = factor(given, unit)
    if by is None:
        cure = f"Send the quantity in {unit}: it cannot be converted exactly without knowing the substance."
        words = "is another unit, or one that is not known"
        raise ValueRefused(RequestFinding(f"{pointer}/code", "unit", words, cure, value=given[:40], permitted=unit))
    notes = (("converted", f"Converted from {given[:40]} to {unit}."),) if by != 1 else ()
    return converted(quantity.value, by), notes


def _other_kind(pointer: str, wanted: str) -> ValueRefused:
    cure = f"Send it as {wanted}."
    return ValueRefused(RequestFinding(pointer, "value", "has a value of another kind", cure, permitted=wanted))
