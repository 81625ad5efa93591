"""The small trained cohort with received batches: what scoring and monitoring tests begin with."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from assets_tests.worlds.shared import shared_folder
from assets_tests.worlds.ward.trained import COHORT, Trained, made_records, opened, shared_ward
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.modelling.bundle.batch_scoring import ScoredBatch, score_batch
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.monitoring.report_type import ChampionContext
from clinical_assets.monitoring.windows import matured_records
from clinical_assets.warehouse.intake.batch_intake import receive
from clinical_assets.warehouse.intake.outcome_files import receive_outcomes
from clinical_assets.warehouse.outcomes.matured_outcomes import mature
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.store.warehouse import Warehouse
from clinical_assets.workspace import Workspace

Row = dict[str, Any]


@dataclass(frozen=True)
class Served:
    """A trained cohort whose model serves."""

    trained: Trained
    folder: Path

    @property
    def spec(self) -> CohortSpec:
        """Description of the cohort."""
        return self.trained.catalogue.spec(COHORT)

    @property
    def bundle(self) -> Bundle:
        """The champion."""
        return self.trained.training.bundle()

    @property
    def champion(self) -> ChampionContext:
        """What a monitoring report is made from."""
        cohort = Workspace(self.trained.settings, self.trained.catalogue).cohort(COHORT)
        return ChampionContext(cohort, self.bundle.digest, self.bundle)

    @property
    def warehouse(self) -> Warehouse:
        """Warehouse of the cohort."""
        return Warehouse(COHORT, self.trained.settings)

    def receive(self, subjects: Sequence[Row], visits: Sequence[Row], *, name: str = "batch") -> str:
        """Take a batch in, without outcomes; its digest."""
        early = [{column: value for column, value in row.items() if column != "died"} for row in subjects]
        files = {
            table: [write(self.folder / name / f"{table}.csv", rows)]
            for table, rows in (("subjects", early), ("visits", visits))
        }
        done = receive(self.spec, files, settings=self.trained.settings)
        assert done.status == "accepted", done.reason
        return done.batch

    def outcomes(self, rows: Sequence[Row], *, name: str = "o.csv") -> None:
        """Take outcomes in and let them mature."""
        done = receive_outcomes(self.spec, write(self.folder / name, rows), settings=self.trained.settings)
        assert not done.refused, done.reason
        mature(self.spec, SqlProject(self.trained.catalogue.sql_folders, self.spec), settings=self.trained.settings)

    def score(self, batch: str, bundle: Bundle | None = None) -> ScoredBatch:
        """Score a batch."""
        return score_batch(self.warehouse, self.spec, bundle or self.bundle, batch)

    def matured(self, bundle: Bundle | None = None) -> pl.DataFrame | None:
        """Matured records of a model."""
        with self.warehouse.reader() as connection:
            return matured_records(connection, self.spec, bundle_digest=(bundle or self.bundle).digest)

    def watched(self, rows: int = 400, *, seed: int = 77, name: str = "batch") -> pl.DataFrame:
        """New patients from bed to outcome: received, scored, matured."""
        subjects, visits = new_patients(rows, seed=seed)
        self.score(self.receive(subjects, visits, name=name))
        told = [{"patient_id": row["patient_id"], "died": row["died"]} for row in subjects]
        self.outcomes(told, name=f"{name}.csv")
        found = self.matured()
        assert found is not None
        return found


def watched_ward(factory: pytest.TempPathFactory) -> Served:
    """The cohort with 400 new patients from bed to outcome, once per session; look, do not touch."""
    once = shared_ward(factory)

    def make(folder: Path) -> None:
        Served(once.copy_to(folder), folder / "sent").watched()

    folder = shared_folder(factory, "watched_ward", make)
    return Served(opened(folder), folder / "sent")


def new_patients(rows: int, *, seed: int, mark: str = "N") -> tuple[list[Row], list[Row]]:
    """Patients of the same kind whom the source does not hold."""
    subjects, visits = made_records(rows, seed=seed)
    for row in (*subjects, *visits):
        row["patient_id"] = f"{mark}{seed}{row['patient_id']}"
    return subjects, visits


def write(path: Path, rows: Sequence[Row]) -> Path:
    """Rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
