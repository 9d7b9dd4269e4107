"""Operator processes of a schedule: started, killed, stopped, doubled."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MAIN = Path(__file__).with_name("operator_main.py")


class Operators:
    """The processes that serve one namespace through one relay. They are one pod, but for the twin."""

    def __init__(self, namespace: str, folder: Path, server: str, image: str) -> None:
        self.folder = folder
        config = folder / "kubeconfig"
        config.write_text(json.dumps(_kubeconfig(server)))
        self._environment = os.environ | {
            "KUBECONFIG": str(config),
            "BLUETUNE_NAMESPACES": namespace,
            "POD_NAMESPACE": namespace,
            "BLUETUNE_TRAINER_IMAGE": image,
            "BLUETUNE_HEALTH_PORT": "0",
            "BLUETUNE_METRICS_PORT": "0",
            "OMP_NUM_THREADS": "1",
        }
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.started = 0
        self.crashes = 0
        self._down: set[str] = set()

    def start(self, name: str = "operator", **environment: str) -> None:
        """Start the process of a pod's name, unless it runs."""
        self._down.discard(name)
        if self.alive(name):
            return
        self.started += 1
        with (self.folder / f"{self.started:03d}-{name}.log").open("wb") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, str(MAIN)],
                env=self._environment | {"POD_NAME": name} | environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def alive(self, name: str = "operator") -> bool:
        """Whether the process runs, or is stopped."""
        process = self.running.get(name)
        return process is not None and process.poll() is None

    def kill(self, name: str = "operator") -> bool:
        """SIGKILL, and stay dead until the next start; whether there was anything to kill."""
        self._down.add(name)
        if not self.alive(name):
            return False
        self.running[name].send_signal(signal.SIGKILL)
        self.running[name].wait(10)
        return True

    def restart(self) -> None:
        """Kill it and start it anew."""
        self.kill()
        self.start()

    def stop(self, name: str = "operator") -> bool:
        """SIGSTOP; whether the process stands still now."""
        if not self.alive(name):
            return False
        self.running[name].send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            if f"{_stat(self.running[name].pid)}" == "T":
                return True
            time.sleep(0.02)
        return False

    def go_on(self, name: str = "operator") -> None:
        """SIGCONT."""
        if self.alive(name):
            self.running[name].send_signal(signal.SIGCONT)

    def tend(self) -> None:
        """Start again what ended by itself, as the kubelet does."""
        for name, process in list(self.running.items()):
            if name not in self._down and process.poll() is not None:
                self.crashes += process.poll() == 137
                self.start(name)

    def end(self) -> None:
        """Kill all."""
        for name in list(self.running):
            self.go_on(name)
            self.kill(name)

    def lines(self) -> list[dict[str, Any]]:
        """What all of them logged."""
        found = []
        for path in sorted(self.folder.glob("*.log")):
            for line in path.read_text(errors="replace").splitlines():
                if line.startswith("{") and line.endswith("}"):
                    found.append(json.loads(line))
                elif line.startswith("Traceback"):
                    found.append({"message": "Traceback", "exception": path.read_text(errors="replace")[-1500:]})
        return found


def _stat(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _kubeconfig(server: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"username": "relay", "password": "shows-its-own-certificate"}}],
    }
