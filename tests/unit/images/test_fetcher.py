"""The operator's image fetches versions for blue pods: the command needs nothing that only the trainer's image has."""

import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]
FETCH = """
import importlib.metadata, sys

allowed = set(sys.argv[1].split(","))

class OnlyTheOperators:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        providers = {re_name(p) for p in packages.get(top, ())}
        if providers and not providers & allowed:
            raise ModuleNotFoundError(f"{name} is not in the operator's image")
        return None

def re_name(name):
    return name.lower().replace("_", "-")

packages = importlib.metadata.packages_distributions()
sys.meta_path.insert(0, OnlyTheOperators())
from bluetune_trainer.cli.main import main
sys.exit(main(["fetch", "--version", "v0123456789ab", "--digest", "none", "--into", "/nowhere"]))
"""


def test_the_fetcher_runs_with_what_the_operators_image_has() -> None:
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", (CHECKOUT / "locks/operator.txt").read_text(), re.MULTILINE)
    names = ",".join(["bluetune", *(name.lower().replace("_", "-") for name in locked)])
    environment = {
        "PYTHONPATH": ":".join(str(CHECKOUT / part) for part in ("crds", "operator", "trainer_image")),
        "BLUETUNE_STORE": '{"endpoint": "127.0.0.1:1", "bucket": "models"}',
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
    }
    ended = subprocess.run(
        [sys.executable, "-c", FETCH, names], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    # it has opened the store, and refuses the digest
    assert "--digest: 'none' must be sha256:" in ended.stderr
    assert ended.returncode == 11
