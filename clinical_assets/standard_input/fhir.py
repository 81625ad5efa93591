"""People and events of FHIR R4 resources: NDJSON as a bulk export writes it, or Bundles in JSON files.

Sources: FHIR R4, https://hl7.org/fhir/R4; Bulk Data Access, https://hl7.org/fhir/uv/bulkdata
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.standard_input.record_set import RecordSet, empty_tables, finish
from clinical_assets.warehouse.store.sql_text import literal

if TYPE_CHECKING:
    import duckdb

#: Code systems by their short name.
SYSTEMS = {
    "http://snomed.info/sct": "SNOMED",
    "http://loinc.org": "LOINC",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RXNORM",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://hl7.org/fhir/sid/icd-10": "ICD10",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM",
    "http://terminology.hl7.org/CodeSystem/v3-ActCode": "ACT",
}
_LARGEST_BYTES = 1 << 30
#: Kind of resource to the paths of its concept and of its time, the first that is there. A condition counts from the
#: day on which it was recorded, because nobody knew it before.
_EVENTS = {
    "Condition": (("$.code",), ("$.recordedDate", "$.onsetDateTime", "$.onsetPeriod.start")),
    "Observation": (("$.code",), ("$.effectiveDateTime", "$.effectivePeriod.start", "$.effectiveInstant", "$.issued")),
    "Procedure": (("$.code",), ("$.performedDateTime", "$.performedPeriod.start")),
    "MedicationRequest": (("$.medicationCodeableConcept",), ("$.authoredOn",)),
    "MedicationAdministration": (("$.medicationCodeableConcept",), ("$.effectiveDateTime", "$.effectivePeriod.start")),
    "MedicationDispense": (("$.medicationCodeableConcept",), ("$.whenHandedOver", "$.whenPrepared")),
    "Immunization": (("$.vaccineCode",), ("$.occurrenceDateTime",)),
    "Encounter": (("$.type[0]",), ("$.period.start",)),
}
#: Resources that say that something is not so.
_VOID = ("entered-in-error", "cancelled", "not-done", "refuted", "stopped-in-error")


def is_fhir(folder: Path) -> bool:
    """Whether a folder holds NDJSON files or JSON files of Bundles."""
    return any(path.suffix in (".ndjson", ".json") for path in folder.iterdir() if path.is_file())


def read_fhir(folder: Path, connection: duckdb.DuckDBPyConnection) -> RecordSet:
    """Fill ``people`` and ``events``; codes are ``SYSTEM/code`` of the first coding; the last event ends the follow-up.

    Components of an observation are events of their own. Resources that were cancelled, refuted or entered in error
    are left out and counted, and so are those without a code, a day or a patient.
    """
    empty_tables(connection)
    _resources(folder, connection)
    connection.execute(
        "INSERT INTO people SELECT r->>'$.id', TRY_CAST(substr(r->>'$.birthDate', 1, 10) AS DATE), "
        "CASE WHEN (r->>'$.gender') IN ('female', 'male') THEN r->>'$.gender' END, "
        "TRY_CAST(substr(r->>'$.deceasedDateTime', 1, 10) AS DATE), NULL FROM resources WHERE kind = 'Patient'"
    )
    concepts = " ".join(
        f"WHEN {literal(kind)} THEN coalesce({', '.join(f'r->{literal(path)}' for path in paths)})"
        for kind, (paths, _) in _EVENTS.items()
    )
    times = " ".join(
        f"WHEN {literal(kind)} THEN coalesce({', '.join(f'r->>{literal(path)}' for path in paths)})"
        for kind, (_, paths) in _EVENTS.items()
    )
    connection.execute(
        "CREATE TEMP TABLE coded AS SELECT kind, r, "
        "regexp_extract(coalesce(r->>'$.subject.reference', r->>'$.patient.reference'), '([^/:]+)$', 1) AS subject_id, "
        f"TRY_CAST(substr(CASE kind {times} END, 1, 10) AS DATE) AS day, CASE kind {concepts} END AS concept, "
        f"coalesce((r->>'$.status') IN {literal(_VOID)}, FALSE) OR "
        f"coalesce((r->>'$.verificationStatus.coding[0].code') IN {literal(_VOID)}, FALSE) AS void "
        f"FROM resources WHERE kind IN {literal(tuple(_EVENTS))}"
    )
    system = " ".join(f"WHEN {literal(url)} THEN {literal(short)}" for url, short in SYSTEMS.items())
    other = "upper(regexp_extract(c->>'$.system', '([^/:]+)/?$', 1))"
    code = f"CASE c->>'$.system' {system} ELSE {other} END || '/' || (c->>'$.code')"
    connection.execute(
        "CREATE TEMP TABLE flat AS "
        "SELECT subject_id, day, concept->'$.coding[0]' AS c, r->'$.valueQuantity' AS v, void FROM coded "
        "UNION ALL SELECT subject_id, day, part->'$.code.coding[0]', part->'$.valueQuantity', void FROM "
        "(SELECT subject_id, day, void, unnest(from_json(r->'$.component', '[\"JSON\"]')) AS part FROM coded "
        "WHERE kind = 'Observation' AND json_array_length(r->'$.component') > 0)"
    )
    connection.execute(
        f"INSERT INTO events SELECT subject_id, day, {code}, TRY_CAST(v->>'$.value' AS DOUBLE), "
        "coalesce(v->>'$.code', v->>'$.unit') FROM flat "
        "WHERE NOT void AND day IS NOT NULL AND (c->>'$.code') IS NOT NULL AND (c->>'$.system') IS NOT NULL"
    )
    connection.execute(f"INSERT INTO code_names SELECT DISTINCT {code}, c->>'$.display' FROM flat WHERE c IS NOT NULL")
    counts = connection.execute(
        "SELECT count(*) FILTER (WHERE void), "
        "count(*) FILTER (WHERE NOT void AND day IS NULL), "
        "count(*) FILTER (WHERE NOT void AND day IS NOT NULL AND "
        "((c->>'$.code') IS NULL OR (c->>'$.system') IS NULL)) FROM flat"
    ).fetchone() or (0, 0, 0)
    undated_deaths = connection.execute(
        "SELECT count(*) FROM resources WHERE kind = 'Patient' AND (r->>'$.deceasedBoolean') = 'true'"
    ).fetchone() or (0,)
    for name in ("resources", "coded", "flat"):
        connection.execute(f"DROP TABLE {name}")
    words = (
        "events that are void (cancelled, refuted, entered in error)",
        "events without a day",
        "events without a code",
    )
    left_out = dict(zip(words, counts, strict=True))
    return finish(connection, "FHIR R4", {**left_out, "deaths without a day": undated_deaths[0]})


def _resources(folder: Path, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("CREATE TEMP TABLE resources (kind VARCHAR, r JSON)")
    if any(folder.glob("*.ndjson")):
        place = literal(str(folder / "*.ndjson"))
        connection.execute(
            f"INSERT INTO resources SELECT json->>'$.resourceType', json FROM read_ndjson_objects({place}, "
            f"maximum_object_size = {_LARGEST_BYTES})"
        )
    if any(folder.glob("*.json")):
        place = literal(str(folder / "*.json"))
        connection.execute(
            "INSERT INTO resources SELECT r->>'$.resourceType', r FROM "
            "(SELECT unnest(json->'$.entry[*].resource') AS r "
            f"FROM read_json_objects({place}, format = 'unstructured', maximum_object_size = {_LARGEST_BYTES}) "
            "WHERE (json->>'$.resourceType') = 'Bundle')"
        )
