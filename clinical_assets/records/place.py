"""Whether a data folder is the installation, or a copy of it: a copy verifies and scores, but changes nothing outside.

What belongs here: the folder's identity, and telling a copy. What does not: what a copy refuses (promotions, rollbacks,
alerts, witnesses), which each of these asks here, and making it an installation of its own (``adoption``).

``installation.json`` in the data folder holds the number that the file system gave that very file. Moving the folder
keeps it; a copy, and a backup that was restored, have another one. Where file systems number files anew, or whole
disks are cloned, the environment tells installations apart: a name in ``CLINICAL_ASSETS_INSTALLATION``, which no copy
of a folder has. It finds mistakes and not intent: whoever writes files can write this one.
"""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path

from clinical_assets.foundation.atomic_files import PRIVATE, new_file
from clinical_assets.foundation.settings import INSTALLATION, Settings
from clinical_assets.foundation.stored_format import BadDocument, NewerFormat, VersionedDocument
from clinical_assets.records.clock import utc_now
from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.private_files import refused

FILE = "installation.json"


class Identity(VersionedDocument):
    """What a data folder says of itself.

    Attributes
    ----------
    id : str
        Of the installation; a copy has that of the original.
    since : str
        When it was written, UTC.
    folder : str
        Where the data folder lay then.
    number : int
        The file system's number of this very file.
    name : str or None
        Name that the environment gave the installation.
    """

    id: str
    since: str
    folder: str
    number: int
    name: str | None


class Copied(RecordsError):
    """Something that only the installation itself may do was asked of a copy."""


def identity(settings: Settings) -> Identity | None:
    """What the data folder says of itself; None where nothing was recorded in it yet.

    Raises
    ------
    RecordsError
        The file cannot be read.
    """
    path = settings.data / FILE
    try:
        return Identity.read(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise refused(path, error) from error
    except (BadDocument, NewerFormat) as error:
        raise RecordsError(
            f"{path} cannot be read, so that nobody knows whether this folder is a copy.",
            cure="Restore it from a backup, or say what this folder is: clinical-assets records adopt --reason ...",
        ) from error


def mark(settings: Settings) -> None:
    """Give a data folder its identity, unless it has one."""
    if not (settings.data / FILE).exists():
        write_identity(settings, str(uuid.uuid4()))


def copied_from(settings: Settings) -> str | None:
    """Of what a data folder is a copy, in words; None for an installation.

    Raises
    ------
    RecordsError
        The file of its identity cannot be read.
    """
    found = identity(settings)
    if found is None:
        return None
    original = f"the installation {found.name or found.id} in {found.folder}"
    if found.name is not None or settings.installation is not None:
        return None if found.name == settings.installation else original
    return None if (settings.data / FILE).stat().st_ino == found.number else original


def refuse_copy(settings: Settings, what: str) -> None:
    """Refuse what only the installation itself may do.

    Parameters
    ----------
    settings : Settings
        Whose data folder it is.
    what : str
        What was to be done, as in ``"promotes no model"``.

    Raises
    ------
    Copied
        The data folder is a copy.
    """
    original = copied_from(settings)
    if original is not None:
        raise Copied(
            f"{settings.data} is a copy of {original}, and a copy {what}.",
            cure="If this folder goes on in its place (a backup, a move), or on its own, say so once: "
            f"clinical-assets records adopt --reason ...; {INSTALLATION} tells machines apart whose disks are cloned.",
        )


def write_identity(settings: Settings, identifier: str) -> None:
    """Let a data folder say that it is the installation with this id, here and now.

    Raises
    ------
    RecordsError
        The file cannot be written.
    """
    path = settings.data / FILE
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path, mode=PRIVATE) as new:
            # The number stays when the file gets its name.
            descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                found = Identity(
                    id=identifier,
                    since=utc_now(),
                    folder=str(Path(settings.data).absolute()),
                    number=os.fstat(descriptor).st_ino,
                    name=settings.installation,
                )
                json.dump(found.to_json(), file, indent=1)
    except OSError as error:
        raise refused(path, error) from error
