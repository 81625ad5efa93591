"""The candidate models, one module each; this is the only place where a candidate is registered.

What belongs here: a module with a ``CANDIDATE``. A module that is put here is found: descriptions may name it, it
competes, is exported, explained and scored. What all share (missing values, scaling, SMOTE) stands in
``modelling.search.candidates``, limits of settings in ``modelling.search.limits``.
"""

from __future__ import annotations

import difflib
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from clinical_assets.cohorts.external.published import formula_name
from clinical_assets.cohorts.spec import CohortSpec
from clinical_assets.foundation.errors import ClinicalAssetsError, SpecError
from clinical_assets.foundation.yaml_lines import read_yaml
from clinical_assets.modelling.search.candidate_type import AnyCandidate, CandidateType
from clinical_assets.modelling.survival.suitability import unsuited


def _found() -> dict[str, CandidateType]:
    modules = (import_module(f"{__name__}.{module.name}") for module in iter_modules(__path__))
    kinds = sorted((module.CANDIDATE for module in modules), key=lambda kind: kind.simplicity)
    return {kind.name: kind for kind in kinds}


#: Every candidate by name, the simplest first.
KINDS = _found()


def kind_of(candidate: AnyCandidate) -> CandidateType:
    """What a candidate declares, by its name.

    Raises
    ------
    ClinicalAssetsError
        There is none of this name; near names are offered.
    """
    if isinstance(candidate, CandidateType):
        return candidate
    if candidate not in KINDS:
        raise ClinicalAssetsError(f"there is no candidate {candidate!r}.", cure=_cure(candidate))
    return KINDS[candidate]


def refuse_unknown(spec: CohortSpec, path: Path) -> None:
    """Refuse a description that names a candidate which is not registered, or whose outcome it cannot learn from.

    Parameters
    ----------
    spec : CohortSpec
        The description.
    path : Path
        The file that it was read from.

    Raises
    ------
    SpecError
        Naming file, line, key, and the near names.
    """
    for number, name in enumerate(spec.modelling.candidates):
        if name not in KINDS and formula_name(name) not in spec.modelling.published:
            line = read_yaml(path).line(("modelling", "candidates", number))
            where = f"{path}:{line}: modelling.candidates.{number}"
            raise SpecError(f"{where}: there is no candidate {name!r}.", cure=_cure(name, *spec.modelling.published))
        kind = KINDS.get(name)
        if kind is None or not kind.timed:
            continue
        found = unsuited(name, competing=kind.competing, outcome=spec.time_to_event, pooled=spec.modelling.pooled)
        if found is not None:
            line = read_yaml(path).line(("modelling", "candidates", number))
            raise SpecError(f"{path}:{line}: modelling.candidates.{number}: {found[0]}", cure=found[1])


def _cure(name: str, *formulas: str) -> str:
    known = (*KINDS, *formulas)
    near = difflib.get_close_matches(name, known, n=1)
    return f"{f'Did you mean `{near[0]}`? ' if near else ''}Choose among {', '.join(known)}."
