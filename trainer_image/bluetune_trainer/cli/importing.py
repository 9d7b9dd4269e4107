"""Import: publish a base model as the first version."""

import logging
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bluetune_api import store_layout
from bluetune_api.model import PLUGIN_BASE
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import Manifest, ManifestFile, Plan, Result
from bluetune_trainer.errors import PlanInvalid, raise_if
from bluetune_trainer.plugin.blame import blaming
from bluetune_trainer.plugin.method import overridden
from bluetune_trainer.plugin.resolve import Resolved, resolve
from bluetune_trainer.report.card import CardFacts, write_card
from bluetune_trainer.store import runs
from bluetune_trainer.store.bases import OpenStore, fetch_base, require_safetensors
from bluetune_trainer.store.versions import publish

if TYPE_CHECKING:
    from bluetune_trainer.training.model import Model

log = logging.getLogger(__name__)
_STOPPED = "stopped on request, before anything was published"


def run_import(store: ObjectStore, plan: Plan, open_store: OpenStore, *, stop: threading.Event) -> Result:
    """Publish `plan.base_uri`, and write the result. Again: the result that is there.

    Raises:
        PlanInvalid, PluginFailed, StoreFailed: as `fetch_model` says, or the plugin raised.
        Stopped: `stop` was set; nothing is published.
    """
    done = runs.read_result(store, plan.owner.uid)
    if done is not None:
        return done
    runs.keep_plan(store, plan)
    resolved = resolve(plan.method)
    with tempfile.TemporaryDirectory(prefix="bluetune-import-") as temporary:
        workdir = Path(temporary)
        settings = resolved.method.settings
        base = _base(plan, resolved, workdir / "base", open_store, stop)
        raise_if(stop, _STOPPED)
        from bluetune_trainer.cli.probe import compare, reference_of  # torch, not before it is needed
        from bluetune_trainer.training.opening import open_model, open_served

        with blaming(plan.method.plugin, *resolved.user_code):
            model = open_model(base, settings, resolved.plugin)
            _say_unused_prompts(base, model)
            model.save(workdir / "model")
            reference = reference_of(model)
        card = CardFacts(
            dimension=model.dimension,
            similarity=model.similarity,
            unit=model.unit,
            query_prompt=model.query_prompt,
            item_prompt=model.item_prompt,
            base_uri=plan.base_uri,
        )
        write_card(workdir / "model", card)
        raise_if(stop, _STOPPED)

        def describe(files: list[ManifestFile]) -> Manifest:
            return Manifest(
                files=files,
                dimension=model.dimension,
                base_uri=plan.base_uri,
                query_prompt=model.query_prompt,
                item_prompt=model.item_prompt,
                similarity=model.similarity,
                probe=reference.probe,
            )

        def reopen(folder: Path) -> None:
            compare(open_served(folder, settings, resolved.plugin), reference)

        with blaming(plan.method.plugin, *resolved.user_code):
            published = publish(store, workdir / "model", describe, reopen)
    result = Result(
        kind="Import", owner=plan.owner, version=published.version, digest=published.digest, uri=published.uri
    )
    return runs.create(store, store_layout.result(plan.owner.uid), result)


def _say_unused_prompts(base: Path, model: "Model") -> None:
    """A base may name its prompts as it likes, and which of them is for queries is then for the user to say."""
    from bluetune_trainer.training.layout import read_prompts

    unused = read_prompts(base).unused()
    if unused and not (model.query_prompt or model.item_prompt):
        log.warning(
            "the base has prompts, but none that is known to be put before queries or items; if they should be, set"
            " settings.queryPrompt and settings.itemPrompt",
            extra={"prompts": unused},
        )


def _base(plan: Plan, resolved: Resolved, into: Path, open_store: OpenStore, stop: threading.Event) -> Path:
    """The folder of the base: fetched, or written by the plugin."""
    write = overridden(resolved.plugin, "initial_model")
    if plan.base_uri != PLUGIN_BASE:
        if write is not None:
            log.info("the plugin is not asked for a first model: base.uri names one", extra={"base": plan.base_uri})
        return fetch_base(plan, into, open_store, on_file=partial(raise_if, stop, _STOPPED))
    if write is None:
        raise PlanInvalid(
            f"base.uri: {PLUGIN_BASE} asks the plugin {plan.method.plugin} for a model, and it gives none;"
            " name the base by s3://, hf:// or a path, or give the plugin initial_model"
        )
    into.mkdir()
    with blaming(plan.method.plugin, *resolved.user_code):
        write(into)
    require_safetensors(into, PLUGIN_BASE)
    return into
