"""``clinical-assets serve``: the prediction API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err
from clinical_assets.launch.instance import report_approval
from clinical_assets.serving.access.rates import RATE, Rates

HOST, PORT = "127.0.0.1", 8600


def serve(
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = PORT,
    host: Annotated[str, typer.Option(help="Address to listen at; others than loopback need login and TLS.")] = HOST,
    login: Annotated[
        list[str] | None, typer.Option("--login", help="`keys`, `tokens`; repeatable. Without, nobody is asked.")
    ] = None,
    issuer: Annotated[str | None, typer.Option(help="Of tokens: what `iss` must be.")] = None,
    audience: Annotated[str | None, typer.Option(help="Of tokens: what `aud` must be.")] = None,
    jwks: Annotated[str | None, typer.Option(help="Of tokens: https address or file of the issuer's keys.")] = None,
    rights_claim: Annotated[str, typer.Option(help="Claim with the rights.")] = "scope",
    cohorts_claim: Annotated[str, typer.Option(help="Claim with the cohorts.")] = "cohorts",
    rate: Annotated[str, typer.Option(help="Requests of one caller.")] = RATE,
    name: Annotated[list[str] | None, typer.Option(help="Further name under which callers know the server.")] = None,
    certificate: Annotated[Path | None, typer.Option(help="PEM file for TLS.", exists=True, dir_okay=False)] = None,
    private_key: Annotated[Path | None, typer.Option(help="Its key.", exists=True, dir_okay=False)] = None,
    behind_proxy: Annotated[str | None, typer.Option(help="Address of the proxy that has TLS.")] = None,
    pages: Annotated[bool, typer.Option(help="Pages for people at /pages, who sign in there (docs/pages.md).")] = True,
    workers: Annotated[int, typer.Option(help="Processes that answer; one for each core is enough.", min=1)] = 1,
) -> None:
    """Serve predictions over HTTP until Ctrl-C: champions answer, and every answer is on disk before it leaves.

    Champions are verified as for a batch, and swapped on promotion and rollback; see docs/serving.md.
    """
    from clinical_assets.serving import server
    from clinical_assets.serving.access.key_door import LoginTerms
    from clinical_assets.serving.access.tokens import Issuer

    if set(login or ()) - {"keys", "tokens"}:
        raise typer.BadParameter("--login is `keys` or `tokens`")
    tokens = None
    if "tokens" in (login or ()):
        if issuer is None or audience is None or jwks is None:
            raise typer.BadParameter("--login tokens needs --issuer, --audience and --jwks")
        tokens = Issuer(issuer, audience, jwks, rights_claim, cohorts_claim)
    if (certificate is None) != (private_key is None):
        raise typer.BadParameter("--certificate and --private-key belong together")
    terms = LoginTerms(keys="keys" in login, issuer=tokens, rate=rate) if login else None
    server.refuse_open_address(host, door=terms, protected=certificate is not None or behind_proxy is not None)
    if terms is not None:
        terms.door(context.workspace().records)  # what cannot be read is refused before a process begins
    else:
        Rates(rate)  # a mistake is told here, too
    server.refuse_taken_port(host, port)
    scheme = "http" if certificate is None else "https"
    err.print(f"Predictions at {scheme}://{host}:{port}/v1/cohorts, until Ctrl-C.", markup=False)
    if pages:
        err.print(f"Pages for people at {scheme}://{host}:{port}/pages/", markup=False)
    server.serve(
        context.workspace(),
        host=host,
        port=port,
        login=terms,
        names=tuple(name or ()),
        certificate=None if certificate is None else str(certificate),
        private_key=None if private_key is None else str(private_key),
        proxy=behind_proxy,
        workers=workers,
        pages=pages,
        on_signed=report_approval,
    )
