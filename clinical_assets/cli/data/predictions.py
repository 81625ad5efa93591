"""``clinical-assets predictions``: the log of answers that the prediction API gave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from clinical_assets.cli import context
from clinical_assets.cli.output import out, show_json
from clinical_assets.foundation.atomic_files import PRIVATE, write_whole
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.records.prediction_log.verification import verify_log

app = typer.Typer(no_args_is_help=True, help="The log of answers that the prediction API gave: export, verify.")


@app.command()
def export(
    cohort: Annotated[str, typer.Argument(help="Name of the cohort.")],
    jsonl: Annotated[Path | None, typer.Option("--jsonl", help="File to write; by default standard output.")] = None,
    after: Annotated[int, typer.Option(help="Only lines behind this number.", min=0)] = 0,
) -> None:
    """Write the log's lines as JSON, each held against the chain; people are named by pseudonym."""
    handle = context.cohort(cohort)
    lines = read_log(handle.settings, handle.name, after=after)
    texts = (json.dumps(line.to_json(), ensure_ascii=True) + "\n" for line in lines)
    if jsonl is None:
        for text in texts:
            print(text, end="")  # noqa: T201
        return
    write_whole(jsonl, "".join(texts), mode=PRIVATE)


@app.command()
def verify(
    cohort: Annotated[str, typer.Argument(help="Name of the cohort.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Walk the chain from its first line, and compare it with the heads that the ledger knows."""
    handle = context.cohort(cohort)
    report = verify_log(handle.settings, handle.name, handle.ledger)
    if as_json:
        show_json(report.to_json())
    elif report.problem is None:
        out.print(
            f"{report.lines} lines, {report.erased} of them erased: the chain holds. Heads compared: {report.heads}."
        )
    else:
        out.print(f"The log is not whole: {report.problem}", markup=False)
    if report.problem is not None:
        raise typer.Exit(1)
