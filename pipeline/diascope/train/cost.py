"""What one case costs: processor time and memory of a process that does nothing else.

    python -m diascope.train.cost BUNDLE IMAGE

A process of its own, because what a process held before would count with the case.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from diascope.bundles.find import read_bundle
from diascope.bundles.lock import digest_bundle, whole_digest
from diascope.bundles.network import open_network, prepare_input
from diascope.errors import BundleError
from diascope.findings import ImageFacts
from diascope.imaging.resample import GridOfLogits
from diascope.io.write_nifti import write_volume
from diascope.tasks.classify import classify
from diascope.tasks.detect import detect
from diascope.tasks.inference import run_network
from diascope.tasks.segment import segment
from diascope.train.folds import training_cases
from diascope.train.manifest import cases_of
from diascope.train.scoring import scored_images
from diascope.train.settings import SynthesisSettings, TrainConfig
from diascope.train.volumes import read_image
from diascope.volume import Volume

# A case takes seconds; whoever waits longer waits for something else.
LONGEST_S = 900

_MODULE = "diascope.train.cost"
_STATUS = Path("/proc/self/status")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one case took, from its file in memory to its result.

    Attributes:
        cpu_seconds: Of the processor, all threads together: on an idle machine by the clock no more than this.
        peak_gb: Largest resident memory of the process, with Python, torch and MONAI, in 10^9 bytes.
        voxels: Of the image.
    """

    cpu_seconds: float
    peak_gb: float
    voxels: tuple[int, int, int]


def cost_of(folder: Path, image: Path) -> Cost:
    """Run a bundle on one image in a process of its own, on the CPU.

    Args:
        folder: The bundle.
        image: NIfTI file or picture.

    Raises:
        BundleError: The process failed, or took longer than anybody waits.
    """
    command = [sys.executable, "-P", "-W", "ignore", "-m", _MODULE, str(folder), str(image)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_S, check=False)  # noqa: S603 - ours
    except subprocess.TimeoutExpired:
        raise BundleError(f"bundle {folder.name} took longer than {LONGEST_S} s in a process of its own") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BundleError(f"bundle {folder.name} failed in a process of its own: {last}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Cost(told["cpu_seconds"], told["peak_gb"], tuple(told["voxels"]))


def cost_of_test_case(config: TrainConfig, folder: Path) -> Cost:
    """Run a bundle on its largest test case, as it is in the file; a synthetic image is made first.

    Args:
        config: The training that made it.
        folder: The bundle.

    Raises:
        BundleError: There is no such case, or it failed.
    """
    if isinstance(config.source, SynthesisSettings):
        made = next(scored_images(config, "test"))
        with tempfile.TemporaryDirectory() as scratch:
            write_volume(Path(scratch) / "image.nii.gz", made.volume)
            return cost_of(folder, Path(scratch) / "image.nii.gz")
    images = [case.image for case in cases_of(training_cases(config), "test") if case.image is not None]
    if not images:
        raise BundleError(f"bundle {folder.name} has no test case")
    return cost_of(folder, max(images, key=lambda image: image.stat().st_size))


def cost_text(cost: Cost) -> str:
    """Say it in the words of a model card."""
    i, j, k = cost.voxels
    return (
        f"The largest test case ({i} x {j} x {k} voxels), alone in a process on the CPU: {cost.cpu_seconds:.1f} s of "
        f"processor time and at most {cost.peak_gb:.1f} GB of memory, of which Python, torch and MONAI take about 0.5."
    )


def main() -> None:
    """Run one case and print what it took."""
    folder, image = (Path(argument) for argument in sys.argv[1:3])
    print(json.dumps(asdict(_measured(folder, image))))  # noqa: T201 - read by cost_of


def _measured(folder: Path, image: Path) -> Cost:
    bundle = replace(read_bundle(folder), sha256=whole_digest(digest_bundle(folder)))
    began_s = time.process_time()
    read = read_image(image, "case")
    volume = Volume(read.values, read.space, ImageFacts(), "case")
    prepared = prepare_input(bundle, volume)
    opened = open_network(bundle.folder, bundle.sha256, "cpu")
    seen = GridOfLogits(run_network(opened, prepared), prepared.affine)
    if bundle.block.task == "segment":
        segment(seen, volume.space, bundle)
    elif bundle.block.task == "classify":
        classify(seen, volume.space, bundle, volume.image_id)
    else:
        detect(seen, volume.space, bundle, volume.image_id)
    return Cost(time.process_time() - began_s, _peak_bytes() / 1e9, volume.data.shape)


def _peak_bytes() -> int:
    # Linux counts into ru_maxrss what the process was before it became this program: that of a large parent.
    if _STATUS.is_file():
        lines = dict(line.split(":", 1) for line in _STATUS.read_text(encoding="ascii").splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


if __name__ == "__main__":
    main()
