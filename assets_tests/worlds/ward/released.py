"""A trained cohort on its way to release: registered, judged, with a dossier and people who may sign it.

Made once a session; every test works on a copy. Models come in generations: each is a new training of the cohort.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from assets_tests.worlds.shared import shared_folder
from assets_tests.worlds.ward.trained import COHORT, Trained, opened, train, train_again
from clinical_assets.foundation.settings import (
    ACTOR,
    CATALOGUE,
    DATA,
    KEY,
    KEY_FILE,
    KEYS,
    RECORDS_URI,
    TRACKING_URI,
    Settings,
)
from clinical_assets.governance.candidate.candidate import ReleaseCandidate
from clinical_assets.governance.dossier.dossier import write_dossier
from clinical_assets.governance.dossier.stored_dossier import load_dossier
from clinical_assets.governance.errors import Refused
from clinical_assets.governance.promotion import promotion
from clinical_assets.governance.signing import signatures
from clinical_assets.governance.signing.login import prove
from clinical_assets.governance.signing.people import add_person, find_person
from clinical_assets.governance.signing.person_keys import PersonKey
from clinical_assets.governance.signing.record import Signature
from clinical_assets.governance.signing.signatures import Proof
from clinical_assets.governance.verdicts.verdict import GATES, Outcome, Verdict
from clinical_assets.governance.verdicts.verdict_store import store_verdicts
from clinical_assets.modelling.champion.champion_pointer import Champion
from clinical_assets.modelling.tracking.mlflow_runs import open_run
from clinical_assets.modelling.tracking.registry import register
from clinical_assets.records.database import RecordsDatabase

# ann trained the model (see `trained`); she may sign for models of others.
PEOPLE: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "ann": ("Ann Acker", ("reviewer",)),
    "bob": ("Bob Brook", ("reviewer",)),
    "carol": ("Carol Crane", ("reviewer", "statistician")),
    "dave": ("Dave Dale", ("statistician",)),
}
ROOT = "root"
OPEN = ("bias", "tpr_difference[sex=unknown]")


def secret(login: str) -> str:
    """The password of a person of these tests."""
    return f"{login} says friend and enters"


def administrator(records: RecordsDatabase) -> PersonKey:
    """The key of root, who is added with the first use and signs every change of people."""
    if find_person(records, ROOT) is None:
        add_person(
            records,
            login=ROOT,
            printed_name="Ruth Root",
            roles=["administrator"],
            password=secret(ROOT),
            actor=ROOT,
        )
    return prove(records, ROOT, secret(ROOT), actor=ROOT)


def proof(login: str, **changes: object) -> Proof:
    """A person who shows the right password."""
    return replace(Proof(login=login, secret=secret(login)), **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Releasable:
    """A data folder whose newest model can be signed and promoted."""

    trained: Trained

    @property
    def settings(self) -> Settings:
        return self.trained.settings

    @property
    def records(self) -> RecordsDatabase:
        return RecordsDatabase(self.settings)

    @property
    def candidate(self) -> ReleaseCandidate:
        """The newest model, with the description as it is now."""
        return self.trained.candidate()

    @property
    def dossier_digest(self) -> str:
        return load_dossier(self.settings, COHORT, self.candidate.digest).digest

    def approve(self, login: str = "bob", **changes: object) -> Signature:
        return signatures.approve(
            self.candidate,
            dossier_digest=self.dossier_digest,
            proof=proof(login, **changes),
            meaning="I have read the dossier and agree to the release.",
        )

    def waive(self, login: str = "bob", *, of: tuple[str, str] = OPEN, **changes: object) -> Signature:
        gate, criterion = of
        return signatures.waive(
            self.candidate,
            dossier_digest=self.dossier_digest,
            proof=proof(login, **changes),
            gate=gate,
            criterion=criterion,
            reason="Too few to judge; watched after release.",
        )

    def reject(self, login: str, *, withdraw: bool = False) -> Signature:
        act = signatures.withdraw_rejection if withdraw else signatures.reject
        return act(
            self.candidate, dossier_digest=self.dossier_digest, proof=proof(login), reason="The ward has changed."
        )

    def promote(self) -> Champion:
        return promotion.promote(self.candidate, actor="release")

    def codes(self) -> list[str]:
        """Codes of everything that stands against a release now."""
        return [blocker.code for blocker in promotion.blockers(self.candidate)]

    def judge(self, *, dossier: bool = True, **outcomes: Outcome) -> None:
        """Store a verdict of every gate, ``pass`` unless said otherwise, and write the dossier."""
        candidate = self.candidate
        for gate in GATES:
            outcome = outcomes.get(gate, "pass")
            criterion = OPEN[1] if gate == OPEN[0] else f"{gate}_holds"
            verdict = Verdict(gate, criterion, outcome, f"For tests it is {outcome}.", value=0.5, limit=">= 0.1")
            store_verdicts(
                candidate.records,
                cohort=COHORT,
                bundle_digest=candidate.digest,
                gate=gate,
                verdicts=[verdict],
                actor="automation:gates",
                run_id=None,
            )
        if dossier:
            write_dossier(candidate)

    def next_generation(self) -> Releasable:
        """Train once more, with another seed, and make that model releasable."""
        number = len(list((self.settings.data / "models" / COHORT).glob("*/bundle/manifest.json")))
        self.trained.describe(
            modelling={
                "candidates": ["logistic_ridge"],
                "search": {"trials": 1, "inner_folds": 2, "outer_folds": 2, "seed": 100 + number},
            }
        )
        return releasable(train_again(self.settings))

    def copy_to(self, folder: Path) -> Releasable:
        return Releasable(self.trained.copy_to(folder))


def releasable(trained: Trained) -> Releasable:
    """Register the newest model of a trained cohort, let all gates pass, write the dossier."""
    settings, bundle = trained.settings, trained.training.bundle()
    run = open_run(settings, cohort=COHORT, dagster_run_id=f"run-{bundle.digest[-12:]}", synthetic=True)
    register(bundle, run=run, data_digest="sha256:data", spec_digest="sha256:spec", synthetic=True)
    run.close("FINISHED")
    made = Releasable(trained)
    made.judge()
    return made


def first_release(factory: pytest.TempPathFactory) -> Releasable:
    """One model that nobody has signed yet, once per session; look, do not touch."""
    return Releasable(opened(shared_folder(factory, "first_release", _make_first)))


def second_release(factory: pytest.TempPathFactory) -> Releasable:
    """The first model serves, and a second one waits for signatures, once per session; look, do not touch."""
    first = first_release(factory)
    return Releasable(opened(shared_folder(factory, "second_release", lambda folder: _make_second(first, folder))))


def _make_first(folder: Path) -> None:
    made = releasable(train(folder, rows=300))
    by = administrator(made.records)
    for login, (name, roles) in PEOPLE.items():
        add_person(made.records, login=login, printed_name=name, roles=roles, password=secret(login), actor=ROOT, by=by)


def _make_second(first: Releasable, folder: Path) -> None:
    served = first.copy_to(folder)
    served.approve()
    served.promote()
    served.next_generation()


def put_in_environment(made: Releasable, patch: pytest.MonkeyPatch) -> Releasable:
    """Let the environment say what the settings say, for processes and for the command line."""
    for name, value in environment(made).items():
        patch.setenv(name, value)
    for name in (KEY, KEY_FILE, TRACKING_URI, RECORDS_URI, KEYS, "DAGSTER_HOME"):
        patch.delenv(name, raising=False)
    return made


def environment(made: Releasable) -> dict[str, str]:
    """The variables that name a releasable's folders and its actor."""
    settings = made.settings
    catalogue = os.pathsep.join(map(str, settings.catalogue))
    return {DATA: str(settings.data), CATALOGUE: catalogue, ACTOR: str(settings.actor)}


def approve_in_another_process(folder: str, login: str) -> str:
    """What one of several signers does at once; the code of the refusal, or ``signed``."""
    made = _reopened(folder)
    try:
        made.approve(login)
    except Refused as error:
        return error.code
    return "signed"


def promote_in_another_process(folder: str) -> str:
    """What one of several releases does at once; the id of the promotion that serves afterwards."""
    return _reopened(folder).promote().promotion


def _reopened(folder: str) -> Releasable:
    made = opened(Path(folder))
    return Releasable(replace(made, settings=replace(made.settings, threads=1, lock_patience_s=120)))


def write_by_hand(made: Releasable, *statements: str) -> None:
    """What somebody does who may write the file of records: triggers taken away, rows changed, triggers put back."""
    path = made.settings.records / "records.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        for name, _ in triggers:
            connection.execute(f'DROP TRIGGER "{name}"')
        for statement in statements:
            assert connection.execute(statement).rowcount > 0, statement
        for _, sql in triggers:
            connection.execute(sql)
        connection.commit()


def flip_a_byte(path: Path) -> None:
    """Change one bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def made_again(folder: Path) -> Releasable:
    """What `second_release` gives, made anew in a folder."""
    _make_first(folder / "first")
    _make_second(Releasable(opened(folder / "first")), folder / "second")
    return Releasable(opened(folder / "second"))


def served_twice(folder: Path) -> Releasable:
    """Two models promoted one after another, made anew in a folder."""
    made = made_again(folder)
    made.approve()
    made.promote()
    return made
