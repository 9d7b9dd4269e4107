"""helm for tests: its output, or its message as the error."""

import subprocess
from pathlib import Path

from cluster.paths import binaries

CHART = Path(__file__).resolve().parents[2] / "helm" / "bluetune"


class HelmError(Exception):
    """helm's own message."""


def helm(*arguments: str, timeout: float = 180) -> str:
    """The output of a helm command, run where the caller is. Raises HelmError with what it wrote to stderr."""
    line = [str(binaries() / "helm"), *arguments]
    result = subprocess.run(line, capture_output=True, text=True, check=False, timeout=timeout)
    if result.returncode:
        raise HelmError(f"{' '.join(line)}: {result.stderr.strip() or result.stdout.strip()}")
    return result.stdout
