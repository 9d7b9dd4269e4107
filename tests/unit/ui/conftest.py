"""The page, served as `bluetune ui` does it."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bluetune.adapters.cluster import Cluster
from bluetune.ui.server import listening, serve
from unit.ui.scene import ApiServer, api_server, fill, kubeconfig, stores


@dataclass
class Served:
    """Where the page is, and what is behind it."""

    address: str
    api: ApiServer
    folders: Path

    @property
    def origin(self) -> str:
        parts = urlsplit(self.address)
        return f"{parts.scheme}://{parts.netloc}"


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    with api_server() as api:
        kubeconfig(api, tmp_path / "kubeconfig")
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        cluster, folders = Cluster(), tmp_path / "stores"
        fill(folders)
        told: list[str] = []
        ready = threading.Event()
        loop = asyncio.new_event_loop()

        def announce(address: str) -> None:
            told.append(address)
            ready.set()

        work = loop.create_task(serve(cluster, stores(cluster, folders), listening(0), announce))

        def run() -> None:
            try:
                loop.run_until_complete(work)
            except asyncio.CancelledError:
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()

        thread = threading.Thread(target=run)
        thread.start()
        assert ready.wait(20)
        yield Served(told[0], api, folders)
        loop.call_soon_threadsafe(work.cancel)
        thread.join(20)
        assert not thread.is_alive()
