"""``clinical-assets advisories``: which installed packages have known vulnerabilities."""

from __future__ import annotations

from clinical_assets.cli import context
from clinical_assets.cli.output import out
from clinical_assets.governance.supply_chain.advisory_report import report_of, write_report


def advisories() -> None:
    """Ask an advisory service about the installed packages; the security gate reads the report.

    Ends with an error, and leaves an earlier report as it was, where no service answers or its answer says nothing.
    """
    settings = context.settings()
    found = write_report(settings)
    for each in found.found:
        out.print(f"{each}", markup=False)
    out.print(
        f"{len(found.found)} known vulnerabilities in {found.reported} packages; the service knows nothing of "
        f"{len(found.unchecked)} more.\nWritten: {report_of(settings)}; clinical-assets gates COHORT --evaluate reads "
        "it.",
        markup=False,
    )
