"""Where heads of the ledger lie outside: a file, a web address, a git repository.

What belongs here: adding a line to such a place and reading its lines. What does not: what a line says, and comparing
(``witnesses``). A place is worth what its keeper is: a share, a server or a repository that this account can add to and
not change (for git: ``receive.denyNonFastForwards``).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from clinical_assets.records.errors import RecordsError
from clinical_assets.records.keys.private_files import private_file, refused

GIT_FILE = "witnesses.jsonl"
TIMEOUT_S = 30.0
_LOCAL = ("localhost", "127.0.0.1", "::1")
_GIT = ("git+https", "git+ssh", "git+file")
_BRANCH = "main"
_TRIES = 3
_MOST_BYTES = 64_000_000
# Of whoever runs this: keys and helpers for passwords, and nothing that acts by itself.
_PLAIN_GIT = ("-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", "-c", "protocol.ext.allow=never")
_AUTHOR = ("-c", "user.name=clinical_assets", "-c", "user.email=witness@localhost")


class WitnessPlace(Protocol):
    """One place of witnesses."""

    @property
    def name(self) -> str:
        """Which place, without a password."""

    def add(self, line: str) -> None:
        """Add a line at the end.

        Raises
        ------
        RecordsError
            The place did not take it.
        """

    def lines(self) -> list[str]:
        """Every line, oldest first.

        Raises
        ------
        RecordsError
            The place cannot be read.
        """


def witness_place(address: str) -> WitnessPlace:
    """The place of an address.

    Parameters
    ----------
    address : str
        Path of a file; ``https://...`` (``http://`` on this machine only), to which each head is posted and from which
        all are fetched as lines; ``git+https://``, ``git+ssh://`` or ``git+file://`` of a repository, ``#branch``
        behind it where the branch is not ``main``.

    Raises
    ------
    RecordsError
        It is none of these.
    """
    parts = urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL):
        return _WebAddress(address)
    if parts.scheme in _GIT:
        url, _, branch = address.removeprefix("git+").partition("#")
        return _Repository(url, branch or _BRANCH)
    if "://" in address:
        raise RecordsError(
            f"Witnesses are not sent to {parts.scheme} addresses.",
            cure="Name a file, https://..., git+https://..., git+ssh://... or git+file://...",
        )
    return _File(Path(address))


@dataclass(frozen=True)
class _File:
    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def add(self, line: str) -> None:
        private_file(self.path)
        try:
            with self.path.open("ab") as file:
                file.write(line.encode("ascii") + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise refused(self.path, error) from error

    def lines(self) -> list[str]:
        try:
            return _lines(self.path.read_bytes(), str(self.path))
        except OSError as error:
            raise _unreadable(str(self.path)) from error


@dataclass(frozen=True)
class _WebAddress:
    url: str

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.hostname}"

    def add(self, line: str) -> None:
        self._asked("POST", line.encode("ascii") + b"\n")

    def lines(self) -> list[str]:
        return _lines(self._asked("GET", None), self.name)

    def _asked(self, method: str, content: bytes | None) -> bytes:
        import httpx

        headers = {} if content is None else {"Content-Type": "application/jsonl"}
        try:
            # No redirect is followed: a witness goes to whom it was meant for.
            answer = httpx.request(method, self.url, content=content, headers=headers, timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            # `from None`: the library's words repeat the address, and an address may be a password.
            raise RecordsError(
                f"{self.name} does not answer ({type(error).__name__}).", cure="Check address, network and server."
            ) from None
        if not answer.is_success or len(answer.content) > _MOST_BYTES:
            raise RecordsError(f"{self.name} answers {answer.status_code} to {method}.", cure="Ask its keeper.")
        return answer.content


@dataclass(frozen=True)
class _Repository:
    url: str
    branch: str

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"git+{parts.scheme}://{parts.hostname or ''}{Path(parts.path).name if parts.scheme == 'file' else ''}"

    def add(self, line: str) -> None:
        for number in range(1, _TRIES + 1):
            with tempfile.TemporaryDirectory(prefix="witness-") as name:
                work = Path(name)
                self._checked_out(work)
                with (work / GIT_FILE).open("ab") as file:
                    file.write(line.encode("ascii") + b"\n")
                self._git(work, "add", GIT_FILE)
                self._git(work, *_AUTHOR, "commit", "--quiet", "--message", "A head of the audit ledger")
                try:
                    self._git(work, "push", "--quiet", "origin", f"HEAD:refs/heads/{self.branch}")
                except RecordsError:
                    # Another installation may have pushed meanwhile; what it pushed stays.
                    if number == _TRIES:
                        raise
                else:
                    return

    def lines(self) -> list[str]:
        with tempfile.TemporaryDirectory(prefix="witness-") as name:
            work = Path(name)
            self._checked_out(work)
            path = work / GIT_FILE
            return _lines(path.read_bytes(), self.name) if path.is_file() and not path.is_symlink() else []

    def _checked_out(self, work: Path) -> None:
        """The newest state of the branch; an empty one where the repository does not have it yet."""
        self._git(work, "init", "--quiet", f"--initial-branch={self.branch}")
        self._git(work, "remote", "add", "origin", self.url)
        if self._git(work, "ls-remote", "--heads", "origin", f"refs/heads/{self.branch}"):
            self._git(work, "fetch", "--quiet", "--depth=1", "origin", f"refs/heads/{self.branch}")
            self._git(work, "reset", "--quiet", "--hard", "FETCH_HEAD")

    def _git(self, work: Path, *arguments: str) -> bytes:
        """What git prints; its words of an error are not repeated, because they hold the address."""
        # Nobody is there to type a password.
        env = {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes", **os.environ, "GIT_TERMINAL_PROMPT": "0"}
        for inherited in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
            env.pop(inherited, None)
        command = next(each for each in arguments if not each.startswith("-") and "=" not in each)
        try:
            done = subprocess.run(
                ["git", *_PLAIN_GIT, *arguments], cwd=work, env=env, capture_output=True, timeout=TIMEOUT_S, check=True
            )
        except FileNotFoundError as error:
            raise RecordsError("git is not installed, and a witness was to go to a repository.") from error
        except subprocess.TimeoutExpired:
            raise RecordsError(f"{self.name}: git {command} took longer than {TIMEOUT_S:g} s.") from None
        except subprocess.CalledProcessError as error:
            raise RecordsError(
                f"{self.name}: git {command} ends with exit code {error.returncode}.",
                cure="Check the address, the branch and this account's right to push there.",
            ) from None
        return done.stdout


def _lines(content: bytes, where: str) -> list[str]:
    with contextlib.suppress(UnicodeDecodeError):
        return content.decode("ascii").splitlines()
    raise _unreadable(where)


def _unreadable(where: str) -> RecordsError:
    return RecordsError(f"{where} cannot be read as witnesses.", cure="Give the file as it was written.")
