"""Self-supervised pre-training: blocks of an image are hidden, and the network fills them in.

No label is needed, so every volume of a kind can be used. What is learnt on the way is
where things lie and how they look; `init_from` gives it to a network that segments.
After He et al., "Masked autoencoders are scalable vision learners" (CVPR 2022), with the
convolutional networks that are trained here anyhow.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from ignite.engine import Events
from monai.engines import SupervisedEvaluator
from monai.inferers import Inferer
from monai.transforms import Compose
from torch import Tensor, nn

from diascope.errors import ConfigError
from diascope.train.learner import Training
from diascope.train.manifest import ManifestCase
from diascope.train.settings import TrainConfig
from diascope.train.source_settings import ReconstructionSettings
from diascope.train.sources import Sample, altered, turn
from diascope.train.validation import MixedPrecision, Watch, loader_of
from diascope.train.volumes import prepare_image


@dataclass(frozen=True, slots=True, eq=False)
class UnlabelledVolume:
    """A case as the network sees it.

    Attributes:
        case: Name of the case.
        image: (channels, i, j, k) float32, after the bundle's preprocessing.
    """

    case: str
    image: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class MaskedSource:
    """Volumes in turn, altered by the config's augmentation, with random blocks hidden."""

    volumes: Sequence[UnlabelledVolume]
    settings: ReconstructionSettings
    augmentation: Compose
    seed: int

    def draw(self, number: int) -> Sample:
        """Take the volume whose turn it is, alter it and hide blocks of it."""
        rng = np.random.default_rng((self.seed, number))
        volume = self.volumes[turn(number, len(self.volumes), self.seed)]
        shown = altered(self.augmentation, {"image": volume.image}, int(rng.integers(2**31)))
        return hidden_sample(shown["image"], volume.case, self.settings, rng)


class MaskedError(nn.Module):
    """Mean absolute error over the voxels that were hidden."""

    def forward(self, filled: Tensor, truth: Tensor) -> Tensor:
        """Compare what was filled in with what was there.

        Args:
            filled: (b, channels, ...) of the network.
            truth: (b, channels + 1, ...): the image, and last where it was hidden.
        """
        hidden = truth[:, -1:]
        apart = (filled - truth[:, :-1]).abs() * hidden
        total: Tensor = apart.sum() / (hidden.sum() * filled.shape[1]).clamp(min=1)
        return total


def prepare_unlabelled(cases: Sequence[ManifestCase], preprocessing: Compose) -> tuple[UnlabelledVolume, ...]:
    """Read the images of cases and run the bundle's preprocessing on them.

    Raises:
        InputError: A case has no image, or one that cannot be read.
    """
    return tuple(UnlabelledVolume(case.case, prepare_image(case, preprocessing)) for case in cases)


def held_out_samples(volumes: Sequence[UnlabelledVolume], settings: ReconstructionSettings) -> list[Sample]:
    """Hide blocks of the held-out volumes; always the same ones."""
    # No training uses this stream: its first key is no seed that a config can state.
    return [
        hidden_sample(one.image, one.case, settings, np.random.default_rng((2**42, number)))
        for number, one in enumerate(volumes)
    ]


def hidden_sample(image: Tensor, case: str, settings: ReconstructionSettings, rng: np.random.Generator) -> Sample:
    """Hide blocks of an image: there it is 0, the mean of a normalised image.

    Args:
        image: (channels, ...).
        case: Its case.
        settings: How much, in blocks of which size.
        rng: Chooses the blocks.
    """
    shape = image.shape[1:]
    size = settings.block_voxels
    blocks = tuple(-(-extent // size) for extent in shape)
    chosen = np.zeros(int(np.prod(blocks)), dtype=np.float32)
    count = min(max(round(settings.hidden_fraction * len(chosen)), 1), len(chosen))
    chosen[rng.permutation(len(chosen))[:count]] = 1.0
    hidden = torch.from_numpy(chosen.reshape(blocks))
    for axis in range(len(shape)):
        hidden = hidden.repeat_interleave(size, dim=axis)
    hidden = hidden[tuple(slice(extent) for extent in shape)][None]
    return {"image": image * (1 - hidden), "label": torch.cat([image, hidden]), "case": case}


def watch_reconstruction(training: Training, samples: Sequence[Sample], inferer: Inferer) -> Watch:
    """Watch how much of the hidden voxels is filled in, on held-out images.

    `filled` is 1 for a perfect filling and 0 for the mean grey everywhere, `error` the
    mean absolute error in units of the normalised image.

    Args:
        training: What is to be watched.
        samples: Held-out images with hidden blocks.
        inferer: How whole images are fed: their size is not the windows'.
    """
    evaluator = SupervisedEvaluator(
        device=training.team.device,
        val_data_loader=loader_of(training.team, samples),
        network=training.network,
        inferer=MixedPrecision(inferer, training.team.device, training.config),
        decollate=False,
    )
    errors: list[float] = []
    plain: list[float] = []
    measure = MaskedError()

    @evaluator.on(Events.STARTED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _begin(_: SupervisedEvaluator) -> None:
        errors.clear()
        plain.clear()

    @evaluator.on(Events.ITERATION_COMPLETED)  # type: ignore[untyped-decorator]  # ignite is not typed
    def _keep(engine: SupervisedEvaluator) -> None:
        truth = engine.state.output["label"]
        errors.append(float(measure(engine.state.output["pred"], truth)))
        plain.append(float(measure(torch.zeros_like(truth[:, :-1]), truth)))

    def measures() -> dict[str, float]:
        error = training.team.mean_of(sum(errors) / len(errors))
        return {"error": error, "filled": 1 - error / training.team.mean_of(sum(plain) / len(plain))}

    return Watch(evaluator, measures, "filled")


def check_reconstruction(config: TrainConfig) -> None:
    """Refuse a network that cannot fill an image in.

    Raises:
        ConfigError: It has not as many outputs as inputs.
    """
    args = config.network.args
    if args.get("in_channels") != args.get("out_channels"):
        raise ConfigError(
            f"masked reconstruction needs as many outputs as inputs, {config.network.name} has "
            f"{args.get('out_channels')} and {args.get('in_channels')}",
            hint="set network.args.out_channels to in_channels; a later init_from gives the network a new head",
        )
