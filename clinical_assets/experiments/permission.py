"""May a challenger take part? What must hold before people are exposed to it, and whenever a server loads it.

What belongs here: the checks. What does not: who signed the protocol (``register``).

A challenger was not promoted, so that no promotion vouches for it. In its place stand the signed protocol, the digest
of every file of its bundle, and the gates: whatever blocks a promotion blocks an exposure, but for the signatures for
the release itself, which the experiment is to inform.
"""

from __future__ import annotations

from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.experiments.register import Experiment
from clinical_assets.governance.candidate.candidate import ReleaseCandidate, candidate_of
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion.blockers import blockers
from clinical_assets.governance.verdicts.verdict import GATES
from clinical_assets.governance.verdicts.verdict_store import latest_verdicts
from clinical_assets.modelling.bundle.bundle import Bundle
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.workspace import CohortHandle

#: Blockers of a release that are about its signatures alone.
_OF_THE_RELEASE = frozenset(
    {"unsigned", "signature_expired", "unsigned_by_key", "other_dossier", "rolled_back", "plan_changed"}
)


def challenger_of(cohort: CohortHandle, protocol: ExperimentProtocol) -> ReleaseCandidate:
    """The challenger with its training, verified file by file; errors as `candidate_of`."""
    return candidate_of(cohort, digest=protocol.challenger)


def refuse_other_champion(cohort: CohortHandle, protocol: ExperimentProtocol) -> None:
    """Refuse a protocol whose champion does not serve.

    Raises
    ------
    Refused
        ``other_champion``.
    """
    serving = champion_pointer.current(cohort.settings, cohort.name)
    if serving is None or serving.digest != protocol.champion:
        raise Refused(
            "other_champion",
            f"The protocol compares with {protocol.champion}, but {cohort.name} is served by "
            f"{'nothing' if serving is None else serving.digest}.",
            cure="Write a protocol against what serves.",
        )


def refuse_unfit(cohort: CohortHandle, protocol: ExperimentProtocol) -> None:
    """Refuse to expose anybody to a challenger that could not be released but for signatures.

    Raises
    ------
    Refused
        ``other_champion``; ``unfit``, with everything that stands against it.
    """
    refuse_other_champion(cohort, protocol)
    candidate = challenger_of(cohort, protocol)
    found = [each for each in blockers(candidate, ask_registry=False) if each.code not in _OF_THE_RELEASE]
    if found:
        told = "\n".join(f"- {each.message} [{each.code}]" for each in found)
        cures = "\n".join(dict.fromkeys(f"- {each.cure}" for each in found))
        raise Refused("unfit", f"{cohort.name}: nobody may be exposed to the challenger.\n{told}", cure=f"\n{cures}")


def challenger_bundle(cohort: CohortHandle, experiment: Experiment) -> Bundle:
    """The bundle that takes part in an experiment, as a server must ask for it.

    Raises
    ------
    Refused
        ``other_champion``; ``unfit``: a gate fails, or has said nothing, while people are exposed.
    BundleError
        A file of the bundle was changed.
    NoTraining
        It is not there.
    """
    protocol = experiment.protocol
    refuse_other_champion(cohort, protocol)
    bundle = challenger_of(cohort, protocol).bundle
    if experiment.share > 0:
        runs = latest_verdicts(cohort.records, bundle_digest=bundle.digest)
        failing = [gate for gate in GATES if gate not in runs or any(v.verdict == "fail" for v in runs[gate].verdicts)]
        if failing:
            raise Refused(
                "unfit",
                f"{cohort.name}: the challenger fails, or was not judged by, {', '.join(failing)}.",
                cure=f"End the experiment: clinical-assets experiment stop {cohort.name}",
            )
    return bundle
