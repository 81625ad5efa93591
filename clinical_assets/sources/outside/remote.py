"""Files fetched over HTTP(S): once, resumed when interrupted, trusted by digest alone.

What belongs here: getting the bytes and keeping them under their SHA-256. What does not: reading them.

The digest in the description is the promise: whatever the server says, only bytes with that digest are kept, so a
changed file, a login page or a mirror gone bad is refused, and a kept file is never fetched again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clinical_assets.foundation.atomic_files import take_place
from clinical_assets.foundation.canonical import file_sha256
from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.locks import hold
from clinical_assets.foundation.settings import OFFLINE, Settings
from clinical_assets.sources.files import Found
from clinical_assets.sources.outside.reach import check_request

if TYPE_CHECKING:
    import httpx

Progress = Callable[[int, int | None], None]

_log = logging.getLogger(__name__)
_ATTEMPTS = 5
_TIMEOUT_S = 30.0  # per connection attempt and per silence of the server, not for the whole file
_LOG_EVERY_BYTES = 100 << 20


class _Interrupted(Exception):
    """The transfer broke off in a way that another attempt may mend."""


def fetch(
    url: str,
    sha256: str,
    *,
    settings: Settings,
    progress: Progress | None = None,
    pause_s: float = 1.0,
) -> Found:
    """The file behind ``url``, from the folder of downloads if it is there, else fetched into it.

    Parameters
    ----------
    url : str
        ``http`` or ``https``; it may redirect.
    sha256 : str
        Digest that the bytes must have, 64 lower-case hex digits.
    settings : Settings
        Where downloads are kept, and whether any are allowed.
    progress : callable, optional
        Called with bytes so far and bytes in all (None if the server does not say).
    pause_s : float
        Pause before the second attempt; doubled before each further one.

    Raises
    ------
    SourceError
        When it is not there and downloads are forbidden, the server refuses, the transfer breaks off for good (what
        came is kept for the next time), or the digest is another (what came is removed).
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceError(f"{_shown(url)} is no http or https address.", cure="Correct `url`.")
    name = PurePosixPath(parts.path).name or parts.hostname
    kept = settings.downloads / (sha256 + "".join(PurePosixPath(name).suffixes[-2:]))
    if kept.is_file() and file_sha256(kept) == sha256:
        return Found(name, kept)
    if settings.offline:
        raise SourceError(
            f"{name} has not been downloaded yet, and downloads are forbidden ({OFFLINE}).",
            cure=f"Unset {OFFLINE} once, or put the file into the folder 'downloads' of CLINICAL_ASSETS_DATA "
            f"under the name {kept.name}.",
        )
    lock = settings.downloads / f"{sha256}.lock"
    with hold(lock, wanted=f"the download of {name}", patience_s=settings.lock_patience_s, error=SourceError):
        if not (kept.is_file() and file_sha256(kept) == sha256):
            _fetch_locked(url, sha256, kept, progress or _log_progress(name), pause_s)
    return Found(name, kept)


def _fetch_locked(url: str, sha256: str, kept: Path, progress: Progress, pause_s: float) -> None:
    partial = kept.with_name(f"{sha256}.partial")
    resumed = _transfer_all(url, partial, progress, pause_s)
    if resumed and file_sha256(partial) != sha256:
        # The pieces may be of two versions of the file; only a whole one can be judged.
        _log.warning("%s: what was resumed does not fit together; fetching the whole file", _shown(url))
        partial.unlink()
        _transfer_all(url, partial, progress, pause_s)
    found, size = file_sha256(partial), partial.stat().st_size
    if found != sha256:
        partial.unlink()
        raise SourceError(
            f"{_shown(url)} holds {size} bytes with SHA-256 {found}, but the description promises {sha256}.",
            cure="Find out why the file changed; if the new one is right, put its digest into the description.",
        )
    take_place(partial, kept)


def _transfer_all(url: str, partial: Path, progress: Progress, pause_s: float) -> bool:
    """Fetch into ``partial`` in as many attempts as it takes; True when the file came in several pieces."""
    import httpx

    resumed = False

    def asked(request: httpx.Request) -> None:
        # Called for the first request and again for whatever it redirects to.
        check_request(str(request.url), before=None if request.url == httpx.URL(url) else url)

    with httpx.Client(
        follow_redirects=True,
        timeout=_TIMEOUT_S,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"request": [asked]},
    ) as client:
        for attempt in range(1, _ATTEMPTS + 1):
            before = _size(partial)
            resumed = resumed or before > 0
            try:
                _transfer(client, url, partial, progress)
                return resumed
            except (httpx.TransportError, _Interrupted) as error:
                reason = str(error) or type(error).__name__
                _log.warning("%s: attempt %d broke off at %d bytes: %s", _shown(url), attempt, _size(partial), reason)
                if attempt == _ATTEMPTS:
                    raise SourceError(
                        f"{_shown(url)} could not be fetched in {_ATTEMPTS} attempts; "
                        f"{_size(partial)} bytes came: {reason}",
                        cure="Check the network and start again: the download goes on where it stopped.",
                    ) from error
                time.sleep(pause_s * 2 ** (attempt - 1) if _size(partial) == before else 0)
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise SourceError(
                    f"{_shown(url)} cannot be fetched: {error}", cure="Open the address in a browser and correct `url`."
                ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def _transfer(client: httpx.Client, url: str, partial: Path, progress: Progress) -> None:
    size = _size(partial)
    headers = {"Range": f"bytes={size}-"} if size else {}
    with client.stream("GET", url, headers=headers) as response:
        if response.status_code == 416:
            # Nothing lies behind what is here: it is whole, or not from this file. The digest tells.
            return
        if response.status_code in (408, 429) or response.status_code >= 500:
            raise _Interrupted(f"the server answered {response.status_code}")
        if response.status_code not in (200, 206):
            raise SourceError(
                f"{_shown(url)} cannot be fetched: the server answered {response.status_code} "
                f"{response.reason_phrase}.",
                cure="Open the address in a browser; correct `url`, or fetch the file by hand if it needs a login.",
            )
        goes_on = response.status_code == 206 and _first_byte(response.headers.get("Content-Range", "")) == size
        start = size if goes_on else 0
        length = response.headers.get("Content-Length", "")
        whole = start + int(length) if length.isdigit() else None
        done = start
        try:
            with partial.open("ab" if goes_on else "wb") as stream:
                for chunk in response.iter_raw():
                    stream.write(chunk)
                    done += len(chunk)
                    progress(done, whole)
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise SourceError(
                f"{_shown(url)} cannot be kept: {error.strerror} after {done} bytes.",
                cure="Free space in CLINICAL_ASSETS_DATA and start again: the download goes on where it stopped.",
            ) from error
        if whole is not None and done < whole:
            raise _Interrupted(f"{done} of {whole} bytes came")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _first_byte(content_range: str) -> int | None:
    unit, _, rest = content_range.partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else None


def _shown(url: str) -> str:
    """The address without user, password and query, which may hold keys."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"


def _log_progress(name: str) -> Progress:
    next_at = _LOG_EVERY_BYTES

    def report(done: int, whole: int | None) -> None:
        nonlocal next_at
        if done >= next_at:
            next_at = done + _LOG_EVERY_BYTES
            share = f" of {whole >> 20}" if whole else ""
            _log.info("%s: %d%s MB fetched", name, done >> 20, share)

    return report
