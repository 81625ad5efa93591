"""Where MLflow keeps runs and models, and how several processes share it.

What belongs here: the address of the store, making its schema once, one experiment a cohort, the lock under which
something is looked for and made. What does not: what is written into a run (``mlflow_runs``) or a model version
(``registry``).

Without a server the store is SQLite in the data folder, so everything below must hold for processes that know nothing
of each other. SQLite runs in WAL mode: whoever reads (``mlflow ui``) does not hold up a training that writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import TRACKING_URI, Settings
from clinical_assets.modelling.tracking.relocation import follow_data_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient

SERVERS, DATABASES = ("http", "https"), ("sqlite", "postgresql", "mysql", "mssql")
_FILE = "mlflow.db"
_ARTIFACTS = "artifacts"
# Set before MLflow is first imported, which is when it reads them; a value that the operator gave stays.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # no figures about runs of clinical models leave the machine
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # standard output is for JSON
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 7, the default, keeps a run waiting four minutes for a dead server
}
_PASSWORD = re.compile(r"(?<=://)[^/@]*@")
_prepared: set[str] = set()


class RegistryError(ClinicalAssetsError):
    """A tracking store or a registered model that cannot be used."""


def tracking_uri(settings: Settings) -> str:
    """Address of the store: what ``CLINICAL_ASSETS_TRACKING_URI`` says, else SQLite in the data folder.

    Raises
    ------
    RegistryError
        The address is of a kind that MLflow cannot write to, such as ``file:``.
    """
    given = settings.tracking_uri
    if given is None:
        path = (settings.tracking / _FILE).as_posix()
        if set(path) & set("%?"):
            raise RegistryError(
                f"The data folder's name {settings.data} holds '%' or '?', which no SQLite address can carry.",
                cure=f"Move the data folder, or name an MLflow server in {TRACKING_URI}.",
            )
        return f"sqlite:///{path}"
    scheme = urlsplit(given).scheme.split("+")[0]
    if scheme not in SERVERS + DATABASES:
        raise RegistryError(
            f"{TRACKING_URI} has the scheme {scheme or 'of a plain path'!r}, which MLflow does not write to any more.",
            cure=f"Use one of {', '.join(SERVERS + DATABASES)}, or unset it to keep runs in the data folder.",
        )
    return given


def is_server(settings: Settings) -> bool:
    """True when a server keeps the files of runs too."""
    return urlsplit(tracking_uri(settings)).scheme in SERVERS


def import_mlflow() -> None:
    """Import MLflow (4 s the first time in a process) with telemetry and chatter off."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import mlflow  # noqa: F401


def client(settings: Settings) -> MlflowClient:
    """A plain MLflow client on the prepared store, which depends on no global state of MLflow."""
    prepare_store(settings)
    from mlflow import MlflowClient

    uri = tracking_uri(settings)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


def prepare_store(settings: Settings) -> None:
    """Make the store's schema if it has none, once whoever comes first; cheap when done.

    Raises
    ------
    RegistryError
        The server does not answer, or the database cannot be opened.
    """
    uri = tracking_uri(settings)
    if uri in _prepared:
        return
    import_mlflow()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from sqlalchemy.exc import SQLAlchemyError

    try:
        if is_server(settings):
            MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)
        else:
            # Two first users at once would both run the migrations, and one would die of "table already exists".
            with exclusive(settings, "store"):
                _write_ahead(uri)
                # The default artifact root would be ./mlruns of whoever comes first.
                SqlAlchemyStore(uri, artifact_root(settings).as_uri())  # type: ignore[no-untyped-call]
                if settings.tracking_uri is None:
                    follow_data_folder(settings.tracking / _FILE, artifact_root(settings))
    except (MlflowException, SQLAlchemyError, sqlite3.Error) as error:
        shown = _PASSWORD.sub("", uri)
        # The library's words may quote the address, so they are passed on only if it holds no password.
        why, cause = (str(error), error) if shown == uri else (type(error).__name__, None)
        raise RegistryError(
            f"The MLflow store at {shown} cannot be used: {why}",
            cure=f"Check that it runs and lets you in, or unset {TRACKING_URI} to keep runs in the data folder.",
        ) from cause
    _prepared.add(uri)


def artifact_root(settings: Settings) -> Path:
    """Folder of the files of runs, when no server keeps them."""
    return settings.tracking / _ARTIFACTS


def cohort_experiment(cohort: str) -> str:
    """Name of a cohort's experiment, which is also the name of its registered model: the cohort's own."""
    return cohort


def experiment_id(settings: Settings, cohort: str) -> str:
    """Find or make the cohort's experiment.

    Raises
    ------
    RegistryError
        A person deleted the experiment; MLflow would refuse the name until it is restored or purged.
    """
    from mlflow.exceptions import MlflowException

    store, name = client(settings), cohort_experiment(cohort)
    with exclusive(settings, cohort):
        found = store.get_experiment_by_name(name)
        if found is None:
            location = None if is_server(settings) else (artifact_root(settings) / cohort).as_uri()
            try:
                return store.create_experiment(name, artifact_location=location, tags={"cohort": cohort})
            except MlflowException as error:
                # On a server somebody on another machine may have been faster.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = store.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise RegistryError(
            f"The experiment {name!r} was deleted in MLflow.",
            cure="Restore it (mlflow experiments restore), or purge it with mlflow gc.",
        )
    return str(found.experiment_id)


def exclusive(settings: Settings, name: str) -> contextlib.AbstractContextManager[None]:
    """Hold the right to look for and make things of one cohort; other processes and threads queue.

    It covers one machine; on a server that several machines share, two of them are kept apart by the limit of one run
    per cohort.

    Raises
    ------
    RegistryError
        Somebody held it longer than the patience of the settings.
    """
    return hold(
        settings.tracking / f"{name}.lock",
        wanted=f"{name!r} in {settings.tracking}",
        patience_s=settings.lock_patience_s,
        error=RegistryError,
    )


def _write_ahead(uri: str) -> None:
    from sqlalchemy import make_url

    url = make_url(uri)
    if url.get_backend_name() != "sqlite" or not url.database:
        return
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
