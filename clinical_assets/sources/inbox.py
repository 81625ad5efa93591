"""The inbox: which new files of a cohort are complete, and where they go afterwards.

``data/inbox/<cohort>/`` takes record files of a cohort with one table, and a folder a batch, with files named after
the tables, for a cohort with several. ``outcomes/`` inside it takes outcomes. What was taken in is moved to ``done/``,
what could not be used, and what no reader is for, to ``refused/`` with a report beside it; nothing is deleted. Only a
note that a folder brings along (a README, a licence, checksums) goes with its folder unread.

What belongs here: names, sizes and times. What does not: looking into a file.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from clinical_assets.foundation.canonical import bytes_sha256, readable_json
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.readers import ending_of

InboxKind = Literal["records", "outcomes", "unknown"]
DONE, REFUSED, OUTCOMES = "done", "refused", "outcomes"
#: Files taken in at once; the rest waits for the next run.
CHUNK = 500
# Bytes: room for a number before and an ending behind; and what is left of a longer name.
_LONGEST_NAME, _BEGINNING = 200, 120
_UNFINISHED = (".part", ".tmp", ".crdownload", ".filepart")
# What desktops leave behind, and nobody sent.
_LITTER = ("thumbs.db", "desktop.ini")
# What a folder brings along about its files.
_NOTES = ("readme", "licence", "license", "manifest", "checksum", "md5sum", "sha256sum")
_SUMS = (".md5", ".sha1", ".sha256", ".sha512")


@dataclass(frozen=True)
class Incoming:
    """One complete file, or one complete folder of a cohort with several tables.

    Attributes
    ----------
    kind : "records", "outcomes" or "unknown"
        Unknown is what no reader is for; it may lie inside a folder whose other files are records.
    path : Path
        The file or folder in the inbox.
    files : tuple of Path
        The file itself, or the folder's files.
    """

    kind: InboxKind
    path: Path
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Pending:
    """What waits in one cohort's inbox: how many files, and a fingerprint of their names, sizes and times."""

    files: int
    fingerprint: str


def is_candidate(name: str) -> bool:
    """Whether a name can be that of a finished data file."""
    return not _is_passed_over(name) and ending_of(name) is not None


def is_foreign(name: str) -> bool:
    """Whether a finished file has an ending that no reader is for."""
    return not _is_passed_over(name) and ending_of(name) is None


def _is_passed_over(name: str) -> bool:
    lower = name.lower()
    return lower.startswith((".", "_", "~")) or lower.endswith(_UNFINISHED) or lower in _LITTER


def _is_note(name: str) -> bool:
    lower = name.lower()
    return lower.endswith(_SUMS) or (lower.startswith(_NOTES) and ending_of(lower) in (None, ".txt"))


def pending(settings: Settings, *, chunk: int = CHUNK, now: float | None = None) -> dict[str, Pending]:
    """What is complete in every cohort's inbox; opens no file and reads no description.

    At most `chunk` files of a cohort are counted, in the order of their names: as many as one run takes.
    """
    found: dict[str, Pending] = {}
    try:
        cohorts = sorted(entry.name for entry in os.scandir(settings.inbox) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return found
    for cohort in cohorts:
        marks = sorted(_marks(settings, cohort, now=now))[:chunk]
        if marks:
            text = "\n".join(f"{name} {size} {changed}" for name, size, changed in marks)
            found[cohort] = Pending(files=len(marks), fingerprint=bytes_sha256(text.encode()))
    return found


def astray(settings: Settings) -> tuple[int, int]:
    """Files beside the cohorts' folders, and links inside these: nobody takes them in, whatever they are called."""
    beside = [each for each in _listed(settings.inbox) if not each.is_dir(follow_symlinks=False)]
    inside = [
        each
        for folder in _listed(settings.inbox)
        if folder.is_dir(follow_symlinks=False)
        for place in (Path(folder.path), Path(folder.path) / OUTCOMES)
        for each in _listed(place)
        if each.is_symlink()
    ]
    return sum(not _is_passed_over(each.name) for each in beside), len(inside)


def waiting(settings: Settings, cohort: str, *, now: float | None = None) -> int:
    """How many files and folders of one cohort are complete, however many."""
    return sum(1 for _ in _marks(settings, cohort, now=now))


def _marks(settings: Settings, cohort: str, *, now: float | None) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of every complete file and folder; what vanishes meanwhile is passed over."""
    folder, moment = settings.inbox / cohort, time.time() if now is None else now
    for prefix, place in (("", folder), (f"{OUTCOMES}/", folder / OUTCOMES)):
        for entry in _listed(place):
            with contextlib.suppress(FileNotFoundError):
                mark = _mark(entry, settings, now=moment)
                if mark is not None:
                    name, size, changed = mark
                    yield f"{prefix}{name}", size, changed


def _mark(entry: os.DirEntry[str], settings: Settings, *, now: float) -> tuple[str, int, int] | None:
    if entry.is_dir(follow_symlinks=False):
        if entry.name in (DONE, REFUSED, OUTCOMES) or entry.name.startswith((".", "_")):
            return None
        inside = _below(Path(entry.path))
        if any(each.name.lower().endswith(_UNFINISHED) for each in inside):
            return None
        stats = [each.stat(follow_symlinks=False) for each in inside]
        # The folders' own times, too: they say when the last file was put in.
        times = [*stats, entry.stat(follow_symlinks=False)]
        if not any(_is_data(each) or _is_foreign_file(each) for each in inside):
            return None
        if not all(_settled(stat, now, settings.inbox_folder_settled_s) for stat in times):
            return None
        return f"{entry.name}/", sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)
    if not (_is_data(entry) or _is_foreign_file(entry)):
        return None
    stat = entry.stat(follow_symlinks=False)
    return (entry.name, stat.st_size, stat.st_mtime_ns) if _settled(stat, now, settings.inbox_settled_s) else None


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _below(folder: Path) -> list[os.DirEntry[str]]:
    """Everything in a folder and in its folders, but for what is passed over."""
    found = []
    for entry in _listed(folder):
        if entry.name.lower().endswith(_UNFINISHED) or not _is_passed_over(entry.name):
            found.append(entry)
            if entry.is_dir(follow_symlinks=False):
                found += _below(Path(entry.path))
    return found


def _is_data(entry: os.DirEntry[str]) -> bool:
    """A file of its own: a link may point anywhere, and its target may be moved away or written to."""
    return is_candidate(entry.name) and entry.is_file(follow_symlinks=False)


def _is_foreign_file(entry: os.DirEntry[str]) -> bool:
    return is_foreign(entry.name) and entry.is_file(follow_symlinks=False)


def _settled(stat: os.stat_result, now: float, seconds: float) -> bool:
    # The status time, too: a copy may keep the old time of its content, and is set last. A time of content that lies in
    # the future was kept from a machine whose clock is ahead.
    times = [stat.st_ctime, *([stat.st_mtime] if stat.st_mtime <= now else [])]
    return now - max(times) >= seconds


def complete(settings: Settings, cohort: str, *, chunk: int = CHUNK, now: float | None = None) -> tuple[Incoming, ...]:
    """The complete files and folders of a cohort's inbox, by name, at most `chunk`."""
    place = settings.inbox / cohort
    found = []
    for name, _, _ in sorted(_marks(settings, cohort, now=now))[:chunk]:
        path = place / name.rstrip("/")
        kind: InboxKind = "outcomes" if name.startswith(f"{OUTCOMES}/") else "records"
        folder = path.is_dir()
        inside, strange = _sorted_out(path) if folder else ([path], [])
        if not inside or not (folder or is_candidate(path.name)):
            kind, strange = "unknown", []
        found += [Incoming(kind="unknown", path=each, files=(each,)) for each in strange]
        found.append(Incoming(kind=kind, path=path, files=tuple(inside)))
    return tuple(found)


def _sorted_out(folder: Path) -> tuple[list[Path], list[Path]]:
    """What can be read in a folder, and what cannot and is no note: files without a reader, and folders."""
    entries = sorted(_listed(folder), key=lambda each: each.name)
    data = [each for each in entries if _is_data(each)]
    named = [each for each in data if not _is_note(each.name)]
    strange = [each for each in entries if _is_foreign_file(each) and not _is_note(each.name)]
    strange += [each for each in entries if each.is_dir(follow_symlinks=False) and not _is_passed_over(each.name)]
    return [Path(each.path) for each in named or data], [Path(each.path) for each in strange]


def set_aside(settings: Settings, cohort: str, incoming: Incoming) -> Path:
    """Move what was taken in to ``done/``; a name that lies there already gets a number."""
    return _move(settings.inbox / cohort / DONE, incoming)


def refuse(
    settings: Settings, cohort: str, incoming: Incoming, *, reason: str, cure: str | None, facts: Mapping[str, Any]
) -> Path:
    """Move what cannot be used to ``refused/``, with a report for people (.md) and one for programs (.json) beside it.

    No value of a record may stand in `reason` or `facts`.
    """
    place = settings.inbox / cohort
    target = _free(place / REFUSED, incoming)
    name = incoming.path.relative_to(place / OUTCOMES if incoming.kind == "outcomes" else place).as_posix()
    told = {
        "file": name,
        "kind": incoming.kind,
        "cohort": cohort,
        "refused_at": datetime.now(UTC).isoformat(timespec="microseconds"),
        "reason": reason,
        "cure": cure,
        **facts,
    }
    lines = [
        f"# {name} was refused",
        "",
        f"Cohort {cohort}, {str(told['refused_at'])[:19]} UTC.",
        "",
        reason,
        "",
    ]
    lines += [f"**Cure:** {cure}", ""] if cure else []
    lines += ["Nothing of it was taken in. Put the corrected file into the inbox again.", ""]
    # The reports first: a refused file without its reason would be a riddle.
    Path(f"{target}.report.json").write_text(readable_json(told), encoding="utf-8")
    Path(f"{target}.report.md").write_text("\n".join(lines), encoding="utf-8")
    incoming.path.rename(target)
    return target


def with_safe_name(incoming: Incoming) -> Incoming:
    """The same file or folder under a name that can be written into reports and made longer, renamed where needed.

    A file system allows names of 255 bytes in any encoding; ``done/`` puts a number before a name, ``refused/`` an
    ending behind it, and reports are UTF-8. Another name is shortened to its beginning and a digest of all of it.
    """
    path = _safely_named(incoming.path)
    if not path.is_dir():
        return Incoming(incoming.kind, path, (path,))
    return Incoming(incoming.kind, path, tuple(_safely_named(path / each.name) for each in incoming.files))


def _safely_named(path: Path) -> Path:
    raw = os.fsencode(path.name)
    plain = raw.decode("utf-8", errors="replace")
    if len(raw) <= _LONGEST_NAME and plain == path.name and plain.isprintable():
        return path
    ending = ending_of(plain) or ""
    beginning = "".join(letter if letter.isprintable() and letter != "\ufffd" else "_" for letter in plain)
    short = beginning.encode()[:_BEGINNING].decode("utf-8", errors="ignore").removesuffix(ending)
    return path.rename(path.with_name(f"{short}-{bytes_sha256(raw).removeprefix('sha256:')[:16]}{ending}"))


def _move(folder: Path, incoming: Incoming) -> Path:
    target = _free(folder, incoming)
    incoming.path.rename(target)
    return target


def _free(folder: Path, incoming: Incoming) -> Path:
    if incoming.kind == "outcomes":
        folder = folder / OUTCOMES
    folder.mkdir(parents=True, exist_ok=True)
    target, number = folder / incoming.path.name, 1
    while target.exists():
        number += 1
        target = folder / f"{number}_{incoming.path.name}"
    return target
