"""Where the records of a table come from: one model per kind of source.

Only the description lives here; reading is the work of ``clinical_assets.sources``.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Grown, Strict

FileFormat = Literal["csv", "parquet", "jsonl", "excel", "xport", "sas7bdat", "spss", "stata", "phenopackets"]

_STEP = r"[A-Za-z_][\w-]*(\[\d+\])?"
REFERENCE_KEY = ".getReferenceKey()"
"""Behind a FHIR reference: the id in it, as SQL on FHIR v2 calls it."""
JsonPath = Annotated[str, Field(pattern=rf"^{_STEP}(\.{_STEP})*(\.getReferenceKey\(\))?$")]


class CsvDialect(Grown):
    """How a delimited text file is written. What is left out is detected, except the encoding (UTF-8).

    ``repeated_names: number`` calls the second column of a name ``name_2`` and so on, as in exports whose headers are
    labels for people.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"repeated_names"})

    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    quote: str = Field(default='"', max_length=1)
    decimal: Literal[".", ","] = "."
    encoding: str = "utf-8"
    skip_rows: int = Field(default=0, ge=0)
    columns: tuple[str, ...] | None = Field(default=None, description="Column names of a file without a header line.")
    repeated_names: Literal["refuse", "number"] = "refuse"


class ExcelSheet(Strict):
    """Which sheet of a workbook, and in which of its rows, counted from 1, the columns have their names."""

    sheet: str | None = Field(default=None, min_length=1, description="Default: the only one.")
    header_row: int = Field(default=1, ge=1)


class PhenopacketTable(Strict):
    """Which table of a file of GA4GH Phenopackets: its people, or what was seen of them."""

    table: Literal["cases", "signs"] = "cases"


class _Readable(Grown):
    LATER: ClassVar[frozenset[str]] = frozenset({"excel", "unnest", "phenopackets"})

    format: FileFormat | None = Field(default=None, description="Default: by the file's ending.")
    csv: CsvDialect = CsvDialect()
    excel: ExcelSheet = ExcelSheet()
    phenopackets: PhenopacketTable = PhenopacketTable()
    unnest: dict[str, JsonPath] = Field(
        default_factory=dict,
        description="JSON Lines: columns made of values inside others, such as loinc: 'code.coding[0].code' or "
        "patient_id: subject.getReferenceKey().",
    )


class FileSource(_Readable):
    """A file, or a pattern of files with the same columns.

    The path is relative to the folder of the description, then to the data folder.
    """

    kind: Literal["file"]
    path: str = Field(min_length=1)


class PackagedSource(_Readable):
    """A data set that ships inside an installed Python package, read as a file and never imported.

    ``extra`` is the optional dependency of clinical_assets that installs the package.
    """

    kind: Literal["packaged"]
    package: str = Field(min_length=1)
    file: str = Field(min_length=1, description="Path inside the package.")
    extra: str = "data"
    licence: str = Field(min_length=1)


class RPackageSource(Strict):
    """A table of an R package, read from the package's Debian archive; neither R nor the package is installed.

    The archive, ``<package>_<release>_<machine>.deb``, lies in folder ``r_packages`` of the data folder or beside the
    description. ``rows`` takes only records whose column has one of the values, as text.
    """

    kind: Literal["r_package"]
    package: str = Field(pattern=r"^r-(cran|bioc)-[a-z0-9.+-]+$", description="Name of the Debian package.")
    file: str = Field(
        pattern=r"^[^/].*\.(rdb|rda|RData|txt|txt\.gz)$", description="Path in the package below usr/lib/R."
    )
    object: str | None = Field(default=None, min_length=1, description="Name in the file; a slot of it after @.")
    rows: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    licence: str = Field(min_length=1)


class UrlSource(_Readable):
    """A file fetched once over HTTP(S), resumed when interrupted and kept under its SHA-256."""

    kind: Literal["url"]
    url: str = Field(pattern=r"^https?://")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class SqlSource(Strict):
    """A query or table of a database that SQLAlchemy can reach.

    The address holds credentials, so the description names the environment variable that holds it.
    """

    kind: Literal["sql"]
    url_variable: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    query: str | None = None
    table: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.query is None) == (self.table is None):
            raise ValueError("give either query or table")
        return self


class SyntheticSource(Strict):
    """Records made by a seeded generator of ``clinical_assets.sources.synthetic``; always labelled synthetic."""

    kind: Literal["synthetic"]
    generator: str = Field(min_length=1)
    seed: int = Field(ge=0)
    parameters: dict[str, Any] = Field(default_factory=dict)


Source = Annotated[
    FileSource | PackagedSource | RPackageSource | UrlSource | SqlSource | SyntheticSource, Field(discriminator="kind")
]
