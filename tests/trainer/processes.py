"""The trainer's command line in processes that start fast, and that die at a given write to the store."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

PRELOADED = ["bluetune_trainer.cli.laptop", "bluetune_trainer.cli.training", "bluetune_trainer.search.run", __name__]


def run_cli(arguments: Sequence[str], output: Path, *, die_at: int | None = None, within: str = "") -> tuple[int, int]:
    """Run a command in a process of its own, which kills itself at its write number `die_at`, before or after it.

    Args:
        arguments: of the command.
        output: what it prints, and beside it how often it wrote.
        die_at: from 1; default: it is not killed.
        within: count only the writes of keys that begin so.

    Returns its exit code (-9 if it was killed), and how often it wrote to the store, progress aside.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=_main, args=(list(arguments), output, die_at, within))
    process.start()
    process.join(300)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"not done after 300 s: {output.read_text()[-2000:]}")
    writes = output.with_suffix(".writes")
    return process.exitcode or 0, len(writes.read_text()) if writes.exists() else 0


def _main(arguments: list[str], output: Path, die_at: int | None, within: str) -> None:
    import torch

    from bluetune_api.objectstore import LocalStore
    from bluetune_trainer.cli.main import main

    torch.set_num_threads(1)
    with output.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    writes = os.open(output.with_suffix(".writes"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    count = 0

    def counted(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: LocalStore, key: str, *args: Any, **more: Any) -> Any:
            nonlocal count
            if key.endswith("progress.json") or not key.startswith(within):  # how often depends on the clock
                return original(self, key, *args, **more)
            count += 1
            os.write(writes, b".")
            if count == die_at and count % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            done = original(self, key, *args, **more)
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return done

        return call

    for name in ("put", "upload", "create", "delete"):
        setattr(LocalStore, name, counted(getattr(LocalStore, name)))
    raise SystemExit(main(arguments))
