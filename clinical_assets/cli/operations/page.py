"""``clinical-assets page``: the clinician's page from a bundle's folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import err

PORT = 8601


def page(
    bundle: Annotated[
        Path, typer.Option("--bundle", help="Folder of the bundle.", exists=True, file_okay=False, dir_okay=True)
    ],
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = PORT,
) -> None:
    """Ask a bundle about patients in a browser on this machine, until Ctrl-C: no account, and nothing on record.

    Whether the model was released is not checked; every page says so. See docs/pages.md.
    """
    from clinical_assets.serving import server
    from clinical_assets.serving.pages.app import bundle_app

    app = bundle_app(bundle, context.catalogue())
    err.print(f"http://{server.PAGE_HOST}:{port}/ until Ctrl-C. Nothing is put on record.", markup=False)
    server.serve_page(app, port=port)
