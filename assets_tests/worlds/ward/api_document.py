"""A started server held to its own OpenAPI document by schemathesis, as an open or a keyed server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from assets_tests.serving.hospital.sent import coded_tables
from assets_tests.worlds.ward.api_server import running
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.database import RecordsDatabase
from clinical_assets.serving.access.callers import RIGHTS
from clinical_assets.serving.access.key_store import make_key

_SETTINGS = Path(__file__).with_suffix(".toml")


def held_to_its_document(place: Releasable, *options: str, keyed: bool) -> subprocess.CompletedProcess[str]:
    """What schemathesis says of the server of a released ward whose description has codes, so that it speaks FHIR.

    Parameters
    ----------
    place : Releasable
        Its description is given codes.
    options : str
        Of ``schemathesis run``.
    keyed : bool
        Whether the server asks for keys; the caller then has one with every right.
    """
    place.trained.describe(tables=coded_tables())
    served = ["--rate", "1000000/minute"]  # whoever is refused for asking too often is asked nothing else
    caller = []
    if keyed:
        terms = {"name": "schemathesis", "rights": tuple(RIGHTS), "cohorts": [COHORT], "days": 1, "actor": "ann"}
        _, text = make_key(RecordsDatabase(place.settings), **terms)
        served += ["--login", "keys"]
        # Wrong keys on purpose would be refused as too many, and all else from this address with them.
        caller += ["--header", f"Authorization: Bearer {text}", "--exclude-checks", "ignored_auth"]
    with running(place, *served, log=place.settings.data / "server.log") as server:
        return subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(_SETTINGS)),
                *("run", f"{server.address}/openapi.json", "--checks", "all", "--continue-on-failure"),
                *("--no-color", "--suppress-health-check", "all", *caller, *options),
            ],
            cwd=place.settings.data,  # it keeps what it generated where it stands
            capture_output=True,
            text=True,
            check=False,
        )
