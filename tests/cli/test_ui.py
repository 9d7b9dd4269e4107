"""`bluetune ui` in a Chromium, against a real API server, an operator whose trainer stands in, and MinIO."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from browser import chromium

Fixture = Any
pytestmark = pytest.mark.timeout(600)
expect.set_options(timeout=90_000)


@pytest.fixture(scope="module", name="chromium")
def started(shared_world: Fixture) -> Iterator[Browser]:
    """Started after the thread has entered the cluster's network."""
    with chromium() as browser:
        yield browser


@contextmanager
def page_of(namespace: str, chromium: Browser, **environment: str) -> Iterator[Page]:
    """The page as a user opens it; the command ends well when it is asked to."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    command = [sys.executable, "-m", "bluetune", "ui", "-n", namespace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own | environment) as process:
        try:
            assert process.stdout is not None
            page = chromium.new_page()
            page.goto(process.stdout.readline().strip())
            page.get_by_role("heading", name="Models").wait_for()
            yield page
            page.close()
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()


def test_a_run_is_followed_to_its_version_and_another_one_is_cancelled(
    shared_world: Fixture, chromium: Browser, tmp_path: Path
) -> None:
    world, model = shared_world, shared_world.models.pop()
    namespace = world.get(f"emodel/{model}")["metadata"]["namespace"]
    base = world.get(f"emodel/{model}")["status"]["current"]["version"]
    with page_of(namespace, chromium) as page:
        page.get_by_role("link", name=model, exact=True).click()
        expect(page.locator("#serving")).to_contain_text(base)
        world.kubectl.apply(world.task(f"{model}-a", model))
        expect(page.locator("#ended")).to_contain_text(f"{model}-a")
        made = world.get(f"ftt/{model}-a")["status"]["bestModelId"]
        expect(page.locator("#versions")).to_contain_text(made)
        page.locator(f"#run-{model}-a").click()
        expect(page.locator("#check")).to_contain_text("Worth training on")  # with figures, which are in the store
        expect(page.locator("#check")).to_contain_text("different queries")
        assert Axe().run(page).response["violations"] == []

        world.batch("b2", model)  # b1 was tried
        world.kubectl.apply(world.task(f"{model}-b", model, metadata={"check": "sleep:300"}))
        page.locator("#up-model").click()
        page.locator(f"#cancel-{model}-b").click(timeout=90_000)
        page.get_by_role("dialog").get_by_role("button", name="Yes, cancel it").click()
        expect(page.get_by_role("alert")).to_contain_text(f"task {model}-b is asked to end")
        expect(page.locator("#ended")).to_contain_text(f"{model}-b")
        assert world.get(f"ftt/{model}-b")["status"]["phase"] == "Cancelled"

    with page_of(namespace, chromium, KUBECONFIG=_viewer(world, tmp_path)) as page:
        page.goto(page.url + f"runs/{model}-a")
        expect(page.locator("#why")).to_contain_text(f"you may not get secrets in namespace {namespace}")
        expect(page.locator("#now")).to_contain_text(made)
        page.goto(page.url.replace(f"runs/{model}-a", f"models/{model}"))
        expect(page.locator("#versions")).to_contain_text(made)
        expect(page.locator("button[data-do]")).to_have_count(0)


def _viewer(world: Fixture, folder: Path) -> str:
    """The kubeconfig of somebody who may read bluetune's resources, and nothing else."""
    kubectl = world.kubectl
    kubectl("create", "serviceaccount", "viewer")
    resources = "--resource=embeddingmodels.bluetune.dev,finetuningtasks.bluetune.dev"
    kubectl("create", "role", "viewer", "--verb=get,list", resources)
    account = f"{kubectl.json('get', 'serviceaccount/viewer')['metadata']['namespace']}:viewer"
    kubectl("create", "rolebinding", "viewer", "--role=viewer", f"--serviceaccount={account}")
    server = kubectl.json("config", "view", "--raw", "--minify", "--flatten")["clusters"][0]["cluster"]
    made = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": server}],
        "users": [{"name": "u", "user": {"token": kubectl("create", "token", "viewer").strip()}}],
    }
    path = folder / "viewer"
    path.write_text(json.dumps(made))
    return str(path)
