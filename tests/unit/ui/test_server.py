"""Who is let in, what is answered, and what is changed: over real connections."""

import json
from typing import Any

import pytest
import urllib3

from bluetune.adapters.run_store import RunStores
from bluetune.core.errors import CliError
from bluetune.ui.server import listening
from bluetune_api import store_layout
from unit.ui.conftest import Served
from unit.ui.scene import BASE, FOUR, ONE, THREE, TWO


class Browser:
    """Sends what a browser that was given the address would."""

    def __init__(self, served: Served) -> None:
        self.origin = served.origin
        self._http = urllib3.PoolManager(retries=False, timeout=20)
        entered = self._http.request("GET", served.address)
        self.cookie = entered.headers["Set-Cookie"]

    def get(self, path: str, **headers: str) -> Any:
        sent = {"Cookie": self.cookie.partition(";")[0]} | {k.replace("_", "-"): v for k, v in headers.items()}
        return self._http.request("GET", self.origin + path, headers={k: v for k, v in sent.items() if v})

    def post(self, path: str, body: object, **headers: str) -> Any:
        sent = {"Cookie": self.cookie.partition(";")[0], "Origin": self.origin, "X-Bluetune": "page"}
        sent |= {k.replace("_", "-"): v for k, v in headers.items()}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._http.request("POST", self.origin + path, body=data, headers={k: v for k, v in sent.items() if v})

    def stream(self, path: str) -> Any:
        headers = {"Cookie": self.cookie.partition(";")[0]}
        return self._http.request("GET", self.origin + path, headers=headers, preload_content=False)


@pytest.fixture
def browser(served: Served) -> Browser:
    return Browser(served)


def next_page(stream: Any) -> Any:
    """The next event, heartbeats passed over."""
    for line in iter(stream.readline, b""):
        if line.startswith(b"data: "):
            return json.loads(line.removeprefix(b"data: "))
    raise AssertionError("the stream ended")


def test_only_a_browser_with_the_token_is_let_in_and_only_by_this_host(served: Served, browser: Browser) -> None:
    assert browser.get("/").status == 200
    assert browser.get("/", Cookie="").status == 403
    assert browser.get("/", Cookie="bluetune-1=x").status == 403
    assert browser.get("/enter/wrong").status == 403
    rebound = browser.get("/", Host="evil.example:80")
    assert (rebound.status, b"answers to" in rebound.data) == (403, True)
    assert browser.get(served.address.removeprefix(served.origin), Host="evil.example").status == 403
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(browser.cookie.split("; "))
    for answer in (
        browser.get("/"),
        browser.get("/nowhere"),
        browser.get("/", Cookie=""),
        browser.get("/static/page.js"),
    ):
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "headers", [{"Origin": ""}, {"Origin": "http://evil.example"}, {"X_Bluetune": ""}, {"Cookie": ""}]
)
def test_another_site_cannot_change_anything(served: Served, browser: Browser, headers: dict[str, str]) -> None:
    for path in ("/ask", "/do"):
        assert browser.post(path, {"do": "cancel", "name": "products-w9d4h"}, **headers).status == 403
    assert served.api.patches == []


@pytest.mark.parametrize("body", [b"", b"[]", b'{"do": 1}', b'{"do": "delete", "name": "products"}', b"x" * 9000])
def test_a_body_that_is_none_is_refused(served: Served, browser: Browser, body: bytes) -> None:
    assert browser.post("/do", body).status in (400, 413)
    assert served.api.patches == []


def test_what_was_confirmed_is_done_as_the_command_does_it(served: Served, browser: Browser) -> None:
    asked = {"do": "promote", "name": "products", "version": TWO}
    question = browser.post("/ask", asked).json()
    assert question["question"] == f"Model products in namespace search serves {THREE}. Serve {TWO}?"
    assert served.api.patches == []
    done = browser.post("/do", asked | {"mark": question["mark"]})
    assert (done.status, done.json()["done"]) == (200, f"model products is asked to serve {TWO} in place of {THREE}")
    patch = {"metadata": {"uid": "uid-products"}, "spec": {"serving": {"promote": {"version": TWO, "replaces": THREE}}}}
    assert served.api.patches == [("embeddingmodels/products", patch)]
    again = browser.post("/ask", asked)
    assert (again.status, "was asked for that before" in again.json()["error"]) == (409, True)


def test_rolling_back_and_cancelling_ask_too_and_an_unknown_version_is_warned_of(
    served: Served, browser: Browser
) -> None:
    asked = {"do": "rollback", "name": "products", "version": "v0123456789ab"}
    question = browser.post("/ask", asked).json()
    assert "no task and no status names version" in question["warning"]
    assert browser.post("/do", asked | {"mark": question["mark"]}).status == 200
    cancel = {"do": "cancel", "name": "products-q1"}
    question = browser.post("/ask", cancel).json()
    assert browser.post("/do", cancel | {"mark": question["mark"]}).json()["done"] == "task products-q1 is asked to end"
    assert [where for where, _ in served.api.patches] == ["embeddingmodels/products", "finetuningtasks/products-q1"]
    ended = browser.post("/ask", cancel | {"name": "products-b4"})
    assert (ended.status, "has ended (Succeeded)" in ended.json()["error"]) == (409, True)


def test_nothing_is_changed_if_the_question_is_another_one_by_now(served: Served, browser: Browser) -> None:
    asked = {"do": "promote", "name": "products", "version": ONE}
    mark = browser.post("/ask", asked).json()["mark"]
    served.api.find("embeddingmodels", "products")["status"]["current"]["version"] = FOUR
    refused = browser.post("/do", asked | {"mark": mark})
    assert (refused.status, "Nothing was changed" in refused.json()["error"]) == (409, True)
    assert browser.post("/do", asked).status == 409  # nobody was asked
    assert served.api.patches == []


@pytest.mark.slow
def test_a_viewer_is_sent_the_page_when_it_differs_and_others_share_the_look(served: Served, browser: Browser) -> None:
    streams = [browser.stream("/events?of=/models/products") for _ in range(4)]
    pages = [next_page(stream) for stream in streams]
    assert all(page["title"] == "Model products" for page in pages)
    served.api.find("finetuningtasks", "products-w9d4h")["status"]["progress"]["percent"] = 77
    for stream in streams:
        while "77 %" not in next_page(stream)["body"]:
            pass
    looks = served.api.requests.count(("GET", "finetuningtasks"))
    assert looks < len(streams) * 2  # a look for all, not one for each
    for stream in streams:
        stream.close()


def test_what_a_cluster_says_is_text_and_no_markup(served: Served, browser: Browser) -> None:
    served.api.find("finetuningtasks", "products-w9d4h")["status"]["message"] = "<img src=x onerror=alert(1)>"
    served.api.find("embeddingmodels", "images")["status"]["conditions"][0]["message"] = "<script>x</script>"
    for path in ("/", "/models/products", "/runs/products-w9d4h"):
        body = browser.get(path).data.decode()
        assert "<img" not in body
        assert "<script>" not in body
    assert "&lt;img src=x" in body


def test_a_run_has_its_curves_gate_check_and_report_from_the_store(browser: Browser) -> None:
    body = browser.get("/runs/products-x7k2p").data.decode()
    for said in ("The gate lets it pass", "clicks, local judge", "5 trials; the best is trial 4", "4,810", "sandbox"):
        assert said in body
    report = browser.get("/runs/products-x7k2p/report")
    assert b"Report of a run" in report.data
    assert report.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'; ")
    assert "frame-ancestors 'self'" in report.headers["Content-Security-Policy"]


def test_who_may_not_read_the_secret_sees_what_status_has_and_why_the_rest_is_missing(
    served: Served, browser: Browser
) -> None:
    served.api.forbidden.add(("get", "secrets"))
    body = browser.get("/runs/products-x7k2p").data.decode()
    assert (
        "keys: in Secret store, and you may not get secrets in namespace search: ask for that right; or set AWS_"
        in body
    )
    assert "0.4831" in body  # the gate's measurement, by the status
    assert "<iframe" not in body
    report = browser.get("/runs/products-x7k2p/report")
    assert b"you may not get secrets" in report.data


def test_who_may_not_list_or_patch_is_told_so(served: Served, browser: Browser) -> None:
    served.api.forbidden |= {("list", "finetuningtasks"), ("patch", "embeddingmodels")}
    body = browser.get("/models/products").data.decode()
    assert "you may not list finetuningtasks.bluetune.dev in namespace search" in body
    assert "You may not patch embeddingmodels" in body
    assert 'data-do="promote"' not in body


def test_what_is_not_there_is_said_and_other_files_are_not_given(browser: Browser) -> None:
    assert browser.get("/models/nobody").status == 404
    assert browser.get("/runs/%3Cb%3E").status == 404
    assert browser.get("/static/..%2Fserver.py").status == 404
    assert browser.get("/static/page.css").headers["Content-Type"].startswith("text/css")


def test_a_port_that_is_taken_and_an_endpoint_that_is_none_are_one_sentence(served: Served) -> None:
    port = int(served.origin.rpartition(":")[2])
    with pytest.raises(CliError, match=f"^--port {port}: Address already in use; name another one"):
        listening(port)
    with pytest.raises(CliError, match="must be HOST:PORT without a path"):
        RunStores(None, {}, "host/path")  # type: ignore[arg-type] # it is never asked


def test_a_base_is_a_version_with_buttons(browser: Browser) -> None:
    body = browser.get("/models/products").data.decode()
    assert f'id="rollback-{BASE}"' in body
    assert f'id="promote-{THREE}"' not in body  # it is current


def test_a_record_of_a_newer_release_says_which_side_is_to_be_upgraded(served: Served, browser: Browser) -> None:
    path = served.folders / "products" / store_layout.result("uid-products-x7k2p")
    path.write_text(json.dumps({"formatVersion": 99}))
    body = browser.get("/runs/products-x7k2p").data.decode()
    assert "its formatVersion is 99, and this command line reads up to" in body
    assert "0.4831" in body  # of the status
