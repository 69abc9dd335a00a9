"""What heatmaps cost: `OMP_NUM_THREADS=1 python benchmarks/explain.py`, and of a bundle on real cases

    OMP_NUM_THREADS=1 python benchmarks/explain.py flair_glioma_segmentation data_manifests/lgg_flair.csv DATA

which prints, case by case, the processor seconds of inference, of the heatmap that a run
makes without being asked, and of the dear questions to it. Without arguments:

For a 3-D classifier (DenseNet121, 64 x 64 x 64) and a 2-D segmentation U-Net (a slice of 128 x 128):
- Grad-CAM in forward passes (aim: at most 1.5 on top of inference);
- occlusion of the classifier (32 x 32 x 32) and of the U-Net beside Captum's, at each batch
  size, in turn: processor seconds and their ratio (aim: as fast as Captum at its best), and the
  memory that a fresh process takes on top of what one forward pass of a single image took,
  in the median of `PAIRS` pairs (aim: less). Linux counts it. `--memory` measures the memory only.

Processor seconds of the calling thread, best of three: other work on the machine counts less.
"""

import csv
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from captum.attr import Occlusion
from monai.inferers import SimpleInferer
from monai.networks.nets import BasicUNet, DenseNet121
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.network import NetworkInput, OpenNetwork, open_network, prepare_input
from diascope.explain.baseline import blurred
from diascope.explain.heatmap import explain, windows_of
from diascope.explain.request import ExplainRequest
from diascope.explain.settings import ExplainSettings, MethodBudget
from diascope.findings import ImageFacts
from diascope.geometry import Grid
from diascope.imaging.resample import GridOfLogits
from diascope.run.heatmaps import HeatmapOrder, MadeMap, make_maps
from diascope.tasks.inference import run_network
from diascope.volume import Volume

AT_ONCE = (1, 8, 16)
PAIRS = 3


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        if sys.argv[1] == "--memory":
            _occlusion_memory()
            return
        _of_a_bundle(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 6)
        return
    cube = _image((1, 64, 64, 64))
    classifier = _opened(DenseNet121(spatial_dims=3, in_channels=1, out_channels=2))
    _grad_cam("DenseNet121 64^3", classifier, cube, ExplainRequest("classify", 1, "class"))
    unet = _opened(BasicUNet(spatial_dims=2, in_channels=1, out_channels=2))
    _grad_cam("BasicUNet 128^2", unet, _image((1, 128, 128)), ExplainRequest("segment", 1, "label", region=_region()))
    _occlusion_seconds()
    _occlusion_memory()


def _of_a_bundle(name: str, manifest: Path, data: Path, cases: int) -> None:
    bundle = find_bundle(name)
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    with manifest.open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["split"] == "test"][:cases]
    for n, row in enumerate(rows):
        image = nib.load(data / row["image"])
        values = np.asarray(image.dataobj, dtype=np.float32)
        volume = Volume(values, Grid(values.shape, image.affine), ImageFacts(), row["case"])
        prepared = prepare_input(bundle, volume)
        if n == 0:  # the layer is chosen once per run
            _one_case(bundle, opened, prepared, is_checked=False)
        once, cam, _ = _one_case(bundle, opened, prepared, is_checked=False)
        _, checked, maps = _one_case(bundle, opened, prepared, is_checked=True)
        print(
            f"{row['case']} {prepared.data.shape}: inference {once:.2f} s, {len(maps)} maps {cam:.2f} s = "
            f"{cam / once:.2f} of inference, questioned {checked - cam:.1f} s = {(checked - cam) / once:.1f}"
        )


def _one_case(
    bundle: BundleInfo, opened: OpenNetwork, prepared: NetworkInput, *, is_checked: bool
) -> tuple[float, float, tuple[MadeMap, ...]]:
    start = time.process_time()
    said = GridOfLogits(run_network(opened, prepared), prepared.affine)
    middle = time.process_time()
    order = HeatmapOrder(ExplainSettings(), is_checked)
    maps = make_maps(order, bundle, "image", [opened], (prepared, said))
    return middle - start, time.process_time() - middle, maps


def _grad_cam(name: str, opened: OpenNetwork, image: NetworkInput, request: ExplainRequest) -> None:
    window = torch.from_numpy(image.data)[None]

    def forward() -> None:
        with torch.inference_mode():
            opened.network(window)

    explain(opened, image, request)  # the layer is chosen once
    once, cam = _seconds(forward), _seconds(lambda: explain(opened, image, request))
    print(f"Grad-CAM, {name}: forward {once:.3f} s, map {cam:.3f} s = {cam / once:.2f} forward passes")


def _occlusion_seconds() -> None:
    for name in PAIRED:
        for at_once in AT_ONCE:
            pair = _pair(name, at_once)
            if not torch.allclose(pair["ours"]().squeeze(), pair["Captum"](), rtol=1e-3, atol=1e-5):
                raise SystemExit(f"{name}: the two maps differ")
            mine, theirs = _seconds_in_turn(*pair.values())
            print(
                f"occlusion, {name}, {at_once} at once: ours {mine:.2f} s, Captum {theirs:.2f} s = {mine / theirs:.2f}",
                flush=True,
            )


def _occlusion_memory() -> None:
    for name in PAIRED:
        for at_once in AT_ONCE:
            pairs = [tuple(_in_fresh_process(name, at_once, who) for who in ("ours", "Captum")) for _ in range(PAIRS)]
            mine, theirs = (statistics.median(values) for values in zip(*pairs, strict=True))
            each = ", ".join(f"{one:.0f}/{other:.0f}" for one, other in pairs)
            print(
                f"occlusion, {name}, {at_once} at once: ours {mine:.0f} MB, Captum {theirs:.0f} MB ({each})", flush=True
            )


def _pair(name: str, at_once: int) -> dict[str, Callable[[], torch.Tensor]]:
    """Occlude the same patches with the same blur, with diascope and with Captum."""
    paired = PAIRED[name]()
    opened, image, patch = paired.opened, paired.image, paired.patch
    budget = MethodBudget(cells=image.data.shape[1] // patch, windows_at_once=at_once)
    asked = replace(paired.request, method="occlusion", budget=budget)
    baseline = blurred(windows_of(opened, image, asked)).inputs
    window = torch.from_numpy(image.data)[None]
    sides = (1, *[patch] * (window.ndim - 2))

    def ours() -> torch.Tensor:
        return torch.from_numpy(explain(opened, image, asked).data)

    def captums() -> torch.Tensor:
        with torch.inference_mode():
            found = Occlusion(paired.score).attribute(window, sides, sides, baseline, perturbations_per_eval=at_once)
        return found[0, 0][tuple(slice(None, None, patch) for _ in sides[1:])]

    return {"ours": ours, "Captum": captums}


def _in_fresh_process(name: str, at_once: int, who: str) -> float:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_megabytes, name, at_once, who).result()


def _megabytes(name: str, at_once: int, who: str) -> float:
    """Say how far the process grows beyond what it is after a single forward pass, at its largest."""
    paired, work = PAIRED[name](), _pair(name, at_once)[who]
    with torch.inference_mode():
        paired.opened.network(torch.from_numpy(paired.image.data)[None])
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far, as proc(5) says
    before = _status_kb("VmRSS")
    work()
    return (_status_kb("VmHWM") - before) / 1024


def _status_kb(key: str) -> int:
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines())
    return int(lines[key].split()[0])


@dataclass(frozen=True)
class Occluded:
    """What both occlude: `patch` divides the sides of the image; `score` is what Captum asks of the network."""

    opened: OpenNetwork
    image: NetworkInput
    request: ExplainRequest
    patch: int
    score: Callable[[torch.Tensor], torch.Tensor]


def _classifier() -> Occluded:
    torch.manual_seed(0)
    opened = _opened(DenseNet121(spatial_dims=3, in_channels=1, out_channels=2))
    request = ExplainRequest("classify", 1, "class")
    return Occluded(opened, _image((1, 32, 32, 32)), request, 8, lambda images: opened.network(images)[:, 1])


def _unet() -> Occluded:
    torch.manual_seed(0)
    opened = _opened(BasicUNet(spatial_dims=2, in_channels=1, out_channels=2))
    region = _region()
    request = ExplainRequest("segment", 1, "label", region=region)
    inside = torch.from_numpy(region)
    return Occluded(
        opened, _image((1, 128, 128)), request, 16, lambda images: opened.network(images)[:, 1][:, inside].mean(1)
    )


PAIRED = {"DenseNet121 32^3, 64 patches": _classifier, "BasicUNet 128^2, 64 patches": _unet}


def _image(shape: tuple[int, ...]) -> NetworkInput:
    return NetworkInput(np.random.default_rng(0).random(shape, dtype=np.float32), np.eye(4))


def _region() -> NDArray[np.bool_]:
    region = np.zeros((128, 128), dtype=bool)
    region[40:60, 50:80] = True
    return region


def _opened(network: torch.nn.Module) -> OpenNetwork:
    return OpenNetwork(network.eval().requires_grad_(False), SimpleInferer(), torch.device("cpu"))


def _seconds(work: Callable[[], object]) -> float:
    return _seconds_in_turn(work)[0]


def _seconds_in_turn(*works: Callable[[], object]) -> list[float]:
    spent: list[list[float]] = [[] for _ in works]
    for n in range(4):
        for work, seconds in zip(works, spent, strict=True):
            start = time.process_time()
            work()
            if n:  # the first of each warms up
                seconds.append(time.process_time() - start)
    return [min(seconds) for seconds in spent]


if __name__ == "__main__":
    main()
