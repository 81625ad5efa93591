"""Fetch the influenza micro-cohorts and GO gene sets from Debian's packages, with the descriptions that use them.

``clinical-assets fetch --influenza FOLDER`` runs it. The folder is then a catalogue: name it in
``CLINICAL_ASSETS_CATALOGUE``. Nothing is installed, no R is needed, and descriptions that are already there stay.

What belongs here: which files go where. What does not: archives (``sources.r_packages.debian``), reading the files
(``connectors``).
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from clinical_assets.cohorts.paired import paired
from clinical_assets.sources.r_packages.debian import Run, download, read_members

_LIBRARY = "usr/lib/R/site-library"
#: Debian package to the files taken out of it.
PACKAGES: dict[str, tuple[str, ...]] = {
    "r-bioc-qusage": (f"{_LIBRARY}/qusage/data/fluExample.RData", f"{_LIBRARY}/qusage/data/fluVaccine.RData"),
    "r-bioc-org.hs.eg.db": (f"{_LIBRARY}/org.Hs.eg.db/extdata/org.Hs.eg.sqlite",),
    "r-bioc-go.db": (f"{_LIBRARY}/GO.db/extdata/GO.sqlite",),
}
FILES = "influenza"
DESCRIPTIONS = ("influenza_challenge.yaml", "influenza_vaccine.yaml")


def fetch(into: Path, *, run: Run | None = None) -> tuple[Path, ...]:
    """Bring files and descriptions into ``into/paired``.

    Parameters
    ----------
    into : Path
        A catalogue folder of the user's own; made if it is not there.
    run : callable, optional
        Runs a command in a folder; Debian's tools by default.

    Returns
    -------
    tuple of Path
        The descriptions.

    Raises
    ------
    SourceError
        The tools are missing, a package cannot be had, or it lacks a file.
    """
    target = into / paired.FOLDER
    (target / FILES).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        archives = download(tuple(PACKAGES), Path(name), run=run)
        for (package, wanted), archive in zip(PACKAGES.items(), archives, strict=True):
            licence = f"usr/share/doc/{package}/copyright"
            for inside, content in read_members(archive, (*wanted, licence)).items():
                own = f"{package}.copyright" if inside == licence else Path(inside).name
                (target / FILES / own).write_bytes(content)
            # The release is in the archive's name and nowhere else.
            (target / FILES / f"{package}.version").write_text(f"{archive.name}\n", encoding="utf-8")
    shipped = Path(paired.__file__).parents[1] / "catalogue" / paired.FOLDER / "on_request"
    for name in DESCRIPTIONS:
        if not (target / name).exists():
            shutil.copyfile(shipped / name, target / name)
    return tuple(target / name for name in DESCRIPTIONS)
