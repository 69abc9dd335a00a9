"""Two processes that torchrun starts train the same network as one does."""

import os
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.train.engine import newest_weights
from diascope.train.progress import read_log
from diascope.train.settings import TrainConfig
from diascope.train.team import Team, joined_team
from diascope.train.training import train_network
from tests.train.training_phantoms import write_config, write_slices

RUN = """
import sys
from pathlib import Path
from diascope.train.settings import load_train_config
from diascope.train.team import joined_team
from diascope.train.training import train_network
with joined_team("cpu") as team:
    train_network(load_train_config(Path(sys.argv[1])), Path(sys.argv[2]), team=team)
    Path(sys.argv[2], f"process_{team.rank}_of_{team.size}").touch()
"""


def steady(root: Path) -> dict[str, Any]:
    """A training whose gradient of a batch is the mean of those of its images: no norm over the batch."""
    values = write_slices(root)
    values["network"]["args"]["norm"] = "instance"
    # Plain descent: Adam makes full steps of rounding where a gradient is nothing (biases before a norm).
    optimiser = {"name": "sgd", "learning_rate": 0.05}
    told = {"loss": {"batch_dice": False}, "optimiser": optimiser, "epochs": 2, "steps_per_epoch": 4, "batch_size": 4}
    return {**values, **told}


def torchrun(script: Path, *args: Path) -> None:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", str(port)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [*command, str(script), *map(str, args)],
        env={**environment, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_end_with_the_curve_and_the_weights_of_one(tmp_path: Path) -> None:
    config = steady(tmp_path)
    (tmp_path / "run.py").write_text(RUN)
    yaml = write_config(config, tmp_path / "train.yaml")

    torchrun(tmp_path / "run.py", yaml, tmp_path / "two")
    train_network(parse_settings(TrainConfig, config), tmp_path / "one")

    assert sorted(path.name for path in (tmp_path / "two").glob("process_*")) == ["process_0_of_2", "process_1_of_2"]
    one, two = (read_log(tmp_path / name / "log.jsonl") for name in ("one", "two"))
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-4)
    assert [line["dice"] for line in two] == pytest.approx([line["dice"] for line in one], abs=2e-3)
    left, right = (newest_weights(tmp_path / name / "checkpoints") for name in ("one", "two"))
    assert left is not None
    assert right is not None
    assert list(left) == list(right)  # no name is wrapped
    assert all(torch.allclose(left[name], right[name], atol=1e-3) for name in left)


def test_without_torchrun_this_process_is_the_team() -> None:
    with joined_team("cpu") as team:
        assert (team.rank, team.size, team.is_first) == (0, 1, True)
        network = torch.nn.Linear(1, 1)
        assert team.wrap(network) is network
        assert team.mean_of(2.5) == 2.5


def test_a_batch_that_cannot_be_divided_is_refused_with_the_number_that_can() -> None:
    team = Team(torch.device("cpu"), rank=1, size=4)

    assert team.share_of(8) == 2
    with pytest.raises(ConfigError, match="batch_size 6 cannot be divided among 4 processes") as refused:
        team.share_of(6)
    assert "multiple of 4" in refused.value.hint
