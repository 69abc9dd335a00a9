"""Keyed ids: the same for the same key, nothing to anybody without it."""

import hashlib
import hmac
import logging
import os
import secrets
import stat
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diascope.errors import ConfigError
from diascope.identity import ID_PATTERN, IdentityKey, load_key

KEY = IdentityKey(bytes(range(32)))


def test_ids_are_the_hmac_that_openssl_computes() -> None:
    # printf 'case\0001.2.840.113619.2.1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:000102...1f
    assert KEY.case_id("1.2.840.113619.2.1") == "case-2ab026290e9c7cc"
    assert KEY.patient_key("HOSPITAL|4711") == "pat-27f31f4dbfc4e60"
    assert KEY.site_key(" St.  Elsewhere ") == "site-b78efdc30b58fd0"
    # Linux allows any byte in a name; os.fsdecode gives it as a lone surrogate.
    assert KEY.file_id(os.fsdecode(b"/data/a\xff.dcm")) == "file-d86c9ae26e9c1e8"


def test_the_fingerprint_is_a_hash_that_tells_the_key_and_does_not_give_it_away() -> None:
    # (printf 'diascope key fingerprint'; the 32 bytes) | openssl dgst -sha256
    assert KEY.fingerprint == "5b395f1c4c8c57a4"
    assert IdentityKey(bytes(reversed(range(32)))).fingerprint != KEY.fingerprint


@given(secret=st.binary(min_size=32, max_size=32), text=st.text())
def test_every_kind_of_id_is_an_hmac_of_its_kind_and_text(secret: bytes, text: str) -> None:
    key = IdentityKey(secret)

    for kind, keyed in (("case", key.case_id), ("img", key.image_id), ("file", key.file_id), ("pat", key.patient_key)):
        message = kind.encode() + b"\0" + text.encode("utf-8", "surrogateescape")
        assert keyed(text) == f"{kind}-{hmac.digest(secret, message, hashlib.sha256).hex()[:15]}"
        assert ID_PATTERN.fullmatch(keyed(text))


def test_the_same_text_has_another_id_as_another_kind_and_under_another_key() -> None:
    other = IdentityKey(bytes(32))

    ids = [key.case_id("4711") for key in (KEY, other)] + [key.patient_key("4711") for key in (KEY, other)]

    assert len({each.partition("-")[2] for each in ids}) == 4


def test_a_site_is_the_same_however_it_is_spaced_or_capitalised() -> None:
    assert KEY.site_key("st. elsewhere") == KEY.site_key("ST.\tELSEWHERE ") != KEY.site_key("St Elsewhere")


def test_the_secret_is_not_in_what_is_printed() -> None:
    assert KEY.secret.hex() not in repr(KEY)
    assert repr(KEY.secret) not in repr(KEY)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ConfigError, match=rf"has 32 bytes, this one {length}"):
        IdentityKey(bytes(length))


def test_a_key_is_made_where_there_is_none_and_found_again(tmp_path: Path) -> None:
    file = tmp_path / "config" / "identity.key"

    made = load_key(file)

    assert load_key(file) == made
    assert len(made.secret) == 32
    assert load_key(tmp_path / "other.key") != made


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_a_new_key_is_readable_by_its_owner_alone_and_leaves_nothing_beside_it(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        load_key(tmp_path / "identity.key")
    finally:
        os.umask(before)

    assert [path.name for path in tmp_path.iterdir()] == ["identity.key"]
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o644])
def test_a_key_that_others_can_read_is_used_with_a_warning(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "identity.key"
    key = load_key(file)
    file.chmod(mode)

    with caplog.at_level(logging.WARNING):
        assert load_key(file) == key

    assert [record.getMessage() for record in caplog.records] == [
        f"the identity key file can be read by others (mode {mode:o}); chmod 600 keeps it yours"
    ]


def test_a_key_of_the_owner_alone_gives_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_key(tmp_path / "identity.key")
    load_key(tmp_path / "identity.key")

    assert caplog.records == []


@pytest.mark.parametrize("content", [b"", b"not hexadecimal", b"00" * 31, b"00" * 33, b"\xff\xfe"])
def test_a_file_that_is_no_key_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "identity.key"
    file.write_bytes(content)

    with pytest.raises(ConfigError, match="identity key") as refused:
        load_key(file)

    assert "64 hexadecimal digits" in refused.value.hint
    assert file.read_bytes() == content


def test_a_place_that_takes_no_key_is_refused_without_naming_it(tmp_path: Path) -> None:
    (tmp_path / "muster").write_text("a file, not a folder")

    with pytest.raises(ConfigError) as refused:
        load_key(tmp_path / "muster" / "identity.key")
    with pytest.raises(ConfigError):
        load_key(tmp_path)

    assert "muster" not in str(refused.value)


def test_who_comes_while_the_key_is_being_made_gets_the_same_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, real, others = tmp_path / "identity.key", secrets.token_hex, []

    def interrupted(length: int) -> str:
        monkeypatch.setattr(secrets, "token_hex", real)
        others.append(load_key(file))
        return real(length)

    monkeypatch.setattr(secrets, "token_hex", interrupted)

    assert [load_key(file)] == others
    assert load_key(file) == others[0]


def test_many_threads_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    for round_ in range(20):
        start = Barrier(8)

        def load(file: Path = tmp_path / f"{round_}.key", start: Barrier = start) -> str:
            start.wait()
            return load_key(file).fingerprint

        with ThreadPoolExecutor(8) as threads:
            loads = [threads.submit(load) for _ in range(8)]

            assert len({future.result() for future in loads}) == 1


def test_two_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.key" for n in range(50)]

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        one, other = (processes.submit(_fingerprints, files) for _ in range(2))

        assert one.result() == other.result()


def test_a_disk_without_hard_links_gets_a_key_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    assert load_key(tmp_path / "identity.key") == load_key(tmp_path / "identity.key")
    assert stat.S_IMODE((tmp_path / "identity.key").stat().st_mode) == 0o600
    assert len(list(tmp_path.iterdir())) == 1


def _fingerprints(files: list[Path]) -> list[str]:
    return [load_key(file).fingerprint for file in files]
