"""From the inbox into the warehouse: every complete file becomes part of a batch, an outcome, or a refusal.

What belongs here: which files go together, and where they are put afterwards. A process killed at any moment leaves
files in the inbox that were taken in already; the next intake knows them by their content and only moves them.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.clock import utc_now
from clinical_assets.sources import inbox
from clinical_assets.sources.inbox import Incoming
from clinical_assets.sources.readers import ENDINGS, ending_of
from clinical_assets.warehouse.intake.batch_intake import Received, receive
from clinical_assets.warehouse.intake.outcome_files import OutcomesReceived, receive_outcomes
from clinical_assets.warehouse.intake.refused_deliveries import count_refusals
from clinical_assets.warehouse.sql.schema import ROW_NUMBER

_KNOWN = f"Send it as one of {', '.join(sorted(ENDINGS))}, under a name with that ending."
_PACKED = (".zip", ".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".7z", ".rar", ".tar", ".tgz")


@dataclass
class Intake:
    """What one intake did.

    Attributes
    ----------
    batches : list of Received
        Accepted and known ones.
    outcomes : list of OutcomesReceived
    refused : list of (name, reason)
        Files that could not be used; each lies in ``refused/`` with its report.
    stuck : list of (name, reason)
        Files and folders that could not be renamed or moved; they lie in the inbox still.
    left : int
        Complete files that wait for the next intake.
    """

    batches: list[Received] = field(default_factory=list)
    outcomes: list[OutcomesReceived] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    stuck: list[tuple[str, str]] = field(default_factory=list)
    left: int = 0


def take_in(
    spec: CohortSpec,
    *,
    settings: Settings,
    chunk: int = inbox.CHUNK,
    progress: Callable[[str], object] | None = None,
) -> Intake:
    """Take in what is complete in a cohort's inbox, at most `chunk` files.

    Records first, then outcomes. Of several small files of one kind one batch is made; if it cannot be read, it is
    halved until the broken ones are alone.
    """
    tell = progress if progress is not None else _say_nothing
    done, begun = Intake(), utc_now()
    complete = inbox.complete(settings, spec.name, chunk=chunk)
    try:
        # Before the folder in which it may lie gets another name.
        for each in _safely_named([each for each in complete if each.kind == "unknown"], done=done, tell=tell):
            reason, cure = _unknown(each)
            _refuse(spec, each, settings=settings, done=done, reason=reason, cure=cure, tell=tell)
        found = _safely_named([each for each in complete if each.kind != "unknown"], done=done, tell=tell)
        for group in _groups(spec, [each for each in found if each.kind == "records"]):
            _records(spec, group, settings=settings, done=done, tell=tell)
        for each in (each for each in found if each.kind == "outcomes"):
            _outcomes(spec, each, settings=settings, done=done, tell=tell)
    finally:
        count_refusals(spec, settings=settings, since=begun)
    done.left = inbox.waiting(settings, spec.name)
    return done


def _unknown(incoming: Incoming) -> tuple[str, str]:
    """Why nothing was looked at, and what to do."""
    name = incoming.path.name
    if incoming.path.is_dir():
        reason = f"Folder {name} holds no file of its own in a format that is read here; nothing was looked at."
        return reason, f"Put its files straight into a folder of the inbox. {_KNOWN}"
    reason = f"{name}: no reader is for its ending; nothing was looked at."
    return reason, f"Unpack it. {_KNOWN}" if name.lower().endswith(_PACKED) else _KNOWN


def _groups(spec: CohortSpec, found: Sequence[Incoming]) -> list[list[Incoming]]:
    folders = [[each] for each in found if each.path.is_dir()]
    if len(spec.tables) > 1:
        return folders + [[each] for each in found if not each.path.is_dir()]
    by_ending: dict[str, list[Incoming]] = {}
    for each in found:
        if not each.path.is_dir():
            by_ending.setdefault(ending_of(each.path.name) or "", []).append(each)
    return folders + list(by_ending.values())


def _numbered_by_place(spec: CohortSpec) -> str | None:
    """Key column of the subject table that is no more than the place of a record in its file."""
    columns = spec.subjects.columns
    return next((name for name in spec.key if name in columns and columns[name].source_name == ROW_NUMBER), None)


def _records(
    spec: CohortSpec, group: list[Incoming], *, settings: Settings, done: Intake, tell: Callable[[str], object]
) -> None:
    numbered = _numbered_by_place(spec)
    if numbered is not None:
        cure = f"Describe a column with the person's own number as {numbered} (`from: ...`), and train again."
        reason = f"{numbered} is the number of a record in its file, which in another file is another person's."
        for each in group:
            _refuse(spec, each, settings=settings, done=done, reason=reason, cure=cure, tell=tell)
        return
    files, problem = _by_table(spec, group)
    if problem is not None:
        _refuse(spec, group[0], settings=settings, done=done, reason=problem, cure=_layout(spec), tell=tell)
        return
    received = receive(spec, files, settings=settings)
    if received.status == "refused":
        if len(group) > 1:
            middle = len(group) // 2
            for half in (group[:middle], group[middle:]):
                _records(spec, half, settings=settings, done=done, tell=tell)
            return
        _refuse(
            spec,
            group[0],
            settings=settings,
            done=done,
            reason=received.reason or "It cannot be used.",
            cure=received.cure,
            tell=tell,
        )
        return
    for each in group:
        with _not_for_all(each, done=done, tell=tell):
            inbox.set_aside(settings, spec.name, each)
    done.batches.append(received)
    tell(f"{len(group)} files: {received.rows:,} records {received.status}, {received.refused_rows:,} refused")


def _by_table(spec: CohortSpec, group: list[Incoming]) -> tuple[dict[str, list[Path]], str | None]:
    files: dict[str, list[Path]] = {}
    for each in group:
        for path in each.files:
            if len(spec.tables) == 1:
                table = spec.subject_table
            else:
                table = path.name.split(".")[0]
                if not each.path.is_dir() or table not in spec.tables:
                    return {}, f"{each.path.name}: {path.name} does not say which table of the cohort it belongs to."
            files.setdefault(table, []).append(path)
    lacking = [name for name in spec.tables if name not in files]
    if lacking:
        return {}, f"{group[0].path.name} has no file for table {', '.join(map(repr, lacking))}."
    return files, None


def _outcomes(
    spec: CohortSpec, incoming: Incoming, *, settings: Settings, done: Intake, tell: Callable[[str], object]
) -> None:
    for path in incoming.files:
        table = path.name.split(".")[0]
        if incoming.path.is_dir() and table in spec.tables and table != spec.subject_table:
            # More rows of another table, such as what became of a patient: records, in which outcomes lie.
            received = receive(spec, {table: [path]}, settings=settings)
            reason, cure = received.reason, received.cure
            if received.status != "refused":
                done.batches.append(received)
        else:
            told = receive_outcomes(spec, path, settings=settings)
            reason, cure = told.reason, told.cure
            if not told.refused:
                done.outcomes.append(told)
        if reason is not None:
            if incoming.path.is_dir():
                reason = f"{path.name}: {reason} Facts of its other files that were taken in may be sent again."
            _refuse(spec, incoming, settings=settings, done=done, reason=reason, cure=cure, tell=tell)
            return
    with _not_for_all(incoming, done=done, tell=tell):
        inbox.set_aside(settings, spec.name, incoming)
    tell(f"outcomes: {len(incoming.files)} files taken in")


def _refuse(
    spec: CohortSpec,
    incoming: Incoming,
    *,
    settings: Settings,
    done: Intake,
    reason: str,
    cure: str | None,
    tell: Callable[[str], object],
) -> None:
    with _not_for_all(incoming, done=done, tell=tell):
        inbox.refuse(settings, spec.name, incoming, reason=reason, cure=cure, facts={"files": len(incoming.files)})
    done.refused.append((incoming.path.name, reason))
    tell(f"{incoming.path.name}: refused")


def _safely_named(found: Sequence[Incoming], *, done: Intake, tell: Callable[[str], object]) -> list[Incoming]:
    named = []
    for each in found:
        with _not_for_all(each, done=done, tell=tell):
            named.append(inbox.with_safe_name(each))
    return named


@contextlib.contextmanager
def _not_for_all(incoming: Incoming, *, done: Intake, tell: Callable[[str], object]) -> Iterator[None]:
    """Let a file that cannot be moved, or that somebody took away meanwhile, stop itself alone."""
    try:
        yield
    except OSError as error:
        # A full disk is nobody's file's fault.
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        name = incoming.path.name.encode("utf-8", "backslashreplace").decode()
        reason = f"It could not be moved: {error.strerror}."
        done.stuck.append((name, reason))
        tell(f"{name}: {reason}")


def _layout(spec: CohortSpec) -> str:
    names = ", ".join(f"{name}.csv" for name in spec.tables)
    return (
        f"Put a folder into the inbox with one file a table, named after it: {names}. A table without new rows is a "
        "file with its header alone. Fill the folder under a name that begins with a dot, and rename it at the end."
    )


def _say_nothing(_: str) -> None:
    return None
