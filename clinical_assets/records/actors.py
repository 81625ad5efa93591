"""In whose name a process acts."""

from __future__ import annotations

import getpass
import os

from clinical_assets.foundation.settings import Settings


def current_actor(settings: Settings) -> str:
    """The account for the audit ledger: what the settings name, else the operating system's account.

    The system's account is taken from its own list of users by the process's number, not from ``USER`` or
    ``LOGNAME``, which anybody can set. A number that the list does not have (usual in containers) is named as
    ``uid-10001``.
    """
    if settings.actor:
        return settings.actor
    try:
        import pwd
    except ModuleNotFoundError:  # Windows
        return getpass.getuser()
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid-{os.getuid()}"
