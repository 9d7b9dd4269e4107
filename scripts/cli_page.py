"""Write docs/cli.md from the commands of `bluetune`.

    python scripts/cli_page.py [--check]

With --check nothing is written; the exit code is 1 if the page is not what the commands give.
"""

import argparse
import sys
from pathlib import Path

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from bluetune.app import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
START = """<!-- Generated from cli/bluetune by `make generate`; edit that instead. -->

# The command line

`pip install bluetune` brings `bluetune`, and the same as `kubectl bluetune`. It works by your own kubeconfig and
rights, and needs no torch. `bluetune --install-completion` sets up your shell. `NO_COLOR` is honoured.

| exit code | meaning |
|---|---|
| 0 | done; a task that was waited for Succeeded |
| 1 | failed or refused; a task that was waited for failed; `doctor` found something to do |
| 2 | the command line cannot be understood |
| 3 | the API server did not answer, or there is no kubeconfig |
| 4 | `--timeout` is over; the task goes on |
| 130 | Ctrl-C; the task goes on |

"""


def page() -> str:
    """The whole file."""
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), indent=1, name="bluetune", title="Commands")
    return START + text.rstrip() + "\n"


def main() -> int:
    """Write or check the page; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail if the page is out of date")
    options = parser.parse_args()
    if PAGE.is_file() and PAGE.read_text() == page():
        return 0
    if options.check:
        print("docs/cli.md is out of date: run make generate")
        return 1
    PAGE.write_text(page())
    print("wrote docs/cli.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
