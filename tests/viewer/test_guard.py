"""Who may come in, and what a hostile page, name or address can do: nothing."""

import asyncio
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diascope.log import Redactor
from diascope.viewer.app import make_app
from diascope.viewer.desk import Desk
from diascope.viewer.guard import logged_path
from diascope.viewer.settings import ViewSettings
from diascope.viewer.users import Users
from tests.viewer.browser import Browser
from tests.viewer.conftest import Serve, Viewer, verdict


def test_a_change_without_the_token_of_the_session_is_refused(viewer: Viewer) -> None:
    browser = viewer.browser()
    said = verdict(browser, viewer.address("head"))

    browser.csrf = ""
    without = browser.post(f"{viewer.address('head')}/verdict", said)
    browser.csrf = viewer.browser().csrf
    of_another = browser.post(f"{viewer.address('head')}/verdict", said)

    assert (without.status, without.code) == (403, "csrf")
    assert of_another.code == "csrf"
    assert viewer.desk.record.shown_to(viewer.desk.index.outs["out"], viewer.case_id("head"), "Reader One") == ()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "evil.example:8765", "[::2]:80"])
def test_another_name_for_this_machine_is_refused(viewer: Viewer, host: str) -> None:
    browser = viewer.browser()

    answer = browser.ask("GET", "/api/session", headers={"Host": host})

    assert (answer.status, answer.code) == (403, "wrong_host")


@pytest.mark.parametrize("host", ["localhost:9999", "127.0.0.1", "[::1]:4000"])
def test_a_port_forwarded_by_ssh_has_another_number(viewer: Viewer, host: str) -> None:
    assert viewer.browser().ask("GET", "/api/session", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/..%2f..%2fsettings.py",
        "/static/%2e%2e/%2e%2e/errors.py",
        "/static//etc/passwd",
        "/static/../../../../../etc/passwd",
        "/api/case/out/..%2f..%2fprivate",
        "/api/case/out/../private/volume/image-x.nii.gz",
        "/api/case/out/.%2e/slices/x",
        "/api/case/out/{case}/volume/image-..%2f..%2fcase.json.nii.gz",
        "/api/case/out/{case}/volume/seg-0-1%00.nii.gz",
        "/api/case/out/{case}/volume/fix-0-..-1.nii.gz",
        "/api/case/out/{case}/preview/..%2fcase.nii.gz",
        "/api/case/..%2fout/{case}",
        "/api/case/out/{case}/draft/..%2fx.nii.gz",
        "/api/export/..%2fidentity.csv",
    ],
)
def test_no_address_leads_out_of_a_case(viewer: Viewer, path: str) -> None:
    browser = viewer.browser()

    answer = browser.get(path.replace("{case}", viewer.case_id("head")))

    assert answer.status == 404, answer.body
    for telling in (*viewer.phantoms.identifiers, str(viewer.phantoms.folder), "root:"):
        assert telling.encode() not in answer.body


def test_a_report_that_names_a_file_elsewhere_is_not_followed(viewer: Viewer) -> None:
    file = viewer.phantoms.case_folder("head") / "case.json"
    file.write_text(
        file.read_text().replace('"brain_structures_segmentation.seg.nii.gz"', '"../../private/identity.csv"')
    )
    browser = viewer.browser()

    case = browser.get(viewer.address("head")).json

    assert case["segmentations"][0]["url"] is None
    assert case["segmentations"][0]["error"]["code"] == "missing_file"
    assert browser.get(f"{viewer.address('head')}/volume/seg-0-1.nii.gz").status == 404
    assert case["segmentations"][1]["url"] is not None


def test_labels_and_comments_that_are_scripts_stay_texts(viewer: Viewer) -> None:
    evil = "</script><img src=x onerror=alert(1)>"
    file = viewer.phantoms.case_folder("head") / "case.json"
    file.write_text(file.read_text().replace('"left_brain"', '"' + evil.replace("/", "\\/") + '"'))
    browser, address = viewer.browser(), viewer.address("head")
    browser.post(f"{address}/verdict", verdict(browser, address, comment=evil))

    answer = browser.get(address)

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert b"<" not in answer.body
    assert answer.json["verdicts"][0]["comment"] == evil
    assert answer.json["segmentations"][0]["labels"][0]["name"] == evil


def test_every_answer_forbids_what_the_page_does_not_need(viewer: Viewer) -> None:
    browser = viewer.browser()
    for path in ("/", "/api/session", "/static/nothing.js", "/api/case/out/nobody", "/healthz"):
        policy = browser.get(path).headers["content-security-policy"]
        assert "default-src 'none'" in policy, path
        assert "unsafe" not in policy
        assert not re.search(r"https?:", policy)
    assert "httponly" in _set_cookie(viewer).lower()
    assert "samesite=strict" in _set_cookie(viewer).lower()


def _set_cookie(viewer: Viewer) -> str:
    token = viewer.url.partition("?")[2]
    return Browser(viewer.url).get(f"/?{token}").headers["set-cookie"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ("bytes=0-0,2-2,4-4", 400),
        ("bytes=" + ",".join(f"{at}-" for at in range(2000)), 400),
        ("bytes=999999999-", 416),
        ("bytes=-0", 416),
        ("bytes=5-2", 400),
        ("lines=1-2", 400),
    ],
)
def test_ranges_that_only_make_work_are_refused(viewer: Viewer, asked: str, status: int) -> None:
    browser = viewer.browser()
    url = browser.get(viewer.address("head")).json["images"][0]["url"][1:]

    answer = browser.get(url, Range=asked)

    assert answer.status == status


def test_a_body_without_end_is_cut_off(viewer: Viewer) -> None:
    browser = viewer.browser()

    answer = browser.post(f"{viewer.address('head')}/verdict", b" " * 2_000_000)

    assert (answer.status, answer.code) == (413, "too_large")


def test_a_forged_cookie_opens_nothing(viewer: Viewer) -> None:
    browser = viewer.browser()
    name, value = next(iter(browser.cookies.items()))

    for forged in (value[:-1] + ("0" if value[-1] != "0" else "1"), "x", "", value.partition(".")[0] + ".", "é"):
        browser.cookies[name] = forged
        assert browser.get("/api/worklist").status == 401


def test_behind_a_proxy_the_prefix_is_part_of_every_address(serve: Serve) -> None:
    viewer = serve(proxies=("127.0.0.1",))
    browser = Browser(viewer.url)
    sent = {"X-Forwarded-Prefix": "/diascope", "X-Forwarded-Proto": "https"}
    token = viewer.url.partition("?")[2]

    entered = browser.ask("GET", f"/diascope/?{token}", headers=sent)
    stripped = browser.ask("GET", "/api/session", headers=sent)
    whole = browser.ask("GET", "/diascope/api/session", headers=sent)

    assert entered.headers["location"] == "./"
    assert "Path=/diascope/" in entered.headers["set-cookie"]
    assert "Secure" in entered.headers["set-cookie"]
    assert stripped.status == whole.status == 200


PASSWORD = "correct horse battery"


def told_at_login(desk: Desk, peer: str, scheme: str = "http", forwarded: str = "") -> tuple[int, str]:
    """Sign in from an address that no socket of this machine has; give the status and the code of a problem."""
    sent: list[Any] = []
    headers = {"host": "viewer.example", "x-forwarded-proto": forwarded}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": scheme,
        "path": "/api/login",
        "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value],
        "client": (peer, 50000),
        "server": ("192.0.2.1", 8765),
    }

    async def receive() -> Any:
        return {"type": "http.request", "body": json.dumps({"name": "Ada", "password": PASSWORD}).encode()}

    async def send(message: Any) -> None:
        sent.append(message)

    async def ask() -> None:
        await make_app(desk)(scope, receive, send)

    asyncio.run(ask())
    body = json.loads(sent[1]["body"])
    return sent[0]["status"], body.get("error", {}).get("code", "")


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ({"peer": "10.9.9.9"}, (403, "not_https")),
        ({"peer": "::ffff:10.9.9.9"}, (403, "not_https")),
        ({"peer": "10.9.9.9", "forwarded": "https"}, (403, "not_https")),
        ({"peer": "10.9.9.9", "scheme": "https"}, (200, "")),
        ({"peer": "192.0.2.9"}, (403, "not_https")),
        ({"peer": "192.0.2.9", "forwarded": "http"}, (403, "not_https")),
        ({"peer": "192.0.2.9", "forwarded": "https"}, (200, "")),
        ({"peer": "::ffff:192.0.2.9", "forwarded": "https"}, (200, "")),
        ({"peer": "127.0.0.1"}, (200, "")),
        ({"peer": "::1"}, (403, "not_https")),
    ],
)
def test_a_password_in_the_clear_is_taken_from_this_machine_alone(
    serve: Serve, tmp_path: Path, said: dict[str, str], answer: tuple[int, str]
) -> None:
    Users(tmp_path / "state" / "users.json", cost=2).add("Ada", "reviewer", PASSWORD)
    # `::1` is a proxy here: what it passes on is not of this machine.
    settings = ViewSettings(host="192.0.2.1", proxies=("192.0.2.9", "::1"), public_hosts=("viewer.example",))

    assert told_at_login(replace(serve().desk, settings=settings), **said) == answer


def test_nobody_but_a_declared_proxy_is_believed(viewer: Viewer) -> None:
    token = viewer.url.partition("?")[2]

    answer = Browser(viewer.url).ask("GET", f"/?{token}", headers={"X-Forwarded-Prefix": "/elsewhere"})

    assert "Path=/;" in answer.headers["set-cookie"]


def test_the_access_log_holds_no_word_that_we_did_not_make(viewer: Viewer, tmp_path: Path) -> None:
    browser = viewer.browser()

    browser.get("/api/case/out/PHANTOM^HEAD?name=PHANTOM")
    browser.get(viewer.address("head"))

    file = tmp_path / "state" / "access.log"
    lines = file.read_text().splitlines()
    assert any(f"GET api/case/out/{viewer.case_id('head')} 200" in line for line in lines)
    assert not any("PHANTOM" in line or "token" in line for line in lines)
    assert file.stat().st_mode & 0o077 == 0
    assert logged_path("/api/case/out/Mueller/volume/x.nii.gz") == "api/case/out/*/volume/*"


def test_the_redaction_of_our_log_leaves_the_access_log_readable() -> None:
    for path in ("/", "/api/session", "/api/case/out/case-0123456789abcde/verdict"):
        line = f"GET {logged_path(path)} 200 7 ms session APinhq"

        assert Redactor().redact(line) == line
