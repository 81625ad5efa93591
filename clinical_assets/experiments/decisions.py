"""Signing a protocol, starting, raising the share, ending: each an entry of the ledger, by a person or an automation.

What belongs here: what each needs, in one transaction. What does not: reading back (``register``), and the reasons for
which an experiment ends by itself (``verdict``).
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from clinical_assets.experiments.permission import challenger_of, refuse_other_champion, refuse_unfit
from clinical_assets.experiments.planning.protocol import ExperimentProtocol
from clinical_assets.experiments.register import (
    ACTION,
    WHAT,
    Experiment,
    experiments_of,
    lacking_signatures,
    running_experiment,
)
from clinical_assets.foundation.canonical import canonical_json
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.signing.login import prove
from clinical_assets.governance.signing.people import find_person
from clinical_assets.governance.signing.person_keys import PersonKey
from clinical_assets.governance.signing.rules import refuse_author, refuse_wordless
from clinical_assets.governance.signing.signatures import Proof
from clinical_assets.records import schema
from clinical_assets.records.actors import current_actor
from clinical_assets.records.ledger.facts.experiments import (
    Evidence,
    ExperimentEvent,
    ExperimentFacts,
    ExperimentVerdict,
)
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.workspace import CohortHandle

_SALT_BYTES = 16
_MEANING = "I approve this protocol, and that it begins with the silent stage."
_BEGINS = "With this signature none is lacking: the silent stage begins."


@dataclass(frozen=True)
class _Act:
    """What somebody signs."""

    event: ExperimentEvent
    meaning: str
    salt: str | None = None
    share: float | None = None
    verdict: ExperimentVerdict | None = None


def sign_protocol(
    cohort: CohortHandle, protocol: ExperimentProtocol, *, proof: Proof, meaning: str = _MEANING
) -> Experiment:
    """Sign a protocol; with the last signature that was lacking, the experiment begins with its silent stage.

    Raises
    ------
    Refused
        ``signed_already``, ``no_role``, ``author_signs``, ``experiment_runs``, ``other_champion``, ``login_refused``,
        ``locked`` ...
    """
    candidate = challenger_of(cohort, protocol)
    refuse_other_champion(cohort, protocol)
    key = _proven(cohort, proof)
    refuse_author(candidate, key.login)
    with cohort.records.write() as connection:
        known = experiments_of(cohort.records, cohort.name, connection=connection)
        running = next((each for each in known if each.runs), None)
        if running is not None:
            raise Refused(
                "experiment_runs",
                f"{running.protocol.name} goes on for {cohort.name}.",
                cure="End it first: clinical-assets experiment stop.",
            )
        found = next((each for each in known if each.protocol.digest == protocol.digest), None)
        signers = {} if found is None else dict(found.signers)
        if found is not None and (found.end is not None or key.login in signers):
            raise Refused(
                "signed_already",
                f"{key.login} signed this protocol before, or it has ended.",
                cure="Let somebody else sign; an experiment that has ended needs a new protocol.",
            )
        roles = tuple(lacking_signatures(protocol, signers))
        facts, seq = _sign(cohort, protocol, connection, key, _Act("signed", meaning), roles=roles, proof=proof)
        if found is None:
            connection.execute(
                schema.experiments.insert().values(
                    digest=protocol.digest,
                    cohort=cohort.name,
                    name=protocol.name,
                    document=canonical_json(protocol.model_dump(mode="json")),
                    entered_at=facts.at,
                    ledger_seq=seq,
                )
            )
        if not lacking_signatures(protocol, {**signers, key.login: str(facts.role)}):
            begin = _Act("started", _BEGINS, salt=secrets.token_hex(_SALT_BYTES), share=0.0)
            _sign(cohort, protocol, connection, key, begin, roles=(str(facts.role),), proof=proof)
        return _now(cohort, protocol, connection)


def raise_share(
    cohort: CohortHandle, *, proof: Proof, share: float, seen: Callable[[Experiment], int], meaning: str
) -> Experiment:
    """Go on to the next stage of the ramp.

    Parameters
    ----------
    cohort : CohortHandle
        The cohort.
    proof : Proof
        Of somebody who decides.
    share : float
        Of the next stage; none is left out.
    seen : callable
        Units that the present stage has seen.
    meaning : str
        What the signer says.

    Raises
    ------
    Refused
        ``nothing_runs``, ``other_stage``, ``too_early``, ``unfit`` (also for what a gate says of the challenger) ...
    """
    running = _running(cohort)
    stage = running.protocol.stage_after(running.share)
    if stage is None or stage.share != share:
        following = "none, this is the last" if stage is None else f"{stage.share:g}"
        raise Refused("other_stage", f"The next share of the ramp is {following}.", cure="Give that with --share.")
    now_at = next(each for each in running.protocol.ramp if each.share == running.share)
    units = seen(running)
    if units < now_at.units:
        raise Refused(
            "too_early",
            f"This stage has seen {units} units; the protocol asks for {now_at.units} before the share is raised.",
            cure="Wait for more.",
        )
    refuse_unfit(cohort, running.protocol)
    return _by_person(cohort, running, proof, _Act("raised", meaning, share=share))


def stop_experiment(cohort: CohortHandle, *, proof: Proof, reason: str) -> Experiment:
    """End what goes on, at once, by somebody who decides.

    Raises
    ------
    Refused
        ``no_reason``, ``nothing_runs``, ``no_role`` ...
    """
    if not reason.strip():
        raise Refused("no_reason", "An end needs a reason.", cure="Say in a sentence why: --reason.")
    return _by_person(cohort, _running(cohort), proof, _Act("ended", reason, verdict="stopped"))


def end_experiment(
    cohort: CohortHandle,
    experiment: Experiment,
    *,
    verdict: ExperimentVerdict,
    rule: str,
    reason: str,
    evidence: Evidence,
    actor: str,
) -> bool:
    """End an experiment without a person, because its protocol says so; False where it had ended meanwhile."""
    with cohort.records.write() as connection:
        running = running_experiment(cohort.records, cohort.name, connection=connection)
        if running is None or running.protocol.digest != experiment.protocol.digest:
            return False
        facts = ExperimentFacts(
            event="ended",
            experiment=running.protocol.name,
            protocol=running.protocol.digest,
            at=dt.datetime.now(dt.UTC).isoformat(timespec="microseconds"),
            verdict=verdict,
            rule=rule,
            evidence=evidence,
        )
        Ledger(cohort.records).append(
            ACTION,
            actor=actor,
            cohort=cohort.name,
            digest=running.protocol.digest,
            reason=reason,
            facts=facts,
            connection=connection,
        )
    return True


def _running(cohort: CohortHandle) -> Experiment:
    running = running_experiment(cohort.records, cohort.name)
    if running is None:
        raise Refused(
            "nothing_runs",
            f"No experiment of {cohort.name} goes on.",
            cure="clinical-assets experiment status shows all.",
        )
    return running


def _by_person(cohort: CohortHandle, running: Experiment, proof: Proof, act: _Act) -> Experiment:
    key = _proven(cohort, proof)
    protocol = running.protocol
    with cohort.records.write() as connection:
        now = running_experiment(cohort.records, cohort.name, connection=connection)
        if now is None or (now.protocol.digest, now.share) != (protocol.digest, running.share):
            raise Refused("changed", "The experiment changed meanwhile.", cure="Look at its status, and decide again.")
        _sign(cohort, protocol, connection, key, act, roles=protocol.roles, proof=proof)
        return _now(cohort, protocol, connection)


def _proven(cohort: CohortHandle, proof: Proof) -> PersonKey:
    actor = current_actor(cohort.settings)
    return prove(
        cohort.records, proof.login, proof.secret, actor=actor, authenticator=proof.authenticator, now=proof.now
    )


def _now(cohort: CohortHandle, protocol: ExperimentProtocol, connection: sa.Connection) -> Experiment:
    found = experiments_of(cohort.records, cohort.name, connection=connection)
    return next(each for each in found if each.protocol.digest == protocol.digest)


def _sign(
    cohort: CohortHandle,
    protocol: ExperimentProtocol,
    connection: sa.Connection,
    key: PersonKey,
    act: _Act,
    *,
    roles: Sequence[str],
    proof: Proof,
) -> tuple[ExperimentFacts, int]:
    """Enter what a person's key signs, as one of some roles; the facts, and the number of the entry."""
    refuse_wordless("meaning", act.meaning)
    person = find_person(cohort.records, key.login, connection=connection)
    if person is None or not person.active or person.public_key != key.public_key:
        raise Refused("login_refused", f"{key.login} may no longer sign.", cure="Let somebody else sign.")
    held = [each for each in roles if each in person.roles and proof.role in (None, each)]
    if not held:
        raise Refused(
            "no_role",
            f"{person.printed_name} holds no role that is asked for here: {', '.join(roles)}.",
            cure="Let somebody sign who holds one.",
        )
    given: dict[str, Any] = {"salt": act.salt, "share": act.share, "verdict": act.verdict}
    unsigned = ExperimentFacts(
        event=act.event,
        experiment=protocol.name,
        protocol=protocol.digest,
        at=(proof.now or dt.datetime.now(dt.UTC)).astimezone(dt.UTC).isoformat(timespec="microseconds"),
        by=key.login,
        printed_name=person.printed_name,
        role=held[0],
        meaning=act.meaning.strip(),
        public_key=key.public_key,
        **{name: value for name, value in given.items() if value is not None},
    )
    facts = unsigned.model_copy(update={"signature": key.sign(WHAT, unsigned.signed_content())})
    entry = Ledger(cohort.records).append(
        ACTION,
        actor=key.login,
        cohort=cohort.name,
        digest=protocol.digest,
        reason=facts.meaning,
        facts=facts,
        connection=connection,
    )
    return facts, entry.seq
