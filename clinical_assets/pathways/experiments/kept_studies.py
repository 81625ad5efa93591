"""Studies of former runs: which there are, how two differ, and the inputs of one back in place.

What belongs here: reading what `tracked_study` wrote. What does not: showing it (``cli``).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.foundation.atomic_files import write_whole
from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.tracking import mlflow_store
from clinical_assets.pathways.experiments.input_archive import ArchivedInput, restore_inputs
from clinical_assets.pathways.experiments.tracked_study import DESCRIPTION, INPUTS, KIND, MICRO_COHORT_STUDY

if TYPE_CHECKING:
    from mlflow.entities import Run


class KeptStudyError(ClinicalAssetsError):
    """A study that no run holds."""


@dataclass(frozen=True)
class KeptStudy:
    """One study as its MLflow run holds it.

    Attributes
    ----------
    run_id, cohort : str
    started : int
        Milliseconds since 1970, UTC.
    digests : dict of str to str
        Of ``study``, ``expression``, ``gene_sets``, ``scores``, ``ablation``, as far as there.
    parameters : dict of str to str
    metrics : dict of str to float
    headline : str
    synthetic : bool
    """

    run_id: str
    cohort: str
    started: int
    digests: dict[str, str]
    parameters: dict[str, str]
    metrics: dict[str, float]
    headline: str
    synthetic: bool


def kept_studies(settings: Settings, cohorts: Sequence[str]) -> tuple[KeptStudy, ...]:
    """Studies of these cohorts, newest first."""
    store = mlflow_store.client(settings)
    found: list[KeptStudy] = []
    for cohort in cohorts:
        experiment = store.get_experiment_by_name(mlflow_store.cohort_experiment(cohort))
        if experiment is None:
            continue
        token = None
        while True:
            page = store.search_runs(
                [experiment.experiment_id], f"tags.{KIND} = '{MICRO_COHORT_STUDY}'", page_token=token
            )
            found += [_study(run, cohort) for run in page]
            token = page.token
            if not token:
                break
    return tuple(sorted(found, key=lambda study: -study.started))


def one_study(studies: Sequence[KeptStudy], beginning: str) -> KeptStudy:
    """The study whose run id begins so.

    Raises
    ------
    KeptStudyError
        None does, or several do.
    """
    found = [study for study in studies if study.run_id.startswith(beginning)]
    if len(found) != 1:
        raise KeptStudyError(
            f"{len(found)} studies have a run id that begins with {beginning!r}",
            cure="see `clinical-assets studies list`, and give more of the id",
        )
    return found[0]


def differences(first: KeptStudy, second: KeptStudy) -> dict[str, tuple[str | None, str | None]]:
    """Digests and settings in which two studies differ; with the same data, plan and result there are none."""
    one = {**{f"{k} digest": v for k, v in first.digests.items()}, **first.parameters}
    other = {**{f"{k} digest": v for k, v in second.digests.items()}, **second.parameters}
    names = dict.fromkeys([*one, *other])
    return {name: (one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)}


def restore_study(settings: Settings, study: KeptStudy, *, into: Path) -> Path:
    """Description and inputs of a study in a catalogue folder of their own, from which it can be run again.

    Parameters
    ----------
    settings : Settings
        Where runs and the archive lie.
    study : KeptStudy
        Which one.
    into : Path
        A folder that is not there yet, or is empty.

    Returns
    -------
    Path
        The description; `into` is the folder to name in ``CLINICAL_ASSETS_CATALOGUE``.

    Raises
    ------
    KeptStudyError
        The folder holds something.
    ArchiveError
        An input is not in the archive, or not what it was.
    """
    if into.exists() and any(into.iterdir()):
        raise KeptStudyError(f"{into} is not empty", cure="name a new folder")
    store = mlflow_store.client(settings)
    from mlflow.artifacts import download_artifacts

    uri = mlflow_store.tracking_uri(settings)
    texts = {}
    for name in (DESCRIPTION, INPUTS):
        place = store.get_run(study.run_id).info.artifact_uri
        path = download_artifacts(artifact_uri=f"{place}/{name}", tracking_uri=uri)
        texts[name] = Path(path).read_text(encoding="utf-8")
    folder = into / "paired"
    inputs = tuple(ArchivedInput(**one) for one in json.loads(texts[INPUTS]))
    restore_inputs(inputs, cohort_folder=settings.data / "micro_cohorts" / study.cohort, into=folder)
    return write_whole(folder / f"{study.cohort}.yaml", texts[DESCRIPTION])


def _study(run: Run, cohort: str) -> KeptStudy:
    tags = run.data.tags
    return KeptStudy(
        run_id=str(run.info.run_id),
        cohort=cohort,
        started=int(run.info.start_time),
        digests={
            name.removesuffix("_digest"): value for name, value in sorted(tags.items()) if name.endswith("_digest")
        },
        parameters=dict(sorted(run.data.params.items())),
        metrics=dict(sorted(run.data.metrics.items())),
        headline=tags.get("headline", ""),
        synthetic=tags.get("synthetic") == "yes",
    )
