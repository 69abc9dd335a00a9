"""A misspelt key never passes, and the message names the nearest that is."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, PositiveFloat, ValidationError

from diascope.config import Settings, find_config, load_settings, parse_settings, settings_hash, without_password
from diascope.errors import ConfigError


class Detect(Settings):
    min_score: Annotated[float, Field(ge=0, le=1)] = 0.5
    min_diameter_mm: PositiveFloat = 4.0


class Windows(Settings):
    kind: Literal["windows"]
    window_hu: tuple[float, float] = (0.0, 80.0)


class Slices(Settings):
    kind: Literal["slices"]
    thickness_mm: PositiveFloat = 5.0


class Run(Settings):
    detect: Detect = Detect()
    steps: tuple[Detect, ...] = ()
    source: Annotated[Windows | Slices, Field(discriminator="kind")] = Windows(kind="windows")
    by_value: dict[int, float] = Field(default_factory=dict)
    device: str = "auto"


def test_a_yaml_file_becomes_settings_and_the_rest_keeps_its_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("detect:\n  min_diameter_mm: 6\nby_value: {3: 0.5}\n")

    run = load_settings(Run, tmp_path / "run.yaml")

    assert run == Run(detect=Detect(min_diameter_mm=6.0), by_value={3: 0.5})
    assert run.detect.min_score == 0.5


def test_an_empty_yaml_is_all_defaults(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("# nothing\n")

    assert load_settings(Run, tmp_path / "run.yaml") == Run()


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("detect: {min_scor: 0.3}", "detect.min_scor", "detect.min_score"),
        ("detect: {min_diameter: 3}", "detect.min_diameter", "detect.min_diameter_mm"),
        ("devise: cpu", "devise", "device"),
        ("steps: [{}, {min_scores: 0.3}]", "steps.1.min_scores", "steps.min_score"),
        ("source: {kind: slices, thicknes_mm: 3}", "source.thicknes_mm", "source.thickness_mm"),
        ("source: {kind: windows, window: [0, 1]}", "source.window", "source.window_hu"),
    ],
)
def test_a_misspelt_key_is_named_with_the_nearest_that_is(tmp_path: Path, text: str, key: str, nearest: str) -> None:
    (tmp_path / "run.yaml").write_text(text)

    with pytest.raises(ConfigError) as refused:
        load_settings(Run, tmp_path / "run.yaml")

    assert refused.value.message == f"run.yaml: {key} is not a setting"
    assert refused.value.hint == f"did you mean {nearest}?"


def test_two_misspelt_keys_are_both_named() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(Run, {"devise": "cpu", "detect": {"min_scor": 1}})

    assert refused.value.message.splitlines() == [
        "settings: detect.min_scor is not a setting",
        "settings: devise is not a setting",
    ]
    assert refused.value.hint == "did you mean detect.min_score?; did you mean device?"


def test_a_key_like_no_other_gets_no_suggestion() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(Run, {"xyzzy": 1})

    assert refused.value.hint == ""


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match=r"^settings: source: .*kind"):
        parse_settings(Run, {"source": {"thickness_mm": 3}})
    with pytest.raises(ConfigError, match=r"^settings: kind: Field required"):
        parse_settings(Windows, {})


def test_a_value_out_of_range_is_told_with_what_was_given() -> None:
    with pytest.raises(ConfigError, match=r"^settings: detect\.min_score: .*less than or equal to 1 \(got 1\.5\)$"):
        parse_settings(Run, {"detect": {"min_score": 1.5}})


def test_a_long_value_is_shortened_in_the_message() -> None:
    with pytest.raises(ConfigError) as refused:
        parse_settings(Run, {"detect": {"min_score": "x" * 500}})

    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("device=cpu", Run(device="cpu")),
        ("detect.min_score=0.25", Run(detect=Detect(min_score=0.25))),
        ("source={kind: slices, thickness_mm: 2}", Run(source=Slices(kind="slices", thickness_mm=2.0))),
        ("by_value.7=0.5", Run(by_value={7: 0.5})),
        ("device='a=b'", Run(device="a=b")),
    ],
)
def test_set_changes_one_key_whose_value_is_spelt_as_in_yaml(override: str, expected: Run) -> None:
    assert parse_settings(Run, {}, [override]) == expected


def test_set_reaches_into_lists_and_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("steps: [{min_score: 0.1}, {min_score: 0.2}]\ndevice: cuda\n")

    run = load_settings(Run, tmp_path / "run.yaml", ["steps.1.min_score=0.9", "device=cpu", "device=auto"])

    assert [step.min_score for step in run.steps] == [0.1, 0.9]
    assert run.device == "auto"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("device", r"expected key=value"),
        ("=cpu", r"expected key=value"),
        ("device.name=cpu", r"device has no keys below it"),
        ("steps.4.min_score=1", r"steps\.4 has no keys below it"),
        ("device={", r"not valid yaml"),
        ("detect.min_scor=0.3", r"detect\.min_scor is not a setting"),
    ],
)
def test_a_set_that_cannot_be_is_refused(override: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_settings(Run, {"device": "cpu", "steps": [{}]}, [override])


def test_set_leaves_the_given_values_as_they_were() -> None:
    given = {"detect": {"min_score": 0.1}}

    parse_settings(Run, given, ["detect.min_score=0.9"])

    assert given == {"detect": {"min_score": 0.1}}


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "a: [1\n", "\t"])
def test_a_file_that_holds_no_keys_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.yaml").write_text(text)

    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_settings(Run, tmp_path / "run.yaml")


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00device: cpu")

    with pytest.raises(ConfigError, match=r"run\.yaml"):
        load_settings(Run, tmp_path / "run.yaml")


def test_yaml_cannot_make_python_objects(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("device: !!python/object/apply:os.getcwd []\n")

    with pytest.raises(ConfigError, match="not valid yaml"):
        load_settings(Run, tmp_path / "run.yaml")


def test_a_config_is_found_by_its_bare_name_or_its_path(tmp_path: Path) -> None:
    (tmp_path / "brain_mri.yaml").write_text("")

    assert find_config("brain_mri", tmp_path) == tmp_path / "brain_mri.yaml"
    assert find_config(str(tmp_path / "brain_mri.yaml")) == tmp_path / "brain_mri.yaml"


def test_a_bare_name_that_is_not_there_is_answered_with_those_that_are(tmp_path: Path) -> None:
    for name in ("brain_mri", "chest_xray", "train_knee"):
        (tmp_path / f"{name}.yaml").write_text("")

    with pytest.raises(ConfigError, match="no config named train_kne") as training:
        find_config("train_kne", tmp_path)
    with pytest.raises(ConfigError) as near:
        find_config("brian_mri", tmp_path)
    with pytest.raises(ConfigError) as far:
        find_config("knee", tmp_path)
    with pytest.raises(ConfigError, match=r"no config file .*knee\.yaml"):
        find_config("knee.yaml", tmp_path)

    assert near.value.hint == "did you mean brain_mri?"
    assert far.value.hint == "there are: brain_mri, chest_xray"
    assert training.value.hint == "did you mean train_knee?"


def test_the_hash_depends_on_what_is_said_and_not_on_how(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("device: cpu\ndetect: {min_score: 0.5}\n")
    (tmp_path / "b.yaml").write_text("# the same\ndevice: 'cpu'\n")

    one, other = (load_settings(Run, tmp_path / name) for name in ("a.yaml", "b.yaml"))

    assert settings_hash(one) == settings_hash(other)
    assert len(settings_hash(one)) == 64
    assert settings_hash(one) != settings_hash(Run())


def test_settings_cannot_be_changed_once_made() -> None:
    with pytest.raises(ValidationError):
        Run().device = "cpu"  # type: ignore[misc]


@pytest.mark.parametrize(
    "override",
    ["https://anna:pass@host/", "device={https://anna:pass@host/", "detect=https://anna:pass@host/", "no.key=pass"],
)
def test_no_password_of_a_setting_is_repeated_in_an_error(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_settings(Run, {"device": "cpu", "steps": [{}]}, [override])

    assert "pass" not in caught.value.message


def test_a_yaml_that_cannot_be_read_is_told_by_its_line_and_not_with_its_words(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("device: cpu\nuri: https://anna:pass@host: x\n")

    with pytest.raises(ConfigError, match=r"run\.yaml is not valid yaml, line 2, column 28: mapping values") as caught:
        load_settings(Run, tmp_path / "run.yaml")

    assert "pass" not in caught.value.message


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://anna:pass@host:8080/x", "https://host:8080/x"),
        ("postgresql://anna:p@ss@host/db and http://b@c", "postgresql://host/db and http://c"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("a name@host without an address", "a name@host without an address"),
    ],
)
def test_user_and_password_are_taken_out_of_addresses(text: str, shown: str) -> None:
    assert without_password(text) == shown


class Chain(Settings):
    steps: Annotated[tuple[Detect, ...], Field(min_length=1)]


def test_a_list_is_not_called_too_short_where_its_only_item_is_wrong() -> None:
    with pytest.raises(ConfigError) as wrong:
        parse_settings(Chain, {"steps": [{"min_scor": 0.3}]})
    with pytest.raises(ConfigError, match="at least 1 item"):
        parse_settings(Chain, {"steps": []})

    assert wrong.value.message == "settings: steps.0.min_scor is not a setting"
