"""From two DICOM series of a study to one answer of a network that sees both."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydicom import Dataset
from safetensors.torch import save_file

from diascope.bundles.lock import write_lock
from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.findings import read_report
from diascope.identity import IdentityKey
from diascope.io.outfolder import OutFolder
from diascope.run.batch import Books, run_batch
from diascope.run.found import found_in
from diascope.run.record import CaseRow
from diascope.run.request import make_request
from diascope.run.session import make_order
from diascope.run.settings import RunConfig
from diascope.tasks.device import Device
from tests.io.dicom_phantoms import Phantom, oblique, put_pixels, write_series
from tests.run.test_case_dicom import Deaf
from tests.tiny_bundle import write_tiny_bundle

CHANNELS = {"t1": {"description": {"include": ["t1"]}}, "flair": {"description": {"include": ["flair"]}}}
SHAPE, SPACING_MM = (16, 18, 9), (4.0, 3.5, 5.0)


def both_bright(models: Path) -> None:
    """A network of two channels: bright where both are above half of 200 (T1) and 400 (FLAIR)."""
    folder = write_tiny_bundle(models)
    file = folder / "configs" / "inference.json"
    config = json.loads(file.read_text())
    config["network_def"]["in_channels"] = 2
    file.write_text(json.dumps(config))
    weight = torch.zeros(2, 2, 1, 1, 1)
    weight[1, :, 0, 0, 0] = torch.tensor([2.0, 1.0])  # of 200 and 400: half of either is the border
    save_file({"weight": weight, "bias": torch.tensor([0.0, -600.0])}, folder / "models" / "model.safetensors")
    write_lock(models / "bundles.lock", folder)


def half(axis: int, lower: bool, phantom: Phantom) -> NDArray[np.int16]:
    """(i, j, k) bright on one side of the middle plane of an axis of the patient (LPS)."""
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in phantom.shape], indexing="ij"), axis=-1)
    lps_mm = np.array(phantom.origin_lps_mm) + ijk * np.array(phantom.spacing_mm) @ phantom.directions.T
    return np.where((lps_mm[..., axis] < 0) == lower, 200, 0).astype(np.int16)


def centred(directions: NDArray[np.float64], name: str) -> Phantom:
    origin = -directions @ (np.array(SPACING_MM) * (np.array(SHAPE) - 1) / 2)
    return Phantom(SHAPE, SPACING_MM, directions, tuple(origin.tolist()), name=name)  # type: ignore[arg-type]


def write(folder: Path, phantom: Phantom, cells: NDArray[np.int16], frame: str) -> None:
    def change(k: int, dataset: Dataset) -> Dataset:
        put_pixels(dataset, cells[:, :, k].T)
        dataset.SeriesDescription = phantom.name
        dataset.FrameOfReferenceUID = phantom.uid(frame)
        return dataset

    write_series(folder, phantom, change)


def run_on(tmp_path: Path) -> tuple[OutFolder, CaseRow]:
    both_bright(tmp_path / "models")
    plain = {
        "bundles": [{"name": "tiny_bright", "channels": CHANNELS}],
        "models": {"dir": str(tmp_path / "models")},
        "explain": None,
    }
    request = make_request([tmp_path / "scans"], parse_settings(RunConfig, plain, [], where="test"), "test")
    out, key = OutFolder(tmp_path / "out"), IdentityKey(bytes(32))
    out.create()
    with found_in(request.inputs, request.config.ingest, key, out.private) as found:
        order = make_order(request, found, key, out, Device("cpu", "cpu"))
        (row,) = run_batch(order, Deaf(), Books())
    return out, row


def test_two_series_are_seen_as_one_image_on_the_grid_of_the_first(tmp_path: Path) -> None:
    t1, flair = centred(np.eye(3), "t1"), centred(oblique(), "flair")
    write(tmp_path / "scans" / "a", flair, 2 * half(1, True, flair), "one session")
    write(tmp_path / "scans" / "b", t1, half(0, True, t1), "one session")

    out, row = run_on(tmp_path)

    report = read_report(out.case(row.case_id) / "case.json")
    assert (row.status, row.reason) == ("done", "")
    (drawn,) = report.segmentations or ()
    told = {image.image_id: image for image in report.images}
    assert told[drawn.image_id].channel_of == ("tiny_bright: t1",)
    (other,) = (image for image in report.images if image.image_id != drawn.image_id)
    assert other.channel_of == (f"tiny_bright: flair, brought onto the grid of {drawn.image_id}",)
    assert other.chosen_for == ("tiny_bright",)
    # Bright on the T1 where x < 0, on the FLAIR where y < 0 and where it was scanned at all.
    volume = next(m.value for m in report.measurements or () if m.quantity == "volume")
    both = (half(0, True, t1) > 0) & (half(1, True, t1) > 0) & inside(flair, t1)
    assert volume == pytest.approx(both.sum() * np.prod(SPACING_MM), rel=0.1)


def inside(phantom: Phantom, seen: Phantom) -> NDArray[np.bool_]:
    """(i, j, k) voxels of one phantom whose centres lie within another."""
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in seen.shape], indexing="ij"), axis=-1)
    ras_mm = ijk @ seen.affine_ras_mm[:3, :3].T + seen.affine_ras_mm[:3, 3]
    back = np.linalg.inv(phantom.affine_ras_mm)
    at = ras_mm @ back[:3, :3].T + back[:3, 3]
    found: NDArray[np.bool_] = ((at > -0.5) & (at < np.array(phantom.shape) - 0.5)).all(axis=-1)
    return found


def test_series_of_two_sessions_are_nothing_to_do_and_the_reason_is_told(tmp_path: Path) -> None:
    t1, flair = centred(np.eye(3), "t1"), centred(np.eye(3), "flair")
    write(tmp_path / "scans" / "a", t1, half(0, True, t1), "before")
    write(tmp_path / "scans" / "b", flair, half(1, True, flair), "after")

    out, row = run_on(tmp_path)

    report = read_report(out.case(row.case_id) / "case.json")
    assert row.status == "nothing_to_do"
    assert all("frames of reference or fields differ" in image.not_chosen[0] for image in report.images)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ({"channels": CHANNELS, "select": {"modality": ["MR"]}}, "takes the place of select"),
        ({"channels": {"t1": {}}}, "two or more"),
        ({"channels": CHANNELS, "within": {"bundle": "brain", "label": "brainstem"}}, "looks at whole images"),
        ({"channels": {"t1": {}, "t2": {"select": "all"}}}, "a channel is one image"),
    ],
)
def test_channels_that_cannot_be_meant_are_refused(use: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        parse_settings(RunConfig, {"bundles": [{"name": "x", **use}]}, [], where="test")
