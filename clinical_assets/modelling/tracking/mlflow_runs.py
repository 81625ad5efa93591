"""One MLflow run for one Dagster run: its identity, what is written into it, and how it ends.

The run is found by its tag ``dagster_run_id`` or made, under the cohort's lock, so that steps side by side and steps
tried again write into the same run. Candidates are nested runs of it; they do not carry that tag, because a search for
the tag must find one run.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from clinical_assets.foundation.scratch_folder import scratch_folder
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.tracking import mlflow_store
from clinical_assets.modelling.tracking.mlflow_store import RegistryError, exclusive, experiment_id
from clinical_assets.modelling.tracking.mlflow_values import Candidate, insufficient_tags, text, write
from clinical_assets.statistics.uncertainty.intervals import Estimate

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


DAGSTER_RUN = "dagster_run_id"
PARENT, NOTE = "mlflow.parentRunId", "mlflow.note.content"
SYNTHETIC_NOTE = "SYNTHETIC: trained on records that a generator made, not on patients."
BUNDLE_FOLDER = "bundle"
Ending = Literal["FINISHED", "FAILED"]


@dataclass(frozen=True)
class TrackedRun:
    """An MLflow run that belongs to a Dagster run.

    Attributes
    ----------
    cohort, dagster_run_id, run_id : str
        Whose run it is, in Dagster's and in MLflow's words.
    experiment : str
        Id of the cohort's experiment.
    """

    settings: Settings
    cohort: str
    dagster_run_id: str
    experiment: str
    run_id: str

    @property
    def client(self) -> MlflowClient:
        """A plain client on the same store."""
        return mlflow_store.client(self.settings)

    def tag(self, tags: Mapping[str, object]) -> None:
        """Say something about the whole run; a truth value is written as yes or no."""
        write(self.client, self.run_id, tags=tags)

    def record_parameters(self, parameters: Mapping[str, Any]) -> None:
        """Keep settings. The same ones may be written again; MLflow refuses to change one."""
        write(self.client, self.run_id, parameters=parameters)

    def record_metrics(
        self, metrics: Mapping[str, Estimate | float], *, insufficient: Mapping[str, str] | None = None
    ) -> None:
        """Keep measures; an estimate becomes ``name``, ``name_ci_low`` and ``name_ci_high``.

        Parameters
        ----------
        metrics : mapping of name to Estimate or number
            Finite values. An unbounded side of an interval is left out, because MLflow would store 1.8e308 for it.
        insufficient : mapping of name to reason
            Measures that could not be computed: kept as tags, so that nobody reads a missing number as zero.

        Raises
        ------
        RegistryError
            A value is not finite.
        """
        write(self.client, self.run_id, metrics=metrics, tags=insufficient_tags(insufficient or {}))

    def record_candidates(self, candidates: Sequence[Candidate]) -> tuple[str, ...]:
        """Keep every candidate as a nested run, closed; the run ids in their order.

        A candidate that an earlier try of the same Dagster run kept is written again, not twice.
        """
        return tuple(self._record_candidate(candidate) for candidate in candidates)

    def record_files(self, files: Mapping[str, bytes | str | Path]) -> None:
        """Keep files: pictures, tables, the card.

        Parameters
        ----------
        files : mapping of path to content
            Path inside the run, such as ``plots/calibration.png``; content as bytes, text, or a file to copy.
        """
        with scratch_folder(self.settings.tracking, prefix=".files-") as folder:
            work = folder.resolve()
            for path, content in files.items():
                place = (work / path).resolve()
                if not place.is_relative_to(work):
                    raise RegistryError(f"{path} leads out of the run's files.", cure="Give a plain relative path.")
                place.parent.mkdir(parents=True, exist_ok=True)
                whole = content.read_bytes() if isinstance(content, Path) else content
                place.write_bytes(whole.encode("utf-8") if isinstance(whole, str) else whole)
            self.client.log_artifacts(self.run_id, str(work))

    def record_folder(self, folder: Path, path: str) -> None:
        """Keep a folder as it is under ``path``."""
        self.client.log_artifacts(self.run_id, str(folder), path)

    def close(self, ending: Ending) -> None:
        """End the run."""
        self.client.set_terminated(self.run_id, ending)

    def _record_candidate(self, candidate: Candidate) -> str:
        with exclusive(self.settings, self.cohort):
            kept = _search(
                self.client,
                [self.experiment],
                f"tags.`{PARENT}` = '{self.run_id}' and tags.candidate = '{candidate.name}'",
            )
            child = (
                kept[0]
                if kept
                else self.client.create_run(
                    self.experiment,
                    run_name=candidate.name,
                    tags={PARENT: self.run_id, "candidate": candidate.name, "cohort": self.cohort},
                )
            )
            # Within the lock: a parameter that two write at once breaks a constraint of MLflow's tables.
            child_id = str(child.info.run_id)
            with _ending(self.client, child_id):
                write(
                    self.client,
                    child_id,
                    parameters=candidate.parameters,
                    metrics=candidate.metrics,
                    tags={**candidate.tags, **insufficient_tags(candidate.insufficient)},
                )
        return child_id


def open_run(
    settings: Settings, *, cohort: str, dagster_run_id: str, synthetic: bool, tags: Mapping[str, object] | None = None
) -> TrackedRun:
    """Find the MLflow run of a Dagster run, or make it; it is open afterwards.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    cohort : str
        Name of the cohort.
    dagster_run_id : str
        Its identity; the first eight characters are in its name, as in Dagster's own pages.
    synthetic : bool
        Whether the cohort's records are made up: said in name, note and tag.
    tags : mapping, optional
        Further tags of the run; values are written as text.

    Raises
    ------
    RegistryError
        The store cannot be used.
    """
    experiment = experiment_id(settings, cohort)
    store = mlflow_store.client(settings)
    with exclusive(settings, cohort):
        found = find_runs(settings, cohort=cohort, dagster_run_id=dagster_run_id)
        if found:
            run_id = str(found[0].info.run_id)
            if found[0].info.status != "RUNNING":
                store.update_run(run_id, status="RUNNING")
        else:
            note = {NOTE: SYNTHETIC_NOTE} if synthetic else {}
            made = store.create_run(
                experiment,
                run_name=run_name(cohort, dagster_run_id, synthetic=synthetic),
                tags={DAGSTER_RUN: dagster_run_id, "cohort": cohort, "synthetic": text(synthetic), **note},
            )
            run_id = str(made.info.run_id)
    run = TrackedRun(settings, cohort, dagster_run_id, experiment, run_id)
    if tags:
        run.tag(tags)
    return run


def run_name(cohort: str, dagster_run_id: str, *, synthetic: bool) -> str:
    """Name of a run on MLflow's pages."""
    return f"{cohort} {dagster_run_id[:8]}" + (" (synthetic)" if synthetic else "")


def find_runs(settings: Settings, *, cohort: str, dagster_run_id: str) -> tuple[Run, ...]:
    """MLflow runs of a Dagster run: none before its first tracked step, then one."""
    if not dagster_run_id.replace("-", "").isalnum():
        raise RegistryError(f"{dagster_run_id!r} is no Dagster run id.", cure="Give the id that Dagster shows.")
    store = mlflow_store.client(settings)
    return _search(store, [experiment_id(settings, cohort)], f"tags.{DAGSTER_RUN} = '{dagster_run_id}'")


def close_stale_runs(settings: Settings, *, cohort: str, ended: Callable[[str], Ending | None]) -> tuple[str, ...]:
    """End the runs whose process died before it could.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    cohort : str
        Name of the cohort.
    ended : callable
        Given a Dagster run id, how that run ended; None while it goes on or when it is unknown.

    Returns
    -------
    tuple of str
        MLflow ids of the runs ended, nested ones included.
    """
    store = mlflow_store.client(settings)
    open_ones = _search(store, [experiment_id(settings, cohort)], "attributes.status = 'RUNNING'")
    still_open, endings = set(), {}
    for run in open_ones:
        dagster_run_id = run.data.tags.get(DAGSTER_RUN)
        ending = ended(dagster_run_id) if dagster_run_id else None
        if ending is None:
            still_open.add(run.info.run_id)
        else:
            endings[str(run.info.run_id)] = ending
    # A nested run is open for milliseconds; one whose parent is closed was being written when the process died.
    for run in open_ones:
        parent = run.data.tags.get(PARENT)
        if parent is not None and parent not in still_open:
            endings[str(run.info.run_id)] = "FAILED"
    for run_id, ending in endings.items():
        store.set_terminated(run_id, ending)
    return tuple(endings)


@contextlib.contextmanager
def _ending(store: MlflowClient, run_id: str) -> Iterator[None]:
    """Close a nested run as what came of it."""
    closed: Ending = "FAILED"
    try:
        yield
        closed = "FINISHED"
    finally:
        store.set_terminated(run_id, closed)


def _search(store: MlflowClient, experiments: list[str], condition: str) -> tuple[Run, ...]:
    found: list[Run] = []
    token: str | None = None
    while True:
        page = store.search_runs(
            experiments, filter_string=condition, order_by=["attributes.start_time ASC"], page_token=token
        )
        found += page
        token = page.token
        if not token:
            return tuple(found)
