"""The lock of bundles: every altered, added or missing file is named."""

from pathlib import Path

import pytest

from diascope.bundles.lock import digest_bundle, read_lock, verify_bundle, write_lock
from diascope.errors import BundleError


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "models" / "lesion_net"
    for name, content in {
        "configs/inference.json": b"{}",
        "models/model.safetensors": bytes(range(200)),
        "docs/README.md": b"# card\n",
        "LICENSE": b"Apache-2.0\n",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_an_untouched_bundle_has_the_digest_it_was_locked_with(bundle: Path) -> None:
    lock = bundle.parent / "bundles.lock"
    locked = write_lock(lock, bundle)

    assert verify_bundle(bundle, lock) == locked
    assert len(locked) == 64


def test_the_digest_of_a_file_is_its_plain_sha256(bundle: Path) -> None:
    # Given by `printf 'Apache-2.0\n' | sha256sum`.
    assert digest_bundle(bundle)["LICENSE"] == "31d33b6815f84ee57fd784c7a88333a776bd3df1532d650bfdad7305d9efbf35"


@pytest.mark.parametrize("at", [0, 7, 199])
def test_one_altered_byte_of_the_weights_is_named(bundle: Path, at: int) -> None:
    lock = bundle.parent / "bundles.lock"
    write_lock(lock, bundle)
    weights = bundle / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[at] ^= 1
    weights.write_bytes(bytes(content))

    with pytest.raises(BundleError, match=r"lesion_net: models/model\.safetensors was altered"):
        verify_bundle(bundle, lock)


def test_an_added_file_is_named(bundle: Path) -> None:
    lock = bundle.parent / "bundles.lock"
    write_lock(lock, bundle)
    (bundle / "configs" / "extra.py").write_text("print('hello')")

    with pytest.raises(BundleError, match=r"configs/extra\.py is not in the lock"):
        verify_bundle(bundle, lock)


def test_a_missing_file_is_named(bundle: Path) -> None:
    lock = bundle.parent / "bundles.lock"
    write_lock(lock, bundle)
    (bundle / "docs" / "README.md").unlink()

    with pytest.raises(BundleError, match=r"docs/README\.md is missing"):
        verify_bundle(bundle, lock)


def test_results_of_a_stock_monai_run_inside_the_folder_do_not_matter(bundle: Path) -> None:
    lock = bundle.parent / "bundles.lock"
    locked = write_lock(lock, bundle)
    (bundle / "eval").mkdir()
    (bundle / "eval" / "seg.nii.gz").write_bytes(b"result")

    assert verify_bundle(bundle, lock) == locked


@pytest.mark.parametrize(
    "name", ["network.py", "scripts/steps.PY", "eval/__pycache__/steps.cpython-311.pyc", "eval/weights.pt"]
)
def test_what_can_be_run_is_named_wherever_it_lies(bundle: Path, name: str) -> None:
    lock = bundle.parent / "bundles.lock"
    write_lock(lock, bundle)
    (bundle / name).parent.mkdir(parents=True, exist_ok=True)
    (bundle / name).write_bytes(b"raise SystemExit")

    with pytest.raises(BundleError, match=f"{name} is not in the lock"):
        verify_bundle(bundle, lock)


def test_code_that_was_locked_with_its_bundle_may_stay_as_it_is_and_not_otherwise(bundle: Path) -> None:
    lock = bundle.parent / "bundles.lock"
    (bundle / "scripts").mkdir()
    (bundle / "scripts" / "steps.py").write_text("x = 1")
    write_lock(lock, bundle)
    verify_bundle(bundle, lock)

    (bundle / "scripts" / "steps.py").write_text("x = 2")

    with pytest.raises(BundleError, match=r"scripts/steps\.py was altered"):
        verify_bundle(bundle, lock)


def test_a_folder_behind_a_link_cannot_be_locked(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "steps.py").write_text("x = 1")
    (bundle / "configs" / "more").symlink_to(tmp_path / "elsewhere")

    with pytest.raises(BundleError, match="configs/more is a link to a folder"):
        write_lock(bundle.parent / "bundles.lock", bundle)


def test_a_bundle_that_was_never_locked_is_refused_with_the_cure(bundle: Path) -> None:
    with pytest.raises(BundleError, match="lesion_net is not in") as refused:
        verify_bundle(bundle, bundle.parent / "bundles.lock")

    assert "lock it" in refused.value.hint


def test_locking_a_second_bundle_leaves_the_first_entry_alone(bundle: Path) -> None:
    lock = bundle.parent / "bundles.lock"
    first = write_lock(lock, bundle)
    other = bundle.parent / "other_net"
    (other / "configs").mkdir(parents=True)
    (other / "configs" / "metadata.json").write_text("{}")
    write_lock(lock, other)

    assert sorted(read_lock(lock)) == ["lesion_net", "other_net"]
    assert verify_bundle(bundle, lock) == first


def test_a_lock_that_is_no_lock_is_refused(bundle: Path) -> None:
    lock = bundle.parent / "bundles.lock"
    lock.write_text("not json")

    with pytest.raises(BundleError, match=r"bundles\.lock is not a lock"):
        verify_bundle(bundle, lock)
