"""A change control plan over its whole life: what was authorised, what was tested since, how often rows were looked at.

What belongs here: reading that from ledger, stored verdicts and kept rows. What does not: the verdicts on it
(``gates.performance.plan_life``).

Like a model's history, it holds nothing that was done to the candidate itself or after it: judged again, or after its
own promotion, a candidate has the same place in the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from clinical_assets.governance.candidate.approved_terms import plan_digest
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.verdicts.verdict_store import VerdictsChanged, latest_verdicts
from clinical_assets.modelling.trainings.reference import SCHEMA, relation_of
from clinical_assets.records.ledger.entries import Entry
from clinical_assets.records.ledger.facts.models import ChampionFacts, GateVerdictFacts
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.statistics.trials.error_spending import spent_levels
from clinical_assets.warehouse.store.sql_text import literal, quoted

#: Criteria of the performance gate that compare with the authorised version, by measure.
AUTHORISED_CRITERIA = {"auroc": "authorised_auroc", "net_benefit": "authorised_net_benefit"}
#: In their evidence: digest of the version compared with.
AUTHORISED = "authorised"


@dataclass(frozen=True)
class AuthorisedVersion:
    """The model that people released first under a plan.

    Attributes
    ----------
    digest : str
        Of its bundle.
    plan : str
        Digest of the plan.
    at : str
        When it was promoted; ISO 8601, UTC.
    seq : int
        The promotion's entry in the ledger.
    """

    digest: str
    plan: str
    at: str
    seq: int


@dataclass(frozen=True)
class PlanTest:
    """An update that was held against the authorised version: its bundle, its level, whether it was shown no worse."""

    digest: str
    level: float
    shown: bool


@dataclass(frozen=True)
class PlanLife:
    """Where a candidate stands in the life of a plan.

    Attributes
    ----------
    authorised : AuthorisedVersion or None
        None before the first release with signatures.
    tests : tuple of PlanTest
        Updates that were tested before the candidate, oldest first.
    level : float
        One-sided level that is left for the candidate; 0 when the error rate is spent.
    """

    authorised: AuthorisedVersion | None
    tests: tuple[PlanTest, ...]
    level: float


@dataclass(frozen=True)
class HoldoutLooks:
    """How often a candidate's holdout rows were looked at.

    Attributes
    ----------
    mean : float
        Models, this one included, that a row was judged by, averaged over the rows; 1 where all are new.
    models : int
        Models that were trained or judged before this one.
    unknown : int
        Of these, models whose rows are not kept here: each counts as a look at every row.
    n : int
        Rows.
    """

    mean: float
    models: int
    unknown: int
    n: int


def authorised_version(candidate: ReleaseCandidate) -> AuthorisedVersion | None:
    """The first model that people released under the plan of the newest such release before the candidate's own."""
    first: AuthorisedVersion | None = None
    for entry in Ledger(candidate.records).entries(cohort=candidate.cohort, action="promotion"):
        if entry.digest == candidate.digest:
            break
        facts = ChampionFacts.found(entry.facts)
        if facts is None or facts.plan_digest is None or facts.unattended or entry.digest is None:
            continue
        if first is None or first.plan != facts.plan_digest:
            first = AuthorisedVersion(entry.digest, facts.plan_digest, entry.at, entry.seq)
    return first


def plan_life(candidate: ReleaseCandidate) -> PlanLife:
    """What was authorised, what was tested against it before the candidate, and the level that is left for it.

    Under another plan than the one that was signed nothing was tested yet: whoever signs it authorises anew.
    """
    authorised, plan = authorised_version(candidate), candidate.spec.pccp
    earlier: list[tuple[str, bool]] = []
    if authorised is not None and authorised.plan == plan_digest(candidate.spec):
        earlier = list(_tested(candidate, authorised))
    shown = [passed for _, passed in earlier]
    levels = spent_levels(shown, alpha=plan.error_rate, planned=plan.planned_updates)
    tests = tuple(PlanTest(digest, level, passed) for (digest, passed), level in zip(earlier, levels, strict=False))
    return PlanLife(authorised, tests, levels[-1])


def holdout_looks(candidate: ReleaseCandidate) -> HoldoutLooks:
    """Count the models that were judged on the candidate's holdout rows before it; every training reports on them.

    Rows are followed by their key, so new records lower the mean by as much as they are, and one more row resets
    nothing.
    """
    import duckdb

    earlier = list(dict.fromkeys(_before(candidate, _looks(candidate))))
    rows, seen, unknown = 0, 0.0, 0
    keys = ", ".join(map(quoted, candidate.spec.key))
    same = " AND ".join(f"a.{quoted(name)} IS NOT DISTINCT FROM b.{quoted(name)}" for name in candidate.spec.key)
    with candidate.warehouse.reader() as connection:
        ours = f"(SELECT {keys} FROM {relation_of(candidate.digest)} WHERE part = 'holdout')"
        (rows,) = connection.execute(f"SELECT count(*) FROM {ours}").fetchone() or (0,)
        kept = connection.execute(f"SELECT table_name FROM duckdb_tables() WHERE schema_name = {literal(SCHEMA)}")
        names = {f"{SCHEMA}.{quoted(name)}" for (name,) in kept.fetchall()}
        for digest in earlier:
            relation = relation_of(digest)
            if relation not in names:
                unknown += 1
                continue
            try:
                theirs = f"(SELECT {keys} FROM {relation} WHERE part = 'holdout')"
                found = connection.execute(f"SELECT count(*) FROM {ours} a SEMI JOIN {theirs} b ON {same}").fetchone()
            except (duckdb.BinderException, duckdb.ConversionException):
                unknown += 1  # another key: nobody can say that the rows were others
                continue
            seen += (found or (0,))[0]
    mean = 1.0 + unknown + (seen / rows if rows else 0.0)
    return HoldoutLooks(mean, len(earlier), unknown, int(rows))


def _tested(candidate: ReleaseCandidate, authorised: AuthorisedVersion) -> Iterator[tuple[str, bool]]:
    """Bundles that the performance gate held against the authorised version, and whether it passed both criteria."""
    entries = (entry for entry in _judged(candidate) if entry.seq > authorised.seq)
    for digest in dict.fromkeys(_before(candidate, entries)):
        if digest == authorised.digest:
            continue
        try:
            run = latest_verdicts(candidate.records, bundle_digest=digest).get("performance")
        except VerdictsChanged:
            yield digest, False  # spent, and nothing handed on, whatever it said
            continue
        verdicts = run.verdicts if run is not None else ()
        found = [each for each in verdicts if each.criterion in AUTHORISED_CRITERIA.values()]
        if found and all(each.evidence.get(AUTHORISED) == authorised.digest for each in found):
            yield digest, all(each.verdict == "pass" for each in found)


def _looks(candidate: ReleaseCandidate) -> list[Entry]:
    trained = Ledger(candidate.records).entries(cohort=candidate.cohort, action="training")
    return sorted((*trained, *_judged(candidate)), key=lambda entry: entry.seq)


def _judged(candidate: ReleaseCandidate) -> Iterator[Entry]:
    for entry in Ledger(candidate.records).entries(cohort=candidate.cohort, action="gate_verdict"):
        facts = GateVerdictFacts.found(entry.facts)
        if facts is not None and facts.gate == "performance":
            yield entry


def _before(candidate: ReleaseCandidate, entries: Iterator[Entry] | list[Entry]) -> Iterator[str]:
    """Digests of the entries before the first about the candidate itself."""
    for entry in entries:
        if entry.digest == candidate.digest:
            return
        if entry.digest is not None:
            yield entry.digest
