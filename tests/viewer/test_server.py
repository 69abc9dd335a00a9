"""The process itself: how fast it starts, what it refuses, and that killing it loses nothing."""

import contextlib
import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from diascope.errors import ConfigError, InputError
from diascope.io.outfolder import OutFolder
from diascope.viewer.server import started
from diascope.viewer.settings import ViewSettings
from diascope.viewer.store.opening import file_url, open_engine, out_key
from diascope.viewer.store.reviews import Reviews
from diascope.viewer.users import Users
from tests.phantoms import Phantoms
from tests.viewer.browser import Browser
from tests.viewer.conftest import Serve, verdict


@contextmanager
def process(out: Path, state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run the real command, and give its process and address."""
    code = "from diascope.cli.main import main; main()"
    sets = ["--set", f"state_dir={state}", "--set", "mirror=false"]
    running = subprocess.Popen(
        [sys.executable, "-c", code, "view", str(out), "--port", "0", *sets],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert running.stdout is not None
        yield running, running.stdout.readline().strip()
    finally:
        running.kill()
        running.wait()
        running.stdout.close()


def test_a_verdict_that_was_answered_outlives_kill_9(phantoms: Phantoms, tmp_path: Path) -> None:
    address = f"/api/case/out/{phantoms.reports['head'].case_id}"
    with process(phantoms.folder, tmp_path / "state") as (running, url):
        browser = Browser(url).enter("Reader One")
        answers = []
        for at in range(5):
            said = verdict(browser, address, score=1 + at, comment="x" * 5000)
            answers.append(browser.post(f"{address}/verdict", said).json["verdict_id"])
        browser.post(f"{address}/draft", {"name": "seg-0-1"})
        stroke = {"op": "paint", "label": 3, "shape": "ball", "radius_mm": 9.0, "points_ijk": [[20, 24, 9]]}
        painted = browser.post(f"{address}/stroke", {"name": "seg-0-1", "key": "stroke-1", **stroke}).json
        running.send_signal(signal.SIGKILL)
        running.wait()

    with process(phantoms.folder, tmp_path / "state") as (_, url):
        again = Browser(url).enter("Reader One")
        case = again.get(address).json
        told = again.get(f"{address}/draft?name=seg-0-1").json

    assert [one["verdict_id"] for one in case["verdicts"]] == [answers[-1]]
    assert case["verdicts"][0]["score"] == 5
    assert (told["digest"], told["undo_left"]) == (painted["digest"], 1)


def test_a_cookie_opens_the_server_after_a_restart_on_the_same_port(serve: Serve) -> None:
    first = serve()
    browser = first.browser()

    port = int(first.url.split(":")[2].split("/")[0])
    renamed = {re.sub(r"\d+$", str(port), name): value for name, value in browser.cookies.items()}
    second = serve(first.phantoms)
    other = int(second.url.split(":")[2].split("/")[0])
    moved = {name.replace(str(port), str(other)): value for name, value in renamed.items()}

    assert Browser(second.url, moved).get("/api/session").json["reviewer"] == "Reader One"


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"host": "0.0.0.0"}, "no_users"), ({"host": "192.0.2.1", "proxies": ("192.0.2.9",)}, "no_users")],
)
def test_without_users_nobody_else_may_reach_it(phantoms: Phantoms, tmp_path: Path, changed: Any, code: str) -> None:
    settings = ViewSettings(port=0, state_dir=tmp_path / "state", **changed)

    with pytest.raises(ConfigError) as caught, started([phantoms.folder], settings):
        pass

    assert caught.value.code == code
    assert "--add-user" in caught.value.hint


def test_with_users_it_still_wants_a_certificate_or_a_proxy(phantoms: Phantoms, tmp_path: Path) -> None:
    Users(tmp_path / "state" / "users.json").add("A", "reviewer", "long enough for us")

    with (
        pytest.raises(ConfigError) as caught,
        started([phantoms.folder], ViewSettings(host="0.0.0.0", port=0, state_dir=tmp_path / "state")),
    ):
        pass

    assert caught.value.code == "no_certificate"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate of this machine's own making, for 127.0.0.1, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "viewer.example")])
    made = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(made - timedelta(days=1))
        .not_valid_after(made + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem, secret = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (tmp_path / "viewer.pem").write_bytes(signed.public_bytes(pem))
    (tmp_path / "viewer.key").write_bytes(key.private_bytes(pem, secret, serialization.NoEncryption()))
    return tmp_path / "viewer.pem", tmp_path / "viewer.key"


def test_with_a_certificate_it_speaks_https_alone_and_its_cookie_too(
    serve: Serve, certificate: tuple[Path, Path]
) -> None:
    viewer = serve(certificate=certificate[0], certificate_key=certificate[1])
    trusted = ssl.create_default_context(cafile=certificate[0])

    browser = Browser(viewer.url, trusted=trusted).enter("Reader One")
    token = viewer.url.partition("?")[2]
    entered = Browser(viewer.url, trusted=trusted).get(f"/?{token}")

    assert viewer.url.startswith("https://127.0.0.1:")
    assert browser.get(viewer.address("head")).status == 200
    assert "; secure" in entered.headers["set-cookie"].lower()
    with pytest.raises(ssl.SSLCertVerificationError):
        Browser(viewer.url, trusted=ssl.create_default_context()).get("/healthz")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        Browser(viewer.url.replace("https", "http")).get("/healthz")


def test_on_this_machine_alone_headers_of_a_proxy_that_nobody_declared_change_nothing(serve: Serve) -> None:
    viewer = serve()
    token = viewer.url.partition("?")[2]
    forwarded = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "203.0.113.9",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/elsewhere",
        "X-Forwarded-Port": "443",
        "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    }

    entered = Browser(viewer.url).ask("GET", f"/?{token}", headers=forwarded)
    renamed = Browser(viewer.url).ask("GET", "/healthz", headers={**forwarded, "Host": "evil.example"})

    cookie = entered.headers["set-cookie"].lower()
    assert "secure" not in cookie
    assert "path=/;" in cookie
    assert entered.headers["location"] == "./"
    assert (renamed.status, renamed.code) == (403, "wrong_host")


def test_a_folder_without_results_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(InputError, match="holds no results"),
        started([tmp_path], ViewSettings(port=0, state_dir=tmp_path / "state")),
    ):
        pass


def test_a_port_that_is_taken_is_passed_over(serve: Serve, phantoms: Phantoms) -> None:
    first = serve()
    port = int(first.url.split(":")[2].split("/")[0])

    second = serve(phantoms, port=port)

    assert f":{port}/" not in second.url
    assert second.browser().get("/api/session").status == 200


def test_it_starts_without_torch_monai_or_matplotlib() -> None:
    heavy = "('torch', 'monai', 'mlflow', 'matplotlib.pyplot')"
    code = f"import sys, diascope.viewer.server; print([n for n in {heavy} if n in sys.modules])"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    before = time.perf_counter()

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)

    assert json.loads(done.stdout.replace("'", '"')) == []
    assert time.perf_counter() - before < 60  # the number itself is measured in benchmarks/viewer.py


@pytest.mark.torture
def test_twenty_readers_of_a_server_that_is_killed_lose_no_verdict_that_was_answered(
    phantoms: Phantoms, tmp_path: Path
) -> None:
    roles = ("head", "followup", "radiograph", "no_geometry", "many_labels")
    addresses = [f"/api/case/out/{phantoms.reports[role].case_id}" for role in roles]
    answered: set[tuple[str, int]] = set()

    with process(phantoms.folder, tmp_path / "state") as (running, url):

        def read(number: int) -> None:
            browser = Browser(url).enter(f"Reader {number}")
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                for _ in range(200):
                    for address in addresses:
                        answer = browser.post(f"{address}/verdict", verdict(browser, address))
                        answered.add((f"Reader {number}", answer.json["verdict_id"]))

        with ThreadPoolExecutor(20) as pool:
            readers = [pool.submit(read, number) for number in range(20)]
            while len(answered) < 150:
                time.sleep(0.05)
            running.send_signal(signal.SIGKILL)
            for reader in readers:
                reader.result()

    engine = open_engine(file_url(OutFolder(phantoms.folder)))
    reviews = Reviews(engine)
    kept = {(one.new.reviewer, one.verdict_id) for one in reviews.history(out_key(OutFolder(phantoms.folder)))}
    reviews.close()
    assert len(answered) >= 150
    assert answered <= kept
