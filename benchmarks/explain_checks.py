"""Question the heatmaps of a bundle on test cases, and print the table of docs/heatmaps.md and of the model cards.

    python benchmarks/explain_checks.py flair_glioma_segmentation data_manifests/lgg_flair.csv DATA \
        --label tumour --methods grad_cam,hires_cam --cases 14 -o OUT

For every task. Explained is, of a segmentation, the mean logit of the largest predicted
component in its few largest slices (`--slices`); of a classifier the label, in the slice
that shows it most; of a detector the box with the highest score. Cases in which the
network does not see the label are left out and counted. Where the manifest has a label
map, the map is compared with it, in the slices that were explained. Rows are appended to
OUT/checks.csv, so that a run can be continued; `--table` only prints what is there.
OUT/pictures holds one picture per case and method. A method may name its layer:
`hires_cam@encoder.downsamples.1`; to choose between them without looking at the test
cases there is `--split calibration`.

    python benchmarks/explain_checks.py flair_glioma_segmentation MANIFEST DATA --label tumour --card -o OUT

writes the table of OUT/checks.csv into the section Heatmaps of the bundle's card and locks
the bundle anew. What a person wrote below the table stays; `--remark TEXT` replaces it.
"""

import argparse
import csv
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diascope.bundles.card import CARD, remark_of, write_section
from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.network import NetworkInput, OpenNetwork, open_network, prepare_input
from diascope.errors import PipelineError
from diascope.evaluation.localisation import localisation
from diascope.explain.checks import check, verdict
from diascope.explain.heatmap import Explained, explain, located
from diascope.explain.reference import locked_weights
from diascope.explain.request import ExplainRequest, to_heatmap
from diascope.explain.settings import CheckSettings, ExplainSettings, MethodBudget
from diascope.explain.targets import requests_for
from diascope.identity import IdentityKey
from diascope.imaging.upsampling import map_affines, map_on_grid
from diascope.io.catalogue import catalogue
from diascope.io.decode import decode
from diascope.io.reader import Context, IngestSettings
from diascope.tasks.inference import run_network
from diascope.volume import Volume

BUDGET = MethodBudget(steps=16, draws=8, cells=12, supervoxels=30, samples=120)
CHECKS = CheckSettings(
    reinitialisations=3, random_maps=19, centre_blobs=6, steps=5, windows=2, removals=16, noisy_images=1
)

SECTION = "Heatmaps"

# Hangs on the machine and on what else it did: no word about a network.
CLOCKED = ("seconds",)

COLUMNS = {
    "depends_on_weights": "similarity to fresh weights",
    "deletion_gain_over_random": "deletion gain, random",
    "insertion_gain_over_random": "insertion gain, random",
    "deletion_gain_over_centre_blob": "deletion gain, blob",
    "insertion_gain_over_centre_blob": "insertion gain, blob",
    "infidelity": "infidelity",
    "repeatability": "repeatability",
    "max_sensitivity": "max sensitivity",
    "energy_outside_body": "outside body",
    "energy_at_border": "at border",
    "hit": "hit rate",
    "iou_at_otsu": "IoU at Otsu",
    "energy_inside": "energy inside",
    "auprc": "AUPRC",
    "prevalence": "AUPRC of nothing",
    "completeness_error": "completeness error",
    "forwards": "windows run",
    "seconds": "seconds",
}


def main() -> None:
    """Run what is asked for, then print the table."""
    told = _arguments()
    rows = told.out / "checks.csv"
    if told.card:
        _write_card(told, pd.read_csv(rows))
        return
    if not told.table:
        (told.out / "pictures").mkdir(parents=True, exist_ok=True)
        _run(told, rows)
    print(table(pd.read_csv(rows)))


def table(rows: pd.DataFrame, leave_out: Collection[str] = ()) -> str:
    """Write a Markdown table: a row per measure, a column per method, mean and 95 % interval over cases."""
    methods = list(dict.fromkeys(rows["method"]))
    lines = ["| | " + " | ".join(methods) + " |", "|---" * (len(methods) + 1) + "|"]
    lines.append("| cases | " + " | ".join(str(int((rows["method"] == name).sum())) for name in methods) + " |")
    for verdict_word in ("supported", "doubtful", "unsupported"):
        counts = [int(((rows["method"] == name) & (rows["trust"] == verdict_word)).sum()) for name in methods]
        lines.append(f"| {verdict_word} | " + " | ".join(map(str, counts)) + " |")
    for column, title in COLUMNS.items():
        cells = [_mean_and_interval(rows.loc[rows["method"] == name, column]) for name in methods]
        if any(cells) and column not in leave_out:
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _write_card(told: argparse.Namespace, rows: pd.DataFrame) -> None:
    """Put the table into the bundle's card, and lock the bundle anew."""
    folder = find_bundle(told.bundle).folder
    remark = told.remark if told.remark is not None else remark_of((folder / CARD).read_text(), SECTION)
    versions = " and ".join(sorted(set(rows["version"].astype(str)))) if "version" in rows else "not noted"
    of = f" with {told.seen_only.replace('=', ' ')}" if told.seen_only else ""
    methods = ",".join(dict.fromkeys(rows["method"]))
    manifest, cases = told.manifest.as_posix(), rows["case"].nunique()
    intro = (
        f"Explained is {told.label}; version {versions}, {cases} cases of the split {told.split}{of} of `{manifest}`\n"
        "in which the network sees it. Mean and 95 % interval of a bootstrap over cases; what each line means:\n"
        "`docs/heatmaps.md` of diascope.\n"
        f"`python benchmarks/explain_checks.py {told.bundle} {manifest} DATA --label {told.label} "
        f"--methods {methods} -o OUT`"
    )
    print(
        write_section(folder, folder.parent / "bundles.lock", SECTION, f"{intro}\n\n{table(rows, CLOCKED)}\n\n{remark}")
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--label", required=True)
    parser.add_argument("--seen-only", default="", help="column=value of the manifest: only these cases")
    parser.add_argument("--methods", default="grad_cam,hires_cam")
    parser.add_argument("--layer", default=None)
    parser.add_argument("--split", default="test")
    parser.add_argument("--card", action="store_true")
    parser.add_argument("--remark", default=None)
    parser.add_argument("--cases", type=int, default=4)
    parser.add_argument("--slices", type=int, default=3)
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--table", action="store_true")
    return parser.parse_args()


def _run(told: argparse.Namespace, rows: Path) -> None:
    bundle = find_bundle(told.bundle)
    opened, locked = open_network(bundle.folder, bundle.sha256, "cpu"), locked_weights(bundle.folder, bundle.sha256)
    done = set(map(tuple, pd.read_csv(rows)[["case", "method"]].to_numpy())) if rows.is_file() else set()
    for case, volume, truth in _cases(told):
        wanted = [name for name in told.methods.split(",") if (case, name) not in done]
        if not wanted:
            continue
        prepared = prepare_input(bundle, volume)
        logits = run_network(opened, prepared)
        for method in wanted:
            asked = _request(bundle, opened, prepared, logits, method, told)
            if asked is None:
                print(f"{case}: {told.label} is not seen")
                break
            try:
                start = time.perf_counter()
                raw = explain(opened, prepared, asked)
                seconds = time.perf_counter() - start
            except PipelineError as error:
                print(f"{case} {method}: {error}")
                continue
            checks = check(Explained(opened, prepared, asked, raw), CHECKS, locked)
            map_affine, affine = map_affines(to_heatmap(raw, volume.space), volume.space)
            heat = map_on_grid(to_heatmap(raw, volume.space).data, map_affine, volume.space.shape, affine)
            trust, reason = verdict(checks)
            row = {
                "case": case,
                "method": method,
                "version": bundle.version,
                "trust": trust,
                "layer": raw.layer,
                "seconds": seconds,
            }
            row |= {"forwards": raw.forwards, "completeness_error": raw.completeness_error}
            row |= {one.name: one.value for one in checks} | _where(heat, truth) | {"reason": reason}
            _append(rows, row)
            _draw(told.out / "pictures" / f"{case}.{method}.png", volume, heat, truth, f"{case} {method} {trust}")
            print(f"{case} {method}: {trust}: {reason}", flush=True)


def _cases(told: argparse.Namespace) -> Iterator[tuple[str, Volume, NDArray[np.bool_] | None]]:
    column, _, value = told.seen_only.partition("=")
    with told.manifest.open(newline="") as lines:
        test = [
            row for row in csv.DictReader(lines) if row["split"] == told.split and (not column or row[column] == value)
        ]
    for row in test[: told.cases]:
        truth = _volume(told.data / row["label"]).data > 0 if row.get("label") else None
        yield row["case"], _volume(told.data / row["image"]), truth


def _volume(path: Path) -> Volume:
    found = catalogue([path], Context(IdentityKey(bytes(32)), IngestSettings()))
    volume = decode(found.series[0])
    assert isinstance(volume, Volume)
    return volume


def _request(
    bundle: BundleInfo,
    opened: OpenNetwork,
    prepared: NetworkInput,
    logits: NDArray[np.float32],
    method: str,
    told: argparse.Namespace,
) -> ExplainRequest | None:
    """Ask as a run does; of a segmentation only a few slices, so that the dear methods end."""
    name, _, layer = method.partition("@")
    settings = ExplainSettings.model_validate(
        {"targets": [told.label], "method": name, "layer": layer or told.layer, "budget": BUDGET, "part": "largest"}
    )
    found = requests_for(settings, bundle, logits)
    if not found:
        return None
    asked = located(opened, prepared, found[0])
    if asked.region is None:
        return asked
    largest = np.argsort(-asked.region.sum(axis=(0, 1)), kind="stable")[: told.slices]
    kept = np.zeros(asked.region.shape[2], dtype=bool)
    kept[largest] = True
    return replace(asked, region=asked.region & kept)


def _where(heat: NDArray[np.float32], truth: NDArray[np.bool_] | None) -> dict[str, object]:
    """Compare map and truth in the slices that were explained."""
    explained = (heat != 0).any(axis=(0, 1))
    if truth is None or not truth[..., explained].any():
        return {}
    return asdict(localisation(heat[..., explained], truth[..., explained]))


def _append(path: Path, row: dict[str, object]) -> None:
    names = [
        "case",
        "method",
        "version",
        "trust",
        "layer",
        *COLUMNS,
        "weights_as_locked",
        "has_positive_evidence",
        "reason",
    ]
    is_new = not path.is_file()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, extrasaction="ignore")
        if is_new:
            writer.writeheader()
        writer.writerow(row)


def _mean_and_interval(values: pd.Series) -> str:
    """Mean, and the interval of a bootstrap over cases."""
    known = values.dropna().astype(float).to_numpy()
    if known.size == 0:
        return ""
    rng = np.random.default_rng(0)
    means = rng.choice(known, (2000, known.size)).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{known.mean():.2f} ({low:.2f} to {high:.2f})" if known.max() < 1000 else f"{known.mean():.0f}"


def _draw(path: Path, volume: Volume, heat: NDArray[np.float32], truth: NDArray[np.bool_] | None, title: str) -> None:
    """Show the slice with most of the map: image, outline of the truth, positive part of the map."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    positive = np.clip(heat, 0, None)
    k = int(positive.sum(axis=(0, 1)).argmax())
    figure, axes = plt.subplots(1, 2, figsize=(8, 4))
    for axis in axes:
        axis.imshow(volume.data[..., k].T, cmap="gray")
        if truth is not None and truth[..., k].any():
            axis.contour(truth[..., k].T, [0.5], colors="lime", linewidths=0.8)
        axis.axis("off")
    axes[1].imshow(positive[..., k].T, cmap="inferno", alpha=0.6, vmin=0)
    figure.suptitle(title)
    figure.savefig(path, dpi=70, bbox_inches="tight")
    plt.close(figure)


if __name__ == "__main__":
    main()
