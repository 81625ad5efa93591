"""What screens are filled from: frozen view models of plain values, one class per screen.

What belongs here: what a screen shows. What does not: deciding anything; texts of templates (``reporting``); screens
for reviewers (``review.views``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Frame:
    """What stands around every screen.

    Attributes
    ----------
    address : str
        Where the screen can be opened, for the links that change its language.
    base : str
        Address below which all screens lie.
    person : str or None
        Printed name of who is signed in.
    links : tuple of (str, str, bool)
        Label and address of the main screens, and whether it is this one.
    languages : tuple of (str, str)
        Code and name.
    form : str
        What a form must bring back.
    """

    address: str
    base: str
    person: str | None
    links: tuple[tuple[str, str, bool], ...]
    languages: tuple[tuple[str, str], ...]
    form: str


@dataclass(frozen=True, kw_only=True)
class Screen:
    """Any screen."""

    template: ClassVar[str]
    title: str
    synthetic: bool = False
    frame: Frame


@dataclass(frozen=True)
class FormField:
    """One field: name and id in the form, label, unit, help, and what is in it.

    Attributes
    ----------
    kind : str
        ``choice``, or the type of an input.
    options : tuple of (str, str)
        Value and label of each choice.
    problem : str or None
        What is wrong with it.
    """

    name: str
    id: str
    label: str
    unit: str
    help: str
    kind: str
    options: tuple[tuple[str, str], ...]
    required: bool
    minimum: str | None
    maximum: str | None
    step: str | None
    value: str
    problem: str | None


@dataclass(frozen=True)
class FormRow:
    """Fields of one row; its number from 1, or None for the record itself."""

    number: int | None
    fields: tuple[FormField, ...]


@dataclass(frozen=True)
class FormSection:
    """One table of the description."""

    name: str
    description: str
    rows: tuple[FormRow, ...]
    is_nested: bool


@dataclass(frozen=True)
class FieldProblem:
    """What is wrong, for the list on top: id of its field where it has one, label, text."""

    id: str | None
    label: str
    text: str


@dataclass(frozen=True)
class CohortChoice:
    """A cohort that somebody may ask about; a reason where it cannot answer now."""

    name: str
    title: str
    intended_use: str
    not_for: str
    synthetic: bool
    problem: str | None


@dataclass(frozen=True, kw_only=True)
class SignInScreen(Screen):
    """Login and password."""

    template: ClassVar[str] = "screens/sign_in.html.j2"
    login: str = ""
    problem: str | None = None
    nobody: bool = False
    back: str


@dataclass(frozen=True, kw_only=True)
class CohortsScreen(Screen):
    """What somebody can do here."""

    template: ClassVar[str] = "screens/cohorts.html.j2"
    cohorts: tuple[CohortChoice, ...]
    reviews: bool
    recorded: bool = True


@dataclass(frozen=True, kw_only=True)
class FormScreen(Screen):
    """The form of a cohort."""

    template: ClassVar[str] = "screens/form.html.j2"
    cohort: CohortChoice
    moment: str
    sections: tuple[FormSection, ...]
    problems: tuple[FieldProblem, ...]
    recorded: bool


@dataclass(frozen=True)
class ReasonBar:
    """One reason: what, its value, what it does, by which factor of the odds, and its bar from -100 to 100."""

    label: str
    value: str
    direction: str
    factor: str
    start: float
    width: float


@dataclass(frozen=True)
class Frequency:
    """A risk as whole people: so many of so many.

    Attributes
    ----------
    text : str
        In words.
    full, part : int
        Of the picture of 100 people: full rows of ten that have it, and those in the row after them.
    """

    text: str
    full: int
    part: int


@dataclass(frozen=True)
class LevelBar:
    """One class of several: its probability in per cent, its bar from 0 to 200, and whether it is the one decided."""

    label: str
    probability: str
    width: float
    is_decided: bool
    is_acted_on: bool


@dataclass(frozen=True)
class SheetView:
    """One answer about one person, as it is shown and printed.

    Attributes
    ----------
    heading : str
        Who it is about, as it was written.
    risk : str or None
        In per cent; None where it is not told.
    uncertainty : tuple of str
        What is said of how sure the risk is, and what that covers.
    levels : tuple of LevelBar
        Of more than two classes, in their order; empty where the risk is not told.
    """

    heading: str
    tier: str
    action: str
    is_alert: bool
    predicted: str
    risk: str | None
    uncertainty: tuple[str, ...]
    frequency: Frequency | None
    outcome: str
    threshold: str
    levels: tuple[LevelBar, ...]
    reasons: tuple[ReasonBar, ...]
    rest: str
    warnings: tuple[tuple[str, str], ...]
    entered: tuple[tuple[str, str], ...]
    prediction: str
    model: str
    asked_at: str
    asked_by: str
    intended_use: str
    not_for: str
    moment: str
    recorded: bool


@dataclass(frozen=True, kw_only=True)
class ResultScreen(Screen):
    """The answer about one person."""

    template: ClassVar[str] = "screens/result.html.j2"
    cohort: CohortChoice
    sheet: SheetView
    sealed: str
    done: str | None
    problem: str | None
    recorded: bool


@dataclass(frozen=True)
class ListRow:
    """One person of a list: cells in the order of the screen's columns."""

    cells: tuple[str, ...]
    is_alert: bool


@dataclass(frozen=True, kw_only=True)
class UploadScreen(Screen):
    """Where a list is handed in."""

    template: ClassVar[str] = "screens/upload.html.j2"
    cohort: CohortChoice
    tables: tuple[tuple[str, str, str], ...]
    columns: tuple[tuple[str, str, str, bool], ...]
    problems: tuple[FieldProblem, ...]
    most: int
    recorded: bool


@dataclass(frozen=True, kw_only=True)
class ListScreen(Screen):
    """Answers about a list of people."""

    template: ClassVar[str] = "screens/list.html.j2"
    cohort: CohortChoice
    columns: tuple[tuple[str, str, str], ...]
    rows: tuple[ListRow, ...]
    alerts: int
    order: str
    sealed: str
    recorded: bool


@dataclass(frozen=True, kw_only=True)
class SheetsScreen(Screen):
    """Every person of a list on a sheet of paper."""

    template: ClassVar[str] = "screens/sheets.html.j2"
    cohort: CohortChoice
    sheets: tuple[SheetView, ...]


@dataclass(frozen=True, kw_only=True)
class ProblemScreen(Screen):
    """Something that could not be done."""

    template: ClassVar[str] = "screens/problem.html.j2"
    status: int
    problem: str
    cure: str
    request: str
