"""``clinical-assets explore``: move threshold, costs and subgroup of a model in a browser on this machine."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument
from clinical_assets.cli.output import err
from clinical_assets.foundation.errors import ClinicalAssetsError

HOST, PORT = "127.0.0.1", 8602


class ExplorerMissing(ClinicalAssetsError):
    """Streamlit is not installed."""


def explore(
    cohort: CohortArgument,
    port: Annotated[int, typer.Option(help="Port to listen on.", min=1, max=65535)] = PORT,
) -> None:
    """Move threshold, costs and subgroup of the newest model in a browser on this machine, until Ctrl-C.

    It reads the training's rows and the bundle, and changes nothing. Extra ``explore``.
    """
    context.cohort(cohort).training()
    if importlib.util.find_spec("streamlit") is None:
        raise ExplorerMissing(
            "The explorer needs Streamlit, which is not installed.", cure="pip install 'clinical-assets[explore]'"
        )
    from clinical_assets.observability import explorer

    page = Path(explorer.__file__).with_name("page.py")
    options = {
        "global.developmentMode": "false",
        "server.address": HOST,
        "server.port": str(port),
        "server.headless": "true",
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": "false",
        "client.toolbarMode": "viewer",
    }
    listed = [part for name, value in options.items() for part in (f"--{name}", value)]
    err.print(f"http://{HOST}:{port}/ until Ctrl-C.", markup=False)
    command = [sys.executable, "-m", "streamlit", "run", str(page), *listed, "--", cohort]
    # Streamlit runs a page from its own folder: the data folder must not hang on where this was started.
    environment = {**os.environ, "CLINICAL_ASSETS_DATA": str(context.settings().data.absolute())}
    raise typer.Exit(subprocess.run(command, env=environment, check=False).returncode)
