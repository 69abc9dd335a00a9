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
from diascope.run.planning.speeds import Speed, Timing, around_name

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


def test_time_is_what_cases_of_this_size_took_and_what_was_read(bundle: BundleInfo) -> None:
    # 100 x 100 x 50 voxels of 1 x 1 x 2 mm are 50^3 at 2 mm: two windows of 50 x 50 x 25.
    through = 2 * 50 * 50 * 25
    speeds = {
        MACHINE.name(bundle): Speed((Timing(10.0, through),) * 3),
        around_name(MACHINE.device): Speed((Timing(5.0, 500_000),)),
    }

    found = estimate(plan(bundle, study(1), study(2), study(3, is_chosen=False)), speeds, MACHINE)

    assert {case_id: span.likely for case_id, span in found.seconds.items()} == pytest.approx(
        {"case-1": 15.0, "case-2": 15.0}
    )
    assert found.total is not None
    assert found.total.likely == pytest.approx(30)
    assert found.without({"case-2"}).total == found.seconds["case-1"]
    assert any("3 earlier cases on this device, 10 to 10 s each" in line for line in found.basis)


def test_a_network_that_never_ran_here_has_no_estimate_and_that_is_said(bundle: BundleInfo) -> None:
    found = estimate(plan(bundle, study(1)), {}, MACHINE)

    assert found.total is None
    assert any("net: no run of it" in line for line in found.basis)


def test_with_heatmaps_and_without_are_told_apart(bundle: BundleInfo) -> None:
    speeds = {Machine(MACHINE.device, is_explained=True).name(bundle): Speed((Timing(30.0, 1.0),))}

    assert estimate(plan(bundle, study(1)), speeds, MACHINE).total is None


def test_what_a_run_took_is_what_the_next_one_is_told(bundle: BundleInfo) -> None:
    done = plan(bundle, study(1), study(2))
    stages = {"read": 0.5, "prepare": 1.0, "infer": 20.0, "finish": 2.0, "write": 1.5}

    found = learned(done, {"case-1": stages, "case-2": stages}, MACHINE)
    speeds = {name: Speed(tuple(cases)) for name, cases in found.items()}

    told = estimate(plan(bundle, study(3)), speeds, MACHINE).total
    assert told is not None
    assert told.likely == pytest.approx(25)


def test_a_run_that_did_nothing_teaches_nothing(bundle: BundleInfo) -> None:
    assert learned(plan(bundle, study(1)), {}, MACHINE) == {}
    assert learned(plan(bundle, study(1)), {"case-1": {}}, MACHINE) == {}
    assert learned(plan(bundle, study(1)), {"of another plan": {"infer": 3.0}}, MACHINE) == {}


def test_one_window_is_tried_as_a_study_asks_for_it(bundle: BundleInfo) -> None:
    window = window_of(plan(bundle, study(1)), bundle)

    assert window is not None
    assert (window.windows, window.window_shape) == (1, (50, 50, 25))
    assert window_of(plan(bundle, study(1, is_chosen=False)), bundle) is None


def test_the_disk_a_study_takes_grows_with_its_images(bundle: BundleInfo) -> None:
    one, two = study(1), study(2, images=2)

    assert two.disk_bytes - one.disk_bytes == 100 * 100 * 50 * 1.6
    assert plan(bundle, one, two).disk_bytes == one.disk_bytes + two.disk_bytes
