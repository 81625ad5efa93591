"""A table of an R package as a source: the archive that holds it, and those of its rows that are meant."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import duckdb

from clinical_assets.cohorts.sources_spec import RPackageSource
from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.files import Found
from clinical_assets.sources.r_packages.debian import FOLDER, find_archive, read_members
from clinical_assets.sources.r_packages.r_objects import files_of, read_frame
from clinical_assets.sources.reading import Reading
from clinical_assets.sources.typed.converted import through_copies

if TYPE_CHECKING:
    import polars as pl

_LIBRARY = "usr/lib/R"


def archive_of(source: RPackageSource, *, settings: Settings, folder: Path | None) -> Found:
    """The archive that holds a table.

    Raises
    ------
    SourceError
        It is not there; the cure says what to put where.
    """
    found = find_archive(source.package, settings=settings, folder=folder)
    if found is None:
        raise SourceError(
            f"The archive {source.package}_*.deb is neither in folder {FOLDER} of the data folder nor beside the "
            "description; it is not shipped.",
            cure=f"clinical-assets fetch {source.package}, on a machine with Debian's tools; or put the archive there.",
        )
    return found


def absent_packages(tables: Mapping[str, Table], *, settings: Settings, folder: Path | None) -> tuple[str, ...]:
    """Debian packages that a cohort's tables are read from and whose archives are not there, each once."""
    named = (table.source.package for table in tables.values() if isinstance(table.source, RPackageSource))
    return tuple(
        package for package in dict.fromkeys(named) if find_archive(package, settings=settings, folder=folder) is None
    )


def read_r_package(
    connection: duckdb.DuckDBPyConnection, source: RPackageSource, found: Found, *, folder: Path
) -> Reading:
    """Make a table ready to be read, through a Parquet copy in `folder`.

    Raises
    ------
    SourceError
        The archive lacks the file, the file the object, or the table a column or the rows that are named.
    """
    return through_copies(connection, [found], folder, lambda one: _rows(one, source))


def _rows(one: Found, source: RPackageSource) -> pl.DataFrame:
    import polars as pl

    wanted = {f"{_LIBRARY}/{file}": file for file in files_of(source.file)}
    content = {wanted[path]: data for path, data in read_members(one.path, tuple(wanted)).items()}
    frame = read_frame(source.file, content, source.object)
    where = f"{PurePosixPath(one.name).name}, {source.object or source.file}"
    for column, values in source.rows.items():
        if column not in frame.columns:
            raise SourceError(f"{where} has no column {column!r}.", cure="Correct `rows` in the source.")
        frame = frame.filter(pl.col(column).cast(pl.String).is_in(values))
    if frame.is_empty():
        raise SourceError(f"{where} has no record that `rows` would take.", cure="Correct `rows` in the source.")
    return frame
