"""Import: publish a base model as the first version."""

import tempfile
from pathlib import Path

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import Manifest, ManifestFile, Plan, Result
from bluetune_trainer.cli.bases import OpenStore, fetch_base
from bluetune_trainer.store import runs
from bluetune_trainer.store.versions import publish


def run_import(store: ObjectStore, plan: Plan, open_store: OpenStore) -> Result:
    """Publish `plan.base_uri`, and write the result. Again: the result that is there."""
    done = runs.read_result(store, plan.owner.uid)
    if done is not None:
        return done
    runs.keep_plan(store, plan)
    with tempfile.TemporaryDirectory(prefix="bluetune-import-") as temporary:
        workdir = Path(temporary)
        settings = plan.method.settings
        base = fetch_base(plan, workdir / "base", open_store)
        from bluetune_trainer.cli.probe import probe_of, reopen_and_compare  # torch, not before it is needed
        from bluetune_trainer.training.encoder import Encoder

        encoder = Encoder.load(
            base,
            max_tokens=settings.max_tokens,
            query_prompt=settings.query_prompt,
            item_prompt=settings.item_prompt,
        )
        encoder.save(workdir / "model")
        probe = probe_of(encoder)

        def describe(files: list[ManifestFile]) -> Manifest:
            return Manifest(
                files=files,
                dimension=encoder.dimension,
                base_uri=plan.base_uri,
                query_prompt=encoder.query_prompt,
                item_prompt=encoder.item_prompt,
                probe=probe,
            )

        published = publish(store, workdir / "model", describe, lambda folder: reopen_and_compare(folder, probe))
    result = Result(
        kind="Import", owner=plan.owner, version=published.version, digest=published.digest, uri=published.uri
    )
    return runs.create(store, store_layout.result(plan.owner.uid), result)
