"""Screens for reviewers: what waits, what stands against it, signing with the password again, the ledger."""

from __future__ import annotations

import html
import re

import httpx
import pytest

from assets_tests.serving.pages.conftest import BASE, Browser, Visit, few_tries
from assets_tests.serving.pages.test_patients import text_of
from assets_tests.worlds.ward.released import OPEN, ROOT, Releasable, secret, write_by_hand
from assets_tests.worlds.ward.trained import COHORT
from assets_tests.worlds.ward.trial import ward_trial
from clinical_assets.experiments.reports import write_reports
from clinical_assets.experiments.watching import view_experiment
from clinical_assets.governance.signing.record import Signature
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.serving.pages.app import make_pages
from clinical_assets.serving.service import PredictionService

REVIEW = f"/review/{COHORT}"


async def signed(browser: Browser, act: str, login: str = "bob", **fields: str) -> httpx.Response:
    digest = browser.hidden("dossier")
    return await browser.send(REVIEW, {"act": act, "dossier": digest, "password": secret(login), **fields})


def given(released: Releasable) -> list[tuple[str, str, str, str | None]]:
    found, problems = true_signatures(released.records, bundle_digest=released.candidate.digest)
    assert problems == ()
    return [(each.kind, each.login, each.role, each.reason) for each in found]


@pytest.fixture
def undecided(released: Releasable) -> Releasable:
    """A question of the waiting model could not be answered."""
    released.judge(bias="insufficient")
    return released


def test_the_queue_says_what_each_dossier_waits_for(undecided: Releasable, visit: Visit) -> None:
    async def read(browser: Browser) -> str:
        await browser.sign_in("bob")
        return (await browser.open("/review")).text

    text = text_of(visit(read))
    assert "waits for people" in text
    assert "4 of 5 pass; bias: insufficient" in text
    assert "1 signature of reviewer" in text


def test_the_queue_shows_the_experiment_that_goes_on_and_its_page(released: Releasable, visit: Visit) -> None:
    trial = ward_trial(released)
    trial.begin()

    async def read(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in("bob")
        path = f"{REVIEW}/experiments/second_model"
        silent = [await browser.open("/review"), await browser.open(path)]
        trial.expose()
        write_reports(released.settings, trial.cohort.spec, view_experiment(trial.cohort, trial.running))
        live = [await browser.open("/review"), await browser.open(path)]
        other = released.settings.data / "reports" / COHORT / "experiments" / "other.html"
        other.write_text("nobody signed this")
        return [*silent, *live, await browser.open(f"{REVIEW}/experiments/other")]

    silent, early, live, page, other = visit(read)
    assert "second_model silent" in text_of(silent.text)
    assert "second_model live" in text_of(live.text)
    assert "The challenger answers for 50 %." in text_of(live.text)
    assert [each.status_code for each in (early, page, other)] == [403, 200, 403]
    assert "sandbox" in page.headers["content-security-policy"]


def test_a_review_shows_gates_change_and_what_is_missing_and_enters_once_that_it_was_read(
    undecided: Releasable, visit: Visit
) -> None:
    async def read(browser: Browser) -> list[str]:
        await browser.sign_in("bob")
        pages = [(await browser.open(REVIEW)).text for _ in range(2)]
        return [*pages, (await browser.open(f"{REVIEW}/gates/bias")).text]

    page, _, gate = map(text_of, visit(read))
    assert undecided.dossier_digest in page
    assert f"{OPEN[0]}/{OPEN[1]}" in page
    assert "Signatures of the role reviewer: 1" in page
    assert "Both models on the same" in page
    assert "calibration_slope" in page
    assert OPEN[1] in gate
    (entry,) = Ledger(undecided.records).entries(action="review")
    assert (entry.actor, entry.facts["dossier_digest"]) == ("bob", undecided.dossier_digest)


def test_waivers_and_an_approval_are_the_signatures_of_the_command_line_and_release_the_model(
    undecided: Releasable, visit: Visit, service: PredictionService
) -> None:
    told: list[Signature] = []

    async def walk(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in("bob")
        await browser.open(REVIEW)
        reason = "Too few to judge; watched after release."
        waived = await signed(browser, "waive", reason=reason, **{f"waive.{OPEN[0]}/{OPEN[1]}": "yes"})
        return [waived, await signed(browser, "approve", meaning="I have read the dossier and agree.")]

    waived, approved = visit(walk, shown=make_pages(service, secure=False, on_signed=told.append))
    assert (waived.status_code, approved.status_code) == (200, 200)
    assert "Nothing stands against a release." in approved.text
    assert given(undecided) == [
        ("waiver", "bob", "reviewer", "Too few to judge; watched after release."),
        ("approval", "bob", "reviewer", None),
    ]
    assert [each.kind for each in told] == ["waiver", "approval"]
    assert undecided.promote().digest == undecided.candidate.digest


def test_a_rejection_blocks_until_whoever_gave_it_withdraws_it(released: Releasable, visit: Visit) -> None:
    async def walk(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in("bob")
        await browser.open(REVIEW)
        return [
            await signed(browser, "reject", reason="The ward has changed."),
            await signed(browser, "withdraw", reason="It has not."),
        ]

    rejected, withdrawn = visit(walk)
    assert 'value="withdraw"' in rejected.text
    assert 'value="reject"' in withdrawn.text
    assert [each[0] for each in given(released)] == ["rejection", "withdrawal"]


def test_nothing_is_signed_without_the_right_password_a_reason_and_the_dossier_that_was_read(
    undecided: Releasable, visit: Visit
) -> None:
    async def walk(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in("bob")
        await browser.open(REVIEW)
        return [
            await signed(browser, "approve", meaning="Yes.", password="no such password"),
            await signed(browser, "approve", meaning=" "),
            await signed(browser, "approve", meaning="Yes.", dossier="sha256:" + "0" * 64),
            await signed(browser, "waive", reason="Why not."),
            await signed(browser, "waive", reason="Why not.", **{"waive.performance/performance_holds": "yes"}),
            await signed(browser, "promote", meaning="Yes."),
        ]

    for response in visit(walk):
        assert response.status_code == 422
        assert 'role="alert"' in response.text
    assert given(undecided) == []
    assert Ledger(undecided.records).newest(1, action="login_refused")[0].facts["login"] == "bob"


def test_guessing_a_password_at_signing_counts_towards_the_lock(released: Releasable, visit: Visit) -> None:
    async def walk(browser: Browser) -> httpx.Response:
        await browser.sign_in("bob")
        await browser.open(REVIEW)
        for _ in range(5):
            await signed(browser, "approve", meaning="Yes.", password="no such password")
        return await signed(browser, "approve", meaning="Yes.")

    response = visit(walk)
    assert response.status_code == 422
    assert "locked" in response.text
    assert given(released) == []


def test_an_address_that_guesses_at_signing_must_wait(visit: Visit, service: PredictionService) -> None:
    async def walk(browser: Browser) -> list[int]:
        await browser.sign_in("bob")
        await browser.open(REVIEW)
        return [
            (await signed(browser, "approve", meaning="Yes.", password="no such password")).status_code
            for _ in range(4)
        ]

    slow = make_pages(service, secure=False, rates=few_tries())
    assert visit(walk, shown=slow) == [422, 422, 422, 429]


def test_who_made_the_model_approves_nothing_and_a_clinician_sees_no_review(released: Releasable, visit: Visit) -> None:
    async def walk(author: Browser, nurse: Browser) -> list[httpx.Response]:
        await author.sign_in("ann")
        await author.open(REVIEW)
        refused = await signed(author, "approve", login="ann", meaning="Mine.")
        await nurse.sign_in()
        paths = ("/review", REVIEW, f"{REVIEW}/dossier", f"{REVIEW}/monitoring", f"{REVIEW}/gates/bias", "/ledger")
        seen = [await nurse.open(path) for path in paths]
        await nurse.open("/")
        return [refused, *seen, await nurse.send(REVIEW, {"act": "approve", "password": secret("nina")})]

    refused, *hidden = visit(walk, people=2)
    assert refused.status_code == 422
    assert "started the training" in refused.text
    assert [each.status_code for each in hidden] == [403] * 7
    assert given(released) == []


def test_a_signature_needs_the_token_of_its_form(released: Releasable, visit: Visit) -> None:
    async def walk(browser: Browser) -> int:
        await browser.sign_in("bob")
        await browser.open(REVIEW)
        fields = {"act": "approve", "dossier": browser.hidden("dossier"), "password": secret("bob"), "meaning": "Yes."}
        return (await browser.http.post(BASE + REVIEW, data=fields)).status_code

    assert visit(walk) == 403
    assert given(released) == []


def test_the_dossier_is_shown_as_it_was_written_and_may_do_nothing(released: Releasable, visit: Visit) -> None:
    async def read(browser: Browser) -> httpx.Response:
        await browser.sign_in("bob")
        return await browser.open(f"{REVIEW}/dossier")

    response = visit(read)
    assert released.dossier_digest in response.text
    assert "sandbox" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]


def test_the_ledger_is_a_timeline_that_can_be_verified(released: Releasable, visit: Visit) -> None:
    async def read(browser: Browser) -> list[str]:
        await browser.sign_in(ROOT)
        first = (await browser.open("/ledger")).text
        intact = (await browser.send("/ledger", {"cohort": "", "action": ""})).text
        older = re.search(r'href="/pages(/ledger\?before=\d+)"', first)
        assert older is not None
        second = (await browser.open(html.unescape(older[1]))).text
        await browser.open("/ledger")
        write_by_hand(released, "UPDATE ledger SET actor = 'mallory' WHERE seq = 3")
        return [first, intact, second, (await browser.send("/ledger", {"cohort": "", "action": ""})).text]

    first, intact, second, broken = visit(read)
    assert "✓ intact" in intact
    assert "✗ not intact" in broken
    numbers = [[int(n) for n in re.findall(r'<td role="cell" class="n">(\d+)</td>', page)] for page in (first, second)]
    assert numbers[0] == sorted(numbers[0], reverse=True)
    assert numbers[1][0] == numbers[0][-1] - 1


def test_a_reviewer_reads_the_entries_of_their_own_cohorts_alone(released: Releasable, visit: Visit) -> None:
    async def read(browser: Browser) -> str:
        await browser.sign_in("bob")
        return (await browser.open("/ledger", params={"cohort": "", "action": "person"})).text

    page = visit(read)
    assert "printed_name" not in page
    assert f"<option selected>{COHORT}</option>" in page
