"""A started server held to its OpenAPI document by generated requests (schemathesis, every check), for some minutes.

A ward is trained, signed and promoted in a temporary folder; its description has codes, so that FHIR and CDS Hooks are
part of the document. One run asks a server without a login, one a server with keys. Failures are printed as commands
that repeat them.

    python benchmarks/api_document.py [seconds per run, 300] [seed, 1]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assets_tests.worlds.ward.api_document import held_to_its_document
from assets_tests.worlds.ward.released import made_again


def main() -> None:
    """Ask, and end with an error where something was found."""
    seconds, seed = [*sys.argv[1:], *("300", "1")[len(sys.argv) - 1 :]]
    failed = False
    with tempfile.TemporaryDirectory() as name:
        place = made_again(Path(name))
        for keyed in (False, True):
            print("with keys" if keyed else "without a login", flush=True)
            options = ("--max-examples", "1000", "--max-time", seconds, "--seed", seed)
            found = held_to_its_document(place, *options, keyed=keyed)
            failed |= found.returncode != 0
            print(found.stdout, found.stderr, flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
