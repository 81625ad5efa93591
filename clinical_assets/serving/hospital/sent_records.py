"""The resources of a Bundle, typed, of one person, each with the place where it stands.

What belongs here: from plain values to typed resources, and the refusal of what must not be used: two persons in one
Bundle, resources of somebody else, modifiers that change what a resource says. What does not: choosing values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from clinical_assets.serving.hospital.fhir_records import (
    RESOURCES,
    Condition,
    Encounter,
    FhirBundle,
    Observation,
    Patient,
)
from clinical_assets.serving.requests.findings import RequestFinding, RequestRefused

Kind = TypeVar("Kind", covariant=True)
MOST_RESOURCES = 2000
_R4 = "Send it as FHIR R4 (4.0.1) has it."


@dataclass(frozen=True)
class Placed(Generic[Kind]):
    """A resource and where it stood.

    Attributes
    ----------
    resource : Patient, Observation, Condition or Encounter
        As read.
    pointer : str
        JSON pointer into the request.
    reference : str
        How others refer to it: its ``fullUrl``, or type and id.
    """

    resource: Kind
    pointer: str
    reference: str


@dataclass
class SentRecord:
    """What was sent about one person."""

    patient: Placed[Patient]
    observations: list[Placed[Observation]] = field(default_factory=list)
    conditions: list[Placed[Condition]] = field(default_factory=list)
    encounters: list[Placed[Encounter]] = field(default_factory=list)


def bundle_entries(content: Any, pointer: str = "") -> list[tuple[str, str | None, Mapping[str, Any]]]:
    """Entries of a Bundle: pointer, ``fullUrl``, resource as plain values.

    Raises
    ------
    RequestRefused
        It is no Bundle of FHIR R4.
    """
    try:
        bundle = FhirBundle.model_validate(content)
    except ValidationError as error:
        raise RequestRefused(shape_findings(error, pointer)) from None
    return [
        (f"{pointer}/entry/{place}/resource", entry.fullUrl, entry.resource)
        for place, entry in enumerate(bundle.entry)
        if entry.resource is not None
    ]


def sent_record(entries: Sequence[tuple[str, str | None, Mapping[str, Any]]]) -> SentRecord:
    """The resources of one person; other kinds of resources are not looked at.

    Parameters
    ----------
    entries : sequence of (str, str or None, mapping)
        As `bundle_entries` gives them.

    Raises
    ------
    RequestRefused
        With everything that is wrong with the resources.
    """
    if len(entries) > MOST_RESOURCES:
        cure = f"Send at most {MOST_RESOURCES} resources: those that the description names codes for."
        raise RequestRefused([RequestFinding("/entry", "too_long", "too many resources", cure)])
    findings: list[RequestFinding] = []
    found: dict[str, list[Placed[Any]]] = {name: [] for name in RESOURCES}
    for pointer, address, content in entries:
        name = content.get("resourceType")
        kind = RESOURCES.get(name) if isinstance(name, str) else None
        if kind is None:
            continue
        try:
            resource = kind.model_validate(content)
        except ValidationError as error:
            findings.extend(shape_findings(error, pointer))
            continue
        findings.extend(_modified(resource, pointer))
        reference = address or (f"{name}/{resource.id}" if resource.id else "")
        found[str(name)].append(Placed(resource, pointer, reference))
    if findings:
        raise RequestRefused(findings)
    patients = found["Patient"]
    # The same person twice, as a server sends it when two searches include it, is one.
    if len({(each.reference, each.resource.id) for each in patients}) != 1:
        words = "several persons" if patients else "no Patient"
        cure = "Send one Patient with the resources of this person alone."
        findings.append(RequestFinding(patients[1].pointer if patients else "/entry", "patient", words, cure))
    else:
        for name in ("Observation", "Condition", "Encounter"):
            findings.extend(_of_others(patients[0], found[name]))
    if findings:
        raise RequestRefused(findings)
    return SentRecord(patients[0], found["Observation"], found["Condition"], found["Encounter"])


def shape_findings(error: ValidationError, pointer: str) -> list[RequestFinding]:
    """What is wrong with the shape of a resource; the values stay out of it."""
    found = []
    for each in error.errors(include_input=False, include_url=False):
        where = pointer + "".join(f"/{part}" for part in each["loc"])
        permitted = each.get("ctx", {}).get("expected")
        if each["type"] == "literal_error":
            found.append(RequestFinding(where, "value-set", "is not in the value set", _R4, permitted=str(permitted)))
        else:
            words = "must be given" if each["type"] == "missing" else "of another type"
            found.append(RequestFinding(where, each["type"], words, _R4))
    return found


def _modified(resource: Any, pointer: str) -> Iterable[RequestFinding]:
    cure = "Leave the resource out, or send it without: what changes its meaning cannot be taken into account."
    parts = [("", resource), *((f"/component/{n}", each) for n, each in enumerate(getattr(resource, "component", [])))]
    for where, part in parts:
        if part.modifierExtension:
            yield RequestFinding(f"{pointer}{where}/modifierExtension", "modifier", "is not understood", cure)
    if resource.implicitRules is not None:
        yield RequestFinding(f"{pointer}/implicitRules", "modifier", "is not understood", cure)


def _of_others(patient: Placed[Patient], resources: Iterable[Placed[Any]]) -> Iterable[RequestFinding]:
    """Resources that are another person's, or do not say whose they are."""
    own = f"Patient/{patient.resource.id}" if patient.resource.id else None
    for each in resources:
        named = each.resource.subject.reference if each.resource.subject is not None else None
        plain = (named or "").partition("/_history/")[0]
        same = plain and (plain == patient.reference or (own is not None and _is(plain, own, patient.reference)))
        if not same:
            words = "says not whose it is" if not plain else "is another person's"
            cure = "Send resources of the Patient of this Bundle alone, each with its subject."
            yield RequestFinding(f"{each.pointer}/subject", "patient", words, cure)


def _is(reference: str, own: str, address: str) -> bool:
    """Whether a reference names the patient by id: relative, or at the server that the patient came from."""
    if reference == own:
        return True
    server = address.removesuffix(own)
    return reference.endswith(f"/{own}") and (server in ("", address) or reference == f"{server}{own}")
