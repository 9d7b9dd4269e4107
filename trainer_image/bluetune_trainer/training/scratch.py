"""Files of the work folder that are mapped into memory."""

import os
from pathlib import Path

CHUNK_BYTES = 1 << 20


def reserve(path: Path) -> None:
    """Give a file of its size all the disk that it takes.

    Where a mapped file has a hole and the disk has no room for it, writing there is no error but a SIGBUS, which ends
    the process without a word.

    Raises:
        OSError: the disk has no room.
    """
    size = path.stat().st_size
    with path.open("r+b") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
            return
        for begin in range(0, size, CHUNK_BYTES):  # macOS
            file.seek(begin)
            chunk = file.read(CHUNK_BYTES)
            file.seek(begin)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
