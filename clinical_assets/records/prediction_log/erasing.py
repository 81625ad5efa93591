"""Taking a subject out of a prediction log: contents go, heads and hashes stay, so that the chain still verifies.

What belongs here: rewriting segments. What does not: the order of an erasure (``governance.privacy``).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from clinical_assets.foundation.atomic_files import PRIVATE, new_file
from clinical_assets.foundation.settings import Settings
from clinical_assets.records.prediction_log.lines import LineCodec, erased
from clinical_assets.records.prediction_log.segments import locked, log_folder, segments


def erase_subject(settings: Settings, cohort: str, name: str, *, before: Callable[[int], object]) -> int:
    """Erase the content of every line about a subject; servers that write the log wait, and go on in the new files.

    Parameters
    ----------
    settings : Settings
        Where the log lies.
    cohort : str
        Name of the cohort.
    name : str
        As ``SubjectNames.subject`` names the subject.
    before : callable
        Is told how many lines there are before the first of them is changed.

    Returns
    -------
    int
        Lines that were erased; 0 when it is done again.

    Raises
    ------
    LogDamaged
        A line cannot be read; nothing was changed.
    """
    folder, codec = log_folder(settings, cohort), LineCodec(settings, cohort)
    if not folder.exists():
        return 0
    with locked(folder):
        found = {path: numbers for path in segments(folder) if (numbers := _about(path, codec, name))}
        total = sum(len(numbers) for numbers in found.values())
        before(total)
        for path, numbers in found.items():
            lines = path.read_bytes().splitlines(keepends=True)
            for number in numbers:
                lines[number] = erased(lines[number], where=f"{path}, line {number + 1}")
            with new_file(path, mode=PRIVATE, single_writer=True) as new:
                new.write_bytes(b"".join(lines))
    return total


def _about(path: Path, codec: LineCodec, name: str) -> list[int]:
    """Places of the lines of a segment that speak of a subject."""
    found = []
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True)):
        if line.endswith(b"\n"):  # a half-written last line speaks of nobody who was answered; it is cut off
            content = codec.read(line, where=f"{path}, line {number + 1}").content
            if content is not None and content.get("subject") == name:
                found.append(number)
    return found
