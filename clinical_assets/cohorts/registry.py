"""Which cohorts exist: the search path of folders with descriptions, and families of many alike cohorts.

A folder holds ``<cohort>.yaml`` files and, below ``families/``, one ``<family>.yaml`` (a template) with a
``<family>.csv`` beside it (one line per member). A folder below it whose ``defs.yaml`` is a component ``Cohort`` or
``CohortFamily`` is such a place, too, for the one that it is named after. Team folders come before the shipped one; the
first folder that knows a name wins. Listing names reads no description, so that loading definitions stays quick.

One wrong file or line loses only itself: a cohort whose line or template is wrong stays listed and says why when its
description is asked for, and a file that can be no cohort is left out with a note.
"""

from __future__ import annotations

import csv
import functools
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clinical_assets.cohorts.base import is_name
from clinical_assets.cohorts.loading import (
    COMPONENT_FILE,
    ComponentType,
    component_folders,
    component_type,
    described_name,
    load_spec,
    read_description,
)
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SpecError
from clinical_assets.foundation.settings import CATALOGUE, Settings
from clinical_assets.foundation.yaml_lines import Document, parse, read_value, read_yaml

SHIPPED = Path(__file__).parent / "catalogue"
#: Where `dg scaffold defs` puts components in a checkout.
DEFS = Path(__file__).parents[1] / "defs"


@dataclass(frozen=True)
class CatalogueEntry:
    """Where a cohort is described: its own file, or a member line of a family's table.

    ``problem`` is what is wrong with that place itself; the description cannot be read then.
    """

    name: str
    path: Path
    folder: Path
    member: dict[str, str] | None = None
    line: int | None = None
    problem: SpecError | None = None

    @property
    def family(self) -> str | None:
        """Name of the family, or None for a cohort with a file of its own."""
        return described_name(self.path) if self.line is not None else None

    @property
    def place(self) -> str:
        """File, and line of the table of members, for messages."""
        return str(self.path) if self.line is None else f"{_table_of(self.path)}:{self.line}"


@dataclass(frozen=True)
class CatalogueNote:
    """A file or line of the catalogue that makes no cohort.

    ``broken`` is False for what was never meant to be one, as far as its name tells: an editor's backup, another
    program's YAML.
    """

    path: Path
    text: str
    cure: str
    broken: bool


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
        places = [place for folder in (*settings.catalogue, DEFS) for place in (folder, *component_folders(folder))]
        places.remove(DEFS)
        return cls(folders=(*places, SHIPPED))

    @property
    def sql_folders(self) -> tuple[Path, ...]:
        """Folders with SQL models, in the same order as the descriptions."""
        return (*self.folders[:-1], shipped_sql())

    @functools.cached_property
    def entries(self) -> dict[str, CatalogueEntry]:
        """Every cohort by name, sorted; one that is described twice in a folder has that as its problem."""
        found: dict[str, CatalogueEntry] = {}
        for folder in self.folders:
            here: dict[str, CatalogueEntry] = {}
            for entry in self._listed[folder]:
                if not isinstance(entry, CatalogueNote):
                    before = here.get(entry.name)
                    here[entry.name] = entry if before is None else replace(before, problem=_twice(before, entry))
            found = {**here, **found}
        return dict(sorted(found.items()))

    @functools.cached_property
    def notes(self) -> tuple[CatalogueNote, ...]:
        """What lies in the folders and makes no cohort, in the order of the folders."""
        listed = (entry for folder in self.folders for entry in self._listed[folder])
        return tuple(entry for entry in listed if isinstance(entry, CatalogueNote))

    @functools.cached_property
    def _listed(self) -> dict[Path, list[CatalogueEntry | CatalogueNote]]:
        return {folder: list(_entries(folder)) for folder in self.folders}

    def names(self) -> tuple[str, ...]:
        """Names of all cohorts, sorted; no description is read."""
        return tuple(self.entries)

    def members(self, family: str) -> tuple[str, ...]:
        """Names of a family's cohorts, sorted; no description is read.

        Raises
        ------
        SpecError
            When no folder has such a family; the families there are are named.
        """
        found = tuple(name for name, entry in self.entries.items() if entry.family == family)
        if not found:
            families = sorted({entry.family for entry in self.entries.values() if entry.family is not None})
            raise SpecError(
                f"No family of cohorts is called {family!r}.",
                cure=f"Families of the catalogue: {', '.join(families) or 'none'}.",
            )
        return found

    def entry(self, name: str) -> CatalogueEntry:
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
        if entry.problem is not None:
            # A new one each time: a raised error keeps the frames that it went through.
            raise SpecError(entry.problem.message, cure=entry.problem.cure)
        return load_spec(entry.path) if entry.member is None else _member_spec(entry)


def shipped_sql() -> Path:
    """The folder of the shipped SQL models: beside the package in a checkout, inside it when installed."""
    checkout = Path(__file__).parents[2] / "dbt_like_sql"
    return checkout if checkout.is_dir() else Path(__file__).parents[1] / "dbt_like_sql"


def skipped(path: Path) -> CatalogueNote | None:
    """The note on a file whose name cannot be a cohort's; None when it can."""
    return None if is_name(path.stem) else _no_name(path, path.stem)


def _no_name(path: Path, name: str) -> CatalogueNote:
    return CatalogueNote(
        path=path,
        text=f"{path} is left out: {name!r} cannot be the name of a cohort.",
        cure="Move it elsewhere; or, if it describes a cohort, use lower case letters, digits and underscores.",
        broken=False,
    )


def _table_of(template: Path) -> Path:
    """The table of a family's members, beside its template."""
    return template.with_name(f"{described_name(template)}.csv")


def _twice(first: CatalogueEntry, second: CatalogueEntry) -> SpecError:
    return SpecError(
        f"Cohort {first.name!r} is described twice: in {first.place} and in {second.place}.",
        cure="Give one of them another name, or remove it.",
    )


def _entries(folder: Path) -> Iterator[CatalogueEntry | CatalogueNote]:
    path, kind = folder / COMPONENT_FILE, component_type(folder)
    if kind is not None:
        note = None if is_name(folder.name) else _no_name(path, folder.name)
        if note is not None:
            yield note
        elif kind is ComponentType.COHORT:
            yield CatalogueEntry(name=folder.name, path=path, folder=folder)
        else:
            yield from _members(path, folder)
        return
    for path in sorted(folder.glob("*.yaml")):
        yield skipped(path) or CatalogueEntry(name=path.stem, path=path, folder=folder)
    for path in sorted((folder / "families").glob("*.yaml")):
        note = skipped(path)
        yield from [note] if note else _members(path, folder)


def _members(template: Path, folder: Path) -> Iterator[CatalogueEntry | CatalogueNote]:
    """A family's cohorts; one whose line is wrong is listed with that as its problem, if the line names it."""
    table = _table_of(template)

    def note(text: str, cure: str) -> CatalogueNote:
        return CatalogueNote(path=table, text=text, cure=cure, broken=True)

    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            text = file.read()
    except FileNotFoundError:
        yield note(
            f"{template}: a family needs its table of members, {table.name}, beside it.",
            f"Write {table.name} with a column `name` and one line per cohort.",
        )
        return
    except (OSError, UnicodeDecodeError) as error:
        yield note(f"{table}: not a readable CSV file: {error}.", "Save it as UTF-8 CSV.")
        return
    rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns: list[str] | None = None
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            yield note(f"{table}:{line}: not a readable CSV line: {error}.", "Correct its quotes.")
            continue
        if columns is None:
            columns = row
            if "name" not in columns:
                break
        elif row:
            yield _member(template, folder, columns, row, line)
    if columns is None or "name" not in columns:
        yield note(f"{table}:1: the table of members has no column `name`.", "Add it.")


def _member(
    template: Path, folder: Path, columns: list[str], row: list[str], line: int
) -> CatalogueEntry | CatalogueNote:
    table = _table_of(template)
    member = dict(zip(columns, row, strict=False))
    name = member.get("name", "")
    if not is_name(name):
        said = f"{name!r} cannot be the name of a cohort" if name else "the line names no cohort"
        cure = "Use lower case letters, digits and underscores, starting with a letter, at most 63."
        return CatalogueNote(path=table, text=f"{table}:{line}: {said}.", cure=cure, broken=True)
    problem = None
    if len(row) != len(columns):
        problem = SpecError(
            f"{table}:{line}: the line has {len(row)} values, the table {len(columns)} columns.",
            cure="Give one value per column.",
        )
    return CatalogueEntry(name=name, path=template, folder=folder, member=member, line=line, problem=problem)


def _member_spec(entry: CatalogueEntry) -> CohortSpec:
    try:
        facts = entry.path.stat()
    except OSError:
        read_yaml(entry.path)  # says what is wrong
        raise
    return _filled(entry.path, facts.st_mtime_ns, facts.st_size, entry.name, tuple((entry.member or {}).items()))


@functools.lru_cache(maxsize=64)
def _template(path: Path, changed_ns: int, size: int) -> Document:
    # Of sixty members each would parse it anew.
    del changed_ns, size
    return read_description(path)


@functools.lru_cache(maxsize=2048)
def _filled(path: Path, changed_ns: int, size: int, name: str, values: tuple[tuple[str, str], ...]) -> CohortSpec:
    member = dict(values)
    document = _template(path, changed_ns, size)
    unknown: set[str] = set()
    filled = _fill(document.value, member, unknown)
    if unknown:
        raise SpecError(
            f"{path}: the template uses {', '.join(sorted(unknown))}, which {_table_of(path).name} lacks.",
            cure="Add the columns to the table of members, or correct the template.",
        )
    if isinstance(filled, dict):
        filled = {**filled, "name": name, "family": described_name(path)}
    return parse(CohortSpec, document, value=filled, noun=f"family (member {name})")


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

    def put(match: re.Match[str]) -> str:
        if match[1] not in member:
            unknown.add(match[1])
            return ""
        return member[match[1]]

    whole = re.fullmatch(r"\$\{(\w+)\}", value)
    text = re.sub(r"\$\{(\w+)\}", put, value)
    return read_value(text) if whole and text else text
