"""How long a run takes, with numbers that can be followed by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from diascope.bundles.find import BundleInfo, DiascopeBlock
from diascope.findings import ImageFacts
from diascope.geometry import Grid
from diascope.io.selection import Choice
from diascope.io.series import Catalogue, Series
from diascope.run.planning.estimate import Machine, estimate, learned, window_of
from diascope.run.planning.plan import Plan, StudyPlan
from diascope.run.planning.speeds import Speed, around_name, read_speeds, write_speeds

MACHINE = Machine("cpu, 2 cores", is_explained=False)
GRID = Grid((100, 100, 50), np.diag([1.0, 1.0, 2.0, 1.0]))


@pytest.fixture
def bundle(tmp_path: Path) -> BundleInfo:
    """A network that works at 2 mm with windows of 50^3 that do not overlap."""
    folder = tmp_path / "net"
    (folder / "configs").mkdir(parents=True)
    steps = [{"_target_": "Spacingd", "pixdim": [2.0, 2.0, 2.0]}]
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [50, 50, 25], "overlap": 0.0}
    (folder / "configs" / "inference.json").write_text(
        json.dumps({"preprocessing": {"transforms": steps}, "inferer": inferer})
    )
    block = DiascopeBlock(task="segment", needs="grid", labels={1: "brain"}, licence="MIT")
    return BundleInfo("net", folder, "1", "", block, "ab" * 32)


def study(number: int, images: int = 1, *, is_chosen: bool = True) -> StudyPlan:
    series = tuple(
        Series(f"case-{number}", f"img-{number}-{at}", "nifti", (), ImageFacts(), GRID) for at in range(images)
    )
    chosen = series if is_chosen else ()
    return StudyPlan(f"case-{number}", series, (), (Choice("net", chosen, ()),))


def plan(bundle: BundleInfo, *studies: StudyPlan) -> Plan:
    return Plan(studies, (bundle,), Catalogue((), (), (), ()))


def test_time_is_windows_times_what_a_voxel_took(bundle: BundleInfo) -> None:
    # 100 x 100 x 50 voxels of 1 x 1 x 2 mm are 50^3 at 2 mm: two windows of 50 x 50 x 25.
    through = 2 * 50 * 50 * 25
    speeds = {MACHINE.name(bundle): Speed(30.0, 3 * through, 3), around_name(MACHINE.device): Speed(5.0, 500_000, 1)}

    found = estimate(plan(bundle, study(1), study(2, images=2), study(3, is_chosen=False)), speeds, MACHINE)

    assert found.seconds == pytest.approx({"case-1": 10 + 5, "case-2": 20 + 10})
    assert found.total_seconds == pytest.approx(45)
    assert found.without({"case-2"}).total_seconds == pytest.approx(15)
    assert any("3 earlier cases" in line for line in found.basis)


def test_a_network_that_never_ran_here_has_no_estimate_and_that_is_said(bundle: BundleInfo) -> None:
    found = estimate(plan(bundle, study(1)), {}, MACHINE)

    assert found.total_seconds is None
    assert any("net: no run of it" in line for line in found.basis)


def test_with_heatmaps_and_without_are_told_apart(bundle: BundleInfo) -> None:
    speeds = {Machine(MACHINE.device, is_explained=True).name(bundle): Speed(30.0, 1.0, 3)}

    assert estimate(plan(bundle, study(1)), speeds, MACHINE).total_seconds is None


def test_what_a_run_took_is_what_the_next_one_is_told(bundle: BundleInfo) -> None:
    done = plan(bundle, study(1), study(2))
    seconds = {"read": 1.0, "prepare": 2.0, "infer": 40.0, "finish": 4.0, "write": 3.0}

    speeds = learned(done, ["case-1", "case-2"], seconds, MACHINE)

    assert estimate(done, speeds, MACHINE).total_seconds == pytest.approx(50)
    assert estimate(plan(bundle, study(3)), speeds, MACHINE).total_seconds == pytest.approx(25)


def test_a_run_that_did_nothing_teaches_nothing(bundle: BundleInfo) -> None:
    assert learned(plan(bundle, study(1)), [], {"infer": 3.0}, MACHINE) == {}
    assert learned(plan(bundle, study(1)), ["case-1"], {}, MACHINE) == {}


def test_one_window_is_tried_as_a_study_asks_for_it(bundle: BundleInfo) -> None:
    window = window_of(plan(bundle, study(1)), bundle)

    assert window is not None
    assert (window.windows, window.window_shape) == (1, (50, 50, 25))
    assert window_of(plan(bundle, study(1, is_chosen=False)), bundle) is None


def test_the_disk_a_study_takes_grows_with_its_images(bundle: BundleInfo) -> None:
    one, two = study(1), study(2, images=2)

    assert two.disk_bytes - one.disk_bytes == 100 * 100 * 50 * 1.6
    assert plan(bundle, one, two).disk_bytes == one.disk_bytes + two.disk_bytes


def test_speeds_are_remembered_and_a_broken_file_is_none(tmp_path: Path) -> None:
    file = tmp_path / "cache" / "speeds.json"
    assert read_speeds(file) == {}

    write_speeds(file, {"net": Speed(2.0, 8.0, 1)})
    assert read_speeds(file) == {"net": Speed(2.0, 8.0, 1)}
    file.write_text("{")
    assert read_speeds(file) == {}


def test_new_runs_count_beside_old_ones_but_an_hour_is_memory_enough() -> None:
    assert Speed(10.0, 10.0, 1) + Speed(30.0, 60.0, 2) == Speed(40.0, 70.0, 3)

    slow, fast = Speed(100_000.0, 100_000.0, 9), Speed(1800.0, 18_000.0, 1)
    assert (slow + fast).seconds_per_voxel == pytest.approx((1800 + 1800) / (1800 + 18_000))
    assert (Speed(0.0, 0.0) + fast) == fast
