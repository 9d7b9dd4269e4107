"""Versions: published whole or not at all, fetched verified or not at all.

A version's files go up first and its manifest last, by a conditional create: whoever sees the manifest sees all files.
The id is taken from the manifest's digest, so the same content published twice is one version.
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bluetune_api import store_layout
from bluetune_api.objectstore import ObjectNotFound, ObjectStore
from bluetune_api.reading import FormatTooNew, RecordInvalid, read_record
from bluetune_api.records import Manifest, ManifestFile, digest_of, version_of
from bluetune_trainer.errors import PlanInvalid, StoreDamaged

log = logging.getLogger(__name__)

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".pyc")
"""Files that run code when they are opened."""

DOWNLOADS = 3
"""Maximum number of downloads of a file that differs from its manifest: the way may have damaged it, not the store."""


def without_safetensors(where: str, names: Iterable[str]) -> PlanInvalid:
    """The error for a model without safetensors, among whose files are these."""
    pickles = sorted({name for name in names if Path(name).suffix in PICKLES})
    has = f"its weights are a pickle ({', '.join(pickles)}), which runs code when it is opened" if pickles else ""
    return PlanInvalid(
        f"{where} has no *.safetensors file; {has or 'it has no weights'}."
        " Save the model with model.save_pretrained(folder, safe_serialization=True) and use that"
    )


@dataclass(frozen=True)
class Published:
    """A version that exists."""

    version: str
    digest: str
    uri: str
    manifest: Manifest


def files_of(folder: Path) -> list[ManifestFile]:
    """All files of a model's folder with size and sha256, sorted by path. Hidden files and a manifest are left out.

    Raises:
        PlanInvalid: a file is a pickle, or a link, which a version cannot hold.
    """
    found = []
    for path in sorted(p for p in folder.rglob("*") if not p.is_dir()):
        relative = path.relative_to(folder)
        if any(part.startswith(".") for part in relative.parts) or relative.as_posix() == store_layout.MANIFEST:
            continue
        if path.suffix in PICKLES:
            raise PlanInvalid(
                f"{relative} is a pickle, which runs code when it is opened, and is never published;"
                " save the weights as safetensors"
            )
        if path.is_symlink():
            raise PlanInvalid(f"{relative} is a symbolic link; a version holds plain files only")
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        found.append(ManifestFile(path=relative.as_posix(), size=path.stat().st_size, sha256=digest))
    return found


def publish(
    store: ObjectStore, folder: Path, describe: Callable[[list[ManifestFile]], Manifest], reopen: Callable[[Path], None]
) -> Published:
    """Publish a model's folder as a version.

    Args:
        folder: the model as it is to be served.
        describe: makes the manifest of these files.
        reopen: opens the files as they came back from the store, and raises if they do not encode as they should.
            Only after that the manifest is written, and the version exists.

    Raises:
        StoreDamaged: what came back is not what was sent, or another version has this id.
    """
    manifest = describe(files_of(folder))
    data = manifest.encode()
    digest = digest_of(data)
    version = version_of(digest)
    uri = store.uri(store_layout.version(version))
    if _existing(store, version) == data:
        log.info("version exists already", extra={"version": version})
        return Published(version, digest, uri, manifest)
    for file in manifest.files:
        store.upload(store_layout.version(version) + file.path, folder / file.path)
    with tempfile.TemporaryDirectory(prefix="bluetune-reopen-") as temporary:
        _fetch_files(store, version, manifest, Path(temporary))
        reopen(Path(temporary))
    if not store.create(store_layout.manifest(version), data) and _existing(store, version) != data:
        raise StoreDamaged(f"{uri} is another version with the same id; remove it, or train with another seed")
    log.info("version published", extra={"version": version, "digest": digest, "files": len(manifest.files)})
    return Published(version, digest, uri, manifest)


def _existing(store: ObjectStore, version: str) -> bytes | None:
    try:
        return store.get(store_layout.manifest(version))
    except ObjectNotFound:
        return None


def read_manifest(store: ObjectStore, version: str, *, digest: str | None = None) -> tuple[Manifest, bytes]:
    """A version's manifest and its bytes, which fit its id and, if it is given, the digest.

    Raises:
        PlanInvalid: there is no such version, or a newer trainer made it.
        StoreDamaged: the manifest is not the one that made the id.
    """
    data = _existing(store, version)
    if data is None:
        raise PlanInvalid(
            f"version {version} does not exist: there is no {store.uri(store_layout.manifest(version))}",
            reason="VersionNotFound",
        )
    found = digest_of(data)
    if version_of(found) != version or (digest is not None and found != digest):
        raise StoreDamaged(
            f"{store.uri(store_layout.manifest(version))} has the digest {found}, expected was"
            f" {digest or version}: it was changed after it was published",
            reason="DigestMismatch",
        )
    try:
        manifest = read_record(Manifest, data, "trainer")
    except FormatTooNew as error:
        raise PlanInvalid(f"the manifest of {version} cannot be read: {error}", reason="FormatTooNew") from error
    except RecordInvalid as error:
        raise StoreDamaged(f"the manifest of {version} cannot be read: {error}") from error
    return manifest, data


def download_version(store: ObjectStore, version: str, into: Path, *, digest: str | None = None) -> Manifest:
    """Put a version's files and its manifest.json into a folder, all verified. Files that are right are kept.

    manifest.json comes last, so a folder that has it is whole.

    Raises:
        PlanInvalid: there is no such version.
        StoreDamaged: a file is missing, or its size or sha256 is not what the manifest says.
    """
    manifest, data = read_manifest(store, version, digest=digest)
    into.mkdir(parents=True, exist_ok=True)
    _fetch_files(store, version, manifest, into)
    temporary = into / f".{store_layout.MANIFEST}"
    temporary.write_bytes(data)
    temporary.replace(into / store_layout.MANIFEST)
    return manifest


def _fetch_files(store: ObjectStore, version: str, manifest: Manifest, into: Path) -> None:
    for file in manifest.files:
        target = into / safe(file.path, f"the manifest of {version}")
        if target.is_file() and _problem(target, file) is None:
            continue
        key = store_layout.version(version) + file.path
        problem = None
        for _ in range(DOWNLOADS):
            try:
                store.download(key, target)
            except ObjectNotFound as error:
                raise StoreDamaged(f"{store.uri(key)} is missing, though the manifest of {version} lists it") from error
            problem = _problem(target, file)
            if problem is None:
                break
            target.unlink()
        else:
            raise StoreDamaged(
                f"{store.uri(key)} {problem}: it was damaged or changed after it was published", reason="DigestMismatch"
            )


def _problem(path: Path, file: ManifestFile) -> str | None:
    size = path.stat().st_size
    if size != file.size:
        return f"has {size} bytes, the manifest says {file.size}"
    with path.open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    return None if found == file.sha256 else f"has the sha256 {found}, the manifest says {file.sha256}"


def safe(path: str, listed_in: str) -> PurePosixPath:
    """A file's path that stays within its folder.

    Raises:
        StoreDamaged: it does not; `listed_in` says where it stands.
    """
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or "\0" in path:
        raise StoreDamaged(f"{listed_in} lists {path!r}, which leaves the version's folder")
    return pure


def lineage(parent: Manifest, learned: Sequence[str]) -> list[str]:
    """Every batch that a version and its ancestors learned from, oldest first: one that is forgotten would be new.

    Args:
        parent: of the version.
        learned: what the version itself learned from, newest first.
    """
    return [*(batch for batch in parent.lineage_batches if batch not in learned), *reversed(learned)]
