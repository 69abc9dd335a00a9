import json
from pathlib import Path

import pytest

from diascope.bundles.lock import write_lock
from diascope.errors import ConfigError
from diascope.evaluation.calibration_file import BundleCalibration, write_calibration
from diascope.run.ensembles import find_network
from diascope.run.settings import BundleUse, ModelsSettings, RunConfig
from diascope.tasks.uncertainty_settings import UncertaintySettings
from tests.tiny_bundle import write_tiny_bundle


def config(models: Path, use: BundleUse, **uncertainty: object) -> RunConfig:
    return RunConfig(
        bundles=(use,),
        models=ModelsSettings(dir=models),
        uncertainty=UncertaintySettings.model_validate(uncertainty),
    )


def change(models: Path, name: str, file: str, key: str, value: object) -> None:
    path = models / name / "configs" / file
    content = json.loads(path.read_text())
    (content["diascope"] if file == "metadata.json" else content)[key] = value
    path.write_text(json.dumps(content))
    write_lock(models / "bundles.lock", models / name)


def test_the_members_of_an_ensemble_come_with_their_digests(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, "fold_a")
    write_tiny_bundle(tmp_path, "fold_b", threshold=120)
    use = BundleUse(name="fold_a", ensemble=("fold_b",))

    found = find_network(use, config(tmp_path, use))

    assert [stamp.name for stamp in found.stamps] == ["fold_a", "fold_b"]
    assert len({stamp.sha256 for stamp in found.stamps}) == 2


@pytest.mark.parametrize(
    ("file", "key", "value", "named"),
    [
        ("metadata.json", "labels", {"1": "dark"}, "labels"),
        ("metadata.json", "needs", "index", "needs"),
        ("inference.json", "preprocessing", {"transforms": []}, "steps before the network"),
    ],
)
def test_networks_of_different_answers_are_no_ensemble(
    tmp_path: Path, file: str, key: str, value: object, named: str
) -> None:
    for name in ("fold_a", "fold_b"):
        write_tiny_bundle(tmp_path, name)
    change(tmp_path, "fold_b", file, key, value)
    use = BundleUse(name="fold_a", ensemble=("fold_b",))

    with pytest.raises(ConfigError, match=f"fold_a and fold_b cannot be an ensemble: their {named} differ"):
        find_network(use, config(tmp_path, use))


@pytest.mark.parametrize(
    ("ensemble", "uncertainty", "expected"),
    [
        ((), {}, False),
        ((), {"control_misses": True, "seed": 3}, False),
        ((), {"mirrors": ["j"]}, True),
        ((), {"dropout_draws": 4}, True),
        (("fold_b",), {}, True),
    ],
)
def test_a_network_knows_whether_its_answers_are_averaged(
    tmp_path: Path, ensemble: tuple[str, ...], uncertainty: dict[str, object], expected: bool
) -> None:
    for name in ("fold_a", "fold_b"):
        write_tiny_bundle(tmp_path, name)
    use = BundleUse(name="fold_a", ensemble=ensemble)

    assert find_network(use, config(tmp_path, use, **uncertainty)).is_averaged is expected


def test_mirrors_and_sides_are_refused_before_anything_is_run(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, "sided")
    change(tmp_path, "sided", "metadata.json", "labels", {"1": "left_hippocampus"})
    use = BundleUse(name="sided")

    with pytest.raises(ConfigError, match="must not be mirrored"):
        find_network(use, config(tmp_path, use, mirrors=["i"]))


def test_a_calibration_that_is_not_there_is_named_without_its_folder(tmp_path: Path) -> None:
    write_tiny_bundle(tmp_path, "net")
    missing, there = tmp_path / "private" / "calibration.json", tmp_path / "calibration.json"
    write_calibration(there, BundleCalibration(split="s", patients=40))

    with pytest.raises(ConfigError, match=r"there is no calibration calibration\.json") as caught:
        find_network(use := BundleUse(name="net", calibration=missing), config(tmp_path, use))
    assert "private" not in str(caught.value)
    found = find_network(use := BundleUse(name="net", calibration=there), config(tmp_path, use))
    assert found.calibration == there
