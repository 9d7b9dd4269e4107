"""Container images made here, byte by byte and without a builder, and the import of any image archive."""

import hashlib
import io
import json
import platform
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import ClusterError
from .paths import State

PAUSE = "localhost/pause:1"
HOST = "localhost/bluetune-host:dev"
"""Runs the working tree's environment: see runtime.py."""
HOST_USER = 65532

IMPORT_SECONDS = 600
_PASSWD = "\n".join(
    f"{name}:x:{uid}:{uid}::/tmp:/bin/sh"
    for name, uid in (("root", 0), ("user", 1000), ("app", 10001), ("nonroot", HOST_USER), ("nobody", 65534))
)


@dataclass(frozen=True)
class Entry:
    """One member of a layer: a file with `data`, a link to `link`, or a folder if both are None."""

    data: bytes | None = None
    link: str | None = None
    mode: int = 0o755


def tar(entries: Mapping[str, Entry]) -> bytes:
    """An uncompressed tar of `entries`, owned by root, the same bytes every time."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, entry in entries.items():
            info = tarfile.TarInfo(name)
            info.mode = entry.mode
            if entry.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
            elif entry.data is None:
                info.type = tarfile.DIRTYPE
            else:
                info.size = len(entry.data)
            archive.addfile(info, io.BytesIO(entry.data or b""))
    return buffer.getvalue()


def oci_archive(name: str, entries: Mapping[str, Entry], config: Mapping[str, object]) -> bytes:
    """An OCI image archive of one layer, for this machine's processor."""

    def digest(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    def descriptor(kind: str, data: bytes, **more: object) -> dict[str, object]:
        media = f"application/vnd.oci.image.{kind}"
        return {"mediaType": media, "digest": f"sha256:{digest(data)}", "size": len(data), **more}

    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    layer = tar(entries)
    rootfs = {"type": "layers", "diff_ids": [f"sha256:{digest(layer)}"]}
    image = json.dumps({"architecture": architecture, "os": "linux", "config": config, "rootfs": rootfs}).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": descriptor("config.v1+json", image),
            "layers": [descriptor("layer.v1.tar", layer)],
        }
    ).encode()
    names = {"io.containerd.image.name": name}
    index = {"schemaVersion": 2, "manifests": [descriptor("manifest.v1+json", manifest, annotations=names)]}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": json.dumps(index).encode()}
    files |= {f"blobs/sha256/{digest(blob)}": blob for blob in (layer, image, manifest)}
    return tar({file: Entry(data, mode=0o644) for file, data in files.items()})


def pause_archive(program: Path) -> bytes:
    """The pod sandbox's image: one program."""
    return oci_archive(PAUSE, {"pause": Entry(program.read_bytes())}, {"Entrypoint": ["/pause"]})


def host_archive(environment: Path, name: str = HOST, **variables: str) -> bytes:
    """The image whose containers run the virtual environment `environment` of this machine, as a user without rights.

    Its programs are on the PATH, so a command such as `bluetune-trainer` runs as it does in the real images. With a
    name of its own and more environment variables it can stand for another image (PYTHONPATH for code in the checkout).
    """
    entries = {folder: Entry() for folder in ("host-venv", "usr", "opt", "etc", "proc", "sys", "dev", "run", "var")}
    entries |= {"tmp": Entry(mode=0o1777)}
    entries |= {
        f"{name}": Entry(link=f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64") if Path(f"/{name}").exists()
    }
    entries |= {
        "etc/passwd": Entry(f"{_PASSWD}\n".encode(), mode=0o644),
        "etc/group": Entry(b"root:x:0:\nnogroup:x:65534:\n", mode=0o644),
        "etc/nsswitch.conf": Entry(b"passwd: files\ngroup: files\nhosts: files dns\n", mode=0o644),
    }
    environment_variables = [
        f"PATH={environment}/bin:/usr/local/bin:/usr/bin:/bin",
        "HOME=/tmp",
        "PYTHONDONTWRITEBYTECODE=1",
        "PYTHONUNBUFFERED=1",
        *(f"{variable}={value}" for variable, value in variables.items()),
    ]
    return oci_archive(name, entries, {"User": f"{HOST_USER}:{HOST_USER}", "Env": environment_variables})


def import_own(state: State, pause: Path) -> None:
    """Import the pause and the host image; called inside the node."""
    for name, data in (("pause", pause_archive(pause)), ("host", host_archive(Path(sys.prefix).resolve()))):
        archive = state.root / f"{name}.tar"
        archive.write_bytes(data)
        import_archive(state, archive)


def import_archive(state: State, archive: Path, *enter: str) -> None:
    """Import an image archive (docker-archive or oci-archive) into the cluster's containerd.

    `enter` is the command line that gets there from where the caller is. Raises ClusterError with ctr's message.
    """
    result = subprocess.run(
        [*enter, *ctr(state), "images", "import", str(archive.resolve())],
        capture_output=True,
        text=True,
        check=False,
        timeout=IMPORT_SECONDS,
    )
    if result.returncode:
        raise ClusterError(f"importing {archive} failed: {result.stderr.strip() or result.stdout.strip()}")


def ctr(state: State) -> list[str]:
    """The start of a ctr command line for the images and containers that the kubelet sees."""
    return ["ctr", "-a", str(state.containerd_socket), "-n", "k8s.io"]
