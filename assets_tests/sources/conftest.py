"""What the tests of sources share: settings in a temporary folder, and one step from a source to its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assets_tests.worlds.machine.postgres import postgres_server as postgres_server
from assets_tests.worlds.machine.postgres import postgres_url as postgres_url
from clinical_assets.cohorts.tables import Table
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.source_reader import SourceFile, open_source


def make_table(**source: Any) -> Table:
    """A table description of which only the source matters here."""
    return Table.model_validate(
        {
            "description": "Test table.",
            "source": source,
            "key": ["key"],
            "columns": {"key": {"type": "string", "description": "Key."}},
        }
    )


def make_settings(data: Path) -> Settings:
    return replace(Settings.from_environment(), data=data, offline=False, threads=2, lock_patience_s=5.0)


@dataclass(frozen=True)
class Loaded:
    """What came out of a source: the stored rows without ``_row``, their numbers, and the rejects."""

    columns: list[str]
    types: list[str]
    rows: list[tuple[Any, ...]]
    numbers: list[int]
    rejects: list[tuple[int, str, str]]
    description: str
    files: tuple[SourceFile, ...]
    records: int | None


Load = Callable[..., Loaded]


def load_source(connection: duckdb.DuckDBPyConnection, settings: Settings, folder: Path, **source: Any) -> Loaded:
    """Store a source as the warehouse does, and check that its plain statement gives the same rows in order."""
    with open_source(
        connection, make_table(**source), table_name="subjects", settings=settings, folder=folder
    ) as opened:
        count = opened.store(connection, "stored")
        described = connection.execute("DESCRIBE stored").fetchall()
        stored = connection.execute("SELECT * FROM stored ORDER BY _row").fetchall()
        rejects = connection.execute(opened.rejects_sql).fetchall() if opened.rejects_sql else []
        streamed = connection.execute(opened.sql).fetchall()
        assert [row[1:] for row in streamed] == [row[1:] for row in stored]
        assert len(stored) == count
        if not rejects:
            assert streamed == stored
        loaded = Loaded(
            columns=[row[0] for row in described[1:]],
            types=[row[1] for row in described[1:]],
            rows=[row[1:] for row in stored],
            numbers=[row[0] for row in stored],
            rejects=rejects,
            description=opened.description,
            files=opened.files,
            records=opened.records,
        )
    assert described[0][:2] == ("_row", "BIGINT")
    left = connection.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_name <> 'stored'"
    ).fetchall()
    assert left == []
    assert list((settings.data / "temporary").iterdir()) == []
    return loaded


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        opened.execute("SET threads = 2")
        yield opened


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(tmp_path / "data")


@pytest.fixture
def load(connection: duckdb.DuckDBPyConnection, settings: Settings, tmp_path: Path) -> Load:
    """``load(path="x.csv", content=b"...", csv={...})`` writes the file and loads it."""

    def run(path: str = "records.csv", content: bytes | str | None = None, **source: Any) -> Loaded:
        if content is not None:
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.encode() if isinstance(content, str) else content)
        source.setdefault("kind", "file")
        if source["kind"] == "file":
            source["path"] = path
        return load_source(connection, settings, tmp_path, **source)

    return run
