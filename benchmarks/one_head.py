"""How long one head of 1 mm takes, stage by stage, and how much memory.

    python benchmarks/one_head.py [BUNDLE]

The head is the MNI152 T1 that nilearn ships, at 1 mm. The whole process is measured as
a person starts it, imports included. The ratio to quote is the whole against the network
alone: what everything around the network costs.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nilearn.datasets import load_mni152_template

WANTED_SECONDS = 30.0
WANTED_GB = 3.0


def main(bundle: str) -> int:
    """Measure and print; 1 where the wanted figures are missed."""
    with tempfile.TemporaryDirectory() as folder:
        scans = Path(folder) / "scans"
        scans.mkdir()
        head = load_mni152_template(resolution=1)
        head.to_filename(scans / "head.nii.gz")
        out = Path(folder) / "out"
        command = [sys.executable, "-m", "diascope.cli.main", "run", str(scans), "--bundle", bundle, "-o", str(out)]
        command += ["--set", "device=cpu", "--set", f"identity.key_file={folder}/key"]
        command += ["--set", f"tracking.uri=sqlite:///{folder}/mlflow.db"]
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        peak_gb = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
        stages = _stages(out)
    whole = sum(stages.values())
    print(f"{bundle}, head of {' x '.join(map(str, head.shape))} voxels at 1 mm, on the CPU")
    for stage, part in stages.items():
        print(f"  {stage:<8} {part:6.2f} s")
    print(f"  stages   {whole:6.2f} s, {whole / stages['infer']:.2f} times the network alone")
    print(f"  process  {seconds:6.2f} s wall from start to end (wanted: at most {WANTED_SECONDS:.0f} s)")
    print(f"  memory   {peak_gb:6.2f} GB at its peak (wanted: at most {WANTED_GB:.0f} GB)")
    return int(seconds > WANTED_SECONDS or peak_gb > WANTED_GB)


def _stages(out: Path) -> dict[str, float]:
    """Read the seconds of each stage from what was sent to tracking."""
    for line in (out / "tracking.jsonl").read_text(encoding="utf-8").splitlines():
        event = json.loads(line)
        values = event.get("body", {}).get("values", {})
        if event["kind"] == "metrics" and "case_seconds" in values:
            names = ("read", "prepare", "infer", "finish", "write")
            return {name: values[f"case_seconds.{name}"] for name in names}
    raise SystemExit("no case was done")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "brain_structures_segmentation"))
