"""Running the gates on a release candidate, one after another, and keeping what each says."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from clinical_assets.foundation.errors import ClinicalAssetsError
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.verdicts.verdict import GATES, Gate, Verdict, module_of
from clinical_assets.governance.verdicts.verdict_store import store_verdicts

GateProgress = Callable[[str], object]
BROKEN = "gate_ran"
#: Fact of the ledger's entry: digest of what the verdicts rest on.


class GateBroken(ClinicalAssetsError):
    """A gate that could not come to its verdicts; a failing verdict that says so is stored in their place."""


def evaluate_gates(
    candidate: ReleaseCandidate,
    *,
    gates: Sequence[Gate] = GATES,
    actor: str,
    run_id: str | None = None,
    basis: str | None = None,
    progress: GateProgress | None = None,
) -> dict[Gate, tuple[Verdict, ...]]:
    """Evaluate gates in this order and store each as soon as it is done.

    Parameters
    ----------
    candidate : ReleaseCandidate
        What is judged; verdicts are bound to its digest.
    gates : sequence of str
        Which; by default all.
    actor : str
        Account in whose name they run, for the ledger.
    run_id : str, optional
        The run that evaluates them.
    basis : str, optional
        Digest of what the verdicts rest on, for the ledger; see ``basis``.
    progress : callable, optional
        Told in words after each gate.

    Returns
    -------
    dict
        Verdicts by gate.

    Raises
    ------
    GateBroken
        A gate raised an error. The others were evaluated and stored; for this one a failing verdict ``gate_ran``
        stands in the store, so that an earlier pass no longer counts.
    """
    said: dict[Gate, tuple[Verdict, ...]] = {}
    broken: dict[Gate, ClinicalAssetsError] = {}
    for number, gate in enumerate(gates, start=1):
        module = importlib.import_module(module_of(gate))
        try:
            verdicts: tuple[Verdict, ...] = module.evaluate(candidate)
        except ClinicalAssetsError as error:
            broken[gate] = error
            verdicts = (Verdict(gate, BROKEN, "fail", f"The gate could not be evaluated: {error}"),)
        kept = store_verdicts(
            candidate.records,
            cohort=candidate.cohort,
            bundle_digest=candidate.digest,
            gate=gate,
            verdicts=verdicts,
            actor=actor,
            run_id=run_id,
            basis=basis,
        )
        said[gate] = kept.verdicts
        if progress is not None:
            progress(f"gate {gate} ({number} of {len(gates)}): {kept.outcome}, {len(kept.verdicts)} criteria")
    if broken:
        told = "\n".join(f"  - {gate}: {error.message}" for gate, error in broken.items())
        cures = " ".join(dict.fromkeys(error.cure for error in broken.values() if error.cure))
        raise GateBroken(f"cohort {candidate.cohort}: gates could not be evaluated.\n{told}", cure=cures or None)
    return said
