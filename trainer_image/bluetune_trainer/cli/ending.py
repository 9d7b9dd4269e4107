"""How a command ends: its exit code, the termination message for Kubernetes, one line for people."""

import logging
import os
import sys
from pathlib import Path

from bluetune_api.exit_codes import Termination
from bluetune_trainer.errors import Crashed, Stopped, TrainerError, as_trainer_error

log = logging.getLogger(__name__)

TERMINATION_LOG = "BLUETUNE_TERMINATION_LOG"
DEFAULT_TERMINATION_LOG = "/dev/termination-log"


def finish(error: BaseException) -> int:
    """Say how it ended, and return the exit code."""
    ending = logged(error)
    terminate(ending.reason, ending.message)
    text = ending.message if isinstance(ending, Stopped) else f"error: {ending.reason}: {ending.message}"
    print(text, file=sys.stderr)
    return int(ending.exit_code)


def logged(error: BaseException) -> TrainerError:
    """The error as an end that the user is told about; the log has the details of one that nobody foresaw."""
    ending = as_trainer_error(error)
    log.log(
        logging.ERROR if isinstance(ending, Crashed) else logging.DEBUG,
        "the command ended early",
        exc_info=error,
        extra={"reason": ending.reason},
    )
    return ending


def terminate(reason: str, message: str) -> None:
    """Leave the termination message where Kubernetes looks for it; outside of a pod there is no such file."""
    path = Path(os.environ.get(TERMINATION_LOG) or DEFAULT_TERMINATION_LOG)
    if TERMINATION_LOG not in os.environ and not path.exists():
        return
    try:
        path.write_text(Termination(reason=reason, message=message[:4096]).encode())
    except OSError as error:
        log.warning("no termination message written", extra={"path": str(path), "error": str(error)})
