"""GA4GH Phenopackets (version 2): cases and their signs from a ZIP of JSON files, or from one JSON file.

What belongs here: from phenopackets to two flat tables, and the grade of the intellectual disability. What does not:
which signs are features; that is the feature model's.

Made for the release file of phenopacket-store (Danis et al. 2025, doi 10.1016/j.xhgg.2024.100371), one phenopacket per
published person. An id in it is unique within its paper only, so a case is named by its file.

The grade is that of the gravest term observed: the five graded terms of HPO, or "Intellectual disability" with a
severity or a modifier. Graded terms are no signs, nor are those of global developmental delay: they would say the
outcome.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import duckdb

from clinical_assets.cohorts.sources_spec import PhenopacketTable
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.files import Found
from clinical_assets.sources.reading import Reading
from clinical_assets.sources.typed.converted import through_copies

if TYPE_CHECKING:
    import polars as pl

Zygosity = Literal["monoallelic", "biallelic", "hemizygous"]

GRADES = ("borderline", "mild", "moderate", "severe", "profound")
_DISABILITY = "HP:0001249"
_GRADED = dict(zip(("HP:0006889", "HP:0001256", "HP:0002342", "HP:0010864", "HP:0002187"), GRADES, strict=True))
_SEVERITY = dict(zip(("HP:0012827", "HP:0012825", "HP:0012826", "HP:0012828", "HP:0012829"), GRADES, strict=True))
_SAY_THE_OUTCOME = {_DISABILITY, *_GRADED, "HP:0011342", "HP:0011343", "HP:0011344", "HP:0012736"}
# First year of life, in years, at which each class of onset begins.
_ONSET = {
    "HP:0030674": 0.0,  # antenatal
    "HP:0003577": 0.0,  # congenital
    "HP:0003623": 0.0,  # neonatal
    "HP:0003593": 28 / 365.25,  # infantile
    "HP:0011463": 1.0,  # childhood
    "HP:0003621": 5.0,  # juvenile
    "HP:0003581": 16.0,  # adult
}
_DURATION = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T[\dHMS.]*)?")
_PAPER = re.compile(r"PMID[:_](\d+)")
# Uncompressed; the release of 10,000 people has 0.1 GB.
_MOST_BYTES = 2_000_000_000
# Texts, numbers and flags of each table, as its rows have them.
_COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "cases": (
        ("case_id", "paper", "disease_id", "disease", "sex", "zygosity", "note", "severity"),
        ("age_years", "onset_years"),
        (),
    ),
    "signs": (("case_id", "sign", "sign_name"), (), ("is_observed",)),
}


def read_phenopackets(
    connection: duckdb.DuckDBPyConnection, found: Sequence[Found], *, chosen: PhenopacketTable, folder: Path
) -> Reading:
    """Make one table of the phenopackets ready to be read.

    ``cases``: case_id, paper (``PMID:...``, else the file), disease_id, disease, sex (as the phenopacket writes it),
    age_years at the last encounter, onset_years, zygosity (monoallelic, biallelic, hemizygous), note (free text of its
    phenotypic features, null where there is none), severity (borderline to profound, null where no grade is given).

    ``signs``: case_id, sign (HPO code), sign_name, is_observed (false where it was looked for and excluded).

    Raises
    ------
    SourceError
        A file is no ZIP, or something in it is no phenopacket.
    """
    return through_copies(connection, found, folder, lambda one: _table(one, chosen))


def grade(features: Sequence[Mapping[str, Any]]) -> str | None:
    """The gravest grade of intellectual disability that is observed among phenotypic features, or None.

    >>> grade([{"type": {"id": "HP:0001256"}}, {"type": {"id": "HP:0002187"}, "excluded": True}])
    'mild'
    >>> grade([{"type": {"id": "HP:0001249"}, "modifiers": [{"id": "HP:0012828"}]}])
    'severe'
    """
    found = []
    for feature in features:
        if feature.get("excluded"):
            continue
        code = feature.get("type", {}).get("id")
        if code in _GRADED:
            found.append(_GRADED[code])
        elif code == _DISABILITY:
            terms = [feature.get("severity") or {}, *feature.get("modifiers", [])]
            found += [_SEVERITY[term["id"]] for term in terms if term.get("id") in _SEVERITY]
    return max(found, key=GRADES.index, default=None)


def years(duration: str | None) -> float | None:
    """Years of an ISO 8601 duration, or None where it is none.

    >>> years("P3Y6M"), years("P8W"), years("three")
    (3.5, 0.153, None)
    """
    match = _DURATION.fullmatch(duration or "")
    if match is None or not any(match.groups()):
        return None
    whole, months, weeks, days = (int(part or 0) for part in match.groups())
    return round(whole + months / 12 + (7 * weeks + days) / 365.25, 3)


def _table(one: Found, chosen: PhenopacketTable) -> pl.DataFrame:
    import polars as pl

    rows: list[tuple[Any, ...]] = []
    for name, packet in _packets(one):
        rows += [_case(name, packet)] if chosen.table == "cases" else _signs(name, packet)
    texts, numbers, flags = _COLUMNS[chosen.table]
    kinds: dict[str, pl.DataType] = {name: pl.String() for name in texts}
    kinds |= {name: pl.Float64() for name in numbers} | {name: pl.Boolean() for name in flags}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _packets(one: Found) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each phenopacket with the name of its file, in the order of names."""
    if not zipfile.is_zipfile(one.path):
        if one.path.suffix.lower() == ".json":
            yield PurePosixPath(one.name).stem, _phenopacket(one.name, one.path.read_bytes())
            return
        raise SourceError(
            f"{one.name} is no whole ZIP file.",
            cure="Download all_phenopackets.zip again; a web page may have been saved in its place.",
        )
    with zipfile.ZipFile(one.path) as packed:
        entries = sorted(packed.infolist(), key=attrgetter("filename"))
        entries = [entry for entry in entries if entry.filename.endswith(".json")]
        if sum(entry.file_size for entry in entries) > _MOST_BYTES:
            raise SourceError(f"{one.name} unpacks to more than 2 GB.", cure="Give the release file of phenopackets.")
        if not entries:
            raise SourceError(f"{one.name} holds no JSON file.", cure="Give a ZIP of phenopackets, one per JSON file.")
        seen: dict[str, int] = {}
        for entry in entries:
            stem = PurePosixPath(entry.filename).stem
            # One person may stand under two genes: both files count, under names of their own.
            seen[stem] = seen.get(stem, 0) + 1
            name = stem if seen[stem] == 1 else f"{stem}_{seen[stem]}"
            try:
                content = packed.read(entry)
            except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
                raise SourceError(
                    f"{one.name}: an entry cannot be unpacked: {type(error).__name__}.",
                    cure="Download the file again; it must have no password.",
                ) from None
            yield name, _phenopacket(f"{one.name}, JSON file {entries.index(entry) + 1}", content)


def _phenopacket(where: str, content: bytes) -> dict[str, Any]:
    try:
        packet = json.loads(content)
    except ValueError:
        packet = None
    if not isinstance(packet, dict) or not {"subject", "metaData"} <= packet.keys():
        raise SourceError(
            f"{where} is no phenopacket: no JSON object with `subject` and `metaData`.",
            cure="Take files out of the ZIP that are none, or download it again.",
        )
    return packet


def _case(name: str, packet: Mapping[str, Any]) -> tuple[Any, ...]:
    subject, features = packet["subject"], packet.get("phenotypicFeatures", [])
    diagnoses = [each.get("diagnosis", {}) for each in packet.get("interpretations", [])]
    diseases = [each["disease"] for each in diagnoses if "disease" in each]
    diseases += [each["term"] for each in packet.get("diseases", []) if "term" in each]
    disease = diseases[0] if diseases else {}
    told = "; ".join(
        text
        for feature in features
        if (text := feature.get("description")) and feature.get("type", {}).get("id") not in _SAY_THE_OUTCOME
    )
    return (
        name,
        _paper(name, packet),
        disease.get("id"),
        disease.get("label"),
        subject.get("sex", "UNKNOWN_SEX"),
        _zygosity(diagnoses),
        told or None,
        grade(features),
        _age(subject.get("timeAtLastEncounter")),
        _onset(packet),
    )


def _signs(name: str, packet: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Signs of one case, each once; one that is both observed and excluded (at other ages) is observed."""
    found: dict[str, tuple[str | None, bool]] = {}
    for feature in packet.get("phenotypicFeatures", []):
        code = feature.get("type", {}).get("id")
        if code is None or code in _SAY_THE_OUTCOME:
            continue
        observed = not feature.get("excluded", False) or (code in found and found[code][1])
        found[code] = (feature["type"].get("label"), observed)
    return [(name, code, label, observed) for code, (label, observed) in sorted(found.items())]


def _paper(name: str, packet: Mapping[str, Any]) -> str:
    for reference in packet["metaData"].get("externalReferences", []):
        if found := _PAPER.match(reference.get("id", "")):
            return f"PMID:{found[1]}"
    found = _PAPER.match(name)
    return f"PMID:{found[1]}" if found else name


def _age(moment: Mapping[str, Any] | None) -> float | None:
    """Years of a moment: an age, the beginning of a range, or of a class of onset."""
    if not moment:
        return None
    if "age" in moment:
        return years(moment["age"].get("iso8601duration"))
    if "ageRange" in moment:
        return years(moment["ageRange"].get("start", {}).get("iso8601duration"))
    return _ONSET.get(moment.get("ontologyClass", {}).get("id", ""))


def _onset(packet: Mapping[str, Any]) -> float | None:
    """Onset of the disease, or else of the first sign that is observed."""
    signs = [each for each in packet.get("phenotypicFeatures", []) if not each.get("excluded")]
    for told in (packet.get("diseases", []), signs):
        ages = [age for each in told if (age := _age(each.get("onset"))) is not None]
        if ages:
            return min(ages)
    return None


def _zygosity(diagnoses: Sequence[Mapping[str, Any]]) -> Zygosity | None:
    states = [
        each.get("variantInterpretation", {}).get("variationDescriptor", {}).get("allelicState", {}).get("label")
        for diagnosis in diagnoses
        for each in diagnosis.get("genomicInterpretations", [])
    ]
    if "homozygous" in states or len(states) > 1:
        return "biallelic"
    if "hemizygous" in states:
        return "hemizygous"
    return "monoallelic" if states == ["heterozygous"] else None
