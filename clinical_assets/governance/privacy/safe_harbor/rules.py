"""The 18 identifier classes of HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i), as rules on names and values of columns.

What belongs here: rules on people, places and times, and all rules together. Running them over tables is the work of
``scan``.

A rule on a name alone would call every ``city_code`` an address, one on values alone every laboratory value of five
digits a ZIP code. So a rule says which types of column it may judge, what the name must be like, what a value must
look like, and how large a share of the values must.
"""

from __future__ import annotations

from clinical_assets.governance.privacy.safe_harbor.numbers import NUMBER_RULES
from clinical_assets.governance.privacy.safe_harbor.values import (
    ABROAD,
    DATE,
    DIGITS,
    FULL_DATE,
    LEFT_OUT,
    PHONE,
    STREET,
    ZIPPED,
    IdentifierRule,
    whole,
    word,
)

SPARSE_ZIP3 = (
    *("036", "059", "063", "102", "203", "556", "692", "790", "821", "823", "830", "831", "878", "879", "884"),
    *("890", "893"),
)
"""First three digits of ZIP codes that together hold 20,000 people or fewer (Census 2000): HHS, Guidance Regarding
Methods for De-identification of Protected Health Information, 26 November 2012. They must be written as 000."""


PERSON_RULES: tuple[IdentifierRule, ...] = (
    IdentifierRule(
        "names",
        "column of names",
        LEFT_OUT,
        column=r"(^|_)(first|last|sur|given|family|middle|full|maiden|nick|patient|subject|person|mother|father|spouse|next_of_kin|physician|doctor|nurse|contact)_?names?(_|$)|(^|_)(surname|initials|forename)(_|$)",
        value="NOT regexp_full_match({text}, '[-+0-9.]*')",
    ),
    IdentifierRule(
        "names",
        "person with title",
        "Remove names from the text, or leave it out.",
        value=r"regexp_matches({text}, '(^|[^A-Za-z])(Mr|Mrs|Ms|Dr|Prof)\.? [A-Z][a-z]{2,}')",
    ),
    IdentifierRule(
        "names",
        "family name, given name",
        LEFT_OUT,
        share=0.5,
        many=True,
        value=whole(r"[A-Z][\pL''-]+, [A-Z][\pL''-]+( [A-Z]\.?)?"),
    ),
    IdentifierRule(
        "geography",
        "column of a place smaller than a state",
        "Keep the state or country only.",
        column=r"(^|_)(street|address|addr|city|town|village|county|parish|precinct|district|borough|geocode|neighbou?rhood)(_|$)",
        value="NOT regexp_full_match({text}, '[-+0-9.]*') AND NOT regexp_full_match({text}, '[A-Z]{2}')",
    ),
    IdentifierRule(
        "geography",
        "coordinates",
        "Keep the state or country only.",
        kinds=("number",),
        column=r"(^|_)(latitude|longitude|lat|lon|lng)(_deg|_degrees)?$",
        value="{value} <> round({value})",
        share=0.5,
    ),
    IdentifierRule(
        "geography",
        "ZIP code",
        "Keep its first three digits; 000 where they cover 20,000 people or fewer.",
        kinds=("text", "number"),
        column=ZIPPED,
        value=f"regexp_full_match({DIGITS}, '\\d{{4,5}}(-?\\d{{4}})?|[A-Z]{{1,2}}\\d[A-Z\\d]? ?\\d[A-Z]{{2}}')",
    ),
    IdentifierRule(
        "geography",
        "first three digits of a ZIP code of a small area",
        "Write 000 for these.",
        kinds=("text", "number"),
        column=ZIPPED,
        value=f"lpad({DIGITS}, 3, '0') IN {SPARSE_ZIP3} AND length({DIGITS}) <= 3",
    ),
    IdentifierRule(
        "geography",
        "ZIP+4",
        "Keep its first three digits; 000 where they cover 20,000 people or fewer.",
        value=whole(r"\d{5}-\d{4}"),
        share=0.5,
    ),
    IdentifierRule("geography", "street and number", "Remove addresses.", value=word(STREET)),
    IdentifierRule(
        "geography", "state and ZIP code", "Remove addresses.", value=word(r"[A-Z][a-z]+,? [A-Z]{2},? \d{5}(?:-\d{4})?")
    ),
    IdentifierRule(
        "dates and ages",
        "date finer than a year",
        "Keep the year, or the days since the index date.",
        kinds=("date",),
        personal=True,
    ),
    IdentifierRule(
        "dates and ages",
        "date as text",
        "Keep the year, or the days since the index date.",
        value=whole(DATE),
        personal=True,
    ),
    IdentifierRule(
        "dates and ages",
        "date in a text",
        "Remove dates from the text, or leave it out.",
        value=f"{word(FULL_DATE)} AND NOT {whole(DATE)}",
        personal=True,
    ),
    IdentifierRule(
        "dates and ages",
        "date as number",
        "Keep the year, or the days since the index date.",
        kinds=("number",),
        column=r"(^|_)(date|dob|birth|birthday|day_of_birth|dod)(_|$)",
        personal=True,
        share=0.5,
        value=rf"regexp_full_match({DIGITS}, '(19|20)\d{{2}}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])')",
    ),
    IdentifierRule(
        "dates and ages",
        "age over 89",
        "Write 90 for every age of 90 and above.",
        kinds=("number", "text"),
        column=r"(^|_)ages?(_|$)(?!.*(months|days|weeks|hours))",
        personal=True,
        value="TRY_CAST({text} AS DOUBLE) >= 90 AND TRY_CAST({text} AS DOUBLE) <= 130",
    ),
    IdentifierRule(
        "dates and ages",
        "age over 89 in months",
        "Write 1080 for every age of 90 years and above.",
        kinds=("number",),
        column=r"(^|_)ages?_.*months$",
        personal=True,
        value="{value} >= 1080",
    ),
    IdentifierRule(
        "dates and ages",
        "age over 89 in days",
        "Write 32850 for every age of 90 years and above.",
        kinds=("number",),
        column=r"(^|_)ages?_.*days$",
        personal=True,
        value="{value} >= 32872",
    ),
    IdentifierRule(
        "dates and ages",
        "year of birth of a person of 90 or more",
        "Merge these years into one class.",
        kinds=("number",),
        column=r"(^|_)(birth_?year|year_of_birth|yob)(_|$)",
        personal=True,
        value="{value} BETWEEN 1850 AND year(current_date) - 90",
    ),
    IdentifierRule("telephone", "telephone number", "Remove telephone numbers.", value=word(f"{PHONE}|{ABROAD}")),
)

RULES: tuple[IdentifierRule, ...] = (*PERSON_RULES, *NUMBER_RULES)
