"""The truth, where there is one: drawn as outlines beside what a network drew."""

import threading
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from diascope.errors import InputError, PipelineError
from diascope.evaluation.truth import Places, TruthRow, read_truth_table
from diascope.findings import Label
from diascope.io.write_nifti import write_mask
from diascope.viewer.answers import Problem, error_part, problem_of
from diascope.viewer.case_page import CaseFiles
from diascope.viewer.outs import ServedOut
from diascope.viewer.volumes import LabelPart, image_file, label_parts
from diascope.viewer.voxels import Scratch, read_header, stamp_of

# Told apart from every colour that a network is given.
TRUTH_COLOURS = ("#ffffff", "#ff66ff", "#66ffff", "#ffff66", "#ff9966", "#99ff99")


# The demo's heads are synthetic; it keeps the truth that they were made from where it keeps the heads.
DEMO_TRUTH = Path("cohort") / "truth.csv"


@dataclass(frozen=True, slots=True)
class TruthMap:
    """A truth on the voxels of its image.

    Attributes:
        image_id: The image.
        part: Its label map.
    """

    image_id: str
    part: LabelPart


class Truths:
    """Finds the truth of a case; the manifest is read when it is first asked for."""

    def __init__(self, manifest: Path | None, scratch: Scratch) -> None:
        """Keep where the manifest is.

        Args:
            manifest: See `diascope evaluate --truth`; None where only the demo's own is looked for.
            scratch: Where maps laid onto their images go.
        """
        self._manifest = manifest
        self._scratch = scratch
        self._guard = threading.Lock()
        self._rows: dict[str, dict[str, list[tuple[str, TruthRow]]]] = {}

    def of(self, case: CaseFiles) -> tuple[tuple[TruthMap, ...], tuple[dict[str, str], ...]]:
        """Give the truths of a case, and what is wrong with those that cannot be shown."""
        manifest = self._manifest or case.out.folder.private / DEMO_TRUTH
        if self._manifest is None and not manifest.is_file():
            return (), ()
        maps: list[TruthMap] = []
        problems: list[dict[str, str]] = []
        try:
            rows = self._of_out(case.out, manifest).get(case.case_id, [])
        except PipelineError as error:
            return (), (error_part(error),)
        for at, (image_id, row) in enumerate(rows):
            try:
                maps += self._maps(case, image_id, row, f"truth-{at}")
            except PipelineError as error:
                problems.append(error_part(problem_of(error)))
            except Problem as problem:
                problems.append(error_part(problem))
        return tuple(maps), tuple(problems)

    def _of_out(self, out: ServedOut, manifest: Path) -> dict[str, list[tuple[str, TruthRow]]]:
        with self._guard:
            if out.out_id not in self._rows:
                found: dict[str, list[tuple[str, TruthRow]]] = {}
                places = Places(out.folder)
                for row in read_truth_table(manifest):
                    try:
                        place = places.find(row, manifest.parent)
                    except InputError:
                        continue  # of a case that is in another folder; `diascope evaluate` tells of it
                    if row.label_map is not None:
                        found.setdefault(place.case_id, []).append((place.image_id, row))
                self._rows[out.out_id] = found
            return self._rows[out.out_id]

    def _maps(self, case: CaseFiles, image_id: str, row: TruthRow, name: str) -> list[TruthMap]:
        drawn = [one for one in case.report.segmentations or () if image_id in {"", one.image_id}]
        shown = [*(one.image_id for one in drawn), *(one.image_id for one in case.report.images if one.stored), ""]
        on = image_id or shown[0]
        record, file = image_file(case.report, case.folder, on)
        path = row.label_map
        if path is None:
            return []
        names = {1: row.label} if row.label else None
        if names is None and len(drawn) == 1:
            names = {label.value: label.name for label in drawn[0].labels}
        # highdicom and scikit-image take a second to import, and most servers never need them.
        from diascope.io.labels.reading import read_label_map  # noqa: PLC0415

        layers = read_label_map(path, read_header(file).space, names)
        found = []
        for at, layer in enumerate(layers):
            key = f"truth {stamp_of(path)} {stamp_of(file)} {at} {names}"
            laid = self._scratch.file(key, ".nii.gz", partial(write_mask, mask=layer))
            labels = [
                Label(value, text, TRUTH_COLOURS[nth % len(TRUTH_COLOURS)])
                for nth, (value, text) in enumerate(sorted(layer.labels.items()))
            ]
            found += [TruthMap(record.image_id, part) for part in label_parts(f"{name}-{at}", laid, labels)]
        return found


def truth_answers(case: CaseFiles, truths: Truths) -> list[dict[str, Any]]:
    """Describe the truths of a case to the page."""
    maps, problems = truths.of(case)
    answers: list[dict[str, Any]] = [
        {
            "image_id": one.image_id,
            "name": one.part.name,
            "url": f"{case.address}/volume/{one.part.name}.nii.gz?v={stamp_of(one.part.file)}",
            "labels": [
                {"value": at, "source_value": label.value, "name": label.name, "colour": label.colour}
                for at, label in enumerate(one.part.labels, start=1)
            ],
            "error": None,
        }
        for one in maps
    ]
    return answers + [{"image_id": None, "name": "truth", "url": None, "labels": [], "error": one} for one in problems]
