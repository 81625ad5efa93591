"""A list of patients: handed in as a file, answered whole or not at all, sorted, taken away, printed."""

from __future__ import annotations

import csv
import html
import io
import re

import httpx
import pytest

from assets_tests.serving.pages.conftest import BASE, OTHER_NURSE, Browser, Visit
from assets_tests.worlds.ward.released import Releasable
from assets_tests.worlds.ward.trained import COHORT
from clinical_assets.records.prediction_log.segments import read_log
from clinical_assets.serving.pages.patients.lists import harmless

LIST = f"/cohorts/{COHORT}/list"
HEADER = "patient_id,age_years,sex,region,height_m,marker_a,marker_b,frail"
FORMULA = "=HYPERLINK(1)"
SUBJECTS = "\n".join(
    [
        HEADER,
        "B2,81,m,south,1.6,3.0,0.9,true",
        "A1,44,f,north,1.7,-1.0,0.1,false",
        f'"{FORMULA}",60,f,north,1.7,1.0,0.1,',
    ]
)
VISITS = "patient_id,visit_number\nB2,1\nB2,2\n"


async def handed_in(browser: Browser, subjects: str | bytes = SUBJECTS, visits: str = "") -> httpx.Response:
    await browser.open(LIST)
    files = {"file.subjects": ("list.csv", subjects, "text/csv"), "file.visits": ("visits.csv", visits, "text/csv")}
    response = await browser.http.post(BASE + LIST, data={"form": browser.hidden("form")}, files=files)
    browser.page = response.text
    return response


def rows_of(page: str) -> list[str]:
    """Who stands in the rows, from top to bottom."""
    return [html.unescape(each) for each in re.findall(r'<th scope="row">([^<]*)</th>', page)]


def test_everybody_of_a_list_is_answered_and_the_table_is_sorted_by_any_column(
    visit: Visit, released: Releasable
) -> None:
    async def walk(browser: Browser) -> list[str]:
        await browser.sign_in()
        pages = [(await handed_in(browser, visits=VISITS)).text]
        for sort in ("who", "risk", "-risk"):
            fields = {"sealed": browser.hidden("sealed"), "order": "", "sort": sort}
            pages.append((await browser.send(f"{LIST}/view", fields)).text)
        return pages

    first, by_name, rising, falling = visit(walk)
    assert rows_of(first) == ["B2", "A1", FORMULA]
    assert rows_of(by_name) == [FORMULA, "A1", "B2"]
    assert rows_of(rising) == rows_of(falling)[::-1]
    assert 'aria-sort="ascending"' in rising
    lines = list(read_log(released.settings, COHORT))
    # Sorting asks nobody again.
    assert [line.key for line in lines] == ["person:nina"] * 3
    risks = [line.content["risk"] for line in lines if line.content is not None]
    assert [name for _, name in sorted(zip(risks, rows_of(first), strict=True))] == rows_of(rising)


def test_a_table_taken_away_holds_the_answers_and_no_formula(visit: Visit, released: Releasable) -> None:
    async def walk(browser: Browser) -> httpx.Response:
        await browser.sign_in()
        await handed_in(browser)
        fields = {"sealed": browser.hidden("sealed"), "order": "who", "as": "file"}
        return await browser.send(f"{LIST}/view", fields)

    response = visit(walk)
    assert response.headers["content-type"] == "text/csv; charset=utf-8"
    assert response.headers["content-disposition"].startswith("attachment")
    rows = list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"))))
    assert [row["subject"] for row in rows] == [f"'{FORMULA}", "A1", "B2"]
    known = {line.content["risk"] for line in read_log(released.settings, COHORT) if line.content is not None}
    assert {float(row["risk"]) for row in rows} == known
    assert all(float(row["risk_low"]) <= float(row["risk"]) <= float(row["risk_high"]) for row in rows)


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@x", "\tx", "\rx"])
def test_no_cell_begins_a_formula(cell: str) -> None:
    assert harmless(cell) == f"'{cell}"
    assert harmless(f"x{cell}") == f"x{cell}"


def test_every_patient_of_a_list_has_a_sheet(visit: Visit) -> None:
    async def walk(browser: Browser) -> str:
        await browser.sign_in()
        await handed_in(browser)
        fields = {"sealed": browser.hidden("sealed"), "order": "who", "as": "sheets"}
        return (await browser.send(f"{LIST}/view", fields)).text

    page = visit(walk)
    assert page.count('<section class="patient">') == 3
    assert page.index("Patient A1") < page.index("Patient B2")


def test_a_file_with_something_wrong_is_answered_for_nobody_and_says_where(visit: Visit, released: Releasable) -> None:
    wrong: list[tuple[str | bytes, str]] = [
        (SUBJECTS.replace("age_years", "age"), "The header names what is no column: age."),
        (SUBJECTS.replace("patient_id", "id"), "The header lacks: patient_id."),
        (SUBJECTS.replace("marker_b", "marker_a"), "The header names a column twice."),
        (SUBJECTS + "\nC3,44", "Line 5 has 2 cells, the header 8."),
        (f'{HEADER}\n"C3', "Line 2 cannot be read as CSV."),
        (f"{HEADER}\nC3,444,f,north,1.7,1,1,", "line 2, age_years: Not possible. Possible: 0 to 120 years."),
        (f"{HEADER}\nC3,44,q,north,1.7,1,1,", "line 2, sex: Not known here."),
        (f"{HEADER}\nC3,44,f,north,tall,1,1,", "line 2, height_m: Write a number in digits"),
        (HEADER, "The file has no rows."),
        (b"\xff\xfe\x00", "The file is no text in UTF-8"),
        ("", "The header lacks: patient_id."),
    ]

    async def walk(browser: Browser) -> list[httpx.Response]:
        await browser.sign_in()
        return [await handed_in(browser, content) for content, _ in wrong]

    for response, (_, told) in zip(visit(walk), wrong, strict=True):
        assert response.status_code == 422
        assert told in html.unescape(re.sub(r"<[^>]+>", "", response.text))
    assert list(read_log(released.settings, COHORT)) == []


def test_a_spreadsheet_with_semicolons_and_decimal_commas_is_read_alike(visit: Visit, released: Releasable) -> None:
    async def walk(browser: Browser) -> list[int]:
        await browser.sign_in()
        line = "A1,44,f,north,1.75,1.5,0.25,false"
        german = f"{HEADER}\n{line}".replace(",", ";").replace(".", ",")
        return [(await handed_in(browser, text)).status_code for text in (f"{HEADER}\n{line}", "\ufeff" + german)]

    assert visit(walk) == [200, 200]
    first, second = (line.content for line in read_log(released.settings, COHORT))
    assert first is not None
    assert second is not None
    assert first["features"] == second["features"]


def test_a_row_of_another_table_about_nobody_of_the_list_is_refused(visit: Visit) -> None:
    async def walk(browser: Browser) -> httpx.Response:
        await browser.sign_in()
        return await handed_in(browser, visits="patient_id,visit_number\nZ9,1\n")

    response = visit(walk)
    assert response.status_code == 422
    assert "Line 2 is about nobody of the list." in response.text


def test_a_file_that_is_too_large_is_refused_with_a_page(visit: Visit) -> None:
    async def walk(browser: Browser) -> httpx.Response:
        await browser.sign_in()
        return await handed_in(browser, HEADER + "\n" + "x" * 10_000_000)

    response = visit(walk)
    assert response.status_code == 413
    assert response.headers["content-type"].startswith("text/html")
    assert "The body is too large." in response.text


def test_a_list_belongs_to_whoever_handed_it_in_and_needs_the_token_of_its_form(
    visit: Visit, released: Releasable
) -> None:
    async def walk(browser: Browser, other: Browser) -> list[int]:
        await browser.sign_in()
        await handed_in(browser)
        sealed = browser.hidden("sealed")
        await other.sign_in(OTHER_NURSE)
        await other.open(LIST)
        taken = await other.send(f"{LIST}/view", {"sealed": sealed, "order": "", "as": "file"})
        files = {"file.subjects": ("list.csv", SUBJECTS, "text/csv")}
        forged = await other.http.post(BASE + LIST, data={"form": browser.hidden("form")}, files=files)
        return [taken.status_code, forged.status_code]

    assert visit(walk, people=2) == [403, 403]
    assert len(list(read_log(released.settings, COHORT))) == 3
