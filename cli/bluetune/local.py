"""Fine-tuning from Python on this machine. The trainer does the work, and is imported when it is asked for."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bluetune.adapters.trainer import EXTRA, missing_libraries
from bluetune.core.errors import Exit, FineTuneError

if TYPE_CHECKING:
    from bluetune_trainer.cli.notebook import Run


def fine_tune(
    base: str | os.PathLike[str],
    *,
    sessions: object,
    items: object,
    out: str | os.PathLike[str],
    clickstream: Mapping[str, Any] | None = None,
    method: Mapping[str, Any] | None = None,
    gate: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> "Run":
    """Fine-tune a model on search clicks, on this machine, and ask the gate whether it became better.

    Args:
        base: a model's folder, `all-MiniLM-L6-v2`, `org/name`, or `hf://org/name@revision`.
        sessions: search sessions, or events as `clickstream` says: a table of pandas, polars or pyarrow, a path, or a
            list of these.
        items: the catalogue, in the same forms.
        out: folder for the model; one of an earlier run is replaced.
        clickstream: what the sessions look like, as `spec.clickstream` of a FineTuningMethod.
        method: how to fine-tune, as `spec` of a FineTuningMethod.
        gate: what is asked of the model, as `spec.serving.gate` of an EmbeddingModel.
        progress: show how far it is.

    Raises:
        FineTuneError: with the message that `bluetune run` prints.
        KeyboardInterrupt: Ctrl-C, or a notebook's stop button; nothing is left behind.
    """
    if missing := missing_libraries():
        raise _not_installed(", ".join(missing))
    try:
        from bluetune_trainer.cli import notebook
        from bluetune_trainer.cli.ending import logged
    except ModuleNotFoundError as error:
        raise _not_installed(str(error.name)) from None
    try:
        return notebook.fine_tune(
            base,
            sessions=sessions,
            items=items,
            out=out,
            clickstream=clickstream,
            method=method,
            gate=gate,
            progress=progress,
        )
    except Exception as error:
        ending = logged(error)
    raise FineTuneError(ending.reason, ending.message, int(ending.exit_code))  # without the trainer's own frames


def _not_installed(missing: str) -> FineTuneError:
    return FineTuneError("TrainerMissing", f"fine_tune needs {missing}: pip install '{EXTRA}'", Exit.REFUSED)
