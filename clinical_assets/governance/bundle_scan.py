"""What the files of a bundle really are: judged by their bytes, never by their names.

What belongs here: telling data from things that run. A bundle may hold an ONNX graph, JSON, one SQL statement and
LightGBM's own text; whatever is none of these, or hides something that runs, is named. Nothing is ever loaded by what
it is: a pickle is read opcode by opcode and not executed.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import pickletools
import re
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LARGEST_MEMBER = 64 * 1024**2
_MOST_MEMBERS = 1000
_DEEPEST = 4
_PICKLE_HEADER = re.compile(rb"\x80[\x02-\x05]")
_ELF = re.compile(rb"\x7fELF[\x01\x02][\x01\x02]\x01")
_RUNNING = {"STACK_GLOBAL", "EXT1", "EXT2", "EXT4", "REDUCE", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD"}
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
# First bytes of what runs, or of what unpacks to something that might.
_BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\xfe\xed\xfa\xce", "a Mach-O program"),
    (b"\xfe\xed\xfa\xcf", "a Mach-O program"),
    (b"\xce\xfa\xed\xfe", "a Mach-O program"),
    (b"\xcf\xfa\xed\xfe", "a Mach-O program"),
    (b"\xca\xfe\xba\xbe", "a Mach-O or Java program"),
    (b"\x00asm", "a WebAssembly program"),
    (b"#!", "a script with an interpreter line"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file, which may hold code of Keras"),
    (b"\x93NUMPY", "a numpy file, which may hold a pickle"),
)


@dataclass(frozen=True)
class Content:
    """What one file turned out to be.

    Attributes
    ----------
    name : str
        Its name in the bundle.
    kind : str
        ``onnx``, ``json``, ``sql``, ``booster`` or ``unknown``.
    dangers : tuple of str
        What in it runs or may run, in words; empty is good.
    """

    name: str
    kind: str
    dangers: tuple[str, ...]


def scan_folder(folder: Path) -> tuple[Content, ...]:
    """Every file below a folder, links and subfolders included."""
    found = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found.append(Content(name, "unknown", ("a link to another place",)))
        elif path.is_file():
            found.append(scan_content(name, path.read_bytes()))
    return tuple(found)


def scan_content(name: str, content: bytes) -> Content:
    """What some bytes are, and what in them runs."""
    kind = _kind(content)
    dangers = list(_dangers(content, depth=0))
    if kind == "json":
        dangers += _encoded_pickles(json.loads(content))
    if kind == "unknown" and not dangers:
        dangers.append("neither an ONNX graph nor JSON, SQL or a booster's text")
    return Content(name, kind, tuple(dict.fromkeys(dangers)))


def pickle_imports(content: bytes, *, start: int = 0) -> tuple[str, ...] | None:
    """Names that a pickle beginning at ``start`` would import; None where no pickle begins there.

    The opcodes are listed, never run. A beginning that breaks off after naming an import counts: a loader would have
    run what stands before the break. Away from the first byte only what names an import counts, because a few bytes
    of any numbers can look like an empty pickle.
    """
    file = io.BytesIO(content)
    file.seek(start)
    opcodes: list[tuple[str, Any]] = []
    try:
        for opcode, argument, _ in pickletools.genops(file):
            opcodes.append((opcode.name, argument))
    except (ValueError, OverflowError, struct.error, IndexError):
        pass  # broken off: what was read so far is judged
    whole = bool(opcodes) and opcodes[-1][0] == "STOP"
    imports = _imports(opcodes)
    if imports:
        return imports
    runs = any(name in _RUNNING for name, _ in opcodes)
    return () if start == 0 and whole and (runs or opcodes[0][0] == "PROTO") else None


def _imports(opcodes: list[tuple[str, Any]]) -> tuple[str, ...]:
    """``module.name`` of every import; for a STACK_GLOBAL the two texts before it, wherever the memo is not between."""
    named: set[str] = set()
    texts: list[str] = []
    for name, argument in opcodes:
        if name in ("GLOBAL", "INST"):
            named.add(str(argument).replace(" ", "."))
        elif name == "STACK_GLOBAL" and len(texts) > 1:
            named.add(".".join(texts[-2:]))
        elif isinstance(argument, str):
            texts.append(argument)
    return tuple(sorted(each for each in named if _NAME.fullmatch(each)))


def _kind(content: bytes) -> str:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if text is not None and not _has_control_characters(text):
        if text.lstrip()[:1] in ("{", "["):
            try:
                json.loads(text)
            except ValueError:
                return "unknown"
            return "json"
        if text.startswith("tree\nversion="):
            return "booster"
        return "sql" if _is_one_select(text) else "unknown"
    if not content:
        return "unknown"
    try:
        model = onnx.load_model_from_string(content)
    except (DecodeError, ValueError):
        return "unknown"
    # Protocol buffers read almost anything; a graph that computes something does not come about by chance.
    return "onnx" if model.ir_version and model.opset_import and model.graph.node else "unknown"


def _is_one_select(text: str) -> bool:
    import sqlglot
    from sqlglot import exp

    try:
        statements = sqlglot.parse(text, read="duckdb")
    except sqlglot.errors.SqlglotError:
        return False
    return len(statements) == 1 and isinstance(statements[0], exp.Query)


def _has_control_characters(text: str) -> bool:
    return re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text) is not None


def _dangers(content: bytes, *, depth: int) -> Iterator[str]:
    for start, what in _BEGINNINGS:
        if content.startswith(start):
            yield what
    if _ELF.search(content):
        yield "an ELF program"
    if _is_windows_program(content):
        yield "a Windows program"
    if len(content) > 16 and content[2:4] == b"\r\n" and 3000 <= int.from_bytes(content[:2], "little") < 4000:
        yield "compiled Python"
    yield from _pickles(content)
    yield from _archives(content, depth=depth)


def _is_windows_program(content: bytes) -> bool:
    if not content.startswith(b"MZ") or len(content) < 0x40:
        return False
    header = int.from_bytes(content[0x3C:0x40], "little")
    return content[header : header + 4] == b"PE\x00\x00"


def _pickles(content: bytes) -> Iterator[str]:
    """A pickle from the first byte in any protocol, or one with a header anywhere."""
    starts = [0, *(match.start() for match in _PICKLE_HEADER.finditer(content) if match.start())]
    for start in starts:
        imports = pickle_imports(content, start=start)
        if imports is not None:
            where = "" if start == 0 else f" from byte {start}"
            yield f"a pickle{where}" + (f" that imports {', '.join(imports[:5])}" if imports else "")
            return
    dangerous = _picklescan(content)
    if dangerous:
        yield f"a pickle that imports {', '.join(dangerous)}"


def _picklescan(content: bytes) -> tuple[str, ...]:
    """A second opinion, which knows what in frameworks' files is dangerous."""
    import logging

    from picklescan.scanner import SafetyLevel, scan_pickle_bytes

    log = logging.getLogger("picklescan")
    level, log.level = log.level, logging.CRITICAL  # it reports every file that is no pickle as an error
    try:
        result = scan_pickle_bytes(io.BytesIO(content), "content")
    finally:
        log.level = level
    found = [each for each in result.globals if each.safety == SafetyLevel.Dangerous]
    return tuple(sorted(f"{each.module}.{each.name}" for each in found))


def _archives(content: bytes, *, depth: int) -> Iterator[str]:
    """An archive, and by name what in it runs."""
    members: Iterator[tuple[str, bytes]]
    if zipfile.is_zipfile(io.BytesIO(content)):
        yield "a zip archive"
        members = _zip_members(content)
    elif content[257:262] == b"ustar" and tarfile.is_tarfile(io.BytesIO(content)):
        yield "a tar archive"
        members = _tar_members(content)
    else:
        return
    if depth >= _DEEPEST:
        yield "archives inside archives"
        return
    for name, inside in members:
        for danger in _dangers(inside, depth=depth + 1):
            yield f"{danger} inside it as {name[:100]}"


def _zip_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist()[:_MOST_MEMBERS]:
                with archive.open(member) as file:
                    yield member.filename, file.read(_LARGEST_MEMBER)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError):
        return  # encrypted or damaged: the archive itself is already named


def _tar_members(content: bytes) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            for _, member in zip(range(_MOST_MEMBERS), archive, strict=False):
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None:
                    yield member.name, file.read(_LARGEST_MEMBER)
    except (tarfile.TarError, OSError):
        return  # damaged: the archive itself is already named


def _encoded_pickles(value: Any) -> list[str]:
    """Texts in JSON that are a pickle in base64."""
    if isinstance(value, dict):
        return [found for item in value.values() for found in _encoded_pickles(item)]
    if isinstance(value, list):
        return [found for item in value for found in _encoded_pickles(item)]
    # Base64 of the headers of protocols 2 to 5 begins like this.
    if not isinstance(value, str) or not value.startswith(
        ("gAI", "gAJ", "gAM", "gAN", "gAQ", "gAR", "gAS", "gAU", "gAV")
    ):
        return []
    try:
        decoded = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return []
    return ["a pickle in base64"] if pickle_imports(decoded) is not None else []
