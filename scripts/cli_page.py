"""Write docs/cli.md from the commands of `bluetune`.

    python scripts/cli_page.py [--check]

With --check nothing is written; the exit code is 1 if the page is not what the commands give.
"""

import sys

import typer
from generated_page import table, written
from typer.cli import get_docs_for_click
from typer.main import get_command

from bluetune.app import app
from bluetune.core.errors import Exit

START = """<!-- Generated from cli/bluetune by `make generate`; edit that instead. -->

# The command line

`pip install .`, in a checkout, brings `bluetune`, and the same as `kubectl bluetune`. It works by your own kubeconfig
and rights, and needs no torch. `bluetune --install-completion` sets up your shell. `NO_COLOR` is honoured.

"""


def page() -> str:
    """The whole file."""
    command = get_command(app)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), indent=1, name="bluetune", title="Commands")
    exits = table(("exit code", "meaning"), ((str(int(code)), code.__doc__ or "") for code in Exit))
    return f"{START}{exits}\n\n{text.rstrip()}\n"


if __name__ == "__main__":
    sys.exit(written("docs/cli.md", page()))
