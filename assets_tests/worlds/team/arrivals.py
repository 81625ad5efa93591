"""Cohorts into whose inbox tests put records and outcomes: one table, and two tables with an index date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from assets_tests.worlds.team.cohorts import Team
from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.settings import Settings
from clinical_assets.warehouse.intake.batch_intake import Received, receive
from clinical_assets.warehouse.intake.ingestion import ingest
from clinical_assets.warehouse.intake.outcome_files import OutcomesReceived, receive_outcomes
from clinical_assets.warehouse.outcomes.matured_outcomes import mature
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.warehouse import Warehouse

Row = dict[str, Any]


@dataclass(frozen=True)
class Arrivals:
    """A cohort, and the ways of new data into it."""

    spec: CohortSpec
    settings: Settings
    sql: SqlProject
    home: Path
    sent: Path

    @property
    def warehouse(self) -> Warehouse:
        """The cohort's warehouse."""
        return Warehouse(self.spec.name, self.settings)

    @property
    def inbox(self) -> Path:
        """The cohort's inbox."""
        return self.settings.inbox / self.spec.name

    def file(self, name: str, rows: Sequence[Row], **kinds: Any) -> Path:
        """Rows as a file outside of the inbox, in the format that its name says."""
        return write(self.sent / name, rows, **kinds)

    def receive(self, files: Mapping[str, Sequence[Path]] | Path) -> Received:
        """Take a batch in."""
        chosen = {self.spec.subject_table: [files]} if isinstance(files, Path) else files
        return receive(self.spec, chosen, settings=self.settings)

    def outcomes(self, path: Path) -> OutcomesReceived:
        """Take an outcome file in."""
        return receive_outcomes(self.spec, path, settings=self.settings)

    def mature(self) -> list[tuple[Any, ...]]:
        """Unit and outcome of every unit whose outcome is known, sorted."""
        mature(self.spec, self.sql, settings=self.settings)
        return sorted(self.rows("SELECT unit, outcome FROM monitoring.outcomes WHERE outcome IS NOT NULL"))

    def ingest(self) -> None:
        """Read the cohort's own source."""
        ingest(self.spec, settings=self.settings, folder=self.home)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """An answer of the warehouse."""
        return self.warehouse.query(sql).rows()

    def content(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything that was received, but for times."""
        found = {}
        for table in self.warehouse.tables():
            if table.schema.startswith("received"):
                frame = self.warehouse.query(f'SELECT * FROM {table.schema}."{table.name}"')
                found[f"{table.schema}.{table.name}"] = sorted(frame.drop("received_at", strict=False).rows(), key=repr)
        return found


def write(path: Path, rows: Sequence[Row], **kinds: Any) -> Path:
    """Rows as CSV, JSON Lines or Parquet; ``kinds`` are the types of dates in Parquet columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = pl.DataFrame(rows, infer_schema_length=None)
    if path.name.endswith(".parquet"):
        for name, kind in kinds.items():
            frame = frame.with_columns(pl.col(name).str.strptime(kind))
        frame.write_parquet(path)
    elif ".jsonl" in path.name:
        text = "".join(json.dumps(row, default=str) + "\n" for row in rows)
        _packed(path, text.encode())
    else:
        _packed(path, frame.write_csv().encode())
    return path


def _packed(path: Path, content: bytes) -> None:
    import gzip

    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def arrivals(spec: CohortSpec, settings: Settings, folder: Path) -> Arrivals:
    """A cohort whose own source lies in a folder."""
    shipped = Catalogue.from_settings(settings).sql_folders
    return Arrivals(spec, settings, SqlProject(shipped, spec), folder, folder / "sent")


def ward(settings: Settings, folder: Path, **changes: Any) -> Arrivals:
    """A cohort of two tables with an index date and a horizon; its source is written."""
    from dataclasses import replace

    team = Team("ward_team")
    team.limit(0.2)
    for name, value in changes.items():
        team.description[name] = value
    team.write(folder)
    mine = replace(settings, catalogue=(folder,))
    catalogue = Catalogue.from_settings(mine)
    spec = catalogue.spec("ward_team")
    return Arrivals(spec, mine, SqlProject(catalogue.sql_folders, spec), folder, folder / "sent")
