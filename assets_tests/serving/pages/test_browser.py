"""A person at the pages: a real server, a real browser, and a judge of accessibility on every screen.

The way is gone without JavaScript and by keyboard; axe judges the same screens in a second browser.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from assets_tests.serving.pages.conftest import NURSE
from assets_tests.serving.pages.test_lists import SUBJECTS
from assets_tests.worlds.ward.api_server import ApiServer, running
from assets_tests.worlds.ward.released import OPEN, Releasable, secret
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.governance.signing.signatures import true_signatures
from clinical_assets.records.prediction_log.segments import read_log

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module")
def place(released_once: Releasable, tmp_path_factory: pytest.TempPathFactory) -> Releasable:
    """A ward of this file's own, of whose waiting model one question could not be answered."""
    made = released_once.copy_to(tmp_path_factory.mktemp("browser"))
    made.judge(bias="insufficient")
    return made


@pytest.fixture(scope="module")
def server(place: Releasable) -> Iterator[ApiServer]:
    with running(place) as made:
        yield made


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def enter(page: Page, server: ApiServer, login: str) -> None:
    page.goto(f"{server.address}/pages/")
    page.fill("#login", login)
    page.fill("#password", secret(login))
    with page.expect_navigation():
        page.keyboard.press("Enter")


def tabbed(page: Page, selector: str, *, most: int = 60) -> None:
    """Go to a control by the Tab key alone."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.locator(f"{selector}:focus").count():
            return
    raise AssertionError(f"{selector} cannot be reached by keyboard")


def pressed(page: Page, key: str) -> None:
    with page.expect_navigation():
        page.keyboard.press(key)


def uploaded(page: Page) -> None:
    page.set_input_files("#file-subjects", {"name": "list.csv", "mimeType": "text/csv", "buffer": SUBJECTS.encode()})


def test_a_nurse_asks_acts_and_hands_in_a_list_by_keyboard_without_javascript(
    server: ApiServer, chromium: Browser, place: Releasable, tmp_path: Path
) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport=PHONE)  # type: ignore[arg-type]
    page = context.new_page()
    enter(page, server, NURSE)
    tabbed(page, "h2 a")
    pressed(page, "Enter")
    tabbed(page, "#record-patient_id")
    page.keyboard.type("X1")
    tabbed(page, "#record-age_years")
    page.keyboard.type("54")
    tabbed(page, '[name="record.sex"]')
    page.keyboard.press("ArrowUp")
    tabbed(page, "form button:not(.second):not(.plain)")
    pressed(page, "Enter")
    assert page.locator(".tier").count() == 1
    tabbed(page, '[name="acted"]')
    page.keyboard.press("Space")
    tabbed(page, "form.act button")
    pressed(page, "Enter")
    assert page.locator('[role="status"]').inner_text() == "Recorded."
    kinds = [line.kind for line in read_log(place.settings, COHORT)]
    assert kinds == ["prediction", "action"]

    page.goto(f"{server.address}/pages/cohorts/{COHORT}/list")
    uploaded(page)
    tabbed(page, "form button:not(.plain)")
    pressed(page, "Enter")
    tabbed(page, '[name="sort"][value="risk"]')
    pressed(page, "Enter")
    assert page.locator('th[aria-sort="ascending"]').count() == 1
    tabbed(page, '[value="file"]')
    with page.expect_download() as found:
        page.keyboard.press("Enter")
    found.value.save_as(tmp_path / "list.csv")
    assert (tmp_path / "list.csv").read_text(encoding="utf-8-sig").count("\n") == 4
    assert len(list(read_log(place.settings, COHORT))) == 5
    context.close()


def test_a_reviewer_waives_and_signs_without_javascript(
    server: ApiServer, chromium: Browser, place: Releasable
) -> None:
    context = chromium.new_context(java_script_enabled=False, viewport=DESK)  # type: ignore[arg-type]
    page = context.new_page()
    enter(page, server, "bob")
    page.goto(f"{server.address}/pages/review/{COHORT}")
    page.check(f'[name="waive.{OPEN[0]}/{OPEN[1]}"]')
    page.fill("#waive-reason", "Too few to judge; watched after release.")
    page.fill("#waive-password", secret("bob"))
    pressed(page, "Enter")
    page.fill("#meaning", "I have read the dossier and agree to the release.")
    page.fill("#approve-password", secret("bob"))
    pressed(page, "Enter")
    assert "Nothing stands against a release." in page.locator("main").inner_text()
    given, problems = true_signatures(place.records, bundle_digest=place.candidate.digest)
    assert ([each.kind for each in given], problems) == (["waiver", "approval"], ())
    context.close()


def test_no_screen_has_an_accessibility_violation_or_scrolls_sideways_on_a_phone(
    server: ApiServer, chromium: Browser, tmp_path: Path
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found: dict[str, Any] = {}

    def judge(name: str) -> None:
        for size in (DESK, PHONE):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            report = axe.run(page, options={"runOnly": RULES}).response
            assert len(report["passes"]) > 10
            found[f"{name} {size['width']}"] = [each["id"] for each in report["violations"]]
            wide = page.evaluate("document.documentElement.scrollWidth")
            found[f"{name} {size['width']} wide"] = [] if wide <= size["width"] else [wide]

    # The judge is a script, which the policy of a screen would refuse.
    context = chromium.new_context(bypass_csp=True, locale="de-DE")
    page = context.new_page()
    page.goto(f"{server.address}/pages/")
    judge("sign in")
    enter(page, server, NURSE)
    judge("cohorts")
    page.goto(f"{server.address}/pages/cohorts/{COHORT}")
    judge("form")
    page.fill("#record-patient_id", "X2")
    page.fill("#record-age_years", "99")
    with page.expect_navigation():
        page.click("form >> text=Risiko zeigen")
    judge("answer")
    page.pdf(path=str(tmp_path / "sheet.pdf"), prefer_css_page_size=True)
    assert (tmp_path / "sheet.pdf").read_bytes().count(b"/Type /Page\n") == 1
    with page.expect_navigation():
        page.click("form.act button")
    judge("answer with a problem")
    page.goto(f"{server.address}/pages/cohorts/{COHORT}/list")
    judge("upload")
    uploaded(page)
    with page.expect_navigation():
        page.click("text=Risiken zeigen")
    judge("list")
    page.goto(f"{server.address}/pages/nothing")
    judge("problem")
    context.close()

    context = chromium.new_context(bypass_csp=True)
    page = context.new_page()
    enter(page, server, "root")
    for path in ("review", f"review/{COHORT}", f"review/{COHORT}/gates/bias", "ledger"):
        page.goto(f"{server.address}/pages/{path}")
        judge(path)
    context.close()
    assert {name: problems for name, problems in found.items() if problems} == {}
    assert len(found) == 4 * 12
