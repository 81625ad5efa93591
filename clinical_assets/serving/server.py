"""Running the application by uvicorn: which addresses are allowed, how many processes there are, how they end.

What belongs here: the processes. What does not: the application (``web``).
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from typing import Any

from starlette.types import ASGIApp

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.foundation.scratch_folder import scratch_folder, sweep_scratch_folders
from clinical_assets.foundation.settings import Settings
from clinical_assets.governance.signing.record import Signature
from clinical_assets.records.prediction_log.writer import PredictionLog
from clinical_assets.serving.access.door import Door
from clinical_assets.serving.access.key_door import LoginTerms
from clinical_assets.serving.pages.app import make_pages
from clinical_assets.serving.scoring.champions import cohorts_with_a_champion
from clinical_assets.serving.service import PredictionService
from clinical_assets.serving.statistics import SHARED_COUNTS
from clinical_assets.serving.web.app import LOOPBACK, make_app
from clinical_assets.serving.web.guards import MAX_BODY_BYTES
from clinical_assets.warehouse.store.connections import spill_root
from clinical_assets.workspace import Workspace

#: Seconds in which requests that run may end when the server is asked to stop.
GRACE_S = 20
#: Requests that a process looks at at the same time; more are answered with 503.
CONCURRENT = 1000
#: Where the page of a bundle alone listens.
PAGE_HOST = "127.0.0.1"
_KEEP_ALIVE_S = 30
#: Seconds within which a process must say that it lives; loading models keeps it busy.
_LIVES_WITHIN_S = 60
_COUNTS = "api-counts-"


class ServerError(ClinicalAssetsError):
    """An address that must not be served at, or a library that is not installed."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    with contextlib.suppress(ValueError):
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    return False


@dataclass(frozen=True)
class ApplicationMaker:
    """Makes the application in the process that serves it; plain values, so that it can be handed to another one.

    Attributes
    ----------
    workspace : Workspace
        The installation.
    login : LoginTerms or None
        Who may ask; None asks nobody.
    hosts : frozenset of str
        Names under which the server may be asked.
    max_body : int
        Most bytes of a body.
    pages : bool
        Whether there are pages for people.
    secure : bool
        Whether callers come by TLS.
    on_signed : callable or None
        Told of every signature that is given on the pages.
    """

    workspace: Workspace
    login: LoginTerms | None
    hosts: frozenset[str]
    max_body: int
    pages: bool = True
    secure: bool = False
    on_signed: Callable[[Signature], None] | None = None

    def __call__(self) -> ASGIApp:
        """The application; a process that was begun for it ends with the one that began it."""
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        if (parent := multiprocessing.parent_process()) is not None:
            threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
        door = None if self.login is None else self.login.door(self.workspace.records)
        service = PredictionService(self.workspace)
        parts = (make_pages(service, secure=self.secure, on_signed=self.on_signed),) if self.pages else ()
        return make_app(service, door=door, hosts=self.hosts, max_body=self.max_body, parts=parts)


def refuse_open_address(host: str, *, door: Door | LoginTerms | None, protected: bool = False) -> None:
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


def refuse_taken_port(host: str, port: int) -> None:
    """Refuse an address at which another program listens, before anybody is told that predictions are there.

    Raises
    ------
    ServerError
        Names the port.
    """
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(address)
    except OSError as error:
        raise ServerError(
            f"Nothing can listen at {host}, port {port}: {error.strerror or error}.", cure="Name another one: --port."
        ) from error


def refuse_a_log_without_end(workspace: Workspace) -> None:
    """Heal the log of every cohort that has a champion, or refuse to begin: no answer could be given.

    Raises
    ------
    ServerError
        A last line is not what was written, or a torn one cannot be cut off; names the cohort, says why and the cure.
    """
    for cohort in cohorts_with_a_champion(workspace.settings):
        log = PredictionLog(workspace.settings, cohort)
        try:
            log.probe()
        except ClinicalAssetsError as error:
            raise ServerError(f"{cohort} could not be answered for: {error.message}", cure=error.cure) from error
        finally:
            log.close()


def serve(
    workspace: Workspace,
    *,
    host: str,
    port: int,
    login: LoginTerms | None = None,
    names: Sequence[str] = (),
    max_body: int = MAX_BODY_BYTES,
    certificate: str | None = None,
    private_key: str | None = None,
    proxy: str | None = None,
    workers: int = 1,
    pages: bool = True,
    on_signed: Callable[[Signature], None] | None = None,
) -> None:
    """Serve until the process is told to end; what runs then is answered first.

    Parameters
    ----------
    workspace : Workspace
        The installation.
    host, port
        Address.
    login : LoginTerms, optional
        Who may ask; None asks nobody, on loopback only.
    names : sequence of str
        Further names under which callers know the server.
    max_body : int
        Most bytes of a body.
    certificate, private_key : str, optional
        PEM files for TLS.
    proxy : str, optional
        Address of the proxy that has TLS; what it says of who asked is believed.
    workers : int
        Processes that answer at this address; one that dies is replaced.
    pages : bool
        Whether there are pages for people, who sign in whatever `login` is.
    on_signed : callable, optional
        Told of every signature that is given there; a function of a module, so that every process can have it.

    Raises
    ------
    ServerError
        Others could reach it and nobody is asked who they are, uvicorn is not installed, or a log cannot be gone on
        with.
    """
    protected = proxy is not None or certificate is not None
    refuse_open_address(host, door=login, protected=protected)
    try:
        import uvicorn
    except ModuleNotFoundError as error:
        raise ServerError(
            f"{error.name} is not installed.", cure='Install it with: pip install "clinical-assets[serve]"'
        ) from None
    refuse_a_log_without_end(workspace)
    config = uvicorn.Config(
        # Settings and descriptions alone: connections that this process opened stay here.
        ApplicationMaker(
            Workspace(workspace.settings, workspace.listed),
            login,
            frozenset({*LOOPBACK, host, *names}),
            max_body,
            pages=pages,
            secure=protected,
            on_signed=on_signed,
        ),
        factory=True,
        host=host,
        port=port,
        workers=workers,
        access_log=False,  # an address may hold what a caller put there by mistake
        server_header=False,
        date_header=True,
        proxy_headers=proxy is not None,
        forwarded_allow_ips=proxy,
        limit_concurrency=CONCURRENT,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        timeout_worker_healthcheck=_LIVES_WITHIN_S,
        ssl_certfile=certificate,
        ssl_keyfile=private_key,
        # Of several processes it is said when one died and was replaced.
        log_level="warning" if workers == 1 else "info",
    )
    if workers > 1:
        _serve_by_several(config, workspace.settings)
        return
    server = uvicorn.Server(config)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise ServerError("The server did not begin.", cure="Read why in the lines that it logged, and mend that.")


def serve_page(app: ASGIApp, *, port: int) -> None:
    """Serve an application to this machine alone, until the process is told to end."""
    import uvicorn

    server = uvicorn.Server(
        uvicorn.Config(app, host=PAGE_HOST, port=port, access_log=False, server_header=False, log_level="warning")
    )
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        raise ServerError(f"Nothing can listen at port {port}.", cure="Name another one: --port.")


def _serve_by_several(config: Any, settings: Settings) -> None:
    from uvicorn.supervisors import Multiprocess

    class Supervisor(Multiprocess):
        def keep_subprocess_alive(self) -> None:
            for process in self.processes:
                # The child has an end of its own. With this one open too, a child that dies while it is asked whether
                # it lives would be waited for.
                process.child_conn.close()
            super().keep_subprocess_alive()

    root = spill_root(settings)
    sweep_scratch_folders(root, prefix=_COUNTS)
    with scratch_folder(root, prefix=_COUNTS) as folder:
        # Processes find the folder by its variable, which must be there before they import what counts.
        os.environ[SHARED_COUNTS] = str(folder)
        Supervisor(config, sockets=[config.bind_socket()]).run()


def _end_with(parent: BaseProcess) -> None:
    parent.join()
    signal.raise_signal(signal.SIGTERM)
