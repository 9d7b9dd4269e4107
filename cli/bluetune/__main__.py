"""`bluetune`, `kubectl bluetune`, `python -m bluetune`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bluetune.core.errors import CliError, Exit, Unread

PLUGIN = "kubectl-bluetune"
"""Name under which kubectl finds a plugin on the PATH."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns its exit code."""
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # or the interpreter would try again, and end with a code of its own
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        from bluetune.app import app
    except ModuleNotFoundError as error:  # in the images, which have no command line
        print(
            f"error: the package {error.name} is not installed here: pip install . in a checkout of bluetune",
            file=sys.stderr,
        )
        return Exit.REFUSED
    called = "kubectl bluetune" if Path(sys.argv[0]).name == PLUGIN else "bluetune"
    try:
        app(args=None if arguments is None else list(arguments), prog_name=called)
    except CliError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Unread:
        return Exit.DONE
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else Exit.DONE
    return Exit.DONE


if __name__ == "__main__":
    sys.exit(main())
