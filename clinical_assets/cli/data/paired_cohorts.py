"""Paired cohorts on the command line: their row in the list, their description, their check, their results.

What belongs here: what ``cohorts`` and ``results`` say about micro-cohorts. What does not: studies of former runs
(``studies``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clinical_assets.cli import context
from clinical_assets.cli.output import out, show_json, show_rows
from clinical_assets.cohorts.paired.paired import FOLDER, PairedCatalogue, load, paired_catalogue, resolved_sweeps
from clinical_assets.foundation.errors import SpecError
from clinical_assets.pathways.experiments.input_archive import input_paths
from clinical_assets.pathways.results.kept_results import ABLATION, STUDY, read_kept


def paired() -> PairedCatalogue:
    """The paired cohorts of the catalogue."""
    return paired_catalogue(context.catalogue().folders)


def paired_row(name: str) -> dict[str, Any]:
    """A paired cohort among the others; its units are subjects, and what it lacks stays empty."""
    columns = ("units", "used", "events", "event_share", "missing", "refused", "ingested_at")
    row: dict[str, Any] = dict.fromkeys(columns)
    try:
        spec = paired().spec(name)
    except SpecError as error:
        return {"disease": None, "records": None, "error": str(error), **row}
    row |= {"disease": spec.disease.name, "records": "synthetic" if spec.synthetic else "real", "error": None}
    if (_folder(name) / STUDY).is_file():
        facts, _, _ = read_kept(_folder(name) / STUDY, asset="micro_cohort_study")
        n, events = facts["result"]["n"], facts["result"]["events"]
        row |= {"units": n, "used": n, "events": events, "event_share": events / n}
    return row


def is_paired(path: Path) -> bool:
    """Whether a name, or the path of a YAML file, is that of a paired cohort."""
    if path.suffix in (".yaml", ".yml"):
        return path.resolve().parent.name == FOLDER
    return str(path) in paired().names()


def check_paired(path: Path) -> None:
    """Check a description, and that every file it names is there; no record is read.

    Raises
    ------
    SpecError
        Naming what is wrong, or the file that is missing.
    """
    described = path if path.suffix in (".yaml", ".yml") else paired().path(str(path))
    spec = load(described)
    for name in input_paths(spec, described.parent):
        if not (described.parent / name).is_file():
            raise SpecError(
                f"{described}: the file {name} is not there.", cure="Put it there; paths start at the description."
            )
    resolved_sweeps(spec.study, described.parent)


def show_paired(name: str, *, as_json: bool) -> None:
    """The description of a paired cohort."""
    spec, path = paired().spec(name), paired().path(name)
    if as_json:
        show_json({**spec.model_dump(mode="json"), "described_in": str(path)})
        return
    out.print(f"[bold]{spec.title}[/bold]  ({spec.name}, {path})")
    if spec.synthetic:
        out.print("[bold yellow]SYNTHETIC RECORDS: invented or made by a generator, not patients.[/bold yellow]")
    plan, primary = spec.study, spec.study.primary
    swept = f", of their own: {', '.join(plan.sweeps)}" if plan.sweeps else ""
    sets = f"{spec.gene_sets.kind}, {spec.sizes.smallest} to {spec.sizes.largest} measured genes"
    for label, text in {
        "Disease": f"{spec.disease.name} ({', '.join(spec.disease.icd10)})",
        "Intended use": spec.intended_use,
        "Not for": spec.not_for,
        "Samples": f"{spec.conditions.control} and {spec.conditions.affected} of each subject, {spec.expression.kind}",
        "Positive": spec.positive,
        "Gene sets": "none: the scores were made elsewhere" if spec.gene_sets.kind == "none" else sets,
        "Study": f"{', '.join(plan.families)}; {plan.sweep} sweep{swept}; chosen by {plan.select_by}; "
        f"{plan.permutations} permutations at {plan.level:g}",
        "Headline": "the best row or ablation, the choice inside the null"
        if primary is None
        else f"{primary.design}, {primary.family}",
        "Source": spec.data.source,
        "Licence": spec.data.licence,
        "Owner": spec.owner.team,
    }.items():
        out.print(f"[bold]{label}:[/bold] {text}")
    for limit in spec.data.limits:
        out.print(f"  - {limit}")


def paired_results(name: str, *, as_json: bool) -> None:
    """What the newest study of a paired cohort found.

    Raises
    ------
    KeptError
        There is no study yet, or its file was changed.
    """
    facts, _, digest = read_kept(_folder(name) / STUDY, asset="micro_cohort_study")
    ablation = _folder(name) / ABLATION
    removed = None
    if ablation.is_file():
        reports, made_from, _ = read_kept(ablation, asset="ablation_report")
        # An ablation of a former study would stand beside numbers that it was not made from.
        removed = reports["result"] if made_from["study"] == digest else None
    if as_json:
        show_json({"cohort": name, "study_digest": digest, **facts, "ablation": removed})
        return
    out.print(f"[bold]{name}[/bold]")
    out.print(facts["headline"], markup=False)
    show_rows(
        [
            {
                "design": row["design"],
                "model": row["family"],
                "left out: precision": _interval(row["honest"]["performance"]["precision"]),
                "recall": _interval(row["honest"]["performance"]["recall"]),
                "bal. acc.": _interval(row["honest"]["performance"]["balanced_accuracy"]),
                "study's": f"{row['study']['cross_validated']['balanced_accuracy']['value']:.2f}",
            }
            for row in facts["result"]["rows"]
        ],
        title="\nLeft-out subjects, and the study's own balanced accuracy",
        spare=("recall",),
    )
    for one in removed or ():
        out.print(f"\n{one['design']} without its top {one['n_removed']}: {one['conclusion']}", markup=False)
        out.print(one["verdict"], markup=False)
    out.print(f"\nStudy {digest}\nFiles {_folder(name)}", markup=False, soft_wrap=True)


def _folder(name: str) -> Path:
    return context.settings().data / "micro_cohorts" / name


def _interval(estimate: Mapping[str, Any] | None) -> str:
    if estimate is None:
        return "nobody called"
    return f"{estimate['value']:.2f} [{estimate['ci_low']:.2f}, {estimate['ci_high']:.2f}]"
