"""The monitoring reports, one module each; this is the only place where a report is registered.

What belongs here: a module with a ``REPORT`` and the function that makes it. A module that is put here is found: it
becomes an asset with its check, a section of the pages, metrics and an alert. The mathematics of a report stands in
the modules of ``clinical_assets.monitoring``.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from clinical_assets.monitoring.report_type import ReportType


def _found() -> tuple[ReportType, ...]:
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    return tuple(sorted((module.REPORT for module in modules), key=lambda report: report.place))


#: Every report, in the order of the pages.
REPORTS = _found()
#: The same by name.
BY_NAME = {report.name: report for report in REPORTS}
