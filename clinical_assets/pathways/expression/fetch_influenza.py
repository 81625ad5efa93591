"""Fetch the influenza micro-cohorts and GO gene sets from Debian's packages, with the descriptions that use them.

Run on a machine with Debian's package tools:
``python -m clinical_assets.pathways.expression.fetch_influenza --into FOLDER``. The folder is then
a catalogue: name it in ``CLINICAL_ASSETS_CATALOGUE``. Nothing is installed, no R is
needed, and descriptions that are already there stay as they are.

What belongs here: fetching and unpacking. What does not: reading the files (``connectors``).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from clinical_assets.cohorts.paired import paired
from clinical_assets.foundation.errors import ClinicalAssetsError, SourceError

_LIBRARY = Path("usr/lib/R/site-library")
#: Debian package to the files taken out of it.
PACKAGES: dict[str, tuple[Path, ...]] = {
    "r-bioc-qusage": (_LIBRARY / "qusage/data/fluExample.RData", _LIBRARY / "qusage/data/fluVaccine.RData"),
    "r-bioc-org.hs.eg.db": (_LIBRARY / "org.Hs.eg.db/extdata/org.Hs.eg.sqlite",),
    "r-bioc-go.db": (_LIBRARY / "GO.db/extdata/GO.sqlite",),
}
FILES = "influenza"
DESCRIPTIONS = ("influenza_challenge.yaml", "influenza_vaccine.yaml")

Run = Callable[[Sequence[str], Path], None]


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
    call = run or _run
    target = into / paired.FOLDER
    (target / FILES).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # apt fetches as an account of its own
        call(["apt-get", "download", *PACKAGES], folder)
        for package, wanted in PACKAGES.items():
            archives = sorted(folder.glob(f"{package}_*.deb"))
            if len(archives) != 1:
                raise SourceError(
                    f"{len(archives)} archives of {package} were fetched", cure="run apt-get update first"
                )
            unpacked = folder / package
            call(["dpkg", "-x", archives[0].name, package], folder)
            for inside in (*wanted, Path("usr/share/doc") / package / "copyright"):
                if not (unpacked / inside).is_file():
                    raise SourceError(
                        f"{archives[0].name} lacks {inside}",
                        cure="use the package of Debian 12, or copy the file there",
                    )
                own = f"{package}.copyright" if inside.name == "copyright" else inside.name
                shutil.copyfile(unpacked / inside, target / FILES / own)
            # The release is in the archive's name and nowhere else.
            (target / FILES / f"{package}.version").write_text(f"{archives[0].name}\n", encoding="utf-8")
    shipped = Path(paired.__file__).parents[1] / "catalogue" / paired.FOLDER / "on_request"
    for name in DESCRIPTIONS:
        if not (target / name).exists():
            shutil.copyfile(shipped / name, target / name)
    return tuple(target / name for name in DESCRIPTIONS)


def _run(command: Sequence[str], folder: Path) -> None:
    if shutil.which(command[0]) is None:
        raise SourceError(
            f"{command[0]} is not on this machine", cure="fetch on a machine with Debian's tools and copy the folder"
        )
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise SourceError(
            f"{' '.join(command[:2])} failed: {said[-1] if said else 'no words'}", cure="run apt-get update"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m clinical_assets.pathways.expression.fetch_influenza", description=__doc__
    )
    parser.add_argument("--into", type=Path, required=True, help="folder of your own, outside version control")
    into: Path = parser.parse_args(arguments).into
    try:
        written = fetch(into)
    except ClinicalAssetsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write("".join(f"{path}\n" for path in written))
    sys.stdout.write(
        f"Now: CLINICAL_ASSETS_CATALOGUE={into} clinical-assets materialize --job study_micro_cohort ...\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
