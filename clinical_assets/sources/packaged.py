"""Data sets that ship inside an installed Python package: found as files, the package never imported.

What belongs here: where a package lies. What does not: reading, which is the same as for any file.
"""

from __future__ import annotations

import difflib
import importlib.metadata
import importlib.util
from pathlib import Path

from clinical_assets.foundation.errors import SourceError
from clinical_assets.sources.files import Found
from clinical_assets.sources.readers import refuse_pickle_name


def find_packaged(package: str, file: str, *, extra: str = "data") -> Found:
    """A file inside an installed package.

    Importing would run the package's code and load what it likes, so only its place is looked up.

    Parameters
    ----------
    package : str
        Name under which it is imported (``sklearn`` or ``sklearn.datasets``), or of the distribution
        (``scikit-learn``; ``file`` then begins with the import name).
    file : str
        Path inside the package, with ``/``.
    extra : str
        The optional dependency of clinical_assets that installs it.

    Raises
    ------
    SourceError
        When the package or the file is not there, the path leaves the package, or the file is a pickle.
    """
    refuse_pickle_name(f"{package}/{file}")
    cure = f'pip install "clinical-assets[{extra}]"'
    roots = _roots(package)
    if not roots:
        raise SourceError(f"The package {package}, which holds {file}, is not installed.", cure=cure)
    for root in roots:
        path = root / file
        if not path.resolve().is_relative_to(root.resolve()):
            raise SourceError(
                f"{file!r} lies outside the package {package}.", cure="Give a path inside the package, without '..'."
            )
        if path.is_file():
            return Found(f"{package}/{file}", path)
    raise SourceError(
        f"The package {package}{_version(package)} has no file {file}.{_alike(roots, file)}",
        cure=f"Correct `file`, or install the version that has it: {cure}",
    )


def _roots(package: str) -> list[Path]:
    """Folders of a package: of the import package, else where the distribution of that name was installed."""
    top, *inner = package.split(".")
    # Looking for a dotted name would import its parents.
    spec = importlib.util.find_spec(top)
    if spec is not None:
        return [Path(place, *inner) for place in spec.submodule_search_locations or ()]
    try:
        return [Path(str(importlib.metadata.distribution(package).locate_file("")))]
    except importlib.metadata.PackageNotFoundError:
        return []


def _version(package: str) -> str:
    try:
        return f" {importlib.metadata.version(package.split('.')[0])}"
    except importlib.metadata.PackageNotFoundError:
        return ""


def _alike(roots: list[Path], file: str) -> str:
    """Files of the same folder with a name that is close."""
    names = {
        entry.name
        for root in roots
        for folder in [(root / file).parent]
        if folder.is_dir()
        for entry in folder.iterdir()
        if entry.is_file()
    }
    alike = difflib.get_close_matches(Path(file).name, sorted(names), n=3)
    return f" Its folder has {' and '.join(alike)}." if alike else ""
