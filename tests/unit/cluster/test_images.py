"""Image archives made without a builder."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

from cluster import images


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        return {m.name: file.read() for m in opened if (file := opened.extractfile(m))}


def test_every_descriptor_names_a_blob_of_its_size_and_digest() -> None:
    files = members(images.oci_archive("localhost/x:1", {"x": images.Entry(b"content")}, {"Entrypoint": ["/x"]}))
    descriptors = json.loads(files["index.json"])["manifests"]
    manifest = json.loads(files["blobs/sha256/" + descriptors[0]["digest"].removeprefix("sha256:")])
    descriptors += [manifest["config"], *manifest["layers"]]
    for descriptor in descriptors:
        blob = files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
        assert hashlib.sha256(blob).hexdigest() == descriptor["digest"].removeprefix("sha256:")
        assert len(blob) == descriptor["size"]
    assert len(descriptors) == 3


def test_the_same_content_gives_the_same_bytes() -> None:
    assert images.host_archive(Path("/srv/venv")) == images.host_archive(Path("/srv/venv"))


def test_the_host_image_finds_the_environments_programs_as_a_user_without_rights() -> None:
    files = members(images.host_archive(Path("/srv/venv")))
    config = next(json.loads(data) for name, data in files.items() if b'"rootfs"' in data and name != "index.json")
    assert config["config"]["User"] == "65532:65532"
    assert config["config"]["Env"][0].startswith("PATH=/srv/venv/bin:")
