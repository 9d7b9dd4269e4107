"""Fetch the model that a first version is made of."""

import logging
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from bluetune_api.objectstore import ObjectStore
from bluetune_api.records import Plan
from bluetune_api.store_location import StoreLocation
from bluetune_trainer.errors import PlanInvalid, StoreFailed
from bluetune_trainer.store.versions import PICKLES, without_safetensors

log = logging.getLogger(__name__)

HF = re.compile(r"hf://(?P<repository>[^/@ ]+/[^/@ ]+)(@(?P<revision>[^@ ]+))?")
S3 = re.compile(r"s3://(?P<bucket>[^/ ]+)/(?P<path>[^ ]+)")
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model"]
"""Files of a sentence-transformers folder; no pickles, no ONNX, no TensorFlow."""
OpenStore = Callable[..., ObjectStore]
OnFile = Callable[[], None]


def fetch_base(plan: Plan, into: Path, open_store: OpenStore, on_file: OnFile = lambda: None) -> Path:
    """The folder of the base model that `plan.base_uri` names; see `fetch_model`."""
    return fetch_model(plan.base_uri or "", plan.store, into, open_store, on_file)


def fetch_model(
    uri: str, location: StoreLocation | None, into: Path, open_store: OpenStore, on_file: OnFile = lambda: None
) -> Path:
    """The folder of the model that a URI names.

    Args:
        uri: an absolute path, `hf://org/name@revision`, or `s3://bucket/path`.
        location: endpoint of the S3 that `s3://` speaks of; its bucket and prefix do not count.
        into: an empty folder to put it in, if it must be fetched.
        open_store: makes a store of a StoreLocation, with the keys of the environment.
        on_file: called before each file that comes from S3; may raise to stop.

    Raises:
        PlanInvalid: there is no such model, or it has no safetensors.
        StoreFailed: it could not be fetched.
    """
    left: list[str] = []
    if found := HF.fullmatch(uri):
        folder, left = _from_hugging_face(found["repository"], found["revision"], into, uri)
    elif found := S3.fullmatch(uri):
        if location is None:
            raise PlanInvalid(f"{uri}: BLUETUNE_STORE is not set, so it is not known where s3:// is")
        folder, left = _from_s3(location, found["bucket"], found["path"].strip("/"), into, open_store, on_file)
    elif uri.startswith("/"):
        folder = Path(uri)
        if not folder.is_dir():
            raise PlanInvalid(f"base.uri: there is no folder {uri} here; it must be part of the trainer's image")
    else:
        raise PlanInvalid(f"base.uri: {uri!r} must be an absolute path, hf://org/name@revision, or s3://bucket/path")
    require_safetensors(folder, uri, left)
    return folder


def require_safetensors(folder: Path, uri: str, left: Iterable[str] = ()) -> None:
    """Refuse a model whose weights exist as pickles only; `left` are names of files that were not fetched."""
    if not (folder / "config.json").is_file() and not (folder / "modules.json").is_file():
        raise PlanInvalid(f"base.uri: {uri} is no model folder, it has neither config.json nor modules.json")
    if not list(folder.rglob("*.safetensors")):
        names = [path.name for path in folder.rglob("*")] + [Path(name).name for name in left]
        raise without_safetensors(f"base.uri: {uri}", names)


def _from_s3(
    near: StoreLocation, bucket: str, path: str, into: Path, open_store: OpenStore, on_file: OnFile
) -> tuple[Path, list[str]]:
    """The folder, and the pickles that were left where they are."""
    location = near.model_copy(update={"bucket": bucket, "prefix": path})
    store = open_store(location)
    found = list(store.list(""))
    if not found:
        raise PlanInvalid(f"base.uri: there are no objects below {location.uri()} at {location.endpoint}")
    left: list[str] = []
    for info in found:
        on_file()
        relative = Path(info.key)
        if relative.is_absolute() or ".." in relative.parts:
            raise PlanInvalid(f"base.uri: {store.uri(info.key)} leaves the model's folder")
        if relative.suffix in PICKLES:
            left.append(info.key)
        elif not info.key.endswith("/"):
            store.download(info.key, into / relative, etag=info.etag)
    return into, left


def _from_hugging_face(repository: str, revision: str | None, into: Path, uri: str) -> tuple[Path, list[str]]:
    """The folder, and all names of the repository if no weights were among what was fetched."""
    import huggingface_hub
    from huggingface_hub import errors

    try:
        huggingface_hub.snapshot_download(
            repository, revision=revision, local_dir=into, allow_patterns=WANTED, token=False, etag_timeout=10
        )
        if list(into.rglob("*.safetensors")):
            return into, []
        return into, huggingface_hub.HfApi(token=False).list_repo_files(repository, revision=revision)
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.HFValidationError) as error:
        raise PlanInvalid(
            f"base.uri: {uri} does not exist, or is private or gated (bluetune sends no token);"
            " check the name and the revision, or copy the model into the store and use s3://"
        ) from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError, errors.OfflineModeIsEnabled, OSError) as error:
        raise StoreFailed(
            f"base.uri: {uri} cannot be fetched, the model hub cannot be reached from here ({type(error).__name__});"
            " allow the trainer's pods out to it, or copy the model into the store and use s3://bucket/path",
            reason="BaseUnreachable",
        ) from error
