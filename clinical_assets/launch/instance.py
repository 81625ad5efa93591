"""The Dagster instance that the UI shows, opened from a terminal; and what a terminal tells it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.settings import DATA, Settings

if TYPE_CHECKING:
    import dagster as dg

    from clinical_assets.governance.signing.record import Signature

_PACKAGE = Path(__file__).parents[1]


class ReportFailed(ClinicalAssetsError):
    """Something that was done and kept, but that Dagster could not be told."""


@contextmanager
def open_instance() -> Iterator[dg.DagsterInstance]:
    """The Dagster instance that the UI shows: ``DAGSTER_HOME`` if set, else the ``dagster.yaml`` here or the shipped.

    State follows ``CLINICAL_ASSETS_DATA`` in every case but that of a ``DAGSTER_HOME`` with a storage of its own.

    Raises
    ------
    ClinicalAssetsError
        When the data folder cannot be written, ``DAGSTER_HOME`` is no folder, or Dagster's files in it cannot be used
        any more.
    """
    from sqlalchemy.exc import OperationalError

    data = Settings.from_environment().data
    home = data / "dagster"
    try:
        home.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ClinicalAssetsError(
            f"The data folder {data} cannot be written: {error.strerror}.",
            cure=f"Point {DATA} at a folder that this account may write.",
        ) from error
    try:
        with _instance(home) as instance:
            yield instance
    except OperationalError as error:
        raise ClinicalAssetsError(
            f"Dagster's store of runs cannot be read or written: {error.orig}.",
            cure=f"Free space on the disk of {data}, or end the process that holds the store, and run again.",
        ) from error


def finished_runs(cohort: str, *, delete: bool = False) -> tuple[str, ...]:
    """Ids of a cohort's finished runs that Dagster keeps with their event logs.

    Parameters
    ----------
    cohort : str
        Name of the cohort.
    delete : bool
        True deletes the runs and their event logs.
    """
    import dagster as dg

    finished = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    with open_instance() as instance:
        found = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": cohort}, statuses=finished))
        if delete:
            for run in found:
                instance.delete_run(run.run_id)
    return tuple(run.run_id for run in found)


def _instance(home: Path) -> dg.DagsterInstance:
    import dagster as dg

    from clinical_assets.dagster_private import instance_at

    if chosen := os.environ.get("DAGSTER_HOME"):
        if not Path(chosen).is_dir():
            raise ClinicalAssetsError(
                f"DAGSTER_HOME names {chosen}, which is no folder.",
                cure="Make that folder, or unset DAGSTER_HOME: Dagster's state then lies in the data folder.",
            )
        return dg.DagsterInstance.get()
    here = Path.cwd()
    # Inside the package when installed, beside it in a checkout.
    shipped = _PACKAGE if (_PACKAGE / "dagster.yaml").exists() else _PACKAGE.parent
    config = here if (here / "dagster.yaml").exists() else shipped
    return instance_at(home, configured_in=config)


def report_approval(signature: Signature) -> None:
    """Show a signature in Dagster: a materialisation of the external asset ``approval``, a rejection an observation.

    It only shows: whatever promotes asks the records again.

    Raises
    ------
    ReportFailed
        Dagster's store cannot be written; the signature is kept all the same.
    """
    import dagster as dg
    from dagster_shared.error import DagsterError
    from sqlalchemy.exc import SQLAlchemyError

    metadata = {
        "printed name": signature.printed_name,
        "role": signature.role,
        "kind": signature.kind,
        "meaning": signature.meaning,
        "signed at (UTC)": signature.signed_at,
        "valid until (UTC)": signature.expires_at,
        "dossier digest": signature.dossier_digest,
        "bundle digest": signature.bundle_digest,
        **{
            name: value
            for name, value in (
                ("gate", signature.gate),
                ("criterion", signature.criterion),
                ("reason", signature.reason),
            )
            if value is not None
        },
    }
    # A materialisation is what automation reacts to; nothing should follow from a rejection.
    kind = dg.AssetObservation if signature.kind == "rejection" else dg.AssetMaterialization
    event = kind(
        "approval",
        partition=signature.cohort,
        metadata=metadata,
        tags={"dagster/data_version": signature.dossier_digest},
    )
    try:
        with open_instance() as instance:
            instance.report_runless_asset_event(event)
    except (ClinicalAssetsError, DagsterError, SQLAlchemyError, OSError) as error:
        words = error.message if isinstance(error, ClinicalAssetsError) else f"{type(error).__name__}: {error}"
        raise ReportFailed(words, cure="Nothing needs to be signed again; promote from the command line.") from error
