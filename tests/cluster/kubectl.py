"""kubectl for tests and scripts: text and JSON in and out, its message as the error."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any


class KubectlError(Exception):
    """kubectl's own message."""


class Kubectl:
    """Runs kubectl where the caller is (inside the cluster's network, or with a KUBECONFIG that reaches it).

    Args:
        namespace: what every command is about, unless it says `-n` itself.
    """

    def __init__(self, namespace: str = "default") -> None:
        self.namespace = namespace

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 60) -> str:
        """The output of a kubectl command. Raises KubectlError with what it wrote to stderr."""
        line = ["kubectl", f"--namespace={self.namespace}", *arguments]
        result = subprocess.run(line, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
        if result.returncode:
            raise KubectlError(f"{' '.join(line)}: {result.stderr.strip()}")
        return result.stdout

    def json(self, *arguments: str, timeout: float = 60) -> Any:
        """The parsed output of a command with `-o json`."""
        return json.loads(self(*arguments, "-o", "json", timeout=timeout))

    def apply(self, *objects: Mapping[str, Any] | str, timeout: float = 60) -> str:
        """Apply objects, given as dictionaries or as YAML text."""
        return self("apply", "-f", "-", stdin=_documents(objects), timeout=timeout)

    def create(self, *objects: Mapping[str, Any] | str, timeout: float = 60) -> str:
        """Create objects, given as dictionaries or as YAML text."""
        return self("create", "-f", "-", stdin=_documents(objects), timeout=timeout)

    def wait(self, condition: str, what: str, timeout: float = 60) -> None:
        """Wait for `condition` (what kubectl's `--for` takes) of `what`, at most `timeout` seconds."""
        self("wait", f"--for={condition}", what, f"--timeout={timeout:.0f}s", timeout=timeout + 10)


def _documents(objects: Iterable[Mapping[str, Any] | str]) -> str:
    return "\n---\n".join(each if isinstance(each, str) else json.dumps(each) for each in objects)
