"""What assets, checks, sensors, schedules and partitions are handed: settings, catalogue, SQL and warehouse.

What belongs here: the one ``Platform`` of a code location and what it opens. A configured platform is returned by
``platform``, and everything follows it, partition names included.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.errors import ClinicalAssetsError, withheld, without_foreign_words
from clinical_assets.foundation.settings import Settings, private_umask
from clinical_assets.run_liveness import hold_run
from clinical_assets.workspace import CohortHandle, Workspace

PARTITION = "dagster/partition"
_log = logging.getLogger(__name__)
# What libraries that never see a record say; everything else may quote one.
_OWN_WORDS = frozenset({"dagster", "dagster_shared", "clinical_assets", "filelock", "sqlalchemy", "mlflow", "jinja2"})
_HARMLESS = (OSError, MemoryError, AssertionError, NameError, ImportError, NotImplementedError, RecursionError)


class Platform(dg.ConfigurableResource):
    """The platform as the environment describes it; fields left out follow the environment.

    Attributes
    ----------
    data : str, optional
        Folder of all state, instead of ``CLINICAL_ASSETS_DATA``.
    catalogue : str, optional
        Search path of description folders, instead of ``CLINICAL_ASSETS_CATALOGUE``.
    """

    data: str | None = None
    catalogue: str | None = None

    @contextlib.contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Platform]:
        """Hold the run's cohort from its first step to its last, so that two runs of one cohort queue.

        Otherwise a check of one run could look at tables between two steps of the other. Sensors and schedules have no
        run, and hold nothing.
        """
        private_umask()  # a run's process writes records
        cohort = context.run.tags.get(PARTITION) if context.run is not None else None
        if context.run is not None and context.instance is not None:
            hold_run(context.instance, context.run.run_id)
        with contextlib.ExitStack() as held:
            if cohort is not None:
                with as_dagster_failure():
                    held.enter_context(self.cohort(cohort).warehouse.exclusive())
            yield self

    def settings(self) -> Settings:
        """Folders and limits, read now."""
        settings = Settings.from_environment()
        if self.data is not None:
            settings = replace(settings, data=Path(self.data).expanduser().absolute())
        if self.catalogue is not None:
            folders = tuple(Path(part).absolute() for part in self.catalogue.split(os.pathsep) if part)
            settings = replace(settings, catalogue=folders)
        return settings

    def workspace(self) -> Workspace:
        """The installation, read now."""
        settings = self.settings()
        # Matplotlib would keep its list of fonts in the home folder.
        os.environ.setdefault("MPLCONFIGDIR", str(settings.data / "matplotlib"))
        return Workspace(settings)

    def cohorts(self) -> Catalogue:
        """The catalogue of descriptions, listed now."""
        return self.workspace().catalogue

    def cohort(self, name: str) -> CohortHandle:
        """Everything about one cohort, read now."""
        return self.workspace().cohort(name)


def platform() -> Platform:
    """The platform of this code location: the one whose cohorts are the partitions, and the resource ``platform``.

    Return a configured one here to give a code location folders of its own.
    """
    return Platform()


@contextlib.contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Turn an error meant for people into a Dagster failure that shows its words, not a stack.

    Bad data or a wrong description stays bad when tried again, so no retry is allowed. Dagster's event log keeps the
    whole chain of causes for ever: what a library said of the records is left out of it.
    """
    try:
        yield
    except ClinicalAssetsError as error:
        metadata = {"cure": dg.MetadataValue.text(error.cure)} if error.cure else {}
        cause = without_foreign_words(error)
        raise dg.Failure(description=str(error), metadata=metadata, allow_retries=False) from cause
    except Exception as error:
        if isinstance(error, _HARMLESS) or type(error).__module__.partition(".")[0] in _OWN_WORDS:
            raise
        told = withheld(error)
        _log.error("%s", told.message)
        raise told.with_traceback(error.__traceback__) from None
