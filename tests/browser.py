"""A Chromium for tests, Debian's."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright


@contextmanager
def chromium() -> Iterator[Browser]:
    """Without a window; in the network of the thread that starts it."""
    program = shutil.which("chromium-headless-shell")
    assert program, "this test needs a Chromium: apt-get install -y chromium-headless-shell, as make test does"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program)
        yield browser
        browser.close()
