"""People on blue's search page, simulated: they search, and open results that they judged relevant."""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from semanlink import blue, clicks
from semanlink.dataset import Document, Judgments
from semanlink.target import DemoError

AT_ONCE = 4


@dataclass(frozen=True)
class Visit:
    """What people did in a while."""

    searches: int
    clicked: int
    """Searches with a click."""
    batch_id: str
    """The batch that the page made of them."""


def visit(address: str, documents: list[Document], judgments: Judgments, *, count: int, seed: int) -> Visit:
    """Let people search and click through the page's own API, and close its batch.

    Which results are opened is drawn by the click model of the first batch, from what the page shows.

    Raises:
        DemoError: the page does not answer, or does not close the batch.
    """
    positions = {document.item_id: position for position, document in enumerate(documents)}
    asked = np.random.default_rng(seed).permutation(len(judgments))[:count].tolist()

    def one(number: int) -> bool:
        query = judgments.queries[number]
        answer = blue.ask(address, "/search", q=query, limit=str(len(clicks.EXAMINATION)))
        shown = [hit["object_id"] for hit in answer["results"]]
        relevant = np.array([positions.get(item) in judgments.relevant[number] for item in shown])
        chance = np.random.default_rng([seed, number])
        opened = clicks.clicked(relevant, clicks.ClickModel(), chance)
        for item in [item for item, click in zip(shown, opened, strict=True) if click]:
            _post(address, "/click", {"session_id": answer["session_id"], "object_id": item})
        return bool(opened.any())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        clicked = sum(pool.map(one, asked))
    closed = _post(address, "/admin/close-batch", {})
    if not closed or not closed.get("closed"):
        raise DemoError(f"the search page did not close its batch: {closed}")
    return Visit(len(asked), clicked, str(closed["batch_id"]))


def _post(address: str, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(f"{address}{path}", data=json.dumps(body).encode(), method="POST")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=blue.SECONDS) as response:  # noqa: S310 - http on 127.0.0.1
            text = response.read()
    except (OSError, ValueError) as error:
        raise DemoError(f"the search page refuses {path}: {error}") from error
    return json.loads(text) if text else None
