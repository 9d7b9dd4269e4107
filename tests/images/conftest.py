"""The real images, built and imported into the cluster."""

import subprocess
from pathlib import Path

import pytest

from cluster.lifecycle import Cluster

CHECKOUT = Path(__file__).resolve().parents[2]
SCRIPT = CHECKOUT / "scripts" / "images.sh"
SECONDS = 3600


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build them before any test: here the network is the machine's own, and no test's timeout runs."""
    here = Path(__file__).parent
    if session.config.option.collectonly or not any(item.path.is_relative_to(here) for item in session.items):
        return
    capture = session.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        if subprocess.run([str(SCRIPT), "build"], stdout=subprocess.DEVNULL, check=False, timeout=SECONDS).returncode:
            pytest.exit("the images cannot be built", returncode=2)


@pytest.fixture(scope="session")
def images(cluster: Cluster) -> tuple[str, str]:
    """References of the operator's and the trainer's image, which the cluster has."""
    result = subprocess.run([str(SCRIPT), "load"], capture_output=True, text=True, check=False, timeout=SECONDS)
    assert result.returncode == 0, result.stderr
    operator, trainer = result.stdout.split()
    return operator, trainer


@pytest.fixture(scope="session")
def operator_image(images: tuple[str, str]) -> str:
    """Reference of the operator's image."""
    return images[0]


@pytest.fixture(scope="session")
def trainer_image(images: tuple[str, str]) -> str:
    """Reference of the trainer's image."""
    return images[1]
