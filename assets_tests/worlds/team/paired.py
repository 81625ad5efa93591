"""A team's own paired cohort outside the package: description, matrix, sample sheet, gene sets. All of it is made up.

Every name of a subject or sample begins with ``SECRET``, so that a test can look for it where it must not be.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import polars as pl
import yaml

from assets_tests.worlds.descriptions import paired
from assets_tests.worlds.machine.graphs import QUIET, definitions_with
from clinical_assets.defs.resources import Platform
from clinical_assets.pathways.expression.synthetic import SyntheticCohort, synthetic_paired_cohort

# A team's cohort may stand in for the shipped one of the same name, so this process knows its partition.
COHORT = "synthetic_micro_cohort"
JOB = "study_micro_cohort"
MARK = "SECRET"
TWIN = "the first set again"

DESCRIPTION: dict[str, Any] = paired(
    COHORT,
    title="A dozen made-up volunteers (SYNTHETIC)",
    owner={"team": "Ward Seven"},
    expression={"kind": "file", "matrix": "files/matrix.csv", "samples": "files/samples.csv"},
    gene_sets={"kind": "gmt", "path": "files/sets.gmt", "version": "made today"},
    sizes={"smallest": 10, "largest": 40},
    study={
        "families": ["logistic_regression"],
        "folds": 2,
        "inner_folds": 2,
        "permutations": 3,
        "level": 0.25,
        "ablation": {
            "designs": ["log2_fold_change", "pathways"],
            "family": "logistic_regression",
            "remove": 3,
            "random_removals": 3,
        },
    },
)


def made_up() -> SyntheticCohort:
    """Twelve subjects, half of them symptomatic, with two of eight sets planted."""
    return synthetic_paired_cohort(
        n_subjects=12, n_genes=120, n_sets=8, n_planted=2, effect=1.5, penetrance=1.0, set_size=(15, 25), seed=5
    )


@dataclass
class PairedTeam:
    """Everything the team supplies; change it, then write it.

    Attributes
    ----------
    description : dict
    matrix : polars DataFrame
        A gene a row, a sample a column, log2.
    sheet : polars DataFrame
    sets : dict of str to list of str
    """

    description: dict[str, Any] = field(default_factory=lambda: copy.deepcopy(DESCRIPTION))
    matrix: pl.DataFrame = field(init=False)
    sheet: pl.DataFrame = field(init=False)
    sets: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        cohort = made_up()
        samples = cohort.paired
        columns: dict[str, Any] = {"gene": list(samples.genes)}
        rows = []
        for i, label in enumerate(samples.labels):
            for condition, values in (("before", samples.control), ("after", samples.affected)):
                sample = f"{MARK}-{i:02d}-{condition}"
                columns[sample] = values[i]
                rows.append(
                    {
                        "sample": sample,
                        "subject": f"{MARK}-{i:02d}",
                        "condition": condition,
                        "label": label,
                        "batch": f"plate {i % 2}",
                        "age_years": 20 + i,
                    }
                )
        self.matrix, self.sheet = pl.DataFrame(columns), pl.DataFrame(rows)
        self.sets = dict(zip(cohort.collection.names, map(list, cohort.collection.genes), strict=True))
        self.sets[TWIN] = [*next(iter(self.sets.values())), "NOTMEASURED"]
        self.sets["a pair"] = list(samples.genes[:2])

    def counts(self) -> np.ndarray:
        """The matrix as read counts, of equal depth."""
        return np.round(2.0 ** self.matrix.drop("gene").to_numpy() * 4)

    def with_counts(self, counts: np.ndarray) -> None:
        """Use counts instead of log2 values."""
        samples = self.matrix.columns[1:]
        self.matrix = pl.DataFrame({"gene": self.matrix["gene"], **dict(zip(samples, counts.T, strict=True))})

    def write(self, catalogue: Path, *, matrix: str = "matrix.csv") -> Path:
        """Write the cohort below a catalogue folder; returns the description's path."""
        files = catalogue / "paired" / "files"
        files.mkdir(parents=True, exist_ok=True)
        self.description["expression"]["matrix"] = f"files/{matrix}"
        path = files / matrix
        if matrix.endswith(".parquet"):
            self.matrix.write_parquet(path)
        elif matrix.endswith(".h5ad"):
            import anndata
            import pandas as pd

            anndata.AnnData(
                X=self.matrix.drop("gene").to_numpy().T,
                obs=pd.DataFrame(index=self.matrix.columns[1:]),
                var=pd.DataFrame(index=self.matrix["gene"].to_list()),
            ).write_h5ad(path)
        else:
            self.matrix.write_csv(path, separator="," if matrix.endswith(".csv") else "\t")
        self.sheet.write_csv(files / "samples.csv")
        lines = ["\t".join([name, "made up", *genes]) for name, genes in self.sets.items()]
        (files / "sets.gmt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        description = catalogue / "paired" / f"{COHORT}.yaml"
        description.write_text(yaml.safe_dump(self.description, sort_keys=False), encoding="utf-8")
        return description


@dataclass(frozen=True)
class KeptRun:
    """What Dagster kept of a run, to be read in any process."""

    success: bool
    all_events: list[dg.DagsterEvent]

    def get_asset_check_evaluations(self) -> list[dg.AssetCheckEvaluation]:
        told = [event.event_specific_data for event in self.all_events]
        return [each for each in told if isinstance(each, dg.AssetCheckEvaluation)]


@dataclass(frozen=True)
class Ward:
    """A team's catalogue and a data folder, and an instance that remembers the runs."""

    folder: Path
    instance: dg.DagsterInstance

    @property
    def platform(self) -> Platform:
        return Platform(data=str(self.folder / "data"), catalogue=str(self.folder / "catalogue"))

    @property
    def files(self) -> Path:
        """Where the cohort's state lies."""
        return self.folder / "data" / "micro_cohorts" / COHORT

    def write(self, team: PairedTeam, *, matrix: str = "matrix.csv") -> Path:
        return team.write(self.folder / "catalogue", matrix=matrix)

    def run(self, *assets: str) -> dg.ExecuteInProcessResult:
        """Run the job, or only some assets of it with their checks."""
        return (
            definitions_with(self.platform)
            .resolve_job_def(JOB)
            .execute_in_process(
                partition_key=COHORT,
                instance=self.instance,
                asset_selection=[dg.AssetKey(name) for name in assets] or None,
                raise_on_error=False,
                run_config=QUIET,
            )
        )

    def kept_run(self) -> KeptRun:
        """The one run that the instance knows."""
        (run,) = self.instance.get_runs()
        told = [entry.dagster_event for entry in self.instance.all_logs(run.run_id)]
        return KeptRun(run.is_success, [event for event in told if event is not None])

    def check(self, asset: str, name: str) -> dg.AssetCheckEvaluation:
        """Run one check and nothing else."""
        job = definitions_with(self.platform).resolve_job_def(JOB)
        key = dg.AssetCheckKey(dg.AssetKey(asset), name)
        alone = job.get_subset(asset_check_selection={key}, asset_selection=set())
        result = alone.execute_in_process(
            partition_key=COHORT, instance=self.instance, raise_on_error=False, run_config=QUIET
        )
        (evaluation,) = result.get_asset_check_evaluations()
        return evaluation


def failure_of(result: dg.ExecuteInProcessResult) -> str:
    """What the failed step told the reader."""
    (event,) = [event for event in result.all_events if event.is_step_failure]
    said = event.step_failure_data.user_failure_data
    assert said is not None, event.step_failure_data.error
    return said.description or ""
