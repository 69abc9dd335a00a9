"""A bundle made ready to run: its network, its own steps before it, and its inferer.

Everything is built from the bundle's inference.json by MONAI's ConfigParser, after the
bundle's files were found to be the locked ones: a MONAI config is a program. Its reader
(LoadImaged) is left out, because diascope's has read the image already.
"""

import functools
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.utils import MetaKeys, SpaceKeys
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file

from diascope.bundles.find import BundleInfo
from diascope.bundles.lock import digest_bundle, whole_digest
from diascope.bundles.shelf import Shelf
from diascope.errors import BundleError, PipelineError
from diascope.geometry import affine_of
from diascope.volume import Volume

INFERENCE = Path("configs") / "inference.json"
WEIGHTS = Path("models") / "model.safetensors"

# The classes of ours that a bundle's config may name, beside MONAI's.
OURS = frozenset(
    {
        "diascope.bundles.detector.SliceDetector",
        "diascope.bundles.slices.EachSlice",
        "diascope.bundles.slices.SliceClassifier",
        "diascope.bundles.vision_transformer.ClassifyingViT",
    }
)

# Networks that stay open between cases may weigh so much together; the ones that come with diascope have 16 MB each.
OPEN_BYTES = 2 << 30

# A chain of steps is small, but takes a tenth of a second to build.
MOST_PREPROCESSINGS = 64

Inferer = Callable[[torch.Tensor, Callable[[torch.Tensor], torch.Tensor]], torch.Tensor]
Preprocessing = Callable[[dict[str, Any]], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class OpenNetwork:
    """A network with its weights on a device, and how its windows are run.

    Attributes:
        network: In evaluation mode, without gradients.
        inferer: Takes (1, c, i, j, k) and the network, gives (1, classes, i, j, k).
        device: Where the network is.
    """

    network: torch.nn.Module
    inferer: Inferer
    device: torch.device


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInput:
    """An image as a network wants it.

    Attributes:
        data: (c, x, y, z) float32.
        affine: (4, 4) float64; takes a voxel of data to where the source's affine
            would take it (RAS mm on a Grid, source voxels elsewhere).
    """

    data: NDArray[np.float32]
    affine: NDArray[np.float64]


def prepare_input(bundle: BundleInfo, volume: Volume, *others: Volume) -> NetworkInput:
    """Run a bundle's own preprocessing on an image, or on several that are its channels.

    Args:
        bundle: A verified bundle.
        volume: The image; a sheared one must have been straightened.
        others: Further channels, on the grid of the first.

    Raises:
        BundleError: A step of the bundle failed on it.
    """
    steps = _preprocessing(bundle.folder, bundle.sha256)
    try:
        prepared = steps({"image": _as_loaded(volume, others)})["image"]
    except PipelineError:
        raise
    except Exception as error:
        raise BundleError(
            f"bundle {bundle.name}: its preprocessing failed on an image of shape {volume.data.shape}: {_cause(error)}",
            hint="check that the image is of the kind the bundle was made for (`diascope models info`)",
        ) from error
    affine = prepared.affine if isinstance(prepared, MetaTensor) else torch.eye(4)
    data = torch.as_tensor(prepared).to(torch.float32).numpy()
    return NetworkInput(np.ascontiguousarray(data), affine.to(torch.float64).numpy())


def open_network(folder: Path, sha256: str, device: str) -> OpenNetwork:
    """Build a bundle's network, load its weights without pickle, and put it on a device; kept for the next case.

    Args:
        folder: Of a verified bundle.
        sha256: Its digest: another one is another network.
        device: As torch spells it.

    Raises:
        BundleError: The config does not build, the weights do not fit the network, or
            the files are no longer the verified ones.
    """
    return _shelf().get((folder, sha256, device), lambda: _opened(folder, sha256, device))


@functools.cache
def _shelf() -> Shelf[OpenNetwork]:
    return Shelf(OPEN_BYTES, _weight_bytes)


def _weight_bytes(opened: OpenNetwork) -> int:
    return sum(one.nbytes for one in (*opened.network.parameters(), *opened.network.buffers()))


def _opened(folder: Path, sha256: str, device: str) -> OpenNetwork:
    _check_unchanged(folder, sha256)
    with _bundle_errors(folder.name):
        parser = _parser(folder, device)
        network = parser.get_parsed_content("network_def")
        network.load_state_dict(load_file(folder / WEIGHTS), strict=True)
        inferer = parser.get_parsed_content("inferer")
    network = network.to(torch.device(device), torch.float32).eval().requires_grad_(False)
    return OpenNetwork(network, inferer, torch.device(device))


@functools.lru_cache(maxsize=MOST_PREPROCESSINGS)
def _preprocessing(folder: Path, sha256: str) -> Preprocessing:
    _check_unchanged(folder, sha256)
    with _bundle_errors(folder.name):
        steps: Preprocessing = _parser(folder, "cpu").get_parsed_content("preprocessing")
    return steps


def _check_unchanged(folder: Path, sha256: str) -> None:
    """Refuse files that were changed since they were verified: the report would name another network."""
    if whole_digest(digest_bundle(folder)) != sha256:
        raise BundleError(
            f"bundle {folder.name}: a file was changed while the run was on",
            hint="let nothing write to the bundle, and give the same command again",
            code="bundle_altered",
        )


def _parser(folder: Path, device: str) -> ConfigParser:
    config = json.loads((folder / INFERENCE).read_text(encoding="utf-8"))
    config.update(bundle_root=str(folder), device=f"$torch.device('{device}')")
    _check_names(config, folder.name)
    config["preprocessing"]["transforms"] = list(_without_loader(config["preprocessing"]["transforms"]))
    parser = ConfigParser(config)
    parser.parse()
    return parser


def _check_names(part: object, bundle: str) -> None:
    """Refuse a config that names something of ours which is no part of a network."""
    if isinstance(part, dict):
        name = str(part.get("_target_", ""))
        if name.startswith("diascope.") and name not in OURS:
            raise BundleError(
                f"bundle {bundle} names {name}, which no bundle may",
                hint=f"of diascope a bundle may name {', '.join(sorted(OURS))}",
            )
        for value in part.values():
            _check_names(value, bundle)
    elif isinstance(part, list):
        for value in part:
            _check_names(value, bundle)


def _without_loader(transforms: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for step in transforms:
        if step.get("_target_") not in {"LoadImaged", "LoadImage"}:
            yield step
        elif step.get("ensure_channel_first"):
            yield {"_target_": "EnsureChannelFirstd", "keys": step["keys"]}


def _as_loaded(volume: Volume, others: Sequence[Volume]) -> MetaTensor:
    """Give the image the keys that MONAI's LoadImage gives it, so that every transform knows its way.

    LoadImage stacks a list of files along a first axis, and says so.
    """
    affine = torch.from_numpy(np.array(affine_of(volume.space), dtype=np.float64))
    meta = {
        MetaKeys.AFFINE: affine,
        MetaKeys.ORIGINAL_AFFINE: affine.clone(),
        MetaKeys.SPATIAL_SHAPE: np.array(volume.data.shape),
        MetaKeys.ORIGINAL_CHANNEL_DIM: 0 if others else float("nan"),
        MetaKeys.SPACE: SpaceKeys.RAS,
        "filename_or_obj": volume.image_id,
    }
    channels = [torch.from_numpy(np.ascontiguousarray(one.data, dtype=np.float32)) for one in (volume, *others)]
    return MetaTensor(torch.stack(channels) if others else channels[0], meta=meta)


@contextmanager
def _bundle_errors(name: str) -> Iterator[None]:
    try:
        # MONAI warns at each `_target_` that a config can execute code. It is
        # right, and it is why the digest was checked before.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"bundle {name} cannot be built: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    first_line = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line[:200]}"
