"""Time and memory of one case for each network that comes with diascope (goal: 20 s on 2 cores, 3 GB).

    python benchmarks/network_cost.py ../shared/data [NAME ...]

The largest test case of each network's manifest, from its file to its result, alone in a process on the CPU; for
the brain a synthetic head, since its manifest has no images. Processor time of all threads together: on an idle
machine a case takes by the clock at most this, on two cores at least half of it. Reading, the network's own
steps, the network and the way back are in it; start-up, report and heatmaps are not.
"""

import argparse
import os
from pathlib import Path

from diascope.bundles.find import find_bundle, list_bundles, packaged_models
from diascope.config import find_config
from diascope.train.cost import cost_of_test_case
from diascope.train.settings import load_train_config


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("names", nargs="*")
    told = arguments.parse_args()
    models = packaged_models()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {len(os.sched_getaffinity(0))} cores\n")
    print("| network | largest test case | processor time | peak memory |\n|---|---|---|---|")
    for name in told.names or [bundle.name for bundle in list_bundles(models)]:
        config = load_train_config(find_config(f"train_{name}"), [f"data_root={told.data.resolve()}"])
        cost = cost_of_test_case(config, find_bundle(name, models).folder)
        size = " x ".join(map(str, cost.voxels))
        print(f"| `{name}` | {size} | {cost.cpu_seconds:.1f} s | {cost.peak_gb:.2f} GB |", flush=True)


if __name__ == "__main__":
    main()
