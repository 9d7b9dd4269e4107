"""The page in a Chromium: seen by axe, led by a keyboard, live, with a report that reaches nothing."""

import re
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from browser import chromium
from unit.ui.conftest import Served
from unit.ui.scene import THREE, TWO

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
expect.set_options(timeout=30_000)
PAGES = ("/", "/models/products", "/models/images", "/runs/products-x7k2p", "/runs/products-w9d4h", "/runs/nobody")
PHONE, DESK = {"width": 360, "height": 740}, {"width": 1280, "height": 900}


@pytest.fixture(scope="module", name="chromium")
def started() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser, served: Served) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(served.address)
    page.wait_for_url(f"{served.origin}/")
    yield page
    context.close()


def live(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.locator("#link")).to_have_text("live")


@pytest.mark.parametrize(("size", "scheme"), [(PHONE, "dark"), (DESK, "light")])
def test_nothing_keeps_people_out_and_nothing_is_wider_than_the_screen(
    page: Page, served: Served, size: dict[str, int], scheme: str
) -> None:
    page.set_viewport_size({"width": size["width"], "height": size["height"]})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in PAGES:
        live(page, served.origin + path)
        found = Axe().run(page).response["violations"]
        assert [(each["id"], [node["html"] for node in each["nodes"]]) for each in found] == [], path
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], path


def test_a_keyboard_alone_promotes_and_is_asked_first(page: Page, served: Served) -> None:
    live(page, f"{served.origin}/models/products")
    button = page.locator(f"#promote-{TWO}")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    for _ in range(40):
        if button.evaluate("button => button === document.activeElement"):
            break
        page.keyboard.press("Tab")
    expect(button).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_accessible_description(
        f"Model products in namespace search serves {THREE}. Serve {TWO}?"
    )
    expect(page.locator("#ask-no")).to_be_focused()
    assert Axe().run(page).response["violations"] == []
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    assert served.api.patches == []
    page.keyboard.press("Enter")
    expect(page.locator("#ask-no")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text(f"model products is asked to serve {TWO} in place of {THREE}")
    assert [where for where, _ in served.api.patches] == ["embeddingmodels/products"]


def test_a_refusal_is_shown_and_nothing_is_asked(page: Page, served: Served) -> None:
    live(page, f"{served.origin}/models/products")
    served.api.find("embeddingmodels", "products")["spec"]["serving"]["rollbackTo"] = THREE
    page.locator(f"#promote-{TWO}").click()
    expect(page.get_by_role("alert")).to_contain_text(f"model products stays with {THREE}: first, kubectl")
    assert served.api.patches == []
    page.get_by_role("button", name="Close").click()
    expect(page.locator("#outcome")).to_be_hidden()


def test_the_page_follows_the_cluster_and_leaves_alone_what_stayed_the_same(page: Page, served: Served) -> None:
    live(page, f"{served.origin}/runs/products-w9d4h")
    page.evaluate("document.querySelector('#trials').mark = document.querySelector('#now').mark = 'there before'")
    page.locator("#cancel-products-w9d4h").focus()
    status = served.api.find("finetuningtasks", "products-w9d4h")["status"]
    status["progress"]["percent"] = 77
    expect(page.locator("#now")).to_contain_text("77 %")
    expect(page.locator("#cancel-products-w9d4h")).to_be_focused()
    marks = page.evaluate("['#trials', '#now'].map((id) => document.querySelector(id).mark ?? 'new')")
    assert marks == ["there before", "new"]
    status["phase"] = "Deploying"
    expect(page.get_by_role("status")).to_have_text(re.compile("run products-w9d4h: Deploying"))


def test_a_report_runs_no_script_and_reaches_nothing(page: Page, served: Served) -> None:
    live(page, f"{served.origin}/runs/products-x7k2p")
    page.locator("iframe").scroll_into_view_if_needed()
    frame = page.frame_locator("iframe")
    expect(frame.locator("h1")).to_have_text("Report of a run")
    expect(frame.locator("#mark")).to_have_text("untouched")
    expect(page).to_have_title("Run products-x7k2p · bluetune")
    page.goto(f"{served.origin}/runs/products-x7k2p/report")  # alone as well
    expect(page.locator("#mark")).to_have_text("untouched")
    assert page.evaluate("window.origin") == "null"
