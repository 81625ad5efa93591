"""Runs the pages of this folder: every `$` line of their console blocks, with its output and the pictures put back.

    python docs/uses/make.py [page ...]      # minutes per page; needs Chromium for screenshots

A page is Markdown. Before a console block, an HTML comment may say ``<!-- lines: 12 -->``: so many lines of output are
shown per command. ``<!-- picture: reports/x.png -> name.png -->`` copies a file of the data folder below ``pictures/``;
``<!-- screen: reports/x.html 900x1200 -> name.png -->`` draws a page of it. All pages share one new data folder, in
which nobody's records lie. Commands with ``--as`` get the password of a made-up person.
"""

# ruff: noqa: T201, S602 (a script for a terminal, which runs the commands of these pages)
from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PAGES = ("heart_and_stroke", "trial_dropout", "diagnosis_severity", "cancer_models")
PASSWORD = "the long words of a made-up person"  # pragma: allowlist secret
BLOCK = re.compile(r"(?:<!-- lines: (\d+) -->\n)?```console\n(.*?)```", re.DOTALL)
PICTURE = re.compile(r"<!-- picture: (\S+) -> (\S+) -->")
SCREEN = re.compile(r"<!-- screen: (\S+) (\d+)x(\d+) -> (\S+) -->")
LINES = 30


def run(command: str, data: Path) -> str:
    """What a command prints, with the folder of the data called `data`."""
    signed = f"{command} --password-stdin" if " --as " in command or " people add " in command else command
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "CLINICAL_ASSETS_DATA": str(data),
        "DAGSTER_HOME": str(data / "dagster"),
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "COLUMNS": "150",
    }
    done = subprocess.run(
        signed,
        shell=True,
        cwd=data.parent,
        env=environment,
        input=f"{PASSWORD}\n" * 3,
        capture_output=True,
        text=True,
        check=False,
    )
    # Other codes are answers, too, such as a gate that fails or could not judge.
    if "Usage:" in done.stderr or "Traceback" in done.stderr:
        raise SystemExit(f"{command}\n{done.stdout}{done.stderr}")
    # Steps that ended are the progress of a terminal, not an answer.
    errors = [row for row in done.stderr.splitlines() if not re.fullmatch(r"\w+: \w+ \w+", row) and "INFO" not in row]
    said = done.stdout + ("\n".join(errors) if done.returncode else "")
    return re.sub(r"\x1b\[[0-9;]*m", "", said).replace(str(data), "data").replace(f"{ROOT}/", "").rstrip()


def shown(output: str, lines: int) -> str:
    """The beginning of an output; what is left out is said."""
    rows = [row.rstrip()[:200] for row in output.splitlines()]
    left = len(rows) - lines
    return "\n".join([*rows[:lines], f"... {left} more lines"] if left > 0 else rows)


def block(found: re.Match[str], data: Path) -> str:
    """A console block, run again."""
    lines = int(found[1] or LINES)
    parts = []
    for written in re.findall(r"^\$ (.+)$", found[2], re.MULTILINE):
        command = signed_digest(written, data)
        print(f"$ {command}", file=sys.stderr, flush=True)
        output = shown(run(command, data), lines)
        parts.append(f"$ {command}\n{output}\n" if output else f"$ {command}\n")
    head = f"<!-- lines: {found[1]} -->\n" if found[1] else ""
    return f"{head}```console\n{''.join(parts)}```"


def signed_digest(command: str, data: Path) -> str:
    """The command with the digest of the dossier that lies there, where it names one."""
    if "--digest" not in command:
        return command
    review = json.loads(run(f"clinical-assets review {command.split()[2]} --json", data))
    return re.sub(
        r"--digest [0-9a-f]{8}", f"--digest {review['dossier']['digest'].removeprefix('sha256:')[:8]}", command
    )


def newest(data: Path, pattern: str) -> Path:
    """The file of the data folder that a pattern means; the newest of several."""
    found = sorted(data.glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        raise SystemExit(f"{pattern}: no such file below the data folder")
    return found[-1]


def screen(page: Path, width: int, height: int, to: Path) -> None:
    """A picture of a page, drawn by Chromium."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("Chromium is needed for screenshots: on Debian, apt-get install chromium")
    words = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    words += [f"--window-size={width},{height}", f"--screenshot={to}", page.as_uri()]
    subprocess.run(words, check=True, capture_output=True, timeout=120)


def smaller(picture: Path) -> None:
    """The picture in 64 colours: a fifth of the bytes, and nothing that the eye misses."""
    from PIL import Image

    with Image.open(picture) as image:
        image.convert("RGB").quantize(64).save(picture, optimize=True)


def make(page: Path, data: Path) -> None:
    """Run a page and write it back."""
    text = page.read_text(encoding="utf-8")
    done: list[str] = []
    position = 0
    # In the order of the page: a picture shows what the commands before it made.
    for found in re.finditer(f"{BLOCK.pattern}|{PICTURE.pattern}|{SCREEN.pattern}", text, re.DOTALL):
        done.append(text[position : found.start()])
        position = found.end()
        written = found[0]
        if picture := PICTURE.fullmatch(written):
            to = HERE / "pictures" / picture[2]
            shutil.copy(newest(data, picture[1]), to)
            smaller(to)
        elif drawn := SCREEN.fullmatch(written):
            to = HERE / "pictures" / drawn[4]
            screen(newest(data, drawn[1]), int(drawn[2]), int(drawn[3]), to)
            smaller(to)
        elif console := BLOCK.fullmatch(written):
            written = block(console, data)
        done.append(written)
    page.write_text("".join(done) + text[position:], encoding="utf-8")


def main() -> None:
    """Every page that was named, or all."""
    (HERE / "pictures").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="uses_") as folder:
        data = Path(folder) / "data"
        (data / "dagster").mkdir(parents=True)
        (Path(folder) / "docs").symlink_to(ROOT / "docs")
        shutil.copy(ROOT / "dagster.yaml", data / "dagster" / "dagster.yaml")
        for name in sys.argv[1:] or PAGES:
            make(HERE / f"{name}.md", data)


if __name__ == "__main__":
    main()
