"""Where a benchmark was measured."""

import os
import platform
from datetime import UTC, datetime
from typing import Any


def machine(threads: int, bf16: bool) -> dict[str, Any]:
    """Processor, system and date, for the results; with so many threads, in bfloat16 where that pays."""
    model = platform.processor()
    try:
        with open("/proc/cpuinfo") as file:
            model = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": threads,
        "bf16": bf16,
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
    }
