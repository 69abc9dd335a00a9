from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from diascope.bundles.find import BundleInfo, find_bundle
from diascope.bundles.lock import write_lock
from diascope.evaluation.feature_file import STATISTICS, ImageFeatures, read_features
from diascope.evaluation.out_of_distribution import REFERENCE, ReferenceFeatures, write_reference
from diascope.findings import CaseReport, ImageFacts, ImageRecord
from diascope.geometry import Grid
from diascope.io.outfolder import OutFolder
from diascope.run.features import distance_from_reference, farthest, image_statistics, with_batch_distances, write_seen
from diascope.run.record import row_of
from diascope.volume import Volume
from tests.tiny_bundle import write_tiny_bundle

SHAPE = (5, 7, 11)


def volume(data: NDArray[np.float32]) -> Volume:
    return Volume(data, Grid(data.shape, np.diag([0.7, 0.8, 2.5, 1.0])), ImageFacts(), "img-1")


def seen(features: NDArray[np.float32], *, bundle: str = "net", image: str = "img-1") -> ImageFeatures:
    return ImageFeatures(bundle, image, features.astype(np.float32), "bottleneck", np.zeros(9, dtype=np.float32))


def bundle_with_reference(models: Path, layer: str = "bottleneck") -> BundleInfo:
    folder = write_tiny_bundle(models)
    known = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    write_reference(folder / REFERENCE, ReferenceFeatures(known, np.arange(30), layer))
    write_lock(models / "bundles.lock", folder)
    return find_bundle(folder.name, models)


def write_bare_case(out: OutFolder, case_id: str, features: NDArray[np.float64], patient: str) -> CaseReport:
    folder = out.case(case_id)
    folder.mkdir(parents=True)
    report = CaseReport(case_id, "done", images=(ImageRecord("img-1", ImageFacts(patient_key=patient)),))
    (folder / "case.json").write_text(report.to_json())
    write_seen(folder, [seen(features)])
    return report


def test_grey_values_are_summed_up_without_the_voxels_that_hold_no_number() -> None:
    data = np.arange(385, dtype=np.float32).reshape(SHAPE)
    with_hole = np.concatenate([data, np.full((5, 7, 1), np.nan, dtype=np.float32)], axis=2)

    found = dict(zip(STATISTICS, image_statistics(volume(with_hole)).tolist(), strict=True))

    assert found["mean"] == 192
    assert found["p50"] == 192
    assert found["sd"] == pytest.approx(np.arange(385).std())
    assert found["p05"] == pytest.approx(0.05 * 384)
    assert np.isnan(image_statistics(volume(np.full(SHAPE, np.nan, dtype=np.float32)))).all()


def test_features_come_back_as_they_were_written_and_the_same_case_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = [seen(np.arange(4.0)), seen(np.arange(4.0) + 1, image="img-2"), seen(np.ones(3), bundle="other")]
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        write_seen(folder, rows)

    first, second = read_features(tmp_path / "a" / "net.features.npz")

    assert (first.bundle, first.image_id, second.image_id, second.layer) == ("net", "img-1", "img-2", "bottleneck")
    np.testing.assert_array_equal(second.features, np.arange(4) + 1)
    assert len(read_features(tmp_path / "a" / "other.features.npz")) == 1
    for name in ("net.features.npz", "other.features.npz"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_an_image_like_the_reference_is_near_and_one_unlike_it_is_far(tmp_path: Path) -> None:
    bundle = bundle_with_reference(tmp_path)
    usual, odd = seen(np.zeros(6)), seen(np.full(6, 12.0))

    near, far = distance_from_reference(usual, bundle), distance_from_reference(odd, bundle)

    assert near is not None
    assert far is not None
    assert near < 1
    assert far > 4
    assert (
        farthest(
            [seen(np.zeros(6), bundle="tiny_bright"), seen(np.full(6, 12.0), bundle="tiny_bright")],
            {"tiny_bright": bundle},
        )
        == far
    )


def test_features_of_another_layer_or_without_a_reference_have_no_distance(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path / "plain")

    assert distance_from_reference(seen(np.zeros(6)), bundle_with_reference(tmp_path / "other", "encoder")) is None
    assert distance_from_reference(seen(np.zeros(6)), find_bundle("tiny_bright", tmp_path / "plain")) is None


def test_the_odd_one_out_of_a_batch_is_reviewed_first(tmp_path: Path) -> None:
    out = OutFolder(tmp_path)
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(15, 8))
    vectors[6] += 15
    reports = [write_bare_case(out, f"case-{n:02d}", vectors[n], f"patient-{n}") for n in range(15)]

    rows = with_batch_distances(out, [row_of(report, 1.0) for report in reports])

    assert [row.case_id for row in rows if row.review_first] == ["case-06"]
    assert {row.compared_with for row in rows} == {"batch"}
    assert [row.case_id for row in rows if (row.out_of_distribution or 0) > 1] == ["case-06"]


def test_a_small_batch_and_cases_without_features_stay_as_they_are(tmp_path: Path) -> None:
    out = OutFolder(tmp_path)
    reports = [write_bare_case(out, f"case-{n}", np.arange(4.0) * n, "the same patient") for n in range(12)]
    plain = CaseReport("case-x", "nothing_to_do")
    before = [row_of(report, 1.0) for report in [*reports, plain]]

    assert with_batch_distances(out, before) == before


def test_a_case_with_a_reference_is_not_compared_with_the_batch(tmp_path: Path) -> None:
    out = OutFolder(tmp_path)
    reports = [
        write_bare_case(out, f"case-{n:02d}", np.random.default_rng(n).normal(size=5), f"p{n}") for n in range(12)
    ]
    rows = [row_of(report, 1.0) for report in reports]
    measured = CaseReport("case-00", "done", out_of_distribution=0.4)

    found = with_batch_distances(out, [row_of(measured, 1.0), *rows[1:]])

    assert (found[0].out_of_distribution, found[0].compared_with) == (0.4, "reference")
    assert found[1].compared_with == "batch"
