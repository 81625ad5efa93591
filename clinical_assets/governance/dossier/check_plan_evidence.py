"""Check the evidence of a change control plan, offline and with Python's standard library alone.

    python check_plan_evidence.py [FOLDER] [--key BASE64]

FOLDER is where the ZIP was unpacked, by default the folder of this file. The key is the public key of the installation
that made the ZIP, as it was told by another way than the ZIP: without it nobody can know who sealed all this. Ends with
0 where everything fits, with 1 where something does not, and names it.

This file is written into every ZIP and imports nothing of the package that made it. It reads nothing into the words of
people: whether the evidence is good enough is a question for a reader.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MANIFEST, LEDGER, PLAN, SUMMARY = "manifest.json", "ledger.jsonl", "plan.json", "status.json"
SEAL = "clinical_assets ledger seal, version 1\n"
EVIDENCE = "clinical_assets plan evidence, version 1\n"
SIGNATURE = "clinical_assets signature, version 1\n"
_SIGNED = ("signature", "rejection", "waiver")

# Edwards25519, RFC 8032, section 5.1: the prime, the constant d, the order of the base point, the square root of -1.
_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_Q = 2**252 + 27742317777372353535851937790883648493
_ROOT = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]


def canonical(value: Any) -> str:
    """JSON with sorted keys, without spaces, in ASCII: what every digest is made of."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def digest(content: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(content).hexdigest()


def entry_hash(entry: dict[str, Any]) -> str:
    """The hash of an entry of the ledger over its fields and the hash before it."""
    names = ("action", "actor", "at", "cohort", "digest", "facts", "reason", "seq")
    content = ",".join(f'"{name}":{canonical(entry[name])}' for name in names)
    return digest((entry["previous"] + "{" + content + "}").encode("ascii"))


def is_signed(public_key: str, message: str, signature: str) -> bool:
    """Whether an Ed25519 key made a signature (RFC 8032, section 5.1.7); both as base64."""
    try:
        key, raw = base64.b64decode(public_key, validate=True), base64.b64decode(signature, validate=True)
    except (ValueError, TypeError):
        return False
    if len(key) != 32 or len(raw) != 64:
        return False
    owner, r = _point(key), _point(raw[:32])
    s = int.from_bytes(raw[32:], "little")
    if owner is None or r is None or s >= _Q:
        return False
    h = int.from_bytes(hashlib.sha512(raw[:32] + key + message.encode("ascii")).digest(), "little") % _Q
    one, other = _times(s, _base()), _add(r, _times(h, owner))
    same_x = (one[0] * other[2] - other[0] * one[2]) % _P == 0
    return same_x and (one[1] * other[2] - other[1] * one[2]) % _P == 0


def problems(folder: Path, *, key: str | None = None) -> Iterator[str]:
    """Everything that does not fit, in words."""
    try:
        manifest = json.loads((folder / MANIFEST).read_bytes())
        content = {name: value for name, value in manifest.items() if name != "signature"}
        public_key, signature, files = manifest["keys"][0], manifest["signature"], dict(manifest["files"])
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"{MANIFEST} is missing or cannot be read ({type(error).__name__})."
        return
    if key is not None and key != public_key:
        yield f"The evidence was made by the key {public_key}, not by the one that you gave."
    if not is_signed(public_key, EVIDENCE + canonical(content), signature):
        yield f"{MANIFEST} was changed, or not signed by the key that it names."
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    found = {name for name in found if "__pycache__" not in name}
    yield from (f"{name} is missing." for name in sorted(set(files) - found))
    yield from (f"{name} was added." for name in sorted(found - set(files) - {MANIFEST}))
    changed = {
        name for name in found & set(files) if hashlib.sha256((folder / name).read_bytes()).hexdigest() != files[name]
    }
    yield from (f"{name} was changed." for name in sorted(changed))
    if not {LEDGER, PLAN} <= found:
        return
    try:
        yield from _ledger(folder, manifest)
        yield from _documents(folder)
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        yield f"Something of the evidence cannot be read ({type(error).__name__})."


def _entries(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / LEDGER).read_text(encoding="utf-8").splitlines()]


def _ledger(folder: Path, manifest: dict[str, Any]) -> Iterator[str]:
    """The chain from the first entry to the last. Entries about other things show their hashes alone."""
    before, shown = "sha256:" + "0" * 64, []
    entries = _entries(folder)
    for number, entry in enumerate(entries, start=1):
        if entry["seq"] != number:
            yield f"Entry {number} of the ledger is missing."
            return
        if "facts" in entry:
            shown.append(number)
            if entry["previous"] != before:
                yield f"Entry {number} does not follow from the entry before it."
            if entry_hash(entry) != entry["hash"]:
                yield f"Entry {number} was changed: its content does not have its hash."
            if entry["seal"] is not None and not _sealed(entry, manifest["keys"]):
                yield f"Entry {number} was not sealed by the installation."
        before = entry["hash"]
    if shown != manifest["entries"]:
        yield "Entries of the cohort are not those that the manifest lists."
    if entries and not _sealed(entries[-1], manifest["keys"]):
        yield "The newest entry was not sealed by the installation: entries may be missing after it."
    for entry in entries:
        facts = entry.get("facts") or {}
        if entry.get("action") in _SIGNED and facts.get("signature"):
            content = {name: value for name, value in facts.items() if name != "signature"}
            if not is_signed(facts["public_key"], SIGNATURE + canonical(content), facts["signature"]):
                yield f"The signature of {facts['printed_name']} in entry {entry['seq']} is not theirs."


def _sealed(entry: dict[str, Any], keys: list[str]) -> bool:
    return any(is_signed(key, SEAL + entry["hash"], entry["seal"] or "") for key in keys)


def _documents(folder: Path) -> Iterator[str]:
    """Verdicts, bundles, dossiers and plan against the digests that the ledger has of them."""
    entries = [entry for entry in _entries(folder) if "facts" in entry]
    plan = digest(canonical(json.loads((folder / PLAN).read_bytes())["pccp"]).encode("ascii"))
    status = json.loads((folder / SUMMARY).read_bytes())
    if status["plan"] != plan:
        yield f"{PLAN} is not the plan that {SUMMARY} speaks of."
    runs = {entry["facts"]["gate_run"]: entry for entry in entries if entry["action"] == "gate_verdict"}
    for path in sorted(folder.glob("verdicts/*.json")):
        run = json.loads(path.read_bytes())
        entered = runs.get(run["id"])
        if entered is None or entered["facts"]["verdicts_digest"] != digest(canonical(run).encode("ascii")):
            yield f"{path.relative_to(folder).as_posix()} is not what the gate said after the ledger."
    for kind, name, about in (("models", "manifest.json", "bundle"), ("dossiers", "manifest.json", "dossier")):
        known = _digests(entries, about)
        for path in sorted(folder.glob(f"{kind}/*/{name}")):
            listed = json.loads(path.read_bytes())["files"]
            total = digest("".join(f"{each} {value}\n" for each, value in sorted(listed.items())).encode())
            if total not in known:
                yield f"{path.relative_to(folder).as_posix()}: the ledger knows no {about} {total}."
            if kind == "dossiers":
                yield from _dossier(path.parent, listed, total)


def _digests(entries: list[dict[str, Any]], about: str) -> set[str | None]:
    if about == "bundle":
        return {entry["digest"] for entry in entries}
    return {entry["facts"].get("dossier_digest") for entry in entries}


def _dossier(folder: Path, listed: dict[str, str], total: str) -> Iterator[str]:
    """Content files of a dossier. Its page shows the dossier's own digest, and is listed with zeros in that place."""
    for name, expected in listed.items():
        path = folder / name
        content = path.read_bytes() if path.is_file() else b""
        if name == "index.html":
            content = content.replace(total.encode(), ("sha256:" + "0" * 64).encode())
        if hashlib.sha256(content).hexdigest() != expected:
            yield f"{folder.name}/{name} is not the file of the dossier that was signed."


def _base() -> _Point:
    point = _point((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
    assert point is not None
    return point


def _point(raw: bytes) -> _Point | None:
    """A point in extended coordinates from its 32 bytes; None where they are none."""
    number = int.from_bytes(raw, "little")
    y, odd = number & ((1 << 255) - 1), number >> 255
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and odd):
        return None
    if x & 1 != odd:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(number: int, point: _Point) -> _Point:
    found: _Point = (0, 1, 1, 0)
    while number:
        if number & 1:
            found = _add(found, point)
        point, number = _add(point, point), number >> 1
    return found


def main(arguments: list[str] | None = None) -> int:
    """Print what does not fit; 0 where everything does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parent)
    parser.add_argument("--key", help="Public key of the installation, as base64.")
    asked = parser.parse_args(arguments)
    wrong = list(problems(asked.folder, key=asked.key))
    say = sys.stdout.write
    for each in wrong:
        say(f"WRONG: {each}\n")
    if not wrong:
        manifest = json.loads((asked.folder / MANIFEST).read_bytes())
        say(f"Everything fits: {len(manifest['files'])} files, {len(manifest['entries'])} entries of the ledger.\n")
        if asked.key is None:
            say(f"Not compared: compare the key {manifest['keys'][0]} with the one that the installation told you.\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
