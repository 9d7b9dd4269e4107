"""Versions are published whole or not at all, and fetched verified or not at all."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from bluetune_api.objectstore import LocalStore
from bluetune_api.records import Manifest, ManifestFile, Probe
from bluetune_trainer.errors import PlanInvalid, StoreFailed
from bluetune_trainer.store.versions import Published, download_version, files_of, lineage, publish, read_manifest


def _manifest(files: list[ManifestFile], **fields: Any) -> Manifest:
    return Manifest(files=files, dimension=2, probe=Probe(texts=["t"], vectors=[[1.0, 0.0]]), **fields)


def _accept(folder: Path) -> None:
    assert files_of(folder)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "1_Pooling" / "config.json").write_text('{"a": 1}')
    (folder / "model.safetensors").write_bytes(bytes(1000))
    (folder / ".hidden").write_text("no")
    return folder


def _publish(store: LocalStore, model: Path) -> Published:
    return publish(store, model, _manifest, _accept)


def test_a_version_comes_back_as_it_was(store: Any, model: Path, tmp_path: Path) -> None:
    published = _publish(store, model)
    assert published.version == "v" + published.digest[7:19]
    manifest = download_version(store, published.version, tmp_path / "into", digest=published.digest)
    assert [file.path for file in manifest.files] == ["1_Pooling/config.json", "config.json", "model.safetensors"]
    assert (tmp_path / "into" / "model.safetensors").read_bytes() == bytes(1000)
    assert (tmp_path / "into" / "manifest.json").read_bytes() == store.get(
        f"versions/{published.version}/manifest.json"
    )


def test_the_same_content_twice_is_one_version(store: Any, model: Path) -> None:
    assert _publish(store, model) == _publish(store, model)
    assert len(store.folders("versions/")) == 1


def test_a_version_whose_files_do_not_open_does_not_exist(store: Any, model: Path) -> None:
    def refuse(_folder: Path) -> None:
        raise StoreFailed("encodes differently")

    with pytest.raises(StoreFailed, match="encodes differently"):
        publish(store, model, _manifest, refuse)
    assert not [info for info in store.list("versions/") if info.key.endswith("manifest.json")]
    assert _publish(store, model).version


def test_many_publishers_of_one_version_all_succeed(store: Any, model: Path) -> None:
    found: list[Published] = []
    threads = [threading.Thread(target=lambda: found.append(_publish(store, model))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len({published.digest for published in found}) == 1


@pytest.mark.parametrize("name", ["pytorch_model.bin", "optimizer.pt", "extra/state.pkl"])
def test_pickles_are_never_published(store: Any, model: Path, name: str) -> None:
    (model / name).parent.mkdir(exist_ok=True)
    (model / name).write_bytes(b"x")
    with pytest.raises(PlanInvalid, match=f"{name} is a pickle.*safetensors"):
        _publish(store, model)
    assert store.folders("versions/") == []


def test_links_are_never_published(store: Any, model: Path) -> None:
    (model / "vocab.txt").symlink_to("/etc/passwd")
    with pytest.raises(PlanInvalid, match="symbolic link"):
        _publish(store, model)


@pytest.mark.parametrize("damage", ["size", "content", "missing", "manifest", "digest", "no such version"])
def test_what_is_damaged_is_not_fetched(store: Any, model: Path, tmp_path: Path, damage: str) -> None:
    published = _publish(store, model)
    key, version, digest = f"versions/{published.version}/model.safetensors", published.version, published.digest
    if damage == "size":
        store.put(key, b"short")
    elif damage == "content":
        store.put(key, b"x" * 1000)
    elif damage == "missing":
        store.delete(key)
    elif damage == "manifest":
        manifest = json.loads(store.get(f"versions/{version}/manifest.json"))
        store.put(f"versions/{version}/manifest.json", json.dumps({**manifest, "dimension": 3}).encode())
    elif damage == "digest":
        digest = "sha256:" + "0" * 64
    else:
        version = "v" + "0" * 12
    with pytest.raises((StoreFailed, PlanInvalid)) as error:
        download_version(store, version, tmp_path / "into", digest=digest)
    assert version in str(error.value)
    assert not (tmp_path / "into" / "manifest.json").exists()


def test_a_fetch_that_was_interrupted_goes_on(store: Any, model: Path, tmp_path: Path) -> None:
    published = _publish(store, model)
    into = tmp_path / "into"
    download_version(store, published.version, into)
    (into / "manifest.json").unlink()
    (into / "config.json").write_text("half")
    store.delete(f"versions/{published.version}/model.safetensors")  # is here already, and is not fetched again
    download_version(store, published.version, into, digest=published.digest)
    assert (into / "config.json").read_text() == "{}"


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_a_manifest_cannot_write_outside_of_the_folder(store: Any, tmp_path: Path, path: str) -> None:
    data = _manifest([ManifestFile(path=path, size=1, sha256="0" * 64)]).encode()
    from bluetune_api.records import digest_of, version_of

    version = version_of(digest_of(data))
    store.put(f"versions/{version}/manifest.json", data)
    with pytest.raises(StoreFailed, match="leaves the version's folder"):
        download_version(store, version, tmp_path / "into")


@pytest.mark.parametrize(
    ("before", "learned", "after"),
    [
        ([], ["a"], ["a"]),
        (["a"], ["b"], ["a", "b"]),
        (["a"], ["d", "c", "b"], ["a", "b", "c", "d"]),
        (["a", "b"], ["a"], ["b", "a"]),
        ([f"n{n}" for n in range(9000)], ["new"], [*(f"n{n}" for n in range(9000)), "new"]),
    ],
)
def test_the_lineage_grows_by_what_was_learned(before: list[str], learned: list[str], after: list[str]) -> None:
    assert lineage(_manifest([], lineage_batches=before), learned) == after


def test_a_manifest_is_read_with_its_lineage(store: Any, model: Path) -> None:
    published = publish(store, model, lambda files: _manifest(files, lineage_batches=["a"]), _accept)
    assert read_manifest(store, published.version)[0].lineage_batches == ["a"]
