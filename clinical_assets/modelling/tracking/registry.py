"""The registry: a cohort's bundles as numbered versions of one registered model, found by alias or digest.

A bundle is kept as files of its run and registered by its place there, without an MLflow flavour. A flavour would add
its own files to the folder (``MLmodel`` with ids and times, environments), so that the folder would no longer be what
the digest names; and loading through a flavour is a way past the check of that digest, in most flavours through pickle.
A plain client lists, compares and downloads the versions all the same; ``Bundle.load`` reads what it downloads.

The alias ``challenger`` is set here. ``champion`` is a decision, and is set by whoever verifies it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.foundation.canonical import hex_of
from clinical_assets.foundation.sealed_folder import new_folder, put
from clinical_assets.foundation.settings import Settings
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.bundle.bundle_description import MANIFEST
from clinical_assets.modelling.bundle.bundle_files import BundleError
from clinical_assets.modelling.tracking import mlflow_store
from clinical_assets.modelling.tracking.mlflow_runs import BUNDLE_FOLDER, DAGSTER_RUN, SYNTHETIC_NOTE, TrackedRun
from clinical_assets.modelling.tracking.mlflow_store import RegistryError, exclusive

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHALLENGER = "challenger"
DIGEST = "digest"


@dataclass(frozen=True)
class Version:
    """One version of a cohort's registered model.

    Attributes
    ----------
    cohort : str
        Name of the registered model.
    version : int
        Its number, from 1.
    digest : str
        Digest of its bundle.
    run_id : str
        MLflow run that made it.
    aliases : tuple of str
        Such as ``challenger``.
    tags : mapping
        ``digest``, ``data_digest``, ``spec_digest``, ``synthetic``, ``dagster_run_id``.
    """

    cohort: str
    version: int
    digest: str
    run_id: str
    aliases: tuple[str, ...]
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """What a plain MLflow client downloads it by."""
        return f"models:/{self.cohort}/{self.version}"


def register(bundle: Bundle, *, run: TrackedRun, data_digest: str, spec_digest: str, synthetic: bool) -> Version:
    """Keep a bundle in its run, register it, and make it the cohort's challenger.

    A bundle whose digest is registered already keeps its version: two equal trainings are one model.

    Raises
    ------
    RegistryError
        The bundle is another cohort's.
    """
    if bundle.cohort != run.cohort:
        raise RegistryError(
            f"The bundle was trained on {bundle.cohort}, the run is one of {run.cohort}.",
            cure="Register it in a run of its own cohort.",
        )
    run.record_folder(bundle.folder, BUNDLE_FOLDER)
    facts = {DIGEST: bundle.digest, "data_digest": data_digest, "spec_digest": spec_digest}
    run.tag({f"bundle_{DIGEST}": bundle.digest, "data_digest": data_digest, "spec_digest": spec_digest})
    store = run.client
    with exclusive(run.settings, run.cohort):
        _ensure_model(store, run.cohort, synthetic=synthetic)
        same = [found for found in _versions(store, run.cohort, digest=bundle.digest) if _is_whole(store, found)]
        version = (
            same[0]
            if same
            else store.create_model_version(
                run.cohort,
                source=f"runs:/{run.run_id}/{BUNDLE_FOLDER}",
                run_id=run.run_id,
                tags={**facts, "synthetic": "yes" if synthetic else "no", DAGSTER_RUN: run.dagster_run_id},
                description=SYNTHETIC_NOTE if synthetic else None,
            )
        )
        store.set_registered_model_alias(run.cohort, CHALLENGER, str(version.version))
        return _version(version, _aliases(store, run.cohort))


def versions(settings: Settings, cohort: str) -> tuple[Version, ...]:
    """All registered versions of a cohort, the newest first."""
    store = mlflow_store.client(settings)
    aliases = _aliases(store, cohort)
    return tuple(_version(found, aliases) for found in _versions(store, cohort))


def find_version(
    settings: Settings, cohort: str, *, alias: str | None = None, digest: str | None = None
) -> Version | None:
    """The version of a cohort that an alias points to, or that holds the bundle of a digest; None if there is none.

    Raises
    ------
    ValueError
        Both or neither is given.
    """
    if (alias is None) == (digest is None):
        raise ValueError("give an alias or a digest")
    store = mlflow_store.client(settings)
    aliases = _aliases(store, cohort)
    found = _versions(store, cohort, digest=digest)
    if alias is not None:
        found = [each for each in found if int(each.version) == aliases.get(alias)]
    return _version(found[0], aliases) if found else None


def download_bundle(settings: Settings, version: Version, *, folder: Path | None = None) -> Bundle:
    """Fetch a version's bundle and check that it is the one that its digest names.

    Parameters
    ----------
    settings : Settings
        Where the data, keys and reports of this installation lie.
    version : Version
        The registered version, with the digest of its bundle.
    folder : Path, optional
        Where it goes; by default its place among the bundles of the data folder. A bundle that lies there already is
        checked and used. A new one appears complete or not at all.

    Raises
    ------
    RegistryError
        The files are gone, or are not those that were registered.
    """
    place = folder or settings.bundles / version.cohort / hex_of(version.digest)
    if place.exists():
        return _checked(place, version)
    from mlflow.exceptions import MlflowException

    with new_folder(place) as work:
        try:
            fetched = mlflow_store.client(settings).download_artifacts(version.run_id, BUNDLE_FOLDER, str(work))
        except (MlflowException, OSError) as error:
            raise RegistryError(
                f"The files of {version.uri} cannot be fetched from run {version.run_id} ({type(error).__name__}).",
                cure="Restore the artifacts of the run, or train the cohort again.",
            ) from error
        put(_checked(Path(fetched), version).folder, place)  # or another process fetched the same bundle meanwhile
    return _checked(place, version)


def _checked(folder: Path, version: Version) -> Bundle:
    try:
        bundle = Bundle.load(folder)
    except BundleError as error:
        raise RegistryError(f"{version.uri} is damaged: {error.message}", cure=error.cure) from error
    if bundle.digest != version.digest or bundle.cohort != version.cohort:
        raise RegistryError(
            f"{version.uri} was registered as {version.digest} of {version.cohort}, but {folder} holds {bundle.digest} "
            f"of {bundle.cohort}.",
            cure="Find out who replaced it; train the cohort again.",
        )
    return bundle


def _ensure_model(store: MlflowClient, cohort: str, *, synthetic: bool) -> None:
    from mlflow.exceptions import MlflowException

    if store.search_registered_models(f"name = '{_plain(cohort)}'"):
        return
    try:
        store.create_registered_model(
            cohort, tags={"cohort": cohort}, description=SYNTHETIC_NOTE if synthetic else None
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _versions(store: MlflowClient, cohort: str, *, digest: str | None = None) -> list[ModelVersion]:
    condition = f"name = '{_plain(cohort)}'"
    if digest is not None:
        condition += f" and tags.{DIGEST} = '{_plain(digest)}'"
    found: list[ModelVersion] = []
    token: str | None = None
    while True:
        page = store.search_model_versions(condition, page_token=token)
        found += [each for each in page if DIGEST in each.tags]
        token = page.token
        if not token:
            return sorted(found, key=lambda each: int(each.version), reverse=True)


def _plain(text: str) -> str:
    if not text.replace(":", "").replace("_", "").replace("-", "").isalnum():
        raise RegistryError(f"{text!r} is no name or digest.", cure="Give the name of a cohort or a bundle's digest.")
    return text


def _is_whole(store: MlflowClient, version: ModelVersion) -> bool:
    """Whether its files are still there; a version whose run was purged is not worth pointing to."""
    from mlflow.exceptions import MlflowException

    try:
        files = store.list_artifacts(str(version.run_id), BUNDLE_FOLDER)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return f"{BUNDLE_FOLDER}/{MANIFEST}" in {file.path for file in files}


def _aliases(store: MlflowClient, cohort: str) -> dict[str, int]:
    """Aliases of a registered model and the versions they point to; none where there is no model."""
    # A search for versions leaves their aliases out.
    found = store.search_registered_models(f"name = '{_plain(cohort)}'")
    return {alias: int(version) for model in found for alias, version in model.aliases.items()}


def _version(found: ModelVersion, aliases: Mapping[str, int]) -> Version:
    return Version(
        cohort=found.name,
        version=int(found.version),
        digest=found.tags[DIGEST],
        run_id=str(found.run_id),
        aliases=tuple(sorted(alias for alias, version in aliases.items() if version == int(found.version))),
        tags=dict(found.tags),
    )
