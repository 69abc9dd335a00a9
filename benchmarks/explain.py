"""What heatmaps cost: `OMP_NUM_THREADS=1 python benchmarks/explain.py`, and of a bundle on real cases

    OMP_NUM_THREADS=1 python benchmarks/explain.py flair_glioma_segmentation data_manifests/lgg_flair.csv DATA

which prints, case by case, the processor seconds of inference, of the heatmap that a run
makes without being asked, and of the dear questions to it. Without arguments:

For a 3-D classifier (DenseNet121, 64 x 64 x 64) and a 2-D segmentation U-Net
(8 slices of 128 x 128):
- Grad-CAM in forward passes (aim: at most 1.5 on top of inference);
- occlusion beside Captum's, at each batch size: seconds and the largest memory that
  tensors took, which on the CPU the allocator of torch counts (aim: Captum's best, with less).

Processor seconds of the calling thread, best of three: other work on the machine counts less.
"""

import csv
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from captum.attr import Occlusion
from monai.inferers import SimpleInferer
from monai.networks.nets import BasicUNet, DenseNet121
from torch.profiler import ProfilerActivity, profile

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


def main() -> None:
    """Measure and print."""
    if len(sys.argv) > 1:
        _of_a_bundle(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]) if len(sys.argv) > 4 else 6)
        return
    rng = np.random.default_rng(0)
    cube = NetworkInput(rng.random((1, 64, 64, 64), dtype=np.float32), np.eye(4))
    classifier = _opened(DenseNet121(spatial_dims=3, in_channels=1, out_channels=2))
    request = ExplainRequest("classify", 1, "class")
    _grad_cam("DenseNet121 64^3", classifier, cube, request)
    slab = NetworkInput(rng.random((1, 128, 128), dtype=np.float32), np.eye(4))
    region = np.zeros((128, 128), dtype=bool)
    region[40:60, 50:80] = True
    unet = _opened(BasicUNet(spatial_dims=2, in_channels=1, out_channels=2))
    _grad_cam("BasicUNet 128^2", unet, slab, ExplainRequest("segment", 1, "label", region=region))
    _occlusion(classifier, NetworkInput(cube.data[:, :32, :32, :32].copy(), np.eye(4)))


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


def _occlusion(opened: OpenNetwork, image: NetworkInput) -> None:
    window = torch.from_numpy(image.data)[None]
    for at_once in (1, 8, 16):
        budget = MethodBudget(cells=4, windows_at_once=at_once)
        request = ExplainRequest("classify", 1, "class", "occlusion", budget=budget)
        baseline = blurred(windows_of(opened, image, request)).inputs

        def ours(asked: ExplainRequest = request) -> None:
            explain(opened, image, asked)

        def captums(at_once: int = at_once, baseline: torch.Tensor = baseline) -> None:
            with torch.inference_mode():
                Occlusion(opened.network).attribute(
                    window, (1, 8, 8, 8), (1, 8, 8, 8), baseline, 1, perturbations_per_eval=at_once
                )

        print(
            f"occlusion of 32^3, 64 patches, {at_once} at once: ours {_seconds(ours):.2f} s {_megabytes(ours):.0f} MB, "
            f"Captum {_seconds(captums):.2f} s {_megabytes(captums):.0f} MB"
        )


def _opened(network: torch.nn.Module) -> OpenNetwork:
    return OpenNetwork(network.eval().requires_grad_(False), SimpleInferer(), torch.device("cpu"))


def _seconds(work: Callable[[], None]) -> float:
    work()
    spent = []
    for _ in range(3):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


def _megabytes(work: Callable[[], None]) -> float:
    """Highest sum of the tensors that the work held at a time."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    held = highest = 0
    for event in seen.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            highest = max(highest, held)
    return highest / 1e6


if __name__ == "__main__":
    main()
