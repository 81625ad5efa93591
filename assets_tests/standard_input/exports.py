"""The same made-up people and events as OMOP tables, a MEDS dataset, FHIR NDJSON and FHIR Bundles."""

from __future__ import annotations

import datetime as dt
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

#: Codes are concept ids, so that one text names them in all three data models.
INDEX, OUTCOME, DRUG, RARE, PRESSURE, UNMAPPED = 100, 200, 300, 400, 500, 0
DAY = dt.date(2020, 1, 1)
VISITS = (-700, -400, -200, -30, 0, 10, 90, 400, 800)


@dataclass(frozen=True)
class Person:
    """A person with events: concept, day, value, unit."""

    number: int
    born: dt.date
    sex: str
    died: dt.date | None
    events: tuple[tuple[int, dt.date, float | None, str | None], ...]


def population(people: int = 60, *, seed: int = 3) -> list[Person]:
    """People with visits around an index event, some with the outcome, some who die, some never seen again."""
    draw = random.Random(seed)
    made = []
    for number in range(1, people + 1):
        start = DAY + dt.timedelta(days=draw.randrange(300))
        seen = VISITS[: draw.randrange(6, len(VISITS) + 1)]
        events: list[tuple[int, dt.date, float | None, str | None]] = [(INDEX, start, None, None)]
        for day in seen:
            at = start + dt.timedelta(days=day)
            events.append((PRESSURE, at, float(draw.randrange(100, 180)), "mm[Hg]"))
            if draw.random() < 0.5:
                events.append((DRUG, at, None, None))
        if number <= 2:
            events.append((RARE, start - dt.timedelta(days=5), None, None))
        if number % 3 == 0:
            events.append((OUTCOME, start + dt.timedelta(days=draw.randrange(-20, 700)), None, None))
        last = max(at for _, at, _, _ in events)
        died = last if number % 7 == 0 else None
        born = dt.date(1950 + number % 40, 1 + number % 12, 15)
        made.append(Person(number, born, ("female", "male")[number % 2], died, tuple(events)))
    return made


def as_omop(folder: Path, people: list[Person]) -> Path:
    """CSV files, one per table; conditions, drugs and measurements each in their own."""
    folder.mkdir(parents=True)
    genders = {"female": 8532, "male": 8507}
    pl.DataFrame([
        {
            "person_id": each.number, "gender_concept_id": genders[each.sex], "year_of_birth": each.born.year,
            "month_of_birth": each.born.month, "day_of_birth": each.born.day,
        }
        for each in people
    ]).write_csv(folder / "person.csv")  # fmt: skip
    pl.DataFrame([{"person_id": p.number, "death_date": p.died} for p in people if p.died]).write_csv(
        folder / "death.csv"
    )
    tables = {
        "condition_occurrence": ("condition_concept_id", "condition_start_date", (INDEX, OUTCOME, RARE, UNMAPPED)),
        "drug_exposure": ("drug_concept_id", "drug_exposure_start_date", (DRUG,)),
        "measurement": ("measurement_concept_id", "measurement_date", (PRESSURE,)),
    }
    for table, (concept, day, mine) in tables.items():
        rows = [
            {"person_id": each.number, concept: code, day: at, "value_as_number": value, "unit_source_value": unit}
            for each in people
            for code, at, value, unit in each.events
            if code in mine
        ]
        pl.DataFrame(rows).write_csv(folder / f"{table}.csv")
    return folder


def as_meds(folder: Path, people: list[Person]) -> Path:
    """Parquet files in two shards."""
    for shard, part in (("0", people[::2]), ("1", people[1::2])):
        rows: list[dict[str, Any]] = []
        for each in part:
            born = dt.datetime.combine(each.born, dt.time())
            rows.append(_meds(each, None, f"GENDER//{each.sex[0].upper()}"))
            rows.append(_meds(each, born, "MEDS_BIRTH"))
            if each.died:
                rows.append(_meds(each, dt.datetime.combine(each.died, dt.time(23)), "MEDS_DEATH"))
            for code, at, value, _ in each.events:
                rows.append(_meds(each, dt.datetime.combine(at, dt.time(9)), f"OMOP/{code}", value))
        place = folder / "data" / "train" / f"{shard}.parquet"
        place.parent.mkdir(parents=True, exist_ok=True)
        pl.DataFrame(rows, schema=_MEDS).write_parquet(place)
    return folder


_MEDS = {"subject_id": pl.Int64(), "time": pl.Datetime("us"), "code": pl.String(), "numeric_value": pl.Float32()}


def _meds(person: Person, time: dt.datetime | None, code: str, value: float | None = None) -> dict[str, Any]:
    return {"subject_id": person.number, "time": time, "code": code, "numeric_value": value}


def fhir_resources(people: list[Person]) -> list[dict[str, Any]]:
    """Patients, conditions, drug orders and observations."""
    made: list[dict[str, Any]] = []
    for each in people:
        patient = {"resourceType": "Patient", "id": str(each.number), "gender": each.sex, "birthDate": str(each.born)}
        made.append(patient | ({"deceasedDateTime": f"{each.died}T23:00:00Z"} if each.died else {}))
        for code, at, value, unit in each.events:
            concept = {"coding": [{"system": "http://example.org/OMOP", "code": str(code)}]}
            subject = {"subject": {"reference": f"Patient/{each.number}"}}
            if code == PRESSURE:
                part = {"code": concept, "valueQuantity": {"value": value, "code": unit}}
                panel = {"coding": [{"system": "http://loinc.org", "code": "85354-9", "display": "Panel"}]}
                made.append({
                    "resourceType": "Observation", "status": "final", "code": panel, "component": [part],
                    "effectiveDateTime": f"{at}T09:00:00Z", **subject,
                })  # fmt: skip
            elif code == DRUG:
                order = {"resourceType": "MedicationRequest", "status": "active", "authoredOn": str(at)}
                made.append({**order, "medicationCodeableConcept": concept, **subject})
            else:
                made.append({"resourceType": "Condition", "code": concept, "recordedDate": str(at), **subject})
    return made


def as_ndjson(folder: Path, people: list[Person]) -> Path:
    """A file per kind of resource, as a bulk export writes them."""
    folder.mkdir(parents=True)
    resources = fhir_resources(people)
    for kind in {each["resourceType"] for each in resources}:
        lines = [json.dumps(each) for each in resources if each["resourceType"] == kind]
        (folder / f"{kind}.ndjson").write_text("\n".join(lines) + "\n")
    return folder


def as_bundles(folder: Path, people: list[Person]) -> Path:
    """A Bundle per person, whose resources refer to each other by UUID."""
    folder.mkdir(parents=True)
    for each in people:
        text = json.dumps(fhir_resources([each])).replace(f"Patient/{each.number}", f"urn:uuid:{each.number}")
        entries = [{"resource": resource} for resource in json.loads(text)]
        bundle = {"resourceType": "Bundle", "type": "collection", "entry": entries}
        (folder / f"{each.number}.json").write_text(json.dumps(bundle, indent=1))
    return folder
