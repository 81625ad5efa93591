"""From the first person to a rollback at the terminal: each command says what it did, or refuses with a cure."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg

from assets_tests.cli.release.conftest import Desk
from assets_tests.worlds.ward.released import (
    OPEN,
    secret,
)
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.signing.people import find_person
from clinical_assets.governance.signing.person_keys import is_signed_by
from clinical_assets.governance.verdicts.verdict import Verdict
from clinical_assets.governance.verdicts.verdict_store import store_verdicts
from clinical_assets.governance.verification import verify_all
from clinical_assets.launch.instance import open_instance
from clinical_assets.modelling.champion import champion_pointer
from clinical_assets.records.ledger.ledger import Ledger

WRONG = "sha256:" + "0" * 64


def test_people_are_added_listed_changed_and_deactivated_and_no_password_is_an_argument(desk: Desk) -> None:
    add = ("people", "add", "erin", "--name", "Erin Eve", "--role", "reviewer", "--account", "erin-pc")
    root, by = secret("root") + "\n", ("--as", "root", "--password-stdin")
    assert "role administrator" in desk.refuses(*add, "--password-stdin", typed="a sentence of erin's own\n")
    assert "fewer than 12" in desk.refuses(*add, *by, typed=root + "short\n")
    added = desk.json(*add, *by, typed=root + "a sentence of erin's own\n")
    assert (added["roles"], added["accounts"], added["proof"]) == (["reviewer"], ["erin-pc"], "password")
    desk.json("people", "roles", "erin", "--role", "statistician", *by, typed=root)
    desk.json("people", "password", "erin", *by, typed=root + "another sentence of hers\n")
    own = ("people", "password", "erin", "--as", "erin", "--password-stdin")
    desk.json(*own, typed="another sentence of hers\na third sentence of hers\n")
    rows = {row["login"]: row for row in desk.json("people", "list")}
    assert rows["erin"]["roles"] == ["statistician"]
    assert desk.json("people", "deactivate", "erin", *by, typed=root)["active"] is False
    assert "Erin Eve" in desk("people", "list").out
    entries = Ledger(desk.made.records).entries(action="person")
    assert [entry.actor for entry in entries if entry.facts["login"] == "erin"] == ["ann"] * 5
    for command in (("people", "add"), ("people", "password"), ("approve",)):
        assert "--password " not in desk(*command, "--help").out


def test_an_administrator_proves_who_they_are_before_people_are_changed(desk: Desk) -> None:
    add = ("people", "add", "ada", "--name", "Ada Ash", "--role", "administrator", "--password-stdin")
    desk.json(*add, "--as", "root", typed=secret("root") + "\nthe sentence of ada ash\n")
    assert "administrator" in desk.refuses("people", "deactivate", "bob")
    by_ada = ("people", "deactivate", "bob", "--as", "ada", "--password-stdin")
    assert "do not belong together" in desk.refuses(*by_ada, typed="not hers\n")
    assert desk.json(*by_ada, typed="the sentence of ada ash\n")["active"] is False
    entry = Ledger(desk.made.records).entries(action="person")[-1]
    assert (entry.actor, entry.facts["by"]) == ("ann", "ada")


def test_people_are_reviewed_and_an_administrator_signs_that_they_were(desk: Desk) -> None:
    told = desk.json("people", "review")
    rows = {row["login"]: row for row in told["people"]}
    assert set(rows) == {"ann", "bob", "carol", "dave", "root"}
    assert rows["bob"]["remark"] == "has never proven who they are"
    assert rows["root"]["remark"] is None
    assert {row["changed_by"] for row in rows.values()} == {"root"}
    assert told["signed"] is None
    sign = ("people", "review", "--reason", "All of them still work here.", "--password-stdin", "--as")
    assert "reviewed by those who hold" in desk.refuses(*sign, "bob", typed=secret("bob") + "\n")
    signed = desk.json(*sign, "root", typed=secret("root") + "\n")["signed"]
    entry = Ledger(desk.made.records).entries(action="review")[-1]
    assert (entry.digest, entry.facts["by"], entry.facts["count"]) == (signed, "root", 5)
    content = {name: value for name, value in entry.facts.items() if name != "signature"}
    key = find_person(desk.made.records, "root")
    assert key is not None
    assert key.public_key is not None
    assert is_signed_by(key.public_key, "review of people", content, entry.facts["signature"])


def test_eight_digits_of_a_digest_are_enough_and_what_is_signed_has_all_of_them(desk: Desk) -> None:
    whole = desk.made.dossier_digest
    short = whole.removeprefix("sha256:")[:8]
    arguments = [short if each == whole else each for each in desk.approve("bob")]
    assert "fewer than 8 digits" in desk.refuses(*[each[:7] if each == short else each for each in arguments])
    bundle = desk.made.candidate.digest.removeprefix("sha256:")[:8]
    assert "not sha256:" in desk.refuses(*[bundle if each == short else each for each in arguments])
    signed = desk.json(*arguments, typed=secret("bob") + "\n")
    assert signed["dossier_digest"] == whole
    shown = desk.json("audit", "show", "--digest", bundle, "--action", "signature")
    assert [row["digest"] for row in shown] == [desk.made.candidate.digest]
    assert desk.json("dossier", COHORT, "--bundle", bundle, "--check")["bundle"] == desk.made.candidate.digest


def test_all_that_could_not_be_judged_is_waived_with_one_reason_and_one_password(desk: Desk) -> None:
    desk.made.judge(bias="insufficient", performance="insufficient", security="insufficient")
    waive = ["waive", COHORT, "--digest", desk.made.dossier_digest, "--as", "bob", "--password-stdin"]
    waive += ["--reason", "All were looked at by hand."]
    typed = secret("bob") + "\n"
    one = desk.json(*waive, "--gate", OPEN[0], "--criterion", OPEN[1], typed=typed)
    assert (one["gate"], one["criterion"]) == OPEN
    assert "write gate/criterion" in desk(*waive, "--criterion", OPEN[1]).err
    assert desk(*waive).code != 0
    rest = desk.json(*waive, "--all", typed=typed)
    assert [(row["gate"], row["reason"]) for row in rest] == [
        ("performance", "All were looked at by hand."),
        ("security", "All were looked at by hand."),
    ]
    assert desk.actions().count("waiver") == 3
    assert "No criterion is left" in desk.refuses(*waive, "--all", typed=typed)


def test_a_review_shows_what_would_be_signed_and_what_is_missing_and_is_entered(desk: Desk) -> None:
    told = desk.json("review", COHORT)
    assert told["synthetic"] is True
    assert told["dossier"]["digest"] == desk.made.dossier_digest
    assert Path(told["dossier"]["index"]).is_file()
    assert {row["outcome"] for row in told["gates"]} == {"pass"}
    assert [row["code"] for row in told["blockers"]] == ["unsigned"]
    shown = desk("review", COHORT).out
    for words in ("SYNTHETIC RECORDS", desk.made.dossier_digest, desk.made.candidate.digest, "Nobody has signed"):
        assert words in shown
    reviews = Ledger(desk.made.records).entries(action="review")
    assert [(entry.actor, entry.facts["dossier_digest"]) for entry in reviews] == [
        ("ann", desk.made.dossier_digest)
    ] * 2


def test_a_review_names_groups_by_their_labels_and_criteria_as_they_are_waived(desk: Desk) -> None:
    store_verdicts(
        desk.made.records,
        cohort=COHORT,
        bundle_digest=desk.made.candidate.digest,
        gate="bias",
        verdicts=[Verdict("bias", "gap[sex=f]", "insufficient", "sex=f has 3 rows.")],
        actor="ann",
        run_id=None,
    )
    shown = " ".join(desk("review", COHORT).out.split())
    assert "gap[sex=f]" in shown
    assert "sex=f: female has 3 rows." in shown
    assert "sex=f has 3 rows." not in shown


def test_from_signature_to_champion_and_dagster_is_told(desk: Desk) -> None:
    refused = desk.refuses("promote", COHORT)
    assert "[unsigned]" in refused
    assert f"clinical-assets approve {COHORT}" in refused
    assert "Nothing serves" in desk("champion", COHORT).out
    assert "may not approve" in desk.refuses(*desk.approve("ann"), typed=secret("ann") + "\n")
    signed = desk.json(*desk.approve("bob"), typed=secret("bob") + "\n")
    assert (signed["printed_name"], signed["role"], signed["reported_to_dagster"]) == ("Bob Brook", "reviewer", True)
    with open_instance() as instance:
        (event,) = instance.fetch_materializations(dg.AssetKey("approval"), limit=5).records
        shown = event.asset_materialization
        assert shown is not None
        assert (event.partition_key, shown.tags["dagster/data_version"]) == (COHORT, desk.made.dossier_digest)
        assert shown.metadata["printed name"].value == "Bob Brook"
    promoted = desk.json("promote", COHORT)
    assert promoted["digest"] == desk.made.candidate.digest
    assert desk.json("champion", COHORT) == promoted
    back = ("rollback", COHORT, "--reason", "Alarms.", "--as", "ann", "--password-stdin")
    assert desk.actions()[-3:] == ["login", "signature", "promotion"]
    assert "first champion" in desk.refuses(*back, typed=secret("ann") + "\n")


def test_the_wrong_digest_is_refused_before_a_password_is_asked_for(desk: Desk) -> None:
    before = desk.actions()
    said = desk.refuses("approve", COHORT, "--digest", WRONG, "--as", "bob", "--meaning", "Yes.", "--password-stdin")
    assert WRONG in said
    assert desk.made.dossier_digest in said
    assert desk.actions() == before


def test_what_could_not_be_judged_is_waived_and_a_rejection_withdrawn(desk: Desk) -> None:
    desk.made.judge(bias="insufficient")
    told = desk.json("review", COHORT)
    (open_one,) = told["not_passed"]
    signed = ("--digest", told["dossier"]["digest"], "--as", "bob", "--password-stdin", "--reason", "Too few.")
    password = secret("bob") + "\n"
    of = ("--gate", open_one["gate"], "--criterion", open_one["criterion"])
    assert desk.json("waive", COHORT, *of, *signed, typed=password)["kind"] == "waiver"
    assert "'pass'" in desk.refuses(
        "waive", COHORT, "--gate", "security", "--criterion", "security_holds", *signed, typed=password
    )
    assert desk.json("reject", COHORT, *signed, typed=password)["kind"] == "rejection"
    assert {"rejected", "unsigned"} == {row["code"] for row in desk.json("review", COHORT)["blockers"]}
    assert desk.json("reject", COHORT, "--withdraw", *signed, typed=password)["kind"] == "withdrawal"
    with open_instance() as instance:
        approval = dg.AssetKey("approval")
        assert len(instance.fetch_materializations(approval, limit=5).records) == 2
        assert len(instance.fetch_observations(approval, limit=5).records) == 1


def test_a_dagster_that_cannot_be_told_takes_no_signature_back(desk: Desk) -> None:
    desk.made.settings.data.joinpath("dagster").write_text("in the way")
    said = desk(*desk.approve("bob"), "--json", typed=secret("bob") + "\n")
    assert (said.code, said.json()["reported_to_dagster"]) == (0, False)
    assert "Signed and kept" in said.err
    assert desk.made.codes() == []


def test_a_rollback_brings_the_champion_before_back(served: Desk) -> None:
    first = served.json("champion", COHORT)
    served.json(*served.approve("carol"), typed=secret("carol") + "\n")
    served.json("promote", COHORT)
    back = ("rollback", COHORT, "--reason", "Alarms on the ward.", "--as", "carol", "--password-stdin")
    assert "do not belong together" in served.refuses(*back, typed="not hers\n")
    assert served.json(*back, typed=secret("carol") + "\n")["digest"] == first["digest"]
    entry = Ledger(served.made.records).entries(action="rollback")[-1]
    assert entry.facts["by"] == "carol"
    assert verify_all(served.made.settings).intact
    assert served.json("champion", COHORT)["digest"] == first["digest"]
    assert "[rolled_back]" in served.refuses("promote", COHORT)


def test_a_first_champion_is_taken_out_of_service_by_whoever_is_on_duty(served: Desk) -> None:
    first = served.json("champion", COHORT)
    reason = ("--reason", "Alarms on the ward.", "--as", "carol", "--password-stdin")
    password = secret("carol") + "\n"
    assert f"clinical-assets retire {COHORT}" in served.refuses("rollback", COHORT, *reason, typed=password)
    assert "do not belong together" in served.refuses("retire", COHORT, *reason, typed="not hers\n")
    retired = served.json("retire", COHORT, *reason, typed=password)
    assert (retired["digest"], retired["retired"]) == (first["digest"], True)
    said = served("champion", COHORT)
    assert (said.code, f"Nothing serves {COHORT}" in said.out, "was retired" in said.out) == (0, True, True)
    assert verify_all(served.made.settings).intact


def test_champion_finishes_what_a_killed_process_left_and_notices_a_pointer_written_by_hand(served: Desk) -> None:
    folder = champion_pointer.serving_folder(served.made.settings, COHORT)
    pointer = json.loads((folder / champion_pointer.POINTER).read_text())
    intent = {"kind": "promotion", "before": None, "dossier_digest": None, "reason": None, "signatures": []}
    journal = {**intent, "champion": {**pointer, "promotion": "another"}}
    (folder / champion_pointer.JOURNAL).write_text(json.dumps(journal), encoding="utf-8")
    said = served("champion", COHORT)
    assert "has been undone" in said.err
    assert pointer["digest"] in said.out
    (folder / champion_pointer.POINTER).write_text(json.dumps({**pointer, "promotion": "made up"}), encoding="utf-8")
    assert "records do not know" in served.refuses("champion", COHORT)
