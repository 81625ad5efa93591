"""``clinical-assets dossier``: everything that a signer must read about a cohort's newest model."""

from __future__ import annotations

from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.options import CohortArgument
from clinical_assets.cli.output import out, show_json
from clinical_assets.governance.candidate.candidate import candidate_of
from clinical_assets.governance.dossier.dossier import write_dossier
from clinical_assets.governance.dossier.stored_dossier import DossierSummary, load_dossier
from clinical_assets.observability.linked_pages import refresh_pages


def dossier(
    cohort: CohortArgument,
    bundle: Annotated[
        str | None, typer.Option("--bundle", help="Digest of an earlier model's bundle, 8 digits will do.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check every file of the dossier that lies there; write nothing.")
    ] = False,
    open_path: Annotated[
        bool, typer.Option("--open-path", help="Print the path of the page alone, for a browser to open.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the release dossier of the newest model, and print its place and the digest that is signed.

    The same content gives the same digest, so writing again changes nothing. It is refused while a gate was not
    evaluated. That of a model that failed is written, too, and says so: it is for reading, not for signing.
    """
    candidate = candidate_of(context.cohort(cohort), digest=bundle)
    if check:
        found = load_dossier(context.settings(), cohort, candidate.digest)
    else:
        with candidate.warehouse.exclusive():
            found = write_dossier(candidate)
        refresh_pages(candidate.handle)
    if as_json:
        show_json(
            {
                "cohort": cohort,
                "synthetic": candidate.spec.synthetic,
                "bundle": found.bundle_digest,
                "dossier": {"folder": str(found.folder), "index": str(found.index), "digest": found.digest},
            }
        )
    elif open_path:
        out.print(str(found.index), markup=False)
    else:
        if candidate.spec.synthetic:
            out.print("[bold yellow]SYNTHETIC RECORDS: nothing here says anything about patients.[/bold yellow]")
        failed = DossierSummary.read(found.folder).failed_criteria
        state = "Every file is as it was written." if check else f"To sign: clinical-assets review {cohort}"
        if failed:
            reading = f"For reading, not for signing; failed: {', '.join(failed)}"
            state = f"{state}\n{reading}" if check else reading
        out.print(
            f"Page    {found.index}\nDossier {found.digest}\nBundle  {found.bundle_digest}\n{state}", markup=False
        )
