"""Asking the blue service, as a user would, and its pods, one by one."""

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from semanlink import metrics
from semanlink.target import NAMESPACE, SEARCH_PORT, DemoError, Target

SECONDS = 60.0
ATTEMPTS = 5


def search(base: str, query: str) -> list[dict[str, Any]]:
    """The ten results of a query. `log=0`: nobody is looking at them. Raises DemoError."""
    found: list[dict[str, Any]] = ask(base, "/search", q=query, limit=str(metrics.DEPTH), log="0")["results"]
    return found


def ask(base: str, path: str, **query: str) -> dict[str, Any]:
    """What the search page answers. Raises DemoError."""
    address = f"{base}{path}?{urllib.parse.urlencode(query)}"
    for attempt in range(ATTEMPTS):
        try:
            with urllib.request.urlopen(address, timeout=SECONDS) as response:  # noqa: S310 - http on 127.0.0.1
                found: dict[str, Any] = json.load(response)
                return found
        except (OSError, ValueError) as error:
            last = error
        time.sleep(0.5 * 2**attempt)
    raise DemoError(f"the search service does not answer at {address}: {last}")


def rankings(base: str, queries: Sequence[str]) -> list[list[dict[str, Any]]]:
    """The results of many queries, in their order."""
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda query: search(base, query), queries))


def served(target: Target) -> dict[str, str]:
    """Pod → digest that it says it serves, of every ready pod of the blue Deployment."""
    pods = json.loads(target.run("kubectl", "-n", NAMESPACE, "get", "pods", "-l", "app=search", "-o", "json"))["items"]
    names = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"] and _ready(pod)]
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{{}}:{SEARCH_PORT}/proxy/version"
    return {name: json.loads(target.run("kubectl", "get", "--raw", path.format(name)))["digest"] for name in names}


def _ready(pod: dict[str, Any]) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions") or [])
