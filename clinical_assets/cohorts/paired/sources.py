"""Where the two transcriptomes of each subject and the gene sets come from.

What belongs here: the models of sources in the description of a paired cohort. What does not: what is done with them
(``paired``).
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from clinical_assets.cohorts.base import Strict

Identifiers = Literal["symbol", "entrez", "ensembl"]
#: What the generator calls its conditions and labels.
SYNTHETIC_CONDITIONS = ("before", "after")
SYNTHETIC_LABELS = ("symptomatic", "asymptomatic")


class IdentifierMapping(Strict):
    """Gene identifiers translated by Bioconductor's human annotation database, one to one only."""

    org_db: str = Field(min_length=1)
    to: Identifiers


class MatrixFile(Strict):
    """A gene x sample matrix and its sample sheet; the formats are those of ``pathways.expression.matrix_files``."""

    kind: Literal["file"]
    matrix: str = Field(min_length=1)
    samples: str = Field(min_length=1, description="Sample sheet: sample, subject, condition, label, batch, ...")
    gene_column: str | None = Field(default=None, description="Column of the genes; of AnnData's var, for h5ad.")
    layer: str | None = Field(
        default=None, min_length=1, description="Layer of an AnnData file instead of its X; or raw."
    )
    strand: Literal["unstranded", "forward", "reverse"] = Field(
        default="unstranded", description="Column of STAR's ReadsPerGene.out.tab, where matrix is a folder of them."
    )
    identifiers: Identifiers | Literal["auto"] = "auto"
    scale: Literal["auto", "counts", "linear", "log2"] = "auto"
    duplicates: Literal["refuse", "sum", "mean", "highest_mean"] = "refuse"
    mapping: IdentifierMapping | None = Field(
        default=None, description="Only for gene sets that name their genes by another kind of identifier."
    )


class InfluenzaFile(Strict):
    """One of the two influenza data files of the R package qusage."""

    kind: Literal["influenza"]
    path: str = Field(min_length=1)
    study: Literal["challenge", "vaccine"]
    hours: int | None = Field(default=None, gt=0, description="Later time of the challenge; 77 by default.")

    @model_validator(mode="after")
    def _hours_of_the_challenge(self) -> Self:
        if self.study == "vaccine" and self.hours is not None:
            raise ValueError("hours belong to the challenge; the vaccine study has day 0 and day 7")
        return self


class SyntheticPairs(Strict):
    """Parameters of the generator, as in ``pathways.synthetic.synthetic_paired_cohort``; effect and noise in log2."""

    kind: Literal["synthetic"]
    seed: int = Field(ge=0)
    n_subjects: int = Field(default=20, ge=4, le=1000)
    n_genes: int = Field(default=600, ge=50, le=50_000)
    n_sets: int = Field(default=40, ge=1, le=10_000)
    n_planted: int = Field(default=6, ge=0)
    effect: float = Field(default=0.6, ge=0)
    penetrance: float = Field(default=0.9, ge=0, le=1)
    background: float = Field(default=0.05, ge=0, le=1)
    noise: float = Field(default=1.0, gt=0)
    correlation: float = Field(default=0.0, ge=0, lt=1)


class ScoreTable(Strict):
    """Scores of pathways that were made elsewhere, ternary or real: a row per subject, a column per pathway.

    Nothing is known of the two samples behind them, so the study has one design, pathways.
    """

    kind: Literal["scores"]
    matrix: str = Field(min_length=1, description="CSV with any separator, TSV, or Parquet.")
    subject_column: str = Field(default="subject", min_length=1)
    label_column: str = Field(default="label", min_length=1)
    leave_out: tuple[str, ...] = Field(default=(), description="Columns that are no scores, such as age.")


ExpressionSource = Annotated[MatrixFile | InfluenzaFile | SyntheticPairs | ScoreTable, Field(discriminator="kind")]


class GmtFile(Strict):
    """Gene sets of a GMT or GMX file."""

    kind: Literal["gmt"]
    path: str = Field(min_length=1)
    version: str | None = Field(default=None, description="Release of the collection; GMT files do not say it.")
    descriptions: bool | None = Field(
        default=None, description="Whether the second cells are descriptions; recognised from the genes by default."
    )


class GoDatabase(Strict):
    """GO Biological Process from Bioconductor's annotation databases."""

    kind: Literal["go_bp"]
    org_db: str = Field(min_length=1)
    go_db: str | None = None


class SyntheticSets(Strict):
    """The sets that the generator made along with the expression."""

    kind: Literal["synthetic"]


class NoSets(Strict):
    """No gene sets: the scores are there already."""

    kind: Literal["none"]


GeneSets = Annotated[GmtFile | GoDatabase | SyntheticSets | NoSets, Field(discriminator="kind")]
