"""An image whose bluetune-trainer is a script of the working tree."""

import sys
import tempfile
from pathlib import Path

from . import images
from .lifecycle import Cluster

NAME = "localhost/bluetune-stand-in:dev"


def scripted_trainer(cluster: Cluster, script: Path) -> str:
    """Make the image and import it; return its name. Its pods see what those of the host image see."""
    program = f'#!/bin/sh\nexec {sys.executable} {script} "$@"\n'
    entries = {name: images.Entry() for name in ("host-venv", "usr", "opt", "etc", "proc", "sys", "dev", "run", "var")}
    entries |= {
        name: images.Entry(link=f"usr/{name}") for name in ("bin", "sbin", "lib", "lib64") if Path(f"/{name}").exists()
    }
    entries |= {"tmp": images.Entry(mode=0o1777), "stand-in": images.Entry()}
    entries |= {"stand-in/bluetune-trainer": images.Entry(program.encode())}
    config = {"User": "65532:65532", "Env": ["PATH=/stand-in:/usr/local/bin:/usr/bin:/bin", "HOME=/tmp"]}
    with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
        archive.write(images.oci_archive(NAME, entries, config))
        archive.flush()
        cluster.load(Path(archive.name))
    return NAME
