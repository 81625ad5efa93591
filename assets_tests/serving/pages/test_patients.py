"""Screens for clinicians: the form, the answer, and what was done with it."""

from __future__ import annotations

import html
import json
import re
from html.parser import HTMLParser

import httpx
import pytest
import yaml

from assets_tests.serving.pages.conftest import BASE, OTHER_NURSE, PATIENT, Browser, Visit
from assets_tests.worlds.ward.api_server import name_of, path_of, record
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.prediction_log.lines import ACTION, PREDICTION
from clinical_assets.records.prediction_log.segments import read_log

FORM = f"/cohorts/{COHORT}"
HOSTILE = "<script>alert(1)</script>\"' onload=x"


class Attributes(HTMLParser):
    """Names of all attributes and elements of a page, as a browser reads it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {name for name, _ in attrs} | {f"<{tag}>"}

    @classmethod
    def of(cls, page: str) -> set[str]:
        reader = cls()
        reader.feed(page)
        return reader.found


def text_of(page: str) -> str:
    """A page without its tags and stylesheet."""
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", body)).split())


def test_a_form_has_label_unit_limits_and_what_may_be_left_out_of_every_column(visit: Visit) -> None:
    async def read(browser: Browser) -> str:
        await browser.sign_in()
        return (await browser.open(FORM)).text

    page = visit(read)
    assert 'label for="record-age_years">Age' in page
    assert 'name="record.age_years" type="number"' in page
    assert 'min="0" max="120" step="1"' in page
    assert "0 to 120 years." in page
    assert 'name="record.sex" value="f"' in page
    assert 'name="visits.0.visit_number"' in page
    assert "died" not in page
    assert re.search(r'id="record-patient_id"[^>]* required', page)
    assert not re.search(r'id="record-age_years"[^>]* required', page)


def test_a_page_shows_the_answer_of_the_api_after_it_was_logged_under_the_persons_name(
    visit: Visit, released: Releasable
) -> None:
    async def ask(browser: Browser) -> tuple[str, httpx.Response]:
        await browser.sign_in()
        await browser.open(FORM)
        shown = await browser.send(FORM, PATIENT)
        return shown.text, await browser.http.post(path_of("predict"), json={"records": [record()]})

    page, answer = visit(ask)
    by_page, by_program = read_log(released.settings, COHORT)
    (given,) = answer.json()["predictions"]
    assert (by_page.key, by_page.kind) == ("person:nina", PREDICTION)
    assert by_page.content is not None
    assert by_program.content is not None
    same = ("features", "groups", "risk", "log_odds", "class", "tier", "subject", "unit", "warnings")
    assert {name: by_page.content[name] for name in same} == {name: by_program.content[name] for name in same}
    text = text_of(page)
    assert name_of(by_page) in text
    assert f"Tier: {given['tier']}" in text
    assert given["action"] in text
    assert f"{100 * given['risk']:.1f}".removesuffix(".0") in text
    assert f"“dead” is expected of about {round(100 * given['risk'])}." in text
    interval = given["risk_interval"]
    for end in ("low", "high", "other_tier_prob"):
        assert f"{100 * interval[end]:.1f}".removesuffix(".0") in text
    assert "95 % interval of the risk of people with the same values:" in text
    assert answer.json()["model"]["uncertainty"] in text
    assert "Not for: Patients." in text
    for each in given["reasons"]["contributions"]:
        assert each["label"] in text


def test_what_was_done_is_on_record_once(visit: Visit, released: Releasable) -> None:
    async def act(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in()
        await browser.open(FORM)
        await browser.send(FORM, PATIENT)
        fields = {"acted": "no", "reason": "The family declined.", "sealed": browser.hidden("sealed")}
        return [
            await browser.send(f"{FORM}/action", {**fields, "reason": " "}),
            await browser.send(f"{FORM}/action", fields),
            await browser.send(f"{FORM}/action", fields),
        ]

    wordless, first, second = visit(act)
    assert (wordless.status_code, first.status_code, second.status_code) == (422, 200, 200)
    assert "Say in a few words why not." in wordless.text
    assert "Recorded." in first.text
    assert "on record already" in second.text
    prediction, action = read_log(released.settings, COHORT)
    assert action.kind == ACTION
    assert action.content is not None
    assert action.content["prediction"] == prediction.seq
    assert (action.content["acted"], action.content["override_reason"]) == (False, "The family declined.")


def test_an_answer_is_taken_back_only_from_whoever_it_was_given_to(visit: Visit, released: Releasable) -> None:
    async def act(browser: Browser, other: Browser) -> list[int]:
        await browser.sign_in()
        await browser.open(FORM)
        await browser.send(FORM, PATIENT)
        sealed = browser.hidden("sealed")
        await other.sign_in(OTHER_NURSE)
        await other.open(FORM)
        return [
            (await other.send(f"{FORM}/action", {"acted": "yes", "sealed": sealed})).status_code,
            (await other.send(f"{FORM}/action", {"acted": "yes", "sealed": sealed + "x"})).status_code,
        ]

    assert visit(act, people=2) == [403, 403]
    assert len(list(read_log(released.settings, COHORT))) == 1


def test_everything_wrong_is_said_at_once_beside_its_field_and_the_rest_stays_filled_in(
    visit: Visit, released: Releasable
) -> None:
    async def ask(browser: Browser) -> httpx.Response:
        await browser.sign_in()
        await browser.open(FORM)
        wrong = {"record.patient_id": "", "record.age_years": "540", "record.height_m": "tall", "record.sex": "q"}
        return await browser.send(FORM, PATIENT | wrong)

    response = visit(ask)
    page = response.text
    assert response.status_code == 422
    for name in ("patient_id", "age_years", "height_m", "sex"):
        assert f'href="#record-{name}"' in page
    assert re.search(r'id="record-age_years"[^>]* aria-describedby="[^"]*record-age_years-problem"', page)
    assert "Not possible. Possible: 0 to 120 years." in text_of(page)
    assert 'value="1.0"' in page
    assert list(read_log(released.settings, COHORT)) == []


def test_one_more_row_keeps_what_was_written_and_empty_rows_are_left_out(visit: Visit, released: Releasable) -> None:
    async def fill(browser: Browser) -> tuple[str, int]:
        await browser.sign_in()
        await browser.open(FORM)
        longer = (await browser.send(FORM, {**PATIENT, "more": "visits"})).text
        rows = {"rows.visits": "3", "visits.1.visit_number": "", "visits.2.visit_number": "2"}
        return longer, (await browser.send(FORM, PATIENT | rows)).status_code

    page, status = visit(fill)
    assert 'name="visits.1.visit_number"' in page
    assert 'value="X00001"' in page
    assert status == 200
    assert len(list(read_log(released.settings, COHORT))) == 1


def test_what_was_written_is_shown_as_text_and_never_as_a_part_of_the_page(visit: Visit) -> None:
    async def ask(browser: Browser) -> list[str]:
        await browser.sign_in()
        await browser.open(FORM)
        answer = await browser.send(FORM, {**PATIENT, "record.patient_id": HOSTILE})
        fields = {"acted": "no", "reason": HOSTILE, "sealed": browser.hidden("sealed")}
        acted = await browser.send(f"{FORM}/action", fields)
        wrong = await browser.send(FORM, {**PATIENT, "record.age_years": HOSTILE, "record.sex": HOSTILE})
        refused = await browser.open(f"/cohorts/{HOSTILE}")
        return [each.text for each in (answer, acted, wrong, refused)]

    for page in visit(ask):
        assert "<script" not in page
        assert not Attributes.of(page) & {"onload", "<script>"}


@pytest.fixture
def hostile_label(released: Releasable) -> str:
    """A label of the description that is markup."""
    path = released.settings.catalogue[0] / f"{COHORT}.yaml"
    tables = yaml.safe_load(path.read_text(encoding="utf-8"))["tables"]
    tables["subjects"]["columns"]["region"]["categories"] = {"north": HOSTILE, "south": "south"}
    released.trained.describe(tables=tables)
    return HOSTILE


def test_labels_of_categories_are_shown_as_text(hostile_label: str, visit: Visit) -> None:
    async def read(browser: Browser) -> str:
        await browser.sign_in()
        return (await browser.open(FORM)).text

    page = visit(read)
    assert hostile_label in text_of(page)
    assert "<script" not in page
    assert not Attributes.of(page) & {"onload", "<script>"}


def test_a_person_without_a_role_for_the_cohort_learns_nothing_of_it(visit: Visit, released: Releasable) -> None:
    async def ask(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in("bob")  # a reviewer
        return [
            await browser.open("/"),
            await browser.open(FORM),
            await browser.send(FORM, PATIENT),
            await browser.open("/cohorts/no_such_cohort"),
        ]

    first, form, answer, unknown = visit(ask)
    assert COHORT not in first.text
    assert (form.status_code, answer.status_code, unknown.status_code) == (403, 403, 403)
    hidden = re.compile(r"<code>.*?</code>|name=\"form\" value=\"[^\"]*\"")
    assert hidden.sub("", form.text) == hidden.sub("", unknown.text)
    assert list(read_log(released.settings, COHORT)) == []


@pytest.mark.parametrize("path", ["/", FORM])
def test_a_page_is_small_needs_no_script_and_may_load_nothing(visit: Visit, path: str) -> None:
    async def read(browser: Browser) -> httpx.Response:
        await browser.sign_in()
        return await browser.open(path)

    response = visit(read)
    assert len(response.content) < 30_000
    assert "<script" not in response.text
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r'\s(?:src|href)="(?:https?:)?//', response.text)
    assert not re.search(r'\sstyle="', response.text)
    assert response.headers["cache-control"] == "no-store"


def test_programs_are_answered_as_before_and_told_where_the_pages_are(visit: Visit) -> None:
    async def ask(browser: Browser) -> httpx.Response:
        return await browser.http.get("/")

    assert json.loads(visit(ask).text)["pages"] == BASE


def test_the_whole_way_can_be_gone_in_german(visit: Visit) -> None:
    async def walk(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in()
        chosen = await browser.open("/language", params={"to": "de", "back": FORM})
        form = await browser.open(FORM)
        answer = await browser.send(FORM, PATIENT)
        wrong = await browser.send(FORM, {**PATIENT, "record.age_years": "540"})
        return [chosen, form, answer, wrong]

    chosen, form, answer, wrong = visit(walk)
    assert chosen.headers["location"] == BASE + FORM
    for response in (form, answer, wrong):
        assert '<html lang="de">' in response.text
    assert "0 bis 120 Jahre." in form.text
    assert "Stufe:" in text_of(answer.text)
    assert re.search(r"\d,\d %", text_of(answer.text))
    assert "Nicht möglich. Möglich: 0 bis 120 Jahre." in text_of(wrong.text)
