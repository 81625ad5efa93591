"""A code version changes with the code that an asset runs, and with no other."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from clinical_assets.definitions import load
from clinical_assets.foundation.code_digest import CodeTree, code_digest

FILES = {
    "__init__.py": "",
    "assets.py": (
        "from typing import TYPE_CHECKING\n"
        "from house.sums import total\n"
        "if TYPE_CHECKING:\n"
        "    from house.words import greet\n"
        "\n"
        "def helper(x):\n"
        "    return total(x)\n"
        "\n"
        "def asset(x):\n"
        "    from house.rooms import (  # late\n"
        "        first,\n"
        "        second as other,\n"
        "    )\n"
        "    return helper(x), first, other\n"
        "\n"
        "def neighbour(x):\n"
        "    return x\n"
    ),
    "sums.py": "from . import deep\n\ndef total(x):\n    return deep.add(x)\n",
    "deep.py": "def add(x):\n    return sum(x)\n",
    "rooms/__init__.py": "",
    "rooms/first.py": "import house.circle\nVALUE = 1\n",
    "rooms/second.py": "VALUE = 2\n",
    "circle.py": "import house.rooms.first\n",
    "words.py": "def greet():\n    return 'hello'\n",
}


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A small package on disk, importable."""
    folder = tmp_path / "house"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "house"]:
        del sys.modules[name]


def digest(house: Path, name: str = "asset") -> str:
    function: Callable[..., Any] = getattr(importlib.import_module("house.assets"), name)
    return code_digest(function, tree=CodeTree(house))


@pytest.mark.parametrize(
    "name", ["sums.py", "deep.py", "rooms/first.py", "rooms/second.py", "rooms/__init__.py", "circle.py"]
)
def test_editing_what_the_function_reaches_changes_the_version(house: Path, name: str) -> None:
    before = digest(house)
    (house / name).write_text(FILES[name] + "\nCHANGED = True\n")
    assert digest(house) != before


@pytest.mark.parametrize("name", ["words.py", "__init__.py"])
def test_what_is_imported_for_types_only_does_not_count_and_a_packages_own_code_does(house: Path, name: str) -> None:
    before = digest(house)
    (house / name).write_text(FILES[name] + "\nCHANGED = True\n")
    assert (digest(house) == before) == (name == "words.py")


def test_a_function_that_it_does_not_call_does_not_count_though_it_stands_in_the_same_file(house: Path) -> None:
    before = digest(house)
    (house / "assets.py").write_text(FILES["assets.py"].replace("neighbour(x):", "neighbour(y, x):"))
    assert digest(house) == before


def test_line_ends_and_the_place_on_disk_do_not_count(house: Path, tmp_path: Path) -> None:
    before = CodeTree(house).digest("house.sums")
    other = tmp_path / "elsewhere" / "house"
    for path in house.rglob("*.py"):
        place = other / path.relative_to(house)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert CodeTree(other).digest("house.sums") == before


def test_a_module_that_does_not_exist_is_an_error_and_no_empty_digest(house: Path) -> None:
    with pytest.raises(LookupError, match=r"house\.nobody"):
        CodeTree(house).digest("house.nobody")


def test_assets_have_versions_of_their_own_and_the_parts_of_one_computation_share_one() -> None:
    versions = {spec.key.to_user_string(): spec.code_version for spec in load().resolve_all_asset_specs()}
    assert versions["risk_model"] == versions["candidate_models"] == versions["decision_threshold"]
    apart = (
        "raw_records",
        "validated_records",
        "features",
        "risk_model",
        "model_card",
        "gate_verdicts",
        "drift_report",
    )
    assert len({versions[name] for name in apart}) == len(apart)
    assert all(len(str(versions[name])) == 16 for name in apart)
