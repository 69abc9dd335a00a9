"""The device rule."""

import os
from pathlib import Path

import pytest
import torch

from diascope.errors import ConfigError
from diascope.tasks import device
from diascope.tasks.device import choose_device, usable_cpus

no_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")


def fake_driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\necho {version}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


@no_cuda
def test_auto_is_the_cpu_where_there_is_no_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(device, "_DRIVER_FILE", tmp_path / "none")

    chosen = choose_device("auto")

    assert chosen.name == "cpu"
    assert f"{usable_cpus()} cores" in chosen.description


@no_cuda
def test_auto_stops_where_a_card_cannot_be_used_and_names_the_driver(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_driver(monkeypatch, tmp_path, "535.104.05")

    with pytest.raises(ConfigError, match=r"NVIDIA card \(driver 535\.104\.05\) that torch .*cannot use") as caught:
        choose_device("auto")

    assert "device=cpu" in caught.value.hint


@no_cuda
def test_the_cpu_is_taken_when_asked_for_beside_a_card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_driver(monkeypatch, tmp_path, "535.104.05")

    assert choose_device("cpu").name == "cpu"


@no_cuda
@pytest.mark.parametrize("wanted", ["cuda", "cuda:3"])
def test_a_card_that_is_not_there_is_refused(wanted: str) -> None:
    with pytest.raises(ConfigError, match=rf"device: {wanted} was asked for"):
        choose_device(wanted)


def test_a_word_that_is_no_device_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match="tpu is not a device") as caught:
        choose_device("tpu")

    assert "cuda:0" in caught.value.hint


def test_cpus_are_no_more_than_affinity_allows() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


def test_a_container_s_quota_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    quota.write_text("100000 100000\n")
    monkeypatch.setattr(device, "_CGROUP_LIMIT", quota)

    assert usable_cpus() == 1
