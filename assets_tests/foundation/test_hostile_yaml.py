"""A description that was made to exhaust the machine is refused at once, with its line and the limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.yaml_lines import read_yaml


def _aliases(levels: int) -> str:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines)


def _merges(levels: int) -> str:
    lines = ["a0: &a0 {k: 1, l: 2}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, levels)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_aliases(9), "once its aliases are spelled out"),
        (_merges(9), "once its aliases are spelled out"),
        ("a: &a [1, *a]", "refers to itself"),
        ("a: &a {b: *a}", "refers to itself"),
        ("a: " + "[" * 200 + "]" * 200, "levels deep"),
        ("a: " + "[" * 20000 + "]" * 20000, "levels deep"),
        ("a: " + "9" * 5000, "cannot be read"),
        ("a: 2020-13-45", "cannot be read"),
    ],
)
def test_what_grows_or_does_not_end_is_refused_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=words) as caught:
        read_yaml(path)
    assert "x.yaml" in caught.value.message
    assert caught.value.cure
    assert len(str(caught.value)) < 1000


def test_ordinary_aliases_and_merges_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(_aliases(3) + "\nb: &b {k: 1}\nc: {<<: *b, m: 2}\n")
    value = read_yaml(path).value
    assert len(value["a2"]) == 10
    assert value["c"] == {"k": 1, "m": 2}


def test_limits_can_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("a: [1, 2, 3, 4, 5]")
    monkeypatch.setenv("CLINICAL_ASSETS_MAX_YAML_NODES", "5")
    with pytest.raises(SpecError, match="more than 5 values"):
        read_yaml(path)
