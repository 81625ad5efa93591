"""Running the application by uvicorn: which addresses are allowed, how it ends.

What belongs here: the process. What does not: the application (``web``).
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Sequence

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.serving.access.door import Door
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.web.app import LOOPBACK, make_app
from clinical_assets.serving.web.guards import MAX_BODY_BYTES
from clinical_assets.workspace import Workspace

#: Seconds in which requests that run may end when the server is asked to stop.
GRACE_S = 20
#: Requests that are looked at at the same time; more are answered with 503.
CONCURRENT = 1000
_KEEP_ALIVE_S = 30


class ServerError(ClinicalAssetsError):
    """An address that must not be served at, or a library that is not installed."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    with contextlib.suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return False


def refuse_open_address(host: str, *, door: Door | None, protected: bool = False) -> None:
    """Refuse an address that others reach while nobody is asked who they are, or while anybody on the way reads along.

    Parameters
    ----------
    host : str
        Address.
    door : Door or None
        None asks nobody.
    protected : bool
        Whether there is TLS, here or in a proxy that is trusted.

    Raises
    ------
    ServerError
        It is not a loopback address, and one of both is missing.
    """
    if is_loopback(host):
        return
    if door is None:
        raise ServerError(
            f"Predictions would be open to other machines at {host}: no login is configured.",
            cure="Make keys with `clinical-assets keys new` and serve with --login keys, or listen at 127.0.0.1.",
        )
    if not protected:
        raise ServerError(
            f"Keys and records would cross the network to {host} unprotected: no TLS is configured.",
            cure="Give --certificate and --private-key, or name the proxy that has them: --behind-proxy ADDRESS.",
        )


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    door: Door | None = None,
    names: Sequence[str] = (),
    max_body: int = MAX_BODY_BYTES,
    certificate: str | None = None,
    private_key: str | None = None,
    proxy: str | None = None,
) -> None:
    """Serve until the process is told to end; what runs then is answered first.

    Parameters
    ----------
    workspace : Workspace
        The installation.
    host, port
        Address.
    door : Door, optional
        Tells who asks; None asks nobody, on loopback only.
    names : sequence of str
        Further names under which callers know the server.
    max_body : int
        Most bytes of a body.
    certificate, private_key : str, optional
        PEM files for TLS.
    proxy : str, optional
        Address of the proxy that has TLS; what it says of who asked is believed.

    Raises
    ------
    ServerError
        Others could reach it and nobody is asked who they are, or uvicorn is not installed.
    """
    refuse_open_address(host, door=door, protected=proxy is not None or certificate is not None)
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ServerError(
            f"{error.name} is not installed.", cure='Install it with: pip install "clinical-assets[serve]"'
        ) from None
    app = make_app(PredictionService(workspace), door=door, hosts={*LOOPBACK, host, *names}, max_body=max_body)
    uvicorn.run(
        app,
        host=host,
        port=port,
        access_log=False,  # an address may hold what a caller put there by mistake
        server_header=False,
        date_header=True,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        limit_concurrency=CONCURRENT,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
        log_level="warning",
    )
