"""Signing in and out: who gets in, for how long, and what nobody else can do with it."""

from __future__ import annotations

import re
import time

import httpx

from assets_tests.serving.pages.conftest import BASE, NURSE, OTHER_NURSE, PATIENT, Browser, Visit, few_tries
from assets_tests.worlds.ward.released import ROOT, Releasable, administrator, secret
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.signing.people import deactivate, set_password
from clinical_assets.records.ledger.ledger import Ledger
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.serving.pages.app import Pages, make_pages
from clinical_assets.serving.pages.entrance.tokens import PageSession, PageTokens
from clinical_assets.serving.pages.screens import way_back
from clinical_assets.serving.service import PredictionService

SESSION = PageSession("a name", NURSE, "a key", time.time())


def session_cookie(browser: Browser) -> str:
    return browser.http.cookies["clinical_assets_session"]


def test_nobody_sees_a_screen_without_signing_in(visit: Visit, released: Releasable) -> None:
    async def knock(browser: Browser) -> list[httpx.Response]:
        return [
            await browser.open("/"),
            await browser.open(f"/cohorts/{COHORT}"),
            await browser.send(f"/cohorts/{COHORT}", PATIENT),
            await browser.send(f"/cohorts/{COHORT}/action", {"acted": "yes"}),
        ]

    for response in visit(knock):
        assert (response.status_code, response.headers["location"].partition("?")[0]) == (303, f"{BASE}/sign-in")
    assert list(read_log(released.settings, COHORT)) == []


def test_a_person_signs_in_by_the_password_that_they_sign_with_and_the_ledger_has_it(
    visit: Visit, released: Releasable
) -> None:
    async def enter(browser: Browser) -> tuple[httpx.Response, httpx.Response]:
        return await browser.sign_in(), await browser.open("/")

    entered, first = visit(enter)
    assert (entered.status_code, entered.headers["location"]) == (303, f"{BASE}/")
    assert "Nina Nurse" in first.text
    (entry,) = Ledger(released.records).newest(1, action="login")
    assert (entry.actor, entry.facts["login"]) == ("automation:prediction-api", NURSE)


def test_the_cookie_of_a_session_is_kept_from_scripts_and_other_sites_and_ends_with_the_browser(
    visit: Visit, service: PredictionService
) -> None:
    async def enter(browser: Browser) -> str:
        return (await browser.sign_in()).headers["set-cookie"]

    plain = visit(enter).partition(";")[2].lower()
    assert "httponly" in plain
    assert "samesite=strict" in plain
    assert "max-age" not in plain.partition(",")[0]
    protected = visit(enter, shown=make_pages(service, secure=True), base="https://localhost")
    assert protected.startswith("__Host-")
    assert "; secure" in protected.partition(",")[0].lower()


def test_a_wrong_login_and_a_wrong_password_look_alike_and_stand_in_the_ledger(
    visit: Visit, released: Releasable
) -> None:
    async def fail(browser: Browser) -> list[httpx.Response]:
        return [await browser.sign_in(NURSE, "no such password"), await browser.sign_in("nobody", "no such password")]

    texts = []
    for response in visit(fail):
        assert response.status_code == 401
        assert "clinical_assets_session" not in response.headers.get("set-cookie", "")
        texts.append(re.sub(r'value="[^"]*"', "", response.text))
    assert texts[0] == texts[1]
    refused = Ledger(released.records).newest(2, action="login_refused")
    assert [entry.facts["login"] for entry in refused] == ["nobody", NURSE]


def test_five_wrong_passwords_lock_a_person_also_for_the_right_one(visit: Visit) -> None:
    async def guess(browser: Browser) -> httpx.Response:
        for _ in range(5):
            await browser.sign_in(NURSE, "no such password")
        return await browser.sign_in()

    response = visit(guess)
    assert response.status_code == 401
    assert "Locked" in response.text


def test_an_address_that_guesses_logins_must_wait(visit: Visit, service: PredictionService, pages: Pages) -> None:
    async def guess(browser: Browser) -> list[int]:
        return [(await browser.sign_in(f"nobody{n}", "no such password")).status_code for n in range(5)]

    slow = make_pages(service, secure=False, rates=few_tries())
    assert visit(guess, shown=slow) == [401, 401, 401, 429, 429]


def test_a_form_without_its_own_token_does_nothing(visit: Visit, released: Releasable) -> None:
    async def forge(victim: Browser, other: Browser) -> list[httpx.Response]:
        await victim.sign_in()
        await other.sign_in(OTHER_NURSE)
        await other.open(f"/cohorts/{COHORT}")
        foreign = other.hidden("form")
        path = f"{BASE}/cohorts/{COHORT}"
        return [
            await victim.http.post(path, data=PATIENT),
            await victim.http.post(path, data={**PATIENT, "form": "made up"}),
            await victim.http.post(path, data={**PATIENT, "form": foreign}),
            await victim.http.post(path, json={**PATIENT}),
            await victim.http.post(f"{BASE}/sign-out", data={"form": foreign}),
        ]

    for response in visit(forge, people=2):
        assert response.status_code == 403, response.text
    assert list(read_log(released.settings, COHORT)) == []


def test_a_form_that_another_page_sends_does_nothing(visit: Visit) -> None:
    async def forge(victim: Browser) -> httpx.Response:
        await victim.sign_in()
        await victim.open(f"/cohorts/{COHORT}")
        return await victim.send(f"/cohorts/{COHORT}", PATIENT, headers={"sec-fetch-site": "cross-site"})

    assert visit(forge).status_code == 403


def test_a_cookie_that_was_changed_or_signed_elsewhere_lets_nobody_in(visit: Visit) -> None:
    async def enter(browser: Browser) -> list[int]:
        await browser.sign_in()
        own = session_cookie(browser)
        known = PageTokens(b"another installation").cookie(SESSION)
        statuses = []
        for cookie in (own[:-2] + ("AA" if own[-2:] != "AA" else "BB"), known, "", "a.b.c"):
            browser.http.cookies.clear()
            browser.http.cookies.set("clinical_assets_session", cookie)
            statuses.append((await browser.open("/")).status_code)
        return statuses

    assert visit(enter) == [303, 303, 303, 303]


def test_signing_out_ends_the_session_everywhere_also_for_a_copy_of_its_cookie(
    visit: Visit, service: PredictionService
) -> None:
    async def copy(browser: Browser, thief: Browser) -> tuple[str, list[int]]:
        await browser.sign_in()
        stolen = session_cookie(browser)
        thief.http.cookies.set("clinical_assets_session", stolen)
        before = (await thief.open("/")).status_code
        await browser.open("/")
        await browser.send("/sign-out")
        thief.http.cookies.clear()
        thief.http.cookies.set("clinical_assets_session", stolen)
        return stolen, [before, (await thief.open("/")).status_code]

    stolen, statuses = visit(copy, people=2)
    assert statuses == [200, 303]

    async def again(thief: Browser) -> int:
        thief.http.cookies.set("clinical_assets_session", stolen)
        return (await thief.open("/")).status_code

    # Another process of the server, or this one started anew, reads it in the ledger.
    assert visit(again, shown=make_pages(service, secure=False)) == 303


def test_a_session_ends_when_nobody_asks_and_with_the_shift(visit: Visit, service: PredictionService) -> None:
    async def wait(browser: Browser) -> int:
        await browser.sign_in()
        time.sleep(2.1)
        return (await browser.open("/")).status_code

    short = make_pages(service, secure=False, tokens=PageTokens(b"k" * 32, idle_s=1))
    assert visit(wait, shown=short) == 303
    tokens = PageTokens(b"k" * 32)
    cookie = tokens.cookie(SESSION)
    assert tokens.session(cookie, now=SESSION.began + 8 * 3600 - 1) == SESSION
    assert tokens.session(cookie, now=SESSION.began + 8 * 3600) is None


def test_a_new_password_and_a_person_who_left_end_their_sessions(
    visit: Visit, service: PredictionService, released: Releasable
) -> None:
    fresh = make_pages(service, secure=False)
    fresh.sessions._read_s = 0.0

    async def enter(browser: Browser, other: Browser) -> list[int]:
        await browser.sign_in()
        await other.sign_in(OTHER_NURSE)
        by = administrator(released.records)
        set_password(released.records, NURSE, f"{secret(NURSE)} anew", actor=ROOT, by=by)
        deactivate(released.records, OTHER_NURSE, actor=ROOT, by=by)
        return [(await each.open("/")).status_code for each in (browser, other)]

    assert visit(enter, people=2, shown=fresh) == [303, 303]


def test_the_way_back_after_signing_in_never_leads_to_another_server(visit: Visit) -> None:
    async def enter(browser: Browser) -> list[str]:
        found = []
        for back in ("/\\evil.example", f"/cohorts/{COHORT}"):
            await browser.open("/sign-in", params={"back": back})
            fields = {"login": NURSE, "password": secret(NURSE), "back": back}
            found.append((await browser.send("/sign-in", fields)).headers["location"])
            browser.http.cookies.clear()
        return found

    assert visit(enter) == [f"{BASE}/", f"{BASE}/cohorts/{COHORT}"]
    assert [way_back(each) for each in ("//evil.example/", "https://evil.example/", "", "x" * 301)] == ["/"] * 4
