"""Whether a cohort's files are there, or its stand-in is to be used.

What belongs here: that choice alone. What a stand-in is stands in ``cohorts.spec``, its records come from
``synthetic``.
"""

from __future__ import annotations

from pathlib import Path

from clinical_assets.cohorts.sources_spec import FileSource
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import Settings
from clinical_assets.sources.files import places, search_files


def in_use(spec: CohortSpec, *, settings: Settings, folder: Path | None) -> CohortSpec:
    """The description that holds now: the stand-in's while none of the files that it stands for is there.

    Once one file is there, the others are asked for by name: real and generated tables are never mixed.

    Parameters
    ----------
    spec : CohortSpec
        As it was written.
    settings : Settings
        Where the data folder is.
    folder : Path or None
        Folder of the description, where relative paths begin.
    """
    if spec.data.stand_in is None or spec.synthetic:
        return spec
    sources = (spec.tables[name].source for name in spec.data.stand_in.tables)
    there = any(_is_there(source.path, settings, folder) for source in sources if isinstance(source, FileSource))
    return spec if there else spec.stood_in()


def _is_there(path: str, settings: Settings, folder: Path | None) -> bool:
    try:
        return bool(search_files(path, **places(settings, folder)))
    except SourceError:
        return True  # it leads elsewhere: whoever reads it says so
