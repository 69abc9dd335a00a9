"""The table of attribution methods, and the networks for which one would silently be wrong."""

from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from diascope.errors import ConfigError
from diascope.explain.attribution import Method
from diascope.explain.gradients import (
    deep_lift,
    grad_cam,
    guided_backprop,
    guided_grad_cam,
    hires_cam,
    integrated_gradients,
    lrp,
    smooth_grad,
)
from diascope.explain.layers import LayerSeen
from diascope.explain.perturbation import kernel_shap, occlusion
from diascope.explain.request import near_names

Kinds = type[nn.Module] | tuple[type[nn.Module], ...]

_GUIDED = (
    "guided methods redraw edges of the image whatever the weights are (Adebayo et al. 2018): "
    "do not read this map as evidence"
)

# Captum's DeepLift has rules for these; others it treats as if they were linear.
_WITH_DEEP_LIFT_RULE = (nn.ReLU, nn.ELU, nn.LeakyReLU, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softmax)
_OTHER_ACTIVATIONS = (
    nn.PReLU, nn.GELU, nn.SiLU, nn.Mish, nn.SELU, nn.CELU, nn.Hardswish, nn.Hardsigmoid, nn.ReLU6, nn.Softsign,
    nn.LogSigmoid, nn.RReLU, nn.Threshold, nn.Hardtanh,
)  # fmt: skip
_NORMS_OF_THE_IMAGE = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d, nn.GroupNorm, nn.LayerNorm)


def pick_method(methods: Mapping[str, Method], name: str) -> Method:
    """Get a method by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in methods:
        raise ConfigError(f"there is no attribution method {name}", hint=near_names(name, methods))
    return methods[name]


def needs_relu(network: nn.Module, layers: Sequence[LayerSeen]) -> str:
    """Say why a guided method would be the plain gradient."""
    kinds = [type(module).__name__ for module in _activations(network) if not isinstance(module, nn.ReLU)]
    if any(isinstance(module, nn.ReLU) for module in network.modules()):
        reused = _reused(network, layers, nn.ReLU)
        return f"the ReLU {reused} runs more than once, its hook would see only the last run" if reused else ""
    has = f" but {kinds[0]}" if kinds else ""
    return f"it guides the gradient at ReLU, and the network has none{has}: the map would be the plain gradient"


def needs_rules_of_deep_lift(network: nn.Module, layers: Sequence[LayerSeen]) -> str:
    """Say why DeepLift would not add up."""
    for name, module in network.named_modules():
        if isinstance(module, _NORMS_OF_THE_IMAGE):
            return f"it has no rule for {type(module).__name__} ({name}), the map would not add up to the score"
        if isinstance(module, _OTHER_ACTIVATIONS):
            return f"it has no rule for {type(module).__name__} ({name}), the map would not add up to the score"
    reused = _reused(network, layers, _WITH_DEEP_LIFT_RULE)
    return f"the activation {reused} runs more than once, which its rules cannot follow" if reused else ""


def needs_rules_of_lrp(network: nn.Module, layers: Sequence[LayerSeen]) -> str:
    """Say for which layer relevance propagation has no rule."""
    del layers
    known = (
        nn.MaxPool2d, nn.MaxPool3d, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Linear, nn.BatchNorm2d,
        nn.ReLU, nn.Dropout, nn.Tanh,
    )  # fmt: skip
    for name, module in network.named_modules():
        if not list(module.children()) and not isinstance(module, known):
            return f"Captum has no rule for {type(module).__name__} ({name})"
    return ""


METHODS: Mapping[str, Method] = {
    "deep_lift": Method(deep_lift, needs_baseline=True, refusal=needs_rules_of_deep_lift),
    "grad_cam": Method(grad_cam, needs_layer=True),
    "guided_backprop": Method(guided_backprop, refusal=needs_relu, warning=_GUIDED),
    "guided_grad_cam": Method(guided_grad_cam, needs_layer=True, refusal=needs_relu, warning=_GUIDED),
    "hires_cam": Method(hires_cam, needs_layer=True),
    "integrated_gradients": Method(integrated_gradients, needs_baseline=True),
    "kernel_shap": Method(kernel_shap, needs_baseline=True),
    "lrp": Method(lrp, refusal=needs_rules_of_lrp),
    "occlusion": Method(occlusion, needs_baseline=True),
    "smooth_grad": Method(smooth_grad),
}


def _activations(network: nn.Module) -> Iterator[nn.Module]:
    for module in network.modules():
        if isinstance(module, (*_WITH_DEEP_LIFT_RULE, *_OTHER_ACTIVATIONS)):
            yield module


def _reused(
    network: nn.Module, layers: Sequence[LayerSeen], kinds: type[nn.Module] | tuple[type[nn.Module], ...]
) -> str:
    often = {layer.name for layer in layers if layer.calls > 1}
    return next((name for name, module in network.named_modules() if name in often and isinstance(module, kinds)), "")
