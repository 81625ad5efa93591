"""The errors a user meets: each says what is wrong, where, and what to do about it.

What belongs here: the base class and the families that more than one room raises.
What does not: errors that only one module raises and nobody else catches.
"""

from __future__ import annotations

import re


class ClinicalAssetsError(Exception):
    """Base of every error that is meant for a person.

    Parameters
    ----------
    message : str
        What is wrong and where: file, line, table, row or column.
    cure : str, optional
        What the reader can do about it, in the imperative.
    """

    def __init__(self, message: str, *, cure: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.cure = cure

    def __str__(self) -> str:
        return f"{self.message}\n  Cure: {self.cure}" if self.cure else self.message

    def __reduce__(self) -> tuple[object, ...]:
        # Workers hand errors back to the parent process; the keyword argument must survive that.
        return (_rebuild, (type(self), self.message, self.cure))


def without_foreign_words(error: ClinicalAssetsError) -> ClinicalAssetsError:
    """Cut the chain of causes where it leaves this project: an engine's own text quotes values of records.

    Returns
    -------
    ClinicalAssetsError
        The same error; whatever of its causes and contexts is no error of this project is gone, so that a log which
        prints the whole chain prints no value.
    """
    seen: BaseException = error
    while True:
        below = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
        if not isinstance(below, ClinicalAssetsError):
            seen.__cause__, seen.__context__, seen.__suppress_context__ = None, None, True
            return error
        seen = below


_ENGINE_WORDS = frozenset(
    """
    a according an and argument arguments as at be binder byte by can cannot cast character column columns conversion
    convert converting could csv destination division does error expected expression failed field file for format
    found from function in input internal invalid is it json limit line list malformed map match memory missing must no
    not null number numeric of on or out overflow parse parser parsing pattern read record regular required row
    specifier string struct support supported that the than this timestamp to too type types unable unexpected union
    unknown unsupported use value values when with zero bigint blob boolean date datetime decimal double enum float
    hugeint int128 int16 int32 int64 int8 integer interval real smallint time tinyint ubigint uint16 uint32 uint64
    uint8 uinteger usmallint utinyint uuid varchar
    """.split()  # noqa: SIM905 - a list of a hundred strings reads worse
)


def engine_words(error: BaseException, *, known: str = "") -> str:
    """The first line of what an engine says of records, with every word masked that may come out of a record.

    Parameters
    ----------
    error : BaseException
        What the engine raised.
    known : str
        The statement, or names of files and columns: their words may be shown.

    Returns
    -------
    str
        Words of the engine's own messages and of ``known``; ``…`` for each run of others, digits included.

    Examples
    --------
    >>> engine_words(ValueError("Could not convert string 'Ann Smith' to INT32"), known="CAST(note AS INTEGER)")
    'Could not convert string … to INT32'
    """
    names = {word.lower() for word in re.findall(r"[^\W\d]\w*", known)}
    line = (str(error).splitlines() or [""])[0]
    kept = [word if re.sub(r"[^\w]", "", word).lower() in _ENGINE_WORDS | names else "…" for word in line.split()]
    return re.sub(r"…( …)+", "…", " ".join(kept)) or type(error).__name__


class WithheldError(ClinicalAssetsError):
    """An error of a library whose text may quote values of records, told by its kind and place alone."""


def withheld(error: BaseException) -> WithheldError:
    """An unexpected error in words that hold no value: its type, and where in this project it arose."""
    place = "an unknown place"
    trace = error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        if module.startswith(__name__.partition(".")[0]):
            place = f"{module}:{trace.tb_lineno}"
        trace = trace.tb_next
    kind = type(error)
    return WithheldError(
        f"{kind.__module__}.{kind.__qualname__} at {place}; its text is withheld, because it may quote records.",
        cure="Look at that line; whoever may see the records finds the text by calling its function in a Python shell.",
    )


def _rebuild(kind: type[ClinicalAssetsError], message: str, cure: str | None) -> ClinicalAssetsError:
    return kind(message, cure=cure)


class SpecError(ClinicalAssetsError):
    """A cohort description that cannot be used."""


class SourceError(ClinicalAssetsError):
    """A source that cannot be read, fetched or trusted."""


class WarehouseError(ClinicalAssetsError):
    """A warehouse file that cannot be opened, locked, decrypted or written."""


class ValidationFailed(ClinicalAssetsError):
    """Records that break the cohort's promises in a way that stops the cohort."""


class SqlModelError(ClinicalAssetsError):
    """A SQL model that cannot be rendered, resolved or run."""


class InsufficientData(ClinicalAssetsError):
    """Too few records, events or groups to compute what was asked."""
