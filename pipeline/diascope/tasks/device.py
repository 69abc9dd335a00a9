"""Where a network runs: the device rule, and how many threads torch may use."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from diascope.errors import ConfigError

_DRIVER_FILE = Path("/proc/driver/nvidia/version")
_CGROUP_LIMIT = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Device:
    """A device and what to call it.

    Attributes:
        name: As torch spells it: cpu, cuda:0.
        description: For the first line of a run.
    """

    name: str
    description: str


def choose_device(wanted: str) -> Device:
    """Choose where networks run.

    `auto` is the first usable CUDA device, else the CPU; but where there is an NVIDIA
    card that torch cannot use, it stops instead of running for days on the CPU.

    Args:
        wanted: auto, cpu, cuda or cuda:N.

    Raises:
        ConfigError: The device is not there, or a card cannot be used.
    """
    usable = torch.cuda.is_available()
    if wanted == "cpu":
        return _cpu()
    if wanted == "auto" and not usable:
        if card := _nvidia_driver():
            raise ConfigError(
                f"this machine has an NVIDIA card (driver {card}) that {_torch()} cannot use",
                hint="install a torch build for this driver, or ask for the CPU: --set device=cpu",
            )
        return _cpu()
    if wanted in {"auto", "cuda"} or wanted.startswith("cuda:"):
        return _cuda(wanted, usable=usable)
    raise ConfigError(f"device: {wanted} is not a device", hint="one of auto, cpu, cuda, cuda:0, cuda:1, ...")


def usable_cpus() -> int:
    """Count the CPUs this process may use: affinity, and the cgroup's quota."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = _CGROUP_LIMIT.read_text(encoding="ascii").split()
        limit = cpus if quota == "max" else max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):
        limit = cpus
    return min(cpus, limit)


def limit_threads() -> None:
    """Let torch use the CPUs this process may use: in a container it counts those of the host."""
    torch.set_num_threads(usable_cpus())


def _cpu() -> Device:
    return Device("cpu", f"cpu, {usable_cpus()} cores")


def _cuda(wanted: str, *, usable: bool) -> Device:
    index = wanted.partition(":")[2] or "0"
    if not usable:
        raise ConfigError(
            f"device: {wanted} was asked for, but {_torch()} finds no usable card;"
            f" driver {_nvidia_driver() or 'not found'}",
            hint="install a torch build for this driver, or use device: cpu",
        )
    if not index.isdigit() or int(index) >= torch.cuda.device_count():
        raise ConfigError(
            f"device: {wanted} is not there", hint=f"there are cuda:0 to cuda:{torch.cuda.device_count() - 1}"
        )
    properties = torch.cuda.get_device_properties(int(index))
    return Device(f"cuda:{index}", f"cuda:{index}, {properties.name}, {properties.total_memory / 2**30:.0f} GiB")


def _nvidia_driver() -> str | None:
    """Name the NVIDIA driver of this machine; None where there is no card."""
    tool = shutil.which("nvidia-smi")
    if tool:
        asked = subprocess.run(  # noqa: S603 - a fixed command line, found on the PATH
            [tool, "--query-gpu=driver_version", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        if asked.returncode == 0 and asked.stdout.strip():
            return asked.stdout.split()[0]
    if _DRIVER_FILE.exists():
        return _DRIVER_FILE.read_text(encoding="utf-8", errors="replace").splitlines()[0][:120]
    return None


def _torch() -> str:
    return f"torch {torch.__version__} (CUDA {torch.version.cuda or 'not built in'})"
