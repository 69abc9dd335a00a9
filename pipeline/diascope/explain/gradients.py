"""Attribution by gradients, with Captum: no hook of it outlives the call."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from captum.attr import (
    LRP,
    DeepLift,
    GuidedBackprop,
    IntegratedGradients,
    LayerGradCam,
    LayerGradientXActivation,
    NoiseTunnel,
    Saliency,
)
from torch.nn import functional as nnf

from diascope.errors import ConfigError
from diascope.explain.attribution import Attribution, MethodInput, seeded
from diascope.explain.layers import layer_of


def grad_cam(asked: MethodInput) -> Attribution:
    """Weigh each channel of a layer by its mean gradient (Selvaraju et al. 2017), signed.

    For a segmentation it is Seg-Grad-CAM (Vinogradova et al. 2020). A place is marked
    wherever a channel that matters is active, even if the network never reads it there.
    """
    method = LayerGradCam(asked.subject, layer_of(asked.subject.network, asked.layer))
    maps = method.attribute(asked.windows.inputs, additional_forward_args=asked.windows.weights)
    return Attribution(maps[:, 0].detach())


def hires_cam(asked: MethodInput) -> Attribution:
    """Multiply a layer's activations by their own gradients (Draelos and Carin 2020), signed.

    Unlike Grad-CAM it marks only places that the rest of the network reads.
    """
    method = LayerGradientXActivation(asked.subject, layer_of(asked.subject.network, asked.layer))
    maps = method.attribute(asked.windows.inputs, additional_forward_args=asked.windows.weights)
    return Attribution(maps.sum(1).detach())


def integrated_gradients(asked: MethodInput) -> Attribution:
    """Add up the gradients on the straight way from the blurred image (Sundararajan et al. 2017)."""
    windows, baseline = asked.windows, asked.baseline.inputs
    maps = IntegratedGradients(asked.subject).attribute(
        windows.inputs,
        baselines=baseline,
        additional_forward_args=windows.weights,
        n_steps=asked.budget.steps,
        internal_batch_size=max(asked.at_once, len(windows)),
    )
    return _complete(maps.detach(), asked)


def smooth_grad(asked: MethodInput) -> Attribution:
    """Average the gradient over noisy images (Smilkov et al. 2017); its size, so it has no sign."""
    spread = float(asked.windows.inputs.max() - asked.windows.inputs.min())
    with seeded(asked.seed):
        maps = NoiseTunnel(Saliency(asked.subject)).attribute(
            asked.windows.inputs,
            nt_type="smoothgrad",
            nt_samples=asked.budget.draws,
            nt_samples_batch_size=max(1, asked.at_once // len(asked.windows)),
            stdevs=asked.budget.noise * spread,
            abs=False,
            additional_forward_args=asked.windows.weights,
        )
    return Attribution(maps.detach().abs().sum(1))


def guided_backprop(asked: MethodInput) -> Attribution:
    """Let only positive gradients pass each ReLU (Springenberg et al. 2015)."""
    return Attribution(_guided(asked).sum(1))


def guided_grad_cam(asked: MethodInput) -> Attribution:
    """Multiply guided backpropagation by the positive part of Grad-CAM, upsampled."""
    coarse = grad_cam(asked).maps.relu()[:, None]
    mode = "trilinear" if coarse.ndim == 5 else "bilinear"
    fine = nnf.interpolate(coarse, size=asked.windows.inputs.shape[2:], mode=mode, align_corners=False)
    return Attribution((_guided(asked) * fine).sum(1))


def deep_lift(asked: MethodInput) -> Attribution:
    """Share out the change from the blurred image layer by layer (Shrikumar et al. 2017)."""
    maps = _or_refuse(
        "deep_lift",
        lambda: DeepLift(asked.subject).attribute(
            asked.windows.inputs,
            baselines=asked.baseline.inputs,
            additional_forward_args=asked.windows.weights,
        ),
    )
    return _complete(maps.detach(), asked)


def lrp(asked: MethodInput) -> Attribution:
    """Hand the score back layer by layer (Bach et al. 2015), epsilon rule."""
    # Captum hangs rules and activations on the layers and gives the weights back
    # afterwards; a copy cannot be left changed.
    own = copy.deepcopy(asked.subject)
    maps = _or_refuse(
        "lrp", lambda: LRP(own).attribute(asked.windows.inputs, additional_forward_args=asked.windows.weights)
    )
    asked.subject.forwards += own.forwards - asked.subject.forwards
    return Attribution(maps.detach().sum(1))


def _guided(asked: MethodInput) -> torch.Tensor:
    method = GuidedBackprop(asked.subject)
    maps: torch.Tensor = method.attribute(asked.windows.inputs, additional_forward_args=asked.windows.weights)
    return maps.detach()


def _complete(maps: torch.Tensor, asked: MethodInput) -> Attribution:
    """Compare what the map adds up to with the change of the score that it shares out."""
    with torch.no_grad():
        change = asked.subject(asked.windows.inputs, asked.windows.weights)
        change = change - asked.subject(asked.baseline.inputs, asked.windows.weights)
    return Attribution(maps.sum(1), maps.double().flatten(1).sum(1), change.double())


def _or_refuse(name: str, attribute: Callable[[], Any]) -> Any:
    """Say in our words that Captum cannot do it."""
    try:
        return attribute()
    except (RuntimeError, TypeError, AssertionError, AttributeError) as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise ConfigError(
            f"{name} does not fit this network: {type(error).__name__}: {first_line[:160]}",
            hint="use integrated_gradients or occlusion",
            code="method_unfit",
        ) from error
