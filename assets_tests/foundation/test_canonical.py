"""Every digest is what it was: the values here were recorded before the formats were brought together."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import BaseModel

from clinical_assets.foundation import canonical

VALUE: dict[str, Any] = {
    "b": [1, 2.5, -0.0, 1e-7, 1e22, True, None, 'é\u2028"\\/\x1f𝄞'],
    "a": {"é": "ü", "z": [], "Z": {}},
    "": (1, 2),
}
ARRAYS: list[NDArray[Any]] = [
    np.arange(6, dtype=np.float64).reshape(2, 3),
    np.array([1, -2], dtype=np.int64),
    np.array([0.5], dtype=np.float32),
    np.array([True, False]),
    np.zeros((0, 2)),
    np.array([1.0, np.nan], dtype=">f8"),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
]
FILES = {"model.onnx": "ab" * 32, "a/b.txt": "cd" * 32, "é": "00" * 32}

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


def test_the_canonical_text_of_a_value_is_what_it_was() -> None:
    assert canonical.canonical_json(VALUE) == (
        '{"":[1,2],"a":{"Z":{},"z":[],"\\u00e9":"\\u00fc"},"b":[1,2.5,-0.0,1e-07,1e+22,true,null,'
        '"\\u00e9\\u2028\\"\\\\/\\u001f\\ud834\\udd1e"]}'
    )
    assert canonical.canonical_json("\ud800") == '"\\ud800"'


def test_the_readable_text_of_a_value_is_what_it_was() -> None:
    assert canonical.readable_json(VALUE, sort_keys=True) == (
        '{\n "": [\n  1,\n  2\n ],\n "a": {\n  "Z": {},\n  "z": [],\n  "é": "ü"\n },\n "b": [\n  1,\n  2.5,\n  -0.0,\n'
        '  1e-07,\n  1e+22,\n  true,\n  null,\n  "é\u2028\\"\\\\/\\u001f𝄞"\n ]\n}\n'
    )


@pytest.mark.parametrize(
    ("digest", "recorded"),
    [
        (canonical.value_digest(VALUE), "d6cfe54c7a4311a4e88c62154d056e9b50c5f6301f664aa286d858077baca6d8"),
        (canonical.facts_digest(VALUE), "12bc8b17570e3a7d351e1cbf921b910bfa2cf6967b6ebb89a3ad6f62da16134e"),
        (canonical.facts_digest(VALUE, *ARRAYS), "69ff39b0a25d0fc22da48f1672aa659241f04c30bf30fda5b179e3c53187a019"),
        (
            canonical.facts_digest({"x": float("nan")}),
            "baab068bbf85ddffee705062ebcac22b5b8e58b7634a5fc48ac941d3968349c2",
        ),
        (canonical.listing_digest(FILES), "8e59304ecf4fe0319790009e3ec272c7bc120942687d9d759cf643e9c31f9962"),
        (canonical.parts_digest(b"ab", b"", b"c"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    ],
)
def test_digests_are_what_they_were(digest: str, recorded: str) -> None:
    assert digest == f"sha256:{recorded}"


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    path, content = tmp_path / "file", b"abc\x00\n"
    path.write_bytes(content)
    recorded = "af55760063b280c56fb3d2c8271e4fe0853b9a0e009685bf784ac25b75c30c77"
    assert canonical.file_sha256(path) == canonical.bytes_sha256(content) == recorded
    assert canonical.file_digest(path) == f"sha256:{recorded}"
    assert canonical.hex_of(canonical.file_digest(path)) == canonical.hex_of(recorded) == recorded


def turned(value: Any) -> Any:
    """The same value with every mapping in the other order."""
    if isinstance(value, dict):
        return OrderedDict((key, turned(value[key])) for key in reversed(list(value)))
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(value=values)
def test_a_text_reads_back_as_its_value_and_no_order_of_keys_matters(value: Any) -> None:
    for text in (canonical.canonical_json(value), canonical.readable_json(value)):
        assert json.loads(text) == value
    assert canonical.value_digest(turned(value)) == canonical.value_digest(value)
    again = canonical.readable_json(turned(value), sort_keys=True)
    assert again == canonical.readable_json(value, sort_keys=True)


@given(one=values, other=values)
def test_other_values_have_other_digests(one: Any, other: Any) -> None:
    same = canonical.canonical_json(one) == canonical.canonical_json(other)
    assert (canonical.value_digest(one) == canonical.value_digest(other)) == same


def test_what_json_does_not_have_is_refused() -> None:
    for write in (canonical.canonical_json, canonical.readable_json, canonical.value_digest):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write([math.inf])
        with pytest.raises(TypeError):
            write({"path": Path("x")})
    with pytest.raises(TypeError, match="key 1 is not text"):
        canonical.value_digest([{"inner": ({1: "a"},)}])


@dataclass(frozen=True)
class Inner:
    share: float


class Described(BaseModel):
    name: str


def test_plain_values_are_what_json_has() -> None:
    value = {
        1: (Inner(math.nan), Described(name="x")),
        "array": np.array([[1.0, np.inf], [2.0, 3.0]]),
        "numbers": [np.int64(3), np.float32(0.5), np.bool_(True), None, "text"],
    }
    assert canonical.plain(value) == {
        "1": [{"share": None}, {"name": "x"}],
        "array": [[1.0, None], [2.0, 3.0]],
        "numbers": [3, 0.5, True, None, "text"],
    }


def test_numbers_that_are_not_finite_can_be_left_for_the_writer_to_refuse() -> None:
    left = canonical.plain({"inner": [Inner(math.nan)], "array": np.array([np.inf])}, finite=False)
    assert math.isnan(left["inner"][0]["share"])
    assert left["array"] == [math.inf]
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical.readable_json(left)
