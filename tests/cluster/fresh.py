"""A Kubernetes namespace of one's own."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .kubectl import Kubectl

RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


@contextmanager
def new_namespace(title: str) -> Iterator[str]:
    """A namespace where only restricted pods may run, for the time of a `with`; its name begins with `title`."""
    name = f"{title}-{secrets.token_hex(3)}"
    kubectl = Kubectl()
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, RESTRICTED)
    try:
        _wait_for_service_account(name)
        yield name
    finally:
        kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def _wait_for_service_account(namespace: str, seconds: float = 20) -> None:
    """Until the controller has made the account that pods of a new namespace run under."""
    deadline = time.monotonic() + seconds
    while "default" not in Kubectl(namespace)("get", "serviceaccounts", "-o", "name"):
        assert time.monotonic() < deadline, f"namespace {namespace} has no service account after {seconds} s"
        time.sleep(0.1)
