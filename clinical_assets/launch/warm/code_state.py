"""Whether the files that a process has loaded are still those on disk."""

from __future__ import annotations

import importlib.util
import os
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from clinical_assets.cohorts.registry import Catalogue
from clinical_assets.foundation.settings import Settings

_PACKAGE = __name__.split(".")[0]
_FileStamp = tuple[str, int, int]


class CodeState:
    """The files that runs are made of, as they stood when a process began.

    It covers modules, descriptions of cohorts and SQL models, each folder with all that lies below it, and the list of
    installed distributions. Size and time of modification stand for the content, as they do for Python's own cache.
    """

    def __init__(self) -> None:
        catalogue = Catalogue.from_settings(Settings.from_environment())
        self._roots = {
            Path(__file__).parents[2],
            Path(sysconfig.get_path("purelib")),
            *catalogue.folders,
            *catalogue.sql_folders,
        }
        self._began = self._stamps(self._roots)

    def changed(self) -> bool:
        """Whether anything differs now."""
        return self._stamps(self._roots) != self._began

    def cover(self, module: str) -> None:
        """Cover the package of a module too; call it before the module is imported."""
        name = module.partition(".")[0]
        if name == _PACKAGE:
            return
        found = importlib.util.find_spec(name)
        if found is None:
            return
        own = {Path(each) for each in found.submodule_search_locations or (found.origin,) if each is not None}
        self._began |= self._stamps(own - self._roots)
        self._roots |= own

    @staticmethod
    def _stamps(roots: set[Path]) -> frozenset[_FileStamp]:
        return frozenset(stamp for root in roots for stamp in _below(root))


def _below(root: Path) -> Iterator[_FileStamp]:
    if root == Path(sysconfig.get_path("purelib")):
        # Thousands of files; an installation adds or removes an entry of this folder.
        yield _stamp(str(root), root.stat())
        return
    if root.is_file():
        yield _stamp(str(root), root.stat())
        return
    folders = [str(root)]
    while folders:
        try:
            entries = list(os.scandir(folders.pop()))
        except FileNotFoundError:
            continue  # removed since it was listed; the next look says so
        for entry in entries:
            if entry.is_dir():
                if entry.name != "__pycache__" and not entry.name.startswith("."):
                    folders.append(entry.path)
            else:
                try:
                    yield _stamp(entry.path, entry.stat())
                except FileNotFoundError:
                    continue


def _stamp(path: str, status: os.stat_result) -> _FileStamp:
    return path, status.st_mtime_ns, status.st_size
