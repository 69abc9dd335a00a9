"""Accounts: hashed passwords, two roles, and a lock for who guesses."""

import json
import stat
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from diascope.errors import ConfigError
from diascope.viewer.answers import Problem
from diascope.viewer.sessions import Role
from diascope.viewer.users import COST, TRIES, Users
from tests.phantoms import Phantoms
from tests.viewer.browser import Browser
from tests.viewer.conftest import Serve, verdict

PASSWORD = "correct horse battery"


def with_users(tmp_path: Path, cost: int = 2**4) -> Users:
    """Hashed weakly, so that the tests take no minute; one test takes the real strength."""
    users = Users(tmp_path / "state" / "users.json", cost=cost)
    users.add("Ada", "reviewer", PASSWORD)
    users.add("Ben", "reader", PASSWORD)
    return users


def signed_in(url: str, name: str, password: str = PASSWORD) -> Browser:
    browser = Browser(url)
    answer = browser.post("/api/login", {"name": name, "password": password})
    if answer.status == 200:
        browser.csrf = answer.json["csrf"]
    return browser


def test_no_password_stands_in_the_file_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    with_users(tmp_path, COST)
    file = tmp_path / "state" / "users.json"

    assert PASSWORD not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    salts = {user["salt"] for user in json.loads(file.read_text())}
    assert len(salts) == 2
    assert {user["cost"] for user in json.loads(file.read_text())} == {2**17}


def test_the_right_password_opens_and_five_wrong_ones_make_wait(tmp_path: Path) -> None:
    clock = [0.0]
    with_users(tmp_path)
    users = Users(tmp_path / "state" / "users.json", now=lambda: clock[0])

    assert users.check("Ada", PASSWORD).role == "reviewer"
    for _ in range(TRIES):
        with pytest.raises(Problem, match="name or password"):
            users.check("Ada", "wrong")
    with pytest.raises(Problem, match="within a minute"):
        users.check("Ada", PASSWORD)
    clock[0] = 61.0
    assert users.check("Ada", PASSWORD).name == "Ada"


def test_forty_guesses_at_one_time_are_five_guesses(tmp_path: Path) -> None:
    users = with_users(tmp_path, 2**14)  # long enough for all to arrive while the first is hashed
    together = threading.Barrier(40)

    def guess(number: int) -> str:
        together.wait()
        with pytest.raises(Problem) as caught:
            users.check("Ada", f"wrong {number}")
        return caught.value.code

    with ThreadPoolExecutor(40) as pool:
        told = Counter(pool.map(guess, range(40)))

    assert told == {"bad_password": TRIES, "too_many_tries": 40 - TRIES}


def test_names_made_up_by_the_thousand_do_not_wash_a_count_away(tmp_path: Path) -> None:
    clock = [0.0]
    users = Users(tmp_path / "users.json", now=lambda: clock[0], cost=2)
    for name in ["Ada"] * TRIES + [f"nobody {number}" for number in range(10_001)]:
        with pytest.raises(Problem, match="name or password"):
            users.check(name, "wrong")

    with pytest.raises(Problem, match="within a minute"):
        users.check("Ada", "wrong")


@pytest.mark.parametrize(("name", "password"), [("Ada", "short"), ("", PASSWORD), ("a<b", PASSWORD), ("a:b", PASSWORD)])
def test_a_name_or_password_that_will_not_do_is_refused(tmp_path: Path, name: str, password: str) -> None:
    with pytest.raises(ConfigError):
        Users(tmp_path / "users.json").add(name, "reader", password)


def test_where_there_are_users_one_signs_in_and_a_reader_only_looks(
    serve: Serve, phantoms: Phantoms, tmp_path: Path
) -> None:
    with_users(tmp_path)
    viewer = serve()
    ada, ben, nobody = signed_in(viewer.url, "Ada"), signed_in(viewer.url, "Ben"), signed_in(viewer.url, "Eve")
    address = viewer.address("head")

    assert "token" not in viewer.url
    assert Browser(viewer.url).get("/api/door").json == {"login": "password"}
    assert nobody.get("/api/session").status == 401
    assert ada.get("/api/session").json["reviewer"] == "Ada"
    assert ada.post("/api/session/name", {"name": "Ben"}).code == "forbidden"
    assert ben.get(address).status == 200
    for path, body in (
        ("/verdict", verdict(ben, address)),
        ("/claim", {}),
        ("/draft", {"name": "seg-0-1"}),
        ("/undo", {"key": "12345678"}),
    ):
        assert ben.post(address + path, body).code == "forbidden", path
    assert ada.post(f"{address}/verdict", verdict(ada, address)).status == 200


def test_a_locked_session_wants_the_password_again_and_a_signed_out_one_is_over(serve: Serve, tmp_path: Path) -> None:
    with_users(tmp_path)
    ada = signed_in(serve().url, "Ada")

    ada.post("/api/session/lock")
    assert ada.get("/api/worklist").code == "locked"
    assert ada.get("/api/session").json["locked"]
    assert ada.post("/api/session/unlock", {"password": "wrong"}).code == "bad_password"
    assert ada.post("/api/session/unlock", {"password": PASSWORD}).status == 200
    assert ada.get("/api/worklist").status == 200
    kept = dict(ada.cookies)
    ada.post("/api/logout")
    ada.cookies = kept
    assert ada.get("/api/worklist").code == "no_session"


def test_a_cookie_of_a_time_without_users_opens_nothing_when_there_are_some(serve: Serve, tmp_path: Path) -> None:
    before = serve()
    old = before.browser()
    with_users(tmp_path)
    after = serve(before.phantoms)

    name = f"diascope_{after.url.split(':')[2].split('/')[0]}"
    carried = Browser(after.url, {name: next(iter(old.cookies.values()))})

    assert old.get("/api/worklist").status == 200
    assert carried.get("/api/worklist").code == "no_session"


def test_who_has_become_a_reader_or_left_is_no_reviewer_any_more(serve: Serve, tmp_path: Path) -> None:
    users = with_users(tmp_path)
    first = serve()
    ada = signed_in(first.url, "Ada")
    users.add("Ada", "reader", PASSWORD)
    second = serve(first.phantoms)

    name = f"diascope_{second.url.split(':')[2].split('/')[0]}"

    assert Browser(second.url, {name: next(iter(ada.cookies.values()))}).get("/api/worklist").code == "no_session"


def carried(browser: Browser, url: str) -> Browser:
    """Take a session to a server that was started again: here it has another port, and cookies are named by it."""
    name = f"diascope_{urlsplit(url).port}"
    return Browser(url, {name: next(iter(browser.cookies.values()))}, browser.csrf)


def test_who_signed_out_or_locked_is_so_after_a_restart(serve: Serve, tmp_path: Path) -> None:
    with_users(tmp_path)
    first = serve()
    gone, locked, open_still = (signed_in(first.url, name) for name in ("Ada", "Ada", "Ben"))
    stolen = dict(gone.cookies)
    gone.post("/api/logout")
    gone.cookies = stolen
    locked.post("/api/session/lock")
    assert open_still.get("/api/worklist").status == 200
    second = serve(first.phantoms)

    assert carried(gone, second.url).get("/api/worklist").code == "no_session"
    assert carried(locked, second.url).get("/api/worklist").code == "locked"
    again = carried(open_still, second.url)
    assert again.get("/api/worklist").code == "locked"
    assert again.post("/api/session/unlock", {"password": "wrong"}).code == "bad_password"
    assert again.post("/api/session/unlock", {"password": PASSWORD}).status == 200
    assert again.get("/api/worklist").status == 200


@pytest.mark.parametrize(
    ("role", "password"), [("reviewer", "another horse battery"), ("reader", PASSWORD), ("reader", "yet another horse")]
)
def test_a_new_password_or_role_holds_at_once_and_ends_the_sessions_before(
    serve: Serve, tmp_path: Path, role: Role, password: str
) -> None:
    with_users(tmp_path)
    url = serve().url
    before, ben = signed_in(url, "Ada"), signed_in(url, "Ben")
    assert before.get("/api/worklist").status == 200

    # As `diascope view --add-user` does it, in another process.
    Users(tmp_path / "state" / "users.json", cost=2**4).add("Ada", role, password)

    assert before.get("/api/worklist").code == "no_session"
    assert ben.get("/api/worklist").status == 200
    after = signed_in(url, "Ada", password)
    assert after.get("/api/session").json["role"] == role
    if password != PASSWORD:
        assert signed_in(url, "Ada", PASSWORD).get("/api/session").code == "no_session"


def test_who_is_added_gets_in_and_who_is_taken_away_is_out_at_once(serve: Serve, tmp_path: Path) -> None:
    with_users(tmp_path)
    viewer = serve()
    file = tmp_path / "state" / "users.json"
    Users(file, cost=2**4).add("Eve", "reader", PASSWORD)
    eve = signed_in(viewer.url, "Eve")
    assert eve.get("/api/worklist").status == 200

    file.write_text("[")
    assert eve.get("/api/worklist").status == 200  # a file being edited: what it held stays in force
    file.write_text("[]")

    assert eve.get("/api/worklist").code == "no_session"
    assert Browser(viewer.url).get("/api/door").json == {"login": "password"}
