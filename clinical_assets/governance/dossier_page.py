"""The page of a dossier: one file of HTML without script or outside material, for a screen, a phone and paper.

What belongs here: turning the dossier's content into the page. What does not: collecting it (``dossier_content``).
Every text that comes from a description, a verdict or a record is escaped by the template.
"""

from __future__ import annotations

import base64
import math
import shlex
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clinical_assets.governance.dossier_folder import PENDING
from clinical_assets.modelling.card import FOR_A_PERSON, METRICS, PICTURES

if TYPE_CHECKING:
    from jinja2 import Environment, Template

_TEMPLATES = Path(__file__).parent / "templates"
_MARKS = {"pass": "✓", "fail": "✗", "insufficient": "?"}
# Below these a number in a table is called small: Collins et al. 2016, doi 10.1002/sim.6787, for the holdout.
SMALL_N, SMALL_EVENTS = 100, 20
_NONE = "–"


def render_page(content: Mapping[str, Any], *, pictures: Mapping[str, bytes], files: Mapping[str, str]) -> str:
    """The dossier as an HTML document.

    Parameters
    ----------
    content : mapping
        As ``dossier_content.collect`` gives it.
    pictures : mapping
        PNG bytes by name, as a training's report keeps them.
    files : mapping
        SHA-256 of the other content files by name.

    Returns
    -------
    str
        A whole document that holds ``dossier_folder.PENDING`` wherever the dossier's own digest goes.
    """
    results = content["results"]
    gates = [
        {**gate, "ordered": _ordered(gate["verdicts"]), "counted": _counted(gate["verdicts"])}
        for gate in content["gates"]
    ]
    comparison = content["comparison"]
    comparison = {**comparison, "small": _is_small(comparison["n"], comparison["events"])}
    return _template().render(
        **{**content, "gates": gates, "comparison": comparison},
        erased=any(each["touched"] for each in content["history"]["erasures"]),
        style=_style(),
        pending=PENDING,
        marks=_MARKS,
        labels={name: label for name, (label, _) in METRICS.items()},
        for_a_person=FOR_A_PERSON,
        small=_is_small(results["holdout"]["n"], results["holdout"]["events"]),
        metrics=[
            {"label": label, "reading": reading or "", "found": results["metrics"][name]}
            for name, (label, reading) in METRICS.items()
            if name in results["metrics"]
        ],
        pictures=[
            _picture(name, title, pictures[name], results) for name, title in PICTURES.items() if name in pictures
        ],
        files=sorted(files.items()),
        commands=_commands(content["cohort"], content["waivers"]),
    )


def _is_small(n: int, events: int) -> bool:
    """Fewer than 100 events or non-events, after Collins et al. 2016, doi 10.1002/sim.6787."""
    return events < SMALL_N or n - events < SMALL_N


def _commands(cohort: str, waivers: list[dict[str, Any]]) -> dict[str, str]:
    gate, criterion = (waivers[0]["gate"], waivers[0]["criterion"]) if waivers else ("GATE", "CRITERION")
    # Broken where a shell lets a line be continued, so that a copy of it can be pasted.
    signed, more = f"--digest {PENDING}", " \\\n  "
    return {
        "review": f"clinical-assets review {cohort}",
        "approve": more.join(
            (f"clinical-assets approve {cohort}", signed, '--as LOGIN --meaning "WHAT YOU SAY BY SIGNING"')
        ),
        "reject": more.join((f"clinical-assets reject {cohort}", signed, '--as LOGIN --reason "WHY"')),
        "waive": more.join(
            (
                f"clinical-assets waive {cohort}",
                signed,
                f"--gate {gate} --criterion {shlex.quote(criterion)}",
                '--as LOGIN --reason "WHY"',
            )
        ),
        "check": f"clinical-assets dossier {cohort} --check",
    }


def _ordered(verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rank = {"fail": 0, "insufficient": 1, "pass": 2}
    return [{**row, "is_small": _rests_on_few(row)} for row in sorted(verdicts, key=lambda row: rank[row["verdict"]])]


def _rests_on_few(row: Mapping[str, Any]) -> bool:
    """Whether a verdict stands on few patients; a count of files, tests or columns is not meant."""
    if row["n"] is None:
        return False
    if row["gate"] in ("performance", "bias"):
        return row["n"] < SMALL_N or (row["events"] is not None and row["events"] < SMALL_EVENTS)
    return row["n"] < SMALL_N and (row["ci_low"] is not None or row["verdict"] == "insufficient")


def _counted(verdicts: list[dict[str, Any]]) -> str:
    counts = [(word, sum(row["verdict"] == word for row in verdicts)) for word in ("fail", "insufficient", "pass")]
    words = {"fail": "failed", "insufficient": "insufficient", "pass": "passed"}
    return ", ".join(f"{n} {words[word]}" for word, n in counts if n)


def _picture(name: str, title: str, png: bytes, results: Mapping[str, Any]) -> dict[str, str]:
    alt = f"{title}. {_alt(name, results)}".strip()
    # The picture itself carries the word where the records are synthetic; a reader who hears it must be told too.
    return {
        "title": title,
        "alt": f"Synthetic records. {alt}" if results["synthetic"] else alt,
        "source": f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}",
    }


def _alt(name: str, results: Mapping[str, Any]) -> str:
    """What the picture shows, in the numbers that a reader would take from it."""
    metrics, threshold = results["metrics"], results["threshold"]
    told = {label: metrics[label]["value"] for label in metrics}
    if name == "calibration" and "calibration_slope" in told and "calibration_intercept" in told:
        return (
            f"Observed against predicted risk: slope {number(told['calibration_slope'])}, intercept "
            f"{number(told['calibration_intercept'])}."
        )
    if name == "decision_curve" and "net_benefit_advantage" in told:
        return (
            f"At the threshold {share(threshold['value'])} the model's net benefit exceeds the better default by "
            f"{number(told['net_benefit_advantage'])}."
        )
    if name == "cost_curve":
        return f"Cheapest at {share(threshold['optimum'])}; in use is {share(threshold['value'])}."
    if name == "risk_distribution":
        shown = ", ".join(f"{share(tier['share']['value'])} {tier['name']}" for tier in results["tiers"])
        return f"Risks of those with and without the outcome. Share of each tier out of fold: {shown}."
    if name == "contributions":
        largest = ", ".join(list(results["contributions"])[:3])
        return f"Features that move the score most: {largest}."
    if name == "candidates":
        return f"AUROC of each candidate with its interval; {results['selected']} was chosen. The table below has all."
    return ""


def number(value: float | None) -> str:
    """A measured value: whole numbers as such, three decimals of others, one digit of very small ones."""
    if value is None:
        return _NONE
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 1000:
        return f"{value:,.1f}"
    return f"{value:z.3f}" if abs(value) >= 0.001 else f"{value:.1g}"


def fixed(value: float | None) -> str:
    """A measure or an end of its interval with three decimals; null stands for an end that cannot be given."""
    return "unbounded" if value is None else f"{value:z,.3f}"


def bound(value: float | None) -> str:
    """An end of an interval; null stands for an end that cannot be given."""
    return "unbounded" if value is None else number(value)


def share(value: float | None) -> str:
    """A share from 0 to 1 as a percentage with one decimal at most."""
    if value is None or not math.isfinite(value):
        return "unbounded"
    return f"{100 * value:.1f}".removesuffix(".0") + "\N{NO-BREAK SPACE}%"


def _count(value: int | None) -> str:
    return _NONE if value is None else f"{value:,}"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")


def _brief(digest: str) -> str:
    return f"{digest.removeprefix('sha256:')[:16]}…"


def _wrapped(name: str) -> Any:
    """A name with places where a narrow column may break it; everything is escaped."""
    from markupsafe import Markup, escape

    text = str(escape(name))
    for sign in ("_", "[", "/", "="):
        text = text.replace(sign, f"{sign}<wbr>" if sign != "[" else f"<wbr>{sign}")
    # Escaped above; only <wbr> was added.
    return Markup(text)


def _style() -> str:
    from markupsafe import Markup

    # The package's own file, not data.
    return Markup((_TEMPLATES / "dossier.css").read_text(encoding="utf-8"))


def _template() -> Template:
    return _environment().get_template("dossier.html.j2")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    made = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        extensions=[],
    )
    made.filters |= {
        "number": number,
        "bound": bound,
        "fixed": fixed,
        "share": share,
        "count": _count,
        "minute": _minute,
        "brief": _brief,
        "wrapped": _wrapped,
    }
    return made
