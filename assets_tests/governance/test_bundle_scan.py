"""What runs is found by its bytes, under whatever name it lies in a bundle."""

from __future__ import annotations

import base64
import collections
import importlib.util
import io
import json
import marshal
import os
import pickle
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_tests.governance.trained import Trained
from clinical_assets.governance.bundle_scan import pickle_imports, scan_content, scan_folder


class Evil:
    """What calls a program when it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "features.sql", "booster.txt"])
def test_a_pickle_is_found_under_every_name_and_in_every_protocol(name: str, protocol: int) -> None:
    found = scan_content(name, pickle.dumps(Evil(), protocol))
    assert found.kind == "unknown"
    assert any("pickle" in danger and "system" in danger for danger in found.dangers)


def test_a_pickle_that_is_text_and_breaks_off_is_found() -> None:
    assert scan_content("features.sql", b"cposix\nsystem\n(S'true'\ntR.").dangers
    assert pickle_imports(b"cposix\nsystem\n(S'true'\ntR") == ("posix.system",)


def test_a_pickle_behind_other_bytes_is_found() -> None:
    hidden = b"\x00" * 5000 + pickle.dumps(Evil(), 4) + b"\x00" * 5000
    (danger,) = scan_content("model.onnx", hidden).dangers
    assert danger.startswith("a pickle from byte 5000 that imports")


def test_a_pickle_inside_the_weights_of_a_right_graph_is_found(trained_once: Trained) -> None:
    import onnx

    model = onnx.load(str(trained_once.kept.training.folder / "bundle" / "model.onnx"))
    tensor = model.graph.initializer.add()
    tensor.name, tensor.data_type, tensor.raw_data = "weights", 2, pickle.dumps(Evil(), 5)
    found = scan_content("model.onnx", model.SerializeToString())
    assert found.kind == "onnx"
    assert any("pickle" in danger for danger in found.dangers)


def test_a_pickle_in_base64_inside_json_is_found() -> None:
    text = base64.b64encode(pickle.dumps(collections.OrderedDict(a=1))).decode()
    content = json.dumps({"parameters": [{"state": text}]}).encode()
    assert scan_content("bundle.json", content).dangers == ("a pickle in base64",)


def _zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def _tarred(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return file.getvalue()


@pytest.mark.parametrize("pack", [_zipped, _tarred])
def test_archives_are_opened_and_what_runs_in_them_is_named(pack: Any) -> None:
    found = scan_content("model.onnx", pack("data.json", pack("deeper", pickle.dumps(Evil(), 2))))
    assert any("archive" in danger for danger in found.dangers)
    assert any("pickle" in danger and "as deeper" in danger for danger in found.dangers)


def test_a_zip_behind_a_right_text_is_found() -> None:
    assert "a zip archive" in scan_content("bundle.json", b'{"a": 1}\n' + _zipped("a.txt", b"harmless")).dangers


def _windows_program() -> bytes:
    return b"MZ" + b"\x00" * 58 + (0x40).to_bytes(4, "little") + b"PE\x00\x00" + b"\x00" * 100


def _compiled_python() -> bytes:
    code = compile("import os", "x.py", "exec")
    return importlib.util.MAGIC_NUMBER + b"\x00" * 12 + marshal.dumps(code)


def _array_of_objects() -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Evil()], dtype=object), allow_pickle=True)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"#!/bin/sh\ntrue\n", "script"),
        (b"\x7fELF\x02\x01\x01" + b"\x00" * 60, "ELF"),
        (b"text\x00" + b"\x7fELF\x02\x01\x01" + b"\x00" * 60, "ELF"),
        (b"\xcf\xfa\xed\xfe" + b"\x00" * 60, "Mach-O"),
        (b"\xca\xfe\xba\xbe" + b"\x00" * 60, "Mach-O"),
        (b"\x00asm\x01\x00\x00\x00", "WebAssembly"),
        (_windows_program(), "Windows"),
        (_compiled_python(), "compiled Python"),
        (_array_of_objects(), "numpy"),
        (b"\x1f\x8b\x08" + b"\x00" * 20, "gzip"),
        (b"import os\nos.system('true')\n", "neither"),
        (b"SELECT 1; DROP TABLE x", "neither"),
        (b"COPY x TO 'y'", "neither"),
        (b'{"a": 1', "neither"),
        (b"", "neither"),
    ],
)
def test_what_is_no_data_of_a_bundle_is_named(content: bytes, what: str) -> None:
    found = scan_content("model.onnx", content)
    assert found.kind == "unknown"
    assert any(what in danger for danger in found.dangers)


def test_this_interpreter_is_a_program() -> None:
    with Path(sys.executable).open("rb") as file:
        assert scan_content("model.onnx", file.read(100_000)).dangers


def test_a_right_bundle_holds_nothing_that_runs(trained_once: Trained) -> None:
    contents = scan_folder(trained_once.kept.training.folder / "bundle")
    kinds = {each.name: each.kind for each in contents}
    assert kinds["model.onnx"] == "onnx"
    assert kinds["features.sql"] == "sql"
    assert {kinds[name] for name in ("bundle.json", "manifest.json", "run.json")} == {"json"}
    assert not [danger for each in contents for danger in each.dangers]


def test_links_and_subfolders_are_looked_at(trained_once: Trained, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    shutil.copytree(trained_once.kept.training.folder / "bundle", folder)
    (folder / "link.json").symlink_to(folder / "bundle.json")
    (folder / "more").mkdir()
    (folder / "more" / "x.json").write_bytes(pickle.dumps(Evil()))
    found = {each.name for each in scan_folder(folder) if each.dangers}
    assert found == {"link.json", "more/x.json"}


@given(st.dictionaries(st.text(), st.one_of(st.floats(allow_nan=False), st.text(), st.lists(st.integers()))))
def test_no_json_is_taken_for_something_that_runs(value: dict[str, Any]) -> None:
    found = scan_content("bundle.json", json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    if found.kind == "json":
        assert found.dangers == ()


@given(st.integers(0, 2**32 - 1))
def test_random_numbers_are_no_pickle_away_from_their_first_byte(seed: int) -> None:
    content = b"\x00" + np.random.default_rng(seed).bytes(20_000) + b"\x80\x04."
    assert not [danger for danger in scan_content("weights", content).dangers if "pickle" in danger]
