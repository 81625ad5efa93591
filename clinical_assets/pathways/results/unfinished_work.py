"""Finished parts of a computation that is not at its end, so that a run after a killed one goes on where it stopped.

What belongs here: one file of parts, a line each, appended and flushed. What does not: what the parts are (``study``).

The first line names what the parts belong to: data, plan and the version of this package. Parts of anything else are
dropped. A line that was cut off in writing is dropped too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from clinical_assets.foundation.atomic_files import private, write_whole
from clinical_assets.foundation.canonical import value_digest

FORMAT = 1


class UnfinishedWork:
    """Parts of one computation, as the study's ``pieces``.

    Parameters
    ----------
    path : Path
        File of the parts; removed by `finish`.
    belongs_to : mapping
        Plain values that name data and plan.
    """

    def __init__(self, path: Path, belongs_to: Mapping[str, Any]) -> None:
        self._path = path
        version = metadata.version("clinical-assets")
        self._head = value_digest({"format": FORMAT, "version": version, "of": dict(belongs_to)})
        self._done = self._read()
        self.taken_over = len(self._done)
        if not self._done:
            write_whole(path, json.dumps({"of": self._head}) + "\n", mode=0o600)

    def __call__(self, key: str, compute: Callable[[], Any]) -> Any:
        """The part of that key: as an earlier run left it, or computed and written now."""
        if key not in self._done:
            value = json.loads(json.dumps(compute()))
            with open(self._path, "a", encoding="utf-8", opener=private) as file:
                file.write(json.dumps({"key": key, "value": value}) + "\n")
                file.flush()
                os.fsync(file.fileno())
            self._done[key] = value
        return self._done[key]

    def finish(self) -> None:
        """Remove the file: the whole result stands elsewhere."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> dict[str, Any]:
        if not self._path.is_file():
            return {}
        whole = self._path.read_text(encoding="utf-8").rpartition("\n")[0].splitlines()
        lines = [json.loads(line) for line in whole]
        if not lines or lines[0].get("of") != self._head:
            return {}
        # What was cut off must not be continued in the middle of a line.
        write_whole(self._path, "\n".join(whole) + "\n", mode=0o600)
        return {line["key"]: line["value"] for line in lines[1:]}
