"""The table of benchmarks as Markdown, and its place on the page of costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
QUOTED = ROOT / "benchmarks" / "table.json"
#: Between these lines of the page stands what the table says.
BEGIN, END = "<!-- table: made by `make bench`, not by hand -->", "<!-- end of table -->"


def markdown(content: dict[str, Any]) -> str:
    """The table for a page, with what it was measured on; from what ``table.json`` holds."""
    label = "QUICK SIZE: not to be quoted. " if content["size"] == "quick" else ""
    libraries = ", ".join(f"{name} {number}" for name, number in content["libraries"].items())
    lines = [
        f"{label}Commit {content['commit']}, {content['machine']}, load {content['load at the start']}, "
        f"Python {content['python']}, {libraries}. Synthetic data. Ratio: the peer's figure over ours, more than 1 is "
        "better than the peer.",
        "",
        "| what | size | ours | peer | peer's figure | ratio |",
        "|---|---|---|---|---|---|",
        *(
            f"| {row['name']} | {row['size']} | {row['ours']:.3g} {row['unit']} | {row['peer_name']} "
            f"| {row['peer']:.3g} {row['unit']} | {row['ratio']:.2f} |"
            for row in content["rows"]
        ),
    ]
    if content["growth"]:
        lines += [
            "",
            "How the figure grows with size; 1 is in proportion.",
            "",
            "| what | sizes | figures | exponent |",
            "|---|---|---|---|",
            *(
                f"| {row['name']} | {', '.join(f'{size:,}' for size in row['sizes'])} {row['of']} "
                f"| {', '.join(f'{each:.3g}' for each in row['seconds'])} {row['unit']} | {row['exponent']:.2f} |"
                for row in content["growth"]
            ),
        ]
    return "\n".join(lines) + "\n"


def page_with_table(page: str, content: dict[str, Any]) -> str:
    """The page with the table of ``content`` in its place; only a full one is quoted."""
    if content["size"] != "full":
        raise SystemExit("Only figures of the full size are quoted.")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{markdown(content)}\n{END}{after}"
