"""`bluetune ui` in a Chromium, against a real API server, an operator whose trainer stands in, and MinIO."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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
def page_of(namespace: str, chromium: Browser) -> Iterator[Page]:
    """The page as a user opens it; the command ends well when it is asked to."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("AWS_")}
    command = [sys.executable, "-m", "bluetune", "ui", "-n", namespace]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=own) as process:
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


def test_a_run_is_followed_to_its_version(shared_world: Fixture, chromium: Browser) -> None:
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
