"""The errors a user meets: each says what is wrong, where, and what to do about it.

What belongs here: the base class and the families that more than one room raises.
What does not: errors that only one module raises and nobody else catches.
"""

from __future__ import annotations


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
