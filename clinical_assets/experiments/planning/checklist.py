"""Items of SPIRIT-AI and DECIDE-AI: where the protocol or the records answer each, and which a person must answer.

What belongs here: the items and how they are filled. What does not: the texts of the guidelines, which stand there.

Sources: Cruz Rivera et al. 2020 (SPIRIT-AI), doi 10.1038/s41591-020-1037-7; Vasey et al. 2022 (DECIDE-AI), doi
10.1038/s41591-022-01772-9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.experiments.planning.protocol import ExperimentProtocol

_Answer = Callable[[ExperimentProtocol, CohortSpec], str]


@dataclass(frozen=True)
class ChecklistItem:
    """One item of a guideline and its answer.

    Attributes
    ----------
    key : str
        ``spirit-ai/4`` or ``decide-ai/II``: how a protocol's ``items`` names it.
    asks : str
        What it asks for, in short.
    answer : str or None
        None until a person says it.
    by_person : bool
        Whether only a person can answer it.
    """

    key: str
    asks: str
    answer: str | None
    by_person: bool


def _guardrails(protocol: ExperimentProtocol, _: CohortSpec) -> str:
    return "; ".join(f"{each.name} at most {each.limit:g}" for each in protocol.guardrails)


def _human(_: ExperimentProtocol, spec: CohortSpec) -> str:
    return "; ".join(f"{tier.name}: {tier.action}" for tier in spec.decisions.tiers)


#: Items that protocol and description answer.
_FILLED: tuple[tuple[str, str, _Answer], ...] = (
    ("spirit-ai/1", "Says in title and summary that AI intervenes", lambda p, s: f"{p.title}. {s.title}."),
    ("spirit-ai/6a", "Intended use of the model in the pathway", lambda _, s: s.intended_use),
    ("spirit-ai/6a-ii", "Existing evidence", lambda p, _: f"Dossiers of {p.champion} and {p.challenger}."),
    ("spirit-ai/9", "Site requirements", lambda *_: "A caller of the prediction API; see docs/serving.md."),
    (
        "spirit-ai/10",
        "Eligibility of input data",
        lambda _, s: f"Described columns of {', '.join(s.tables)}; else refused.",
    ),
    ("spirit-ai/11a-i", "Version of the model", lambda p, _: f"{p.challenger} against {p.champion}."),
    ("spirit-ai/11a-ii", "How input data are acquired and selected", lambda _, s: s.data.source),
    ("spirit-ai/11a-iii", "Poor or unavailable input", lambda *_: "Refused or warned of by name; see docs/serving.md."),
    ("spirit-ai/11a-v", "Output of the model", lambda *_: "Class, tier, action; with rights risk and reasons."),
    ("spirit-ai/11a-vi", "How output leads to decisions", _human),
    ("spirit-ai/22", "Harms and errors", _guardrails),
    ("decide-ai/I", "Intended use and version", lambda p, s: f"{s.intended_use} Bundle {p.challenger}."),
    ("decide-ai/V", "Implementation: data and workflow", lambda *_: "Through the prediction API, behind the champion."),
    ("decide-ai/VI", "Safety and errors", _guardrails),
    (
        "decide-ai/X",
        "Performance: outcome",
        lambda p, _: f"{p.outcome.description} After {p.outcome.horizon_days:g} days.",
    ),
)
#: Items that only a person can answer.
_ASKED: tuple[tuple[str, str], ...] = (
    ("spirit-ai/11a-iv", "Human-AI interaction and the expertise of users"),
    ("spirit-ai/29", "Access to the intervention and its code"),
    ("spirit-ai/24", "Ethics approval"),
    ("decide-ai/III", "Users: who they are, how they are trained"),
    ("decide-ai/VII", "Human factors: usability"),
    ("decide-ai/XIII", "Ethics and equity"),
    ("decide-ai/XV", "Who stands by while the model is in use"),
)
ITEMS = frozenset([key for key, _, _ in _FILLED] + [key for key, _ in _ASKED])


def checklist(protocol: ExperimentProtocol, spec: CohortSpec) -> tuple[ChecklistItem, ...]:
    """Every item with its answer; what a person says in the protocol stands before what can be filled in."""
    said = protocol.items
    return (
        *(ChecklistItem(key, asks, said.get(key) or fill(protocol, spec), False) for key, asks, fill in _FILLED),
        *(ChecklistItem(key, asks, said.get(key), True) for key, asks in _ASKED),
    )
