"""Records held to the promises that each row can be held to by itself.

What belongs here: one frame in, sound rows and findings out, nothing read and nothing written. Promises between rows
and tables are kept by ``cross_row``; what happens with the outcome is decided in ``validation``.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, replace

import polars as pl

from clinical_assets.cohorts.tables import Column, Table
from clinical_assets.foundation.errors import ValidationFailed
from clinical_assets.warehouse.sql.schema import ROW_NUMBER
from clinical_assets.warehouse.store.sql_text import BLANKS
from clinical_assets.warehouse.validation import findings as kinds
from clinical_assets.warehouse.validation import unit_mixups
from clinical_assets.warehouse.validation.conversions import is_text, usual_days
from clinical_assets.warehouse.validation.schemas import Breach, RowSchema, row_schema
from clinical_assets.warehouse.validation.typing_records import Clocks, Typed, source_columns, type_records

UNREADABLE = "_unreadable"
"""Column of refused rows with the texts that could not be read, so that two of them can be told apart."""

_CORRECT = "Correct the value at the source"
_CODES_SHOWN = 8
_CODES_COMPARED = 200


@dataclass(frozen=True)
class Validated:
    """What became of a frame of records. Rows of ``frame`` and ``refused`` together are the rows that came in.

    Attributes
    ----------
    frame : DataFrame
        Rows that keep every promise of one row: row number and the described columns, typed.
    findings : DataFrame
        One row per broken promise, with the columns of ``findings.FINDINGS``.
    refused : DataFrame
        Rows with findings, typed as far as they could be read, and ``_unreadable`` with what could not.
    missing_made : dict
        Per column how many values stood for "not measured" and became null.
    corrected : dict
        Per correction of the description how many records it changed.
    implausible : dict
        Per column how many sound rows hold a value outside the plausible limits.
    unit_hints : dict
        Per column and cure how many implausible values would be plausible in another unit.
    clocks : dict
        Per column of times how many were written with an offset, and how many without.
    """

    frame: pl.DataFrame
    findings: pl.DataFrame
    refused: pl.DataFrame
    missing_made: dict[str, int]
    corrected: dict[str, int]
    implausible: dict[str, int]
    unit_hints: dict[tuple[str, str], int]
    clocks: dict[str, Clocks]


@dataclass(frozen=True)
class RowValidator:
    """The row promises of one table, made once and used for every chunk of it."""

    table: Table
    table_name: str
    schema: RowSchema
    timezone: str | None = None

    @classmethod
    def of(
        cls, table: Table, *, table_name: str, subject: str | None = None, timezone: str | None = None
    ) -> RowValidator:
        """Make the schema.

        Parameters
        ----------
        table : Table
            Description.
        table_name : str
            Name in findings.
        subject : str, optional
            Column of the subject, which must be filled as a record without one belongs to nobody.
        timezone : str, optional
            Zone of the cohort, that times with an offset are turned into.

        Raises
        ------
        SpecError
            When a rule, pattern or category of the description cannot be used.
        """
        needed = {name for name in (table.recorded, subject or table.subject) if name is not None}
        return cls(table, table_name, row_schema(table, required=frozenset(needed)), timezone)

    def check(self, found: pl.DataFrame) -> Validated:
        """Type and check records; see ``validate_frame``."""
        typed = type_records(found, self.table, table_name=self.table_name, timezone=self.timezone)
        typed, corrected = _corrected(typed, self.table)
        blocks = list(typed.findings)
        refused = pl.repeat(False, found.height, dtype=pl.Boolean, eager=True)
        for positions in typed.unreadable.values():
            refused = refused.scatter(positions, True)
        for breach in self.schema.breaches(typed.frame):
            positions = _readable_only(breach, typed)
            if positions.len():
                refused = refused.scatter(positions, True)
                blocks.append(self._block(breach, positions, typed, found))
        again = _header_again(found, self.table)
        if again.len():
            refused = refused.scatter(again, True)
            blocks.append(self._header_block(again, typed))
        findings = kinds.gathered(blocks)
        sound = typed.frame.filter(~refused)
        implausible, hints = _implausible(sound, self.table)
        return Validated(
            frame=sound,
            findings=findings,
            refused=_with_unreadable(typed.frame.filter(refused), findings),
            missing_made=typed.missing_made,
            corrected=corrected,
            implausible=implausible,
            unit_hints=hints,
            clocks=typed.clocks,
        )

    def _block(self, breach: Breach, positions: pl.Series, typed: Typed, found: pl.DataFrame) -> pl.DataFrame:
        rows = typed.frame[ROW_NUMBER].gather(positions)
        if not breach.own:
            name = breach.columns[0]
            source = self.table.columns[name].source_name or name
            values = kinds.as_text(found[source].gather(positions)).str.strip_chars(BLANKS)
            rule, reason, cure = self._words(name, breach.rule, typed.frame[name].gather(positions))
        else:
            shown = [pl.format(name + "={}", pl.col(name).cast(pl.String).fill_null("")) for name in breach.columns]
            values = typed.frame[positions].select(pl.concat_str(shown, separator=", ")).to_series()
            described = next(rule for rule in self.table.rules if rule.name == breach.rule)
            rule, reason, cure = breach.rule, f"breaks the rule {described.expression}", described.cure
        return kinds.block(
            table_name=self.table_name,
            rows=rows,
            column=", ".join(breach.columns),
            rule=rule,
            values=values,
            reason=reason,
            cure=cure,
        )

    def _header_block(self, positions: pl.Series, typed: Typed) -> pl.DataFrame:
        return kinds.block(
            table_name=self.table_name,
            rows=typed.frame[ROW_NUMBER].gather(positions),
            column=", ".join(self.table.key),
            rule=kinds.HEADER,
            values=pl.repeat(None, positions.len(), dtype=pl.String, eager=True),
            reason="the header once more, not a record",
            cure="Leave the header out of all but the first of the files that were joined.",
        )

    def _words(self, name: str, rule: str, values: pl.Series) -> tuple[str, str, str | pl.Series]:
        column = self.table.columns[name]
        if rule == kinds.NULL and name in self.table.key:
            cure = "Fill it at the source: without its key a record cannot be told from others."
            return rule, "part of the key, but not recorded", cure
        if rule == kinds.NULL and name == self.table.recorded:
            cure = "Fill it at the source: a record of unknown time cannot be shown to have been known in time."
            return kinds.RECORDED, "not known when the record became known", cure
        if rule == kinds.NULL:
            return rule, "not recorded, but must be", "Fill it at the source, or set `nullable: true` if it may lack."
        if rule == kinds.RANGE:
            return rule, f"outside {_limits(column)}", _range_cures(name, column, values)
        if rule == kinds.CATEGORY:
            codes = list(column.categories or {})
            more = f" and {len(codes) - _CODES_SHOWN} more" if len(codes) > _CODES_SHOWN else ""
            reason = f"not one of the categories {', '.join(codes[:_CODES_SHOWN])}{more}"
            return rule, reason, _category_cures(column, values)
        return rule, f"does not match the pattern {column.pattern}", f"{_CORRECT}, or the pattern in the description."


def _header_again(found: pl.DataFrame, table: Table) -> pl.Series:
    """Positions of records in which every described column holds its own name; joined files leave such lines."""
    names = list(source_columns(table).values())
    if len(names) < 2 or not all(is_text(found.schema[name]) for name in names):
        return pl.Series([], dtype=pl.UInt32)
    # At first the bare word in one column: hardly any record is left to be looked at more closely.
    positions = found[names[0]].cast(pl.String).str.contains(names[0], literal=True).fill_null(False).arg_true()
    for name in names:
        alike = found[name].gather(positions).cast(pl.String).str.strip_chars(BLANKS) == name
        positions = positions.filter(alike.fill_null(False))
    return positions


def validate_frame(
    frame: pl.DataFrame, table: Table, *, table_name: str = "table", subject: str | None = None
) -> Validated:
    """Type records and hold each to the promises of its row; all findings come at once.

    Parameters
    ----------
    frame : DataFrame
        Records as found: text or typed columns under the source's names. ``_row`` numbers them; without it they are
        numbered from 1. Columns that are not described are ignored.
    table : Table
        Description.
    table_name : str
        Name in findings.
    subject : str, optional
        Column of the subject, which must be filled.

    Raises
    ------
    ValidationFailed
        When described columns are missing from the frame.
    SpecError
        When a rule, pattern or category of the description cannot be used.
    """
    if ROW_NUMBER not in frame.columns:
        frame = frame.with_row_index(ROW_NUMBER, offset=1)
    absent = [source for source in source_columns(table).values() if source not in frame.columns]
    if absent:
        raise ValidationFailed(
            f"table {table_name}: no column {', '.join(absent)} among {', '.join(frame.columns)}.",
            cure="Name the columns as the source does, with `from:` in the description.",
        )
    return RowValidator.of(table, table_name=table_name, subject=subject).check(frame)


def _corrected(typed: Typed, table: Table) -> tuple[Typed, dict[str, int]]:
    """Records with the description's corrections applied in their order, and how many each changed."""
    frame, counts = typed.frame, {}
    for correction in table.corrections:
        meant = pl.all_horizontal(
            [pl.col(name) == pl.lit(value).cast(frame.schema[name]) for name, value in correction.where.items()]
        ).fill_null(False)
        counts[correction.name] = int(frame.select(meant.sum()).item())
        frame = frame.with_columns(
            pl.when(meant).then(pl.lit(value).cast(frame.schema[name])).otherwise(pl.col(name)).alias(name)
            for name, value in correction.put.items()
        )
    return replace(typed, frame=frame), counts


def _readable_only(breach: Breach, typed: Typed) -> pl.Series:
    """Without values that are null only because they could not be read: those have a finding already."""
    unread = typed.unreadable.get(breach.columns[0]) if breach.rule == kinds.NULL and not breach.own else None
    if unread is None:
        return breach.positions
    return breach.positions.filter(~breach.positions.is_in(unread.implode()))


def _with_unreadable(refused: pl.DataFrame, findings: pl.DataFrame) -> pl.DataFrame:
    texts = (
        findings.filter(pl.col("rule") == kinds.TYPE)
        .sort("column_name")
        .group_by(ROW_NUMBER, maintain_order=True)
        .agg(pl.format("{}={}", "column_name", "value").str.join("\n").alias(UNREADABLE))
    )
    return refused.join(texts, on=ROW_NUMBER, how="left", maintain_order="left")


def _limits(column: Column) -> str:
    if column.type in ("date", "datetime"):
        first, last = column.earliest, column.latest
        if first is not None and last is not None:
            return f"{first} to {last}"
        return f"{first} and later" if first is not None else f"{last} and earlier"
    low, high = column.range or (None, None)
    unit = f" {column.unit}" if column.unit not in (None, "1") else ""
    if low is not None and high is not None:
        return f"{low:g} to {high:g}{unit}"
    return f"{low:g}{unit} and above" if low is not None else f"{high:g}{unit} and below"


def _range_cures(name: str, column: Column, values: pl.Series) -> pl.Series:
    value = pl.col("value")
    if column.type in ("date", "datetime"):
        words = f"{_CORRECT}, move `earliest` or `latest` if it is possible, or list it under `missing`."
        return pl.repeat(words, values.len(), eager=True)
    cure = pl.lit(f"{_CORRECT}, widen `range` if it is possible, or list it under `missing` if it stands for that.")
    for mixup in reversed(unit_mixups.candidates(name, column)):
        told = pl.lit(unit_mixups.cure_for(name, column, mixup))
        cure = pl.when(unit_mixups.fits(value, column, mixup)).then(told).otherwise(cure)
    return pl.DataFrame({"value": values}).with_columns(cure.alias("cure"))["cure"]


def _category_cures(column: Column, values: pl.Series) -> pl.Series:
    """A cure per distinct value: a code or label that resembles it is named."""
    general = f"{_CORRECT}, add the code to `categories`, or list it under `missing`."
    texts = values.cast(pl.String)
    distinct = texts.unique(maintain_order=True).head(_CODES_COMPARED).to_list()
    labels = {label.casefold(): code for code, label in (column.categories or {}).items()}
    labels |= {code.casefold(): code for code in column.categories or {}}
    meant: dict[str, str] = {}
    for text in distinct:
        near = difflib.get_close_matches(text.casefold(), list(labels), n=1, cutoff=0.75)
        if near:
            code = labels[near[0]]
            meant[text] = f"If {code!r} is meant, write it so at the source; else add the code to `categories`."
    if not meant:
        return pl.repeat(general, texts.len(), eager=True)
    return texts.replace_strict(list(meant), list(meant.values()), default=general, return_dtype=pl.String)


def _implausible(sound: pl.DataFrame, table: Table) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """How many kept values lie outside their plausible limits, and how many of them would fit in another unit."""
    counts: list[pl.Expr] = []
    hints: dict[str, tuple[str, str]] = {}
    for name, column in table.columns.items():
        limits = column.plausible or usual_days(column)
        if limits is None:
            continue
        low, high = limits
        value = pl.col(name).dt.date() if column.type == "datetime" else pl.col(name)
        below = value < low if low is not None else pl.lit(False)
        outside = below | (value > high if high is not None else pl.lit(False))
        counts.append(outside.sum().alias(name))
        for mixup in unit_mixups.candidates(name, column):
            label = f"{name}\n{mixup.unit}"
            hints[label] = (name, unit_mixups.cure_for(name, column, mixup))
            counts.append((outside & unit_mixups.fits(value, column, mixup)).sum().alias(label))
    if not counts or not sound.height:
        return {}, {}
    found = sound.select(counts).row(0, named=True)
    implausible = {name: number for name, number in found.items() if number and name not in hints}
    return implausible, {hints[label]: number for label, number in found.items() if number and label in hints}
