"""A page of the docs that is written from a table of the tests."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def written(name: str, text: str) -> int:
    """Write a page, or compare it where the command line says `--check`; the exit code, 1 if it is out of date."""
    parser = argparse.ArgumentParser(description=f"Write {name} from the table that the tests go through.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    options = parser.parse_args()
    page = ROOT / name
    if page.is_file() and page.read_text() == text:
        return 0
    if options.check:
        print(f"{name} is out of date: run make generate")
        return 1
    page.write_text(text)
    print(f"wrote {name}")
    return 0
