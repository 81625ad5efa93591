"""What a description may make this machine connect to.

What belongs here: refusing addresses and variables that a description has no business with. A description is written by
a team; it must not become a way to the database of records, to a cloud's metadata service, or from a public server back
into this machine's own network.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from clinical_assets.foundation.errors import SourceError
from clinical_assets.foundation.settings import SOURCE_PREFIX, SOURCE_VARIABLES, Settings

if TYPE_CHECKING:
    from sqlalchemy import URL

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# Metadata services that do not lie in a link-local range.
_METADATA = frozenset(map(ipaddress.ip_address, ("fd00:ec2::254", "100.100.100.200")))


def check_variable(name: str, settings: Settings) -> None:
    """Refuse an environment variable that is not one for addresses of sources.

    Raises
    ------
    SourceError
        Its name has another beginning and is not listed by whoever runs this machine.
    """
    if not name.startswith(SOURCE_PREFIX) and name not in settings.source_variables:
        raise SourceError(
            f"A description may not read the environment variable {name}.",
            cure=f"Call it {SOURCE_PREFIX}{name.removeprefix('CLINICAL_ASSETS_')}, or let the operator of this machine "
            f"list it in {SOURCE_VARIABLES}.",
        )


def check_database(url: URL, variable: str, settings: Settings) -> None:
    """Refuse a database that holds this installation's own records or runs, or that lies at a refused address.

    Raises
    ------
    SourceError
        Without the address.
    """
    from sqlalchemy import make_url

    own = (settings.records_uri, settings.tracking_uri)
    for theirs in (make_url(text) for text in own if text and "://" in text and not text.startswith("http")):
        if _place(theirs) == _place(url):
            raise _refused(f"The database named by {variable} is this installation's own.")
    if url.get_backend_name() == "sqlite" and url.database:
        path = Path(url.database.removeprefix("file:").partition("?")[0]).resolve()
        if any(path.is_relative_to(folder.resolve()) for folder in (settings.data, settings.keys)):
            raise _refused(f"The database named by {variable} lies in this installation's own folders.")
    if url.host:
        check_host(url.host, f"The database named by {variable}")


def check_host(host: str, what: str) -> frozenset[Address]:
    """Refuse a host that has a link-local, unspecified, multicast or metadata address; return its addresses.

    Raises
    ------
    SourceError
        Naming ``what`` and not the host.
    """
    addresses = _addresses(host)
    for each in addresses:
        if each.is_link_local or each.is_unspecified or each.is_multicast or each in _METADATA:
            raise _refused(f"{what} lies at an address that no source has (link-local, multicast or metadata).")
    return addresses


def check_request(url: str, *, before: str | None = None) -> None:
    """Refuse an address of a download, or what it redirects to.

    Parameters
    ----------
    url : str
        The address.
    before : str, optional
        The address that redirected to it. From one outside, a redirect into the machine's own network is refused, and
        so is one that gives up encryption.

    Raises
    ------
    SourceError
        When it may not be asked.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _refused("A redirect leads to something that is no http or https address.")
    addresses = check_host(parts.hostname, "The address" if before is None else "A redirect of the address")
    if before is None:
        return
    first = urlsplit(before)
    if first.scheme == "https" and parts.scheme == "http":
        raise _refused("A redirect of the address gives up encryption.")
    if _inside(addresses) and not _inside(_addresses(first.hostname or "")):
        raise _refused("A redirect of the address leads from outside into this machine's own network.")


def _inside(addresses: Iterable[Address]) -> bool:
    return any(each.is_private or each.is_loopback for each in addresses)


def _addresses(host: str) -> frozenset[Address]:
    """Every address of a host; none where the name is not known, which connecting then says."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return frozenset()
    plain = (ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found)
    # An IPv4 address written as IPv6 is the same place.
    return frozenset((each.ipv4_mapped or each) if each.version == 6 else each for each in plain)


def _place(url: URL) -> tuple[str, str, int | None, str]:
    database = (
        str(Path(url.database).resolve()) if url.get_backend_name() == "sqlite" and url.database else url.database
    )
    return url.get_backend_name(), (url.host or "").lower(), url.port, database or ""


def _refused(message: str) -> SourceError:
    return SourceError(message, cure="Correct the description: a source is a table of the cohort, at its own address.")
