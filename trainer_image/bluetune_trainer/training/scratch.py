"""Files of the work folder that are mapped into memory."""

import os
from pathlib import Path


def reserve(path: Path) -> None:
    """Give a file of its size all the disk that it takes.

    Where a mapped file has a hole and the disk has no room for it, writing there is no error but a SIGBUS, which ends
    the process without a word.

    Raises:
        OSError: the disk has no room.
    """
    with path.open("r+b") as file:
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
