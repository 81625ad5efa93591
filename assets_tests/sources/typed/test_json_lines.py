"""JSON Lines: typed as found, broken lines rejected with their number, nothing turned into NULL."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from assets_tests.sources.conftest import Load
from clinical_assets.foundation.errors import SourceError


def test_types_are_those_of_all_objects_together(load: Load) -> None:
    loaded = load(
        path="x.jsonl",
        content='{"id": 1, "w": 70, "ok": true, "note": "2020-01-01"}\n{"id": -2, "w": 70.5, "more": [1, 2]}\n'
        '{"id": 3, "w": null, "mixed": 1, "never": null}\n{"mixed": "x"}\n',
    )
    types = dict(zip(loaded.columns, loaded.types, strict=True))
    assert types == {
        "id": "BIGINT",
        "w": "DOUBLE",
        "ok": "BOOLEAN",
        "note": "VARCHAR",
        "more": "BIGINT[]",
        "mixed": "VARCHAR",
        "never": "VARCHAR",
    }
    assert loaded.rows[0] == (1, 70.0, True, "2020-01-01", None, None, None)
    assert loaded.rows[1][4] == [1, 2]
    assert [row[5] for row in loaded.rows] == [None, None, "1", "x"]


def test_no_digit_of_a_very_long_number_is_lost(load: Load) -> None:
    loaded = load(path="x.jsonl", content='{"id": 18446744073709551615}\n{"id": -1}\n')
    assert (loaded.types, loaded.rows) == (["VARCHAR"], [("18446744073709551615",), ("-1",)])


def test_broken_lines_are_rejected_and_keep_their_number(load: Load) -> None:
    loaded = load(path="x.jsonl", content='{"id": 1}\n\n{"id": 2\n[3]\n{"id": 4}\n   \n{"id": 5')
    assert loaded.rows == [(1,), (4,)]
    assert loaded.numbers == [1, 4]
    assert loaded.rejects == [
        (3, "no valid JSON", '{"id": 2'),
        (4, "a JSON value, but no object", "[3]"),
        (6, "no valid JSON", "   "),
        (7, "no valid JSON", '{"id": 5'),
    ]
    assert loaded.records == 6


@pytest.mark.parametrize("content", ["", "\n\n", "[1]\n", '[\n{"id": 1}\n'[:2], "{}\n"])
def test_a_file_without_any_object_is_refused(load: Load, content: str) -> None:
    with pytest.raises(SourceError, match=r"x\.jsonl"):
        load(path="x.jsonl", content=content)


def test_keys_that_differ_in_case_alone_are_refused(load: Load) -> None:
    with pytest.raises(SourceError, match="differ in case alone"):
        load(path="x.jsonl", content='{"id": 1, "ID": 2}\n')


def test_a_control_character_is_refused_or_rejected_but_never_cuts_a_line(load: Load) -> None:
    with pytest.raises(SourceError, match=r"x\.jsonl cannot be read as JSON Lines"):
        load(path="x.jsonl", content='{"id": 1}\n{"id": 2}\x01{"id": 3}\n')


def test_packed_and_encoded_files_are_read_like_text(load: Load) -> None:
    content = '{"name": "Müller"}\n'
    assert load(path="x.ndjson.gz", content=gzip.compress(content.encode())).rows == [("Müller",)]
    assert load(path="y.jsonl", content=content.encode("utf-16"), csv={"encoding": "utf-16"}).rows == [("Müller",)]


def test_several_files_are_numbered_on_and_rejects_name_theirs(load: Load, tmp_path: Path) -> None:
    (tmp_path / "b.jsonl").write_text('{"id": 3}\nx\n')
    (tmp_path / "a.jsonl").write_text('{"id": 1}\n{"id": 2, "w": 1}\n')
    loaded = load(path="*.jsonl")
    assert loaded.rows == [(1, None), (2, 1), (3, None)]
    assert loaded.numbers == [1, 2, 3]
    assert loaded.rejects == [(2, "b.jsonl: no valid JSON", "x")]


@given(texts=st.lists(st.text(max_size=8), min_size=1, max_size=6))
@hypothesis_settings(max_examples=30)
def test_any_text_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    import duckdb

    from assets_tests.sources.conftest import load_source, make_settings

    folder = tmp_path_factory.mktemp("json")
    texts = [text.replace("\x00", "") for text in texts]
    (folder / "x.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with duckdb.connect() as connection:
        loaded = load_source(connection, make_settings(folder / "data"), folder, kind="file", path="x.jsonl")
    assert [row[0] for row in loaded.rows] == texts


OBSERVATIONS = (
    '{"id": "O1", "subject": {"reference": "Patient/P1"}, "code": {"coding": [{"code": "2160-0"}, {"code": "x"}]}, '
    '"valueQuantity": {"value": 0.55, "unit": "mg/dL"}}\n'
    '{"id": "O2", "subject": {"reference": "Patient/P2"}, "code": {"text": "none"}}\n'
    "broken\n"
)


def test_values_inside_others_become_columns_by_their_path(load: Load) -> None:
    paths = {"patient": "subject.reference", "loinc": "code.coding[0].code", "value": "valueQuantity.value"}
    loaded = load(path="x.ndjson", content=OBSERVATIONS, unnest={**paths, "whole": "code"})
    assert loaded.columns[-4:] == ["patient", "loinc", "value", "whole"]
    assert [row[-4:-1] for row in loaded.rows] == [("Patient/P1", "2160-0", "0.55"), ("Patient/P2", None, None)]
    assert json.loads(loaded.rows[1][-1]) == {"text": "none"}
    assert [line for line, *_ in loaded.rejects] == [3]


def test_a_column_made_of_a_path_must_not_take_the_name_of_a_key(load: Load) -> None:
    with pytest.raises(SourceError, match="both called 'id'"):
        load(path="x.ndjson", content=OBSERVATIONS, unnest={"id": "subject.reference"})
    with pytest.raises(ValueError, match="should match pattern"):
        load(path="x.ndjson", content=OBSERVATIONS, unnest={"a": "code'; DROP TABLE x"})


@pytest.mark.parametrize(
    ("reference", "key"),
    [
        ("Patient/P-1", "P-1"),
        ("https://fhir.example/base/Patient/P-1", "P-1"),
        ("Patient/P-1/_history/3", "P-1"),
        ("urn:uuid:0c3151bd", "urn:uuid:0c3151bd"),
    ],
)
def test_the_id_in_a_fhir_reference_is_read(load: Load, reference: str, key: str) -> None:
    content = json.dumps({"id": "O1", "subject": {"reference": reference}}) + '\n{"id": "O2"}\n'
    loaded = load(path="x.ndjson", content=content, unnest={"patient_id": "subject.getReferenceKey()"})
    assert [row[-1] for row in loaded.rows] == [key, None]
