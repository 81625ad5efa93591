"""A table of an R package becomes records of a cohort; without its archive the cohort says what to put where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from assets_tests.worlds.tables.debian import rda, write_deb
from assets_tests.worlds.tables.shipped import own_settings
from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.r_packages.debian import FOLDER
from clinical_assets.sources.r_packages.r_source import absent_packages
from clinical_assets.sources.source_reader import open_source

pytest.importorskip("rdata")


def table(**source: Any) -> Table:
    given = {"package": "r-cran-x", "file": "library/x/data/x.rda", "object": "cases", "licence": "GPL-2", **source}
    return Table.model_validate(
        {
            "description": "Cases.",
            "source": {"kind": "r_package", **given},
            "key": ["site"],
            "columns": {"site": {"type": "string", "description": "Site."}},
        }
    )


def with_archive(folder: Path) -> Settings:
    settings = own_settings(folder / "data")
    (settings.data / FOLDER).mkdir(parents=True)
    cases = pd.DataFrame({"site": ["colon", "rectum", "colon"], "age": [60.0, 70.0, 80.0]})
    write_deb(
        settings.data / FOLDER / "r-cran-x_1_all.deb", {"usr/lib/R/library/x/data/x.rda": rda(folder, {"cases": cases})}
    )
    return settings


def read(described: Table, settings: Settings) -> list[tuple[Any, ...]]:
    with (
        duckdb.connect() as connection,
        open_source(connection, described, table_name="subjects", settings=settings, folder=None) as opened,
    ):
        rows = connection.execute(opened.sql).fetchall()
        opened.verify_unchanged()
        assert [file.name for file in opened.files] == [f"{FOLDER}/r-cran-x_1_all.deb"]
        return rows


def test_records_are_those_of_the_rows_that_are_meant_numbered_among_themselves(tmp_path: Path) -> None:
    settings = with_archive(tmp_path)
    assert read(table(), settings) == [(1, "colon", 60.0), (2, "rectum", 70.0), (3, "colon", 80.0)]
    assert read(table(rows={"site": ["colon"]}), settings) == [(1, "colon", 60.0), (2, "colon", 80.0)]


@pytest.mark.parametrize(
    ("rows", "told"), [({"place": ["colon"]}, "no column 'place'"), ({"site": ["anus"]}, "no record that `rows`")]
)
def test_rows_that_nobody_has_are_refused(tmp_path: Path, rows: dict[str, list[str]], told: str) -> None:
    with pytest.raises(SourceError, match=told):
        read(table(rows=rows), with_archive(tmp_path))


def test_without_its_archive_a_table_says_how_to_get_it(tmp_path: Path) -> None:
    settings = own_settings(tmp_path)
    described = table()
    assert absent_packages({"subjects": described}, settings=settings, folder=None) == ("r-cran-x",)
    with pytest.raises(SourceError, match=r"r-cran-x_\*\.deb[\s\S]*clinical-assets fetch r-cran-x"):
        read(described, settings)
    assert absent_packages({"subjects": described}, settings=with_archive(tmp_path), folder=None) == ()
