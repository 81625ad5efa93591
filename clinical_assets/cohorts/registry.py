"""Which cohorts exist: the search path of folders with descriptions, and families of many alike cohorts.

A folder holds ``<cohort>.yaml`` files and, below ``families/``, one ``<family>.yaml`` (a template) with a
``<family>.csv`` beside it (one line per member). Team folders come before the shipped one; the first folder that
knows a name wins. Listing names reads no description, so that loading definitions stays quick.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.loading import load_spec
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.cohorts.yaml_lines import parse, read_yaml
from clinical_assets.errors import SpecError
from clinical_assets.settings import CATALOGUE, Settings

SHIPPED = Path(__file__).parent / "catalogue"


@dataclass(frozen=True)
class Entry:
    """Where a cohort is described: its own file, or a member line of a family's table."""

    name: str
    path: Path
    folder: Path
    member: dict[str, str] | None = None

    @property
    def family(self) -> str | None:
        """Name of the family, or None for a cohort with a file of its own."""
        return self.path.stem if self.member is not None else None


@dataclass(frozen=True)
class Catalogue:
    """All cohorts that this installation knows.

    Attributes
    ----------
    folders : tuple of Path
        Folders with descriptions, searched in order.
    """

    folders: tuple[Path, ...]

    @classmethod
    def from_settings(cls, settings: Settings) -> Catalogue:
        """The team's folders, then the shipped one.

        Raises
        ------
        SpecError
            When a folder of the search path does not exist.
        """
        for folder in settings.catalogue:
            if not folder.is_dir():
                raise SpecError(
                    f"{CATALOGUE} names {folder}, which is not a folder.", cure="Create it or correct the variable."
                )
        return cls(folders=(*settings.catalogue, SHIPPED))

    @property
    def sql_folders(self) -> tuple[Path, ...]:
        """Folders with SQL models, in the same order as the descriptions."""
        return (*self.folders[:-1], shipped_sql())

    @functools.cached_property
    def entries(self) -> dict[str, Entry]:
        """Every cohort by name, sorted."""
        found: dict[str, Entry] = {}
        for folder in self.folders:
            for entry in _entries(folder):
                found.setdefault(entry.name, entry)
        return dict(sorted(found.items()))

    def names(self) -> tuple[str, ...]:
        """Names of all cohorts, sorted; no description is read."""
        return tuple(self.entries)

    def entry(self, name: str) -> Entry:
        """Where ``name`` is described.

        Raises
        ------
        SpecError
            When no folder knows the name; near names are offered.
        """
        if name not in self.entries:
            import difflib

            near = difflib.get_close_matches(name, self.entries, n=3)
            folders = ", ".join(str(folder) for folder in self.folders)
            raise SpecError(
                f"No cohort is called {name!r}; looked in {folders}.",
                cure=f"Did you mean {' or '.join(near)}?" if near else "`clinical-assets cohorts list` shows them all.",
            )
        return self.entries[name]

    def spec(self, name: str) -> CohortSpec:
        """The checked description of ``name``.

        Raises
        ------
        SpecError
            When it is unknown or its description is wrong.
        """
        entry = self.entry(name)
        return load_spec(entry.path) if entry.member is None else _member_spec(entry)


def shipped_sql() -> Path:
    """The folder of the shipped SQL models: beside the package in a checkout, inside it when installed."""
    checkout = Path(__file__).parents[2] / "dbt_like_sql"
    return checkout if checkout.is_dir() else Path(__file__).parents[1] / "dbt_like_sql"


def _entries(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob("*.yaml")):
        yield Entry(name=path.stem, path=path, folder=folder)
    for path in sorted((folder / "families").glob("*.yaml")):
        for member in _members(path):
            yield Entry(name=member["name"], path=path, folder=folder, member=member)


def _members(template: Path) -> list[dict[str, str]]:
    table = template.with_suffix(".csv")
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or ()
            rows = list(reader)
    except FileNotFoundError:
        raise SpecError(
            f"{template}: a family needs its table of members, {table.name}, beside it.",
            cure=f"Write {table.name} with a column `name` and one line per cohort.",
        ) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise SpecError(f"{table}: not a readable CSV file: {error}.", cure="Save it as UTF-8 CSV.") from error
    if "name" not in columns:
        raise SpecError(f"{table}:1: the table of members has no column `name`.", cure="Add it.")
    for line, row in enumerate(rows, start=2):
        if None in row or None in row.values() or not row["name"]:
            raise SpecError(
                f"{table}:{line}: the line does not have {len(columns)} values and a name.",
                cure="Give one value per column.",
            )
    return rows


def _member_spec(entry: Entry) -> CohortSpec:
    member = entry.member or {}
    document = read_yaml(entry.path)
    unknown: set[str] = set()
    filled = _fill(document.value, member, unknown)
    if unknown:
        raise SpecError(
            f"{entry.path}: the template uses {', '.join(sorted(unknown))}, which {entry.path.stem}.csv lacks.",
            cure="Add the columns to the table of members, or correct the template.",
        )
    if isinstance(filled, dict):
        filled = {**filled, "name": entry.name, "family": entry.family}
    return parse(CohortSpec, document, value=filled, noun=f"family (member {entry.name})")


def _fill(value: Any, member: dict[str, str], unknown: set[str]) -> Any:
    """Put a member's values where the template says ``${column}``.

    A text that is nothing but one placeholder takes the member's value as YAML would read it, so that numbers and
    lists can differ between members.
    """
    if isinstance(value, dict):
        return {_fill(key, member, unknown): _fill(item, member, unknown) for key, item in value.items()}
    if isinstance(value, list):
        return [_fill(item, member, unknown) for item in value]
    if not isinstance(value, str) or "${" not in value:
        return value
    import re

    import yaml

    def put(match: re.Match[str]) -> str:
        if match[1] not in member:
            unknown.add(match[1])
            return ""
        return member[match[1]]

    whole = re.fullmatch(r"\$\{(\w+)\}", value)
    text = re.sub(r"\$\{(\w+)\}", put, value)
    return yaml.safe_load(text) if whole and text else text
