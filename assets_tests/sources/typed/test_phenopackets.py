"""Phenopackets: each file one case, the gravest observed grade, signs without those that say the grade."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import pytest

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.typed.phenopackets import grade, years

PATH = "all_phenopackets.zip"


def term(code: str, label: str = "") -> dict[str, str]:
    return {"id": code, "label": label}


def sign(code: str, label: str = "", **more: Any) -> dict[str, Any]:
    return {"type": term(code, label), **more}


def age(duration: str) -> dict[str, Any]:
    return {"age": {"iso8601duration": duration}}


def packet(*signs: dict[str, Any], states: tuple[str, ...] = ("heterozygous",), **more: Any) -> dict[str, Any]:
    variants = [
        {"variantInterpretation": {"variationDescriptor": {"allelicState": {"label": each}}}} for each in states
    ]
    diagnosis = {"disease": term("OMIM:184900", "Stiff skin syndrome"), "genomicInterpretations": variants}
    return {
        "id": "II:1",
        "subject": {"id": "II:1", "sex": "MALE", "timeAtLastEncounter": age("P9Y6M")},
        "phenotypicFeatures": list(signs),
        "interpretations": [{"id": "II:1", "diagnosis": diagnosis}],
        "metaData": {"created": "2024-01-01T00:00:00Z"},
    } | more


def packed(**packets: Any) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for name, content in packets.items():
            text = content if isinstance(content, str) else json.dumps(content)
            file.writestr(f"0.1.24/GENE/{name}.json", text)
        file.writestr("0.1.24/README.txt", "no phenopacket")
    return target.getvalue()


CASES = packed(
    PMID_1_II_1=packet(
        sign("HP:0001250", "Seizure", onset=age("P1Y")),
        sign("HP:0001256", "Intellectual disability, mild", description="tested at school"),
        sign("HP:0001252", "Hypotonia", excluded=True, description="tone was normal"),
        sign("HP:0011344", "Severe global developmental delay"),
    ),
    PMID_2_II_1=packet(
        sign("HP:0001250", "Seizure", excluded=True),
        sign("HP:0001250", "Seizure"),
        sign("HP:0001249", "Intellectual disability", modifiers=[term("HP:0012828", "Severe")]),
        states=("heterozygous", "heterozygous"),
        diseases=[{"term": term("OMIM:1"), "onset": {"ontologyClass": term("HP:0003593", "Infantile onset")}}],
        metaData={"externalReferences": [{"id": "PMID:77"}]},
    ),
    nobody=packet(states=("hemizygous",), subject={"id": "x"}, interpretations=[]),
)


def test_each_file_is_a_case_with_its_paper_grade_onset_and_copies(load: Load) -> None:
    loaded = load(PATH, CASES, format="phenopackets")
    rows = [dict(zip(loaded.columns, row, strict=True)) for row in loaded.rows]
    assert [row["case_id"] for row in rows] == ["PMID_1_II_1", "PMID_2_II_1", "nobody"]
    assert [row["paper"] for row in rows] == ["PMID:1", "PMID:77", "nobody"]
    assert [row["severity"] for row in rows] == ["mild", "severe", None]
    assert [row["zygosity"] for row in rows] == ["monoallelic", "biallelic", None]
    assert [row["sex"] for row in rows] == ["MALE", "MALE", "UNKNOWN_SEX"]
    assert [row["age_years"] for row in rows] == [9.5, 9.5, None]
    assert rows[0]["onset_years"] == 1
    assert rows[1]["onset_years"] == pytest.approx(28 / 365.25)
    assert rows[0]["disease_id"] == "OMIM:184900"
    assert rows[0]["note"] == "tone was normal"  # what is said of the grade itself would say the outcome


def test_signs_are_listed_once_and_never_say_the_grade(load: Load) -> None:
    loaded = load(PATH, CASES, format="phenopackets", phenopackets={"table": "signs"})
    assert loaded.rows == [
        ("PMID_1_II_1", "HP:0001250", "Seizure", True),
        ("PMID_1_II_1", "HP:0001252", "Hypotonia", False),
        ("PMID_2_II_1", "HP:0001250", "Seizure", True),
    ]


@pytest.mark.parametrize(
    ("signs", "expected"),
    [
        ([], None),
        ([sign("HP:0006889"), sign("HP:0002342")], "moderate"),
        ([sign("HP:0002187", excluded=True), sign("HP:0010864")], "severe"),
        ([sign("HP:0001249")], None),
        ([sign("HP:0001249", severity=term("HP:0012829"))], "profound"),
        ([sign("HP:0001249", severity=term("HP:0012827"), modifiers=[term("HP:0012825"), term("HP:0031797")])], "mild"),
        ([sign("HP:0001250", severity=term("HP:0012828"))], None),
    ],
)
def test_the_gravest_grade_of_the_disability_counts_and_that_of_a_sign_does_not(
    signs: list[dict[str, Any]], expected: str | None
) -> None:
    assert grade(signs) == expected


@pytest.mark.parametrize(("text", "expected"), [("P1Y", 1), ("P6M", 0.5), ("P1D", 0.003), ("P", None), (None, None)])
def test_ages_are_years(text: str | None, expected: float | None) -> None:
    assert years(text) == expected


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<html>", "no whole ZIP file"),
        (packed(), "holds no JSON file"),
        (packed(one="{"), "JSON file 1 is no phenopacket"),
        (packed(one={"id": "cohort"}), "JSON file 1 is no phenopacket"),
    ],
)
def test_what_is_no_zip_of_phenopackets_is_refused_without_showing_it(load: Load, content: bytes, told: str) -> None:
    with pytest.raises(SourceError, match=told) as caught:
        load(PATH, content, format="phenopackets")
    assert caught.value.cure


def test_two_files_of_one_name_are_two_cases(load: Load) -> None:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as file:
        for gene in ("A", "B"):
            file.writestr(f"{gene}/PMID_1_x.json", json.dumps(packet()))
    loaded = load(PATH, target.getvalue(), format="phenopackets")
    assert [row[0] for row in loaded.rows] == ["PMID_1_x", "PMID_1_x_2"]
