"""What the rows of a matrix are called: kinds of gene identifiers, and names that are no genes.

What belongs here: judging names. What does not: values (``expression``) and files (``matrix_files``).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from clinical_assets.foundation.errors import ClinicalAssetsError

IdentifierKind = Literal["symbol", "entrez", "ensembl"]
Unfit = Literal["summary line", "date", "number", "no name"]

_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{11}(\.\d+)?$")
_VERSION = re.compile(r"(ENS[A-Z]*G\d{11})\.\d+$")
_ENTREZ = re.compile(r"\d+$")
_SYMBOL = re.compile(r"[A-Za-z][A-Za-z0-9._@/-]*$")
#: Lines that counting programs write below or above the genes: STAR, HTSeq, featureCounts.
_SUMMARY = re.compile(
    r"(N_(unmapped|multimapping|noFeature|ambiguous)"
    r"|_{0,2}(no_feature|ambiguous|too_low_aQual|not_aligned|alignment_not_unique)"
    r"|(Assigned|Unassigned_\w+))$",
    re.IGNORECASE,
)
#: Month names as spreadsheets write them in English, German, French, Spanish, Italian, Dutch and Portuguese.
_MONTHS = (
    r"jan|gen|ene|feb|fev|fév|févr|mar|mär|mrz|mars|mrt|apr|avr|abr|may|mai|mag|mei|maj|jun|juin|giu|jul|juil|lug|"
    r"aug|août|aout|ago|sep|sept|set|oct|okt|ott|out|nov|dec|dez|déc|dic"
)
#: Spreadsheets turn SEPT2 and MARCH1 into dates (Ziemann et al. 2016, doi 10.1186/s13059-016-1044-7).
_DATE = re.compile(
    rf"(\d{{1,2}}[-. /]\s?({_MONTHS})[a-zéûä]*\.?([-. /]\s?\d{{2,4}})?"
    rf"|({_MONTHS})[-. /]\d{{1,4}}"
    r"|\d{4}[-/.]\d{1,2}[-/.]\d{1,2}.*"
    r"|\d{1,2}[-/.]\d{1,2}[-/.]\d{2,4})$",
    re.IGNORECASE,
)
#: RIKEN clones such as 2310009E13 become 2.31E+13; digits alone are the serial number of a date.
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?(e[+-]?\d+)?$", re.IGNORECASE)
_NAMELESS = re.compile(r"(|-+|\?(\|.*)?|na|nan|null|none|#n/a|#name\?|#ref!)$", re.IGNORECASE)
_MOUSE = re.compile(r"[A-Z][a-z0-9]*[a-z][A-Za-z0-9-]*$")
_CAPITALS = re.compile(r"(?!ENS[A-Z]*G\d)[A-Z][A-Z0-9]*(orf\d+)?[A-Z0-9-]*$")
#: Share of identifiers that must look alike.
_AGREE = 0.95
#: Above this share of names that are no genes, the file was damaged and is refused.
LARGEST_UNFIT_SHARE = 0.005
_LISTED = 5


class ExpressionError(ClinicalAssetsError):
    """An expression matrix or sample sheet that cannot be used."""


@dataclass(frozen=True)
class JudgedNames:
    """What the names of a matrix's rows are.

    Attributes
    ----------
    kind : {"symbol", "entrez", "ensembl"}
    keep : tuple of bool
        False for rows that are no genes.
    statements : tuple of str
        What was left out, counted and listed; empty if nothing was.
    """

    kind: IdentifierKind
    keep: tuple[bool, ...]
    statements: tuple[str, ...]


def judge_names(genes: Sequence[str], *, where: str) -> JudgedNames:
    """Tell genes from what else stands in the first column.

    Parameters
    ----------
    genes : sequence of str
        Names of the rows.
    where : str
        Name of the file, for messages.

    Raises
    ------
    ExpressionError
        Identifiers of mixed or unknown kind; or more than 0.5 % of the rows are dates, numbers or without a name.
        Summary lines of counting programs are left out whatever their number.
    """
    unfit: list[Unfit | None] = [_unfit(gene) for gene in genes]
    named = [gene for gene, why in zip(genes, unfit, strict=True) if why is None or why == "number"]
    entrez = _share(_ENTREZ, named)
    if entrez >= _AGREE:
        # Digits alone are the rule there, so that a serial number cannot be told from a gene.
        unfit = [
            None if why == "number" and _ENTREZ.match(gene) else why for gene, why in zip(genes, unfit, strict=True)
        ]
    _refuse_damage(genes, unfit, where=where)
    kept = [gene for gene, why in zip(genes, unfit, strict=True) if why is None]
    kind = recognise_identifiers(tuple(kept), where=where)
    return JudgedNames(kind, tuple(why is None for why in unfit), _left_out(genes, unfit))


def recognise_identifiers(genes: tuple[str, ...], *, where: str) -> IdentifierKind:
    """Kind of the gene identifiers; mixed kinds, empty names and dates are refused by name."""
    if not genes:
        raise ExpressionError(f"{where}: no row names a gene", cure="name gene_column")
    dates = [gene for gene in genes if _unfit(gene) == "date"]
    if dates:
        raise _dates(dates, where=where)
    shares: dict[IdentifierKind, float] = {"ensembl": _share(_ENSEMBL, genes), "entrez": _share(_ENTREZ, genes)}
    shares["symbol"] = _share(_SYMBOL, genes) - shares["ensembl"]
    kind = max(shares, key=lambda k: shares[k])
    if shares[kind] < _AGREE:
        seen = ", ".join(f"{share:.0%} {k}" for k, share in shares.items())
        raise ExpressionError(
            f"{where}: gene identifiers are of mixed or unknown kind ({seen}), such as {genes[0]!r}",
            cure="use one kind: gene symbols, Entrez numbers or Ensembl gene identifiers",
        )
    return kind


def without_version(gene: str) -> str:
    """An Ensembl identifier without its version suffix; every other name as it is.

    >>> without_version("ENSG00000141510.17"), without_version("HLA-A")
    ('ENSG00000141510', 'HLA-A')
    """
    found = _VERSION.match(gene)
    return found.group(1) if found else gene


def looks_like_mouse(genes: Sequence[str]) -> bool:
    """Whether most symbols are written as those of mouse and rat are: Trp53, not TP53."""
    return _share(_MOUSE, genes) > 0.5


def looks_like_human(genes: Sequence[str]) -> bool:
    """Whether most names are symbols in capitals, as human ones are; neither Entrez nor Ensembl genes."""
    return _share(_CAPITALS, genes) > 0.5


def _share(pattern: re.Pattern[str], names: Sequence[str]) -> float:
    return sum(bool(pattern.match(name)) for name in names) / len(names) if names else 0.0


def _unfit(gene: str) -> Unfit | None:
    if _SUMMARY.match(gene):
        return "summary line"
    if _NAMELESS.match(gene):
        return "no name"
    if _DATE.match(gene):
        return "date"
    return "number" if _NUMBER.match(gene) else None


def _refuse_damage(genes: Sequence[str], unfit: Sequence[Unfit | None], *, where: str) -> None:
    damaged = [gene for gene, why in zip(genes, unfit, strict=True) if why not in (None, "summary line")]
    if len(damaged) <= LARGEST_UNFIT_SHARE * len(genes):
        return
    dates = [gene for gene in damaged if _unfit(gene) == "date"]
    if dates:
        raise _dates(dates, where=where)
    raise ExpressionError(
        f"{where}: gene identifiers are of mixed or unknown kind: {len(damaged):,} of {len(genes):,} rows have names "
        f"that are no genes, such as {', '.join(repr(name) for name in damaged[:_LISTED])}",
        cure="name gene_column, or go back to the file before it passed through a spreadsheet",
    )


def _dates(dates: Sequence[str], *, where: str) -> ExpressionError:
    return ExpressionError(
        f"{where}: {len(dates)} gene names were turned into dates by a spreadsheet, such as {dates[0]!r}",
        cure="go back to the file before it passed through the spreadsheet",
    )


def _left_out(genes: Sequence[str], unfit: Sequence[Unfit | None]) -> tuple[str, ...]:
    counted = Counter(why for why in unfit if why is not None)
    statements = []
    for why, count in sorted(counted.items()):
        names = [gene for gene, each in zip(genes, unfit, strict=True) if each == why]
        more = ", ..." if count > _LISTED else ""
        shown = ", ".join(repr(name) for name in names[:_LISTED])
        statements.append(f"Rows left out, no gene ({why}): {count:,} ({shown}{more}).")
    return tuple(statements)
