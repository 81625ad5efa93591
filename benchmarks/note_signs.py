"""What the severity cohort's SQL finds in notes: recall and false alarms on sentences made of known terms.

    python -m benchmarks.note_signs

Each sentence names one of the thirty signs in one way: its HPO name, a synonym, a layman's words, a misspelling (two
neighbouring letters change places), an abbreviation; or says that it is not there, in several ways, or that somebody
else has it. A sentence is found when the sign's feature is 1; of sentences that deny a sign none should be. Every other
sign that is found in a sentence is a false alarm as well. SYNTHETIC: nobody wrote these notes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from assets_tests.worlds.tables.shipped import CATALOGUE, own_settings
from clinical_assets.sources.stand_in import in_use
from clinical_assets.sources.synthetic.severity import SIGNS
from clinical_assets.statistics.uncertainty.intervals import proportion
from clinical_assets.warehouse.sql.project import SqlProject
from clinical_assets.warehouse.sql.schema import empty_database

SHORT = {
    "HP:0000717": "ASD", "HP:0007018": "ADHD", "HP:0001508": "FTT", "HP:0000365": "SNHL", "HP:0001273": "ACC",
    "HP:0000505": "CVI", "HP:0001627": "CHD", "HP:0001250": "Sz",
}  # fmt: skip
DENIED = {
    "denied before: no X, without X, denies X": ("No {}.", "Alert, without {}.", "Mother denies {}."),
    "denied after: X was not seen, X absent": ("{} was not seen.", "{} absent.", "{}: negative."),
    "denied, then affirmed: no fever but X": ("No fever but {}.",),
    "somebody else's: the brother has X": ("The brother has {}.", "Family history of {}."),
}


def misspelt(text: str, random: np.random.Generator) -> str:
    """Two neighbouring letters inside a word of five letters or more change places; the text where there is none."""
    places = [i for i in range(1, len(text) - 2) if text[i - 1 : i + 3].isalpha() and text[i] != text[i + 1]]
    if not places:
        return text
    at = int(random.choice(places))
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def sentences() -> Iterator[tuple[str, str, str]]:
    """Way, code of the sign and note."""
    random = np.random.default_rng(1)
    for sign in SIGNS:
        known, lay = sign.words[:-1], sign.words[-1]
        yield "HPO name", sign.code, f"Seen in clinic. {sign.name}."
        yield from (("synonym", sign.code, f"Seen in clinic. {word.capitalize()}.") for word in known)
        yield "layman's words", sign.code, f"Seen in clinic. {lay.capitalize()}."
        yield from (("misspelt", sign.code, f"{misspelt(known[0], random)} since birth.") for _ in range(3))
        if sign.code in SHORT:
            yield "abbreviation", sign.code, f"Known {SHORT[sign.code]}."
        for way, forms in DENIED.items():
            yield from ((way, sign.code, form.format(known[0])) for form in forms)


def main() -> None:
    """Count and print."""
    entry = CATALOGUE.entry("disease_severity")
    spec = in_use(CATALOGUE.spec(entry.name), settings=own_settings(Path("nothing here")), folder=entry.folder)
    project = SqlProject(CATALOGUE.sql_folders, spec)
    said = pl.DataFrame(sentences(), schema=["way", "code", "note"], orient="row").with_row_index("number")
    said = said.with_columns(case_id=pl.format("c{}", "number"))
    with empty_database(spec) as connection:
        connection.register("said", said.to_arrow())
        connection.execute("INSERT INTO validated.subjects BY NAME SELECT case_id, note, 'p' AS paper FROM said")
        features = connection.execute(project.compile(project.feature_model).sql).pl()
    docs = project.docs(project.feature_model)
    code_of = {
        name: next(sign.code for sign in SIGNS if sign.code in str(described.description))
        for name in features.columns
        if (described := docs.column(name)) is not None and "(HP:" in (described.description or "")
    }
    found = features.unpivot(list(code_of), index="case_id").filter(pl.col("value") == 1)
    found = found.with_columns(found=pl.col("variable").replace_strict(code_of)).select("case_id", "found")
    joined = said.join(found.group_by("case_id").agg("found"), on="case_id", how="left")
    for (way,), rows in joined.group_by("way", maintain_order=True):
        signs = [set(each or ()) for each in rows["found"].to_list()]
        pairs = list(zip(rows["code"].to_list(), signs, strict=True))
        hits = sum(code in each for code, each in pairs)
        others = sum(len(each - {code}) for code, each in pairs)
        told = proportion(hits, rows.height)
        print(
            f"{way}: found {hits} of {rows.height}, {told.value:.2f} ({told.ci_low:.2f} to {told.ci_high:.2f}); "
            f"other signs {others}"
        )


if __name__ == "__main__":
    main()
