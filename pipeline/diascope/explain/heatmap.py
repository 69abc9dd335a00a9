"""Which places of an image speak for the answer of a network?"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from diascope.bundles.network import NetworkInput, OpenNetwork
from diascope.errors import ConfigError, InputError
from diascope.explain.attribution import Attribution, Method, MethodInput
from diascope.explain.baseline import blurred
from diascope.explain.boxes import has_anchors, matched_anchor, padded
from diascope.explain.layers import FEWEST_CELLS, FEWEST_CELLS_DRAWN, choose_layer, layers_seen
from diascope.explain.methods import METHODS, pick_method
from diascope.explain.request import ExplainRequest, RawMap
from diascope.explain.subject import MeanScore, Subject, subject_of
from diascope.explain.windows import Windows, split, stitch
from diascope.imaging.upsampling import map_on_grid

log = logging.getLogger(__name__)

# Gradients keep every activation: two windows of 96 x 96 x 96 voxels at once, or eight
# slices of 512 x 512, stay below a few GB.
VOXELS_AT_ONCE = 2_000_000

# Where MONAI's RetinaNet keeps its backbone and pyramid.
PYRAMID = "network.feature_extractor."

# A share that does not add up to 95 % of what it shares out is worth a word.
WORST_COMPLETENESS = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """A map with everything that it was made from, so that it can be questioned.

    Attributes:
        opened: The network.
        prepared: The image as the network was given it.
        request: What was asked.
        raw: What `explain` answered.
        methods: The table that the method's name is looked up in.
        others: The other members of an ensemble; the map is then the mean of theirs, see `explain_mean`.
    """

    opened: OpenNetwork
    prepared: NetworkInput
    request: ExplainRequest
    raw: RawMap
    methods: Mapping[str, Method] = field(default_factory=lambda: METHODS)
    others: tuple[OpenNetwork, ...] = ()

    @property
    def members(self) -> tuple[OpenNetwork, ...]:
        """The networks whose answer is explained: one, or an ensemble."""
        return (self.opened, *self.others)

    def subject(self) -> Subject:
        """Make the module that gives the number which is explained: of an ensemble the members' mean."""
        each = [subject_of(one.network, self.request) for one in self.members]
        return each[0] if len(each) == 1 else MeanScore(each)

    def again(
        self,
        *,
        changed: Callable[[nn.Module], nn.Module] | None = None,
        data: NDArray[np.float32] | None = None,
        seed: int | None = None,
    ) -> NDArray[np.float32]:
        """Make the map once more from the same layer, with other networks, another image or seed.

        Args:
            changed: Gives another network of the same build for each.
            data: (c, x, y, z) or (c, x, y) as the prepared image's.
            seed: Of the methods that draw.

        Returns:
            (x, y, z) of the map.
        """
        members = [one if changed is None else replace(one, network=changed(one.network)) for one in self.members]
        prepared = self.prepared if data is None else replace(self.prepared, data=data)
        # The layer that the grid chose is looked at again; members of several builds choose theirs again.
        layer = self.raw.layer if self.raw.layer and not self.others else self.request.layer
        request = replace(self.request, layer=layer, seed=self.request.seed if seed is None else seed)
        return explain_mean(members, prepared, request, self.methods).data


def explain(
    opened: OpenNetwork,
    prepared: NetworkInput,
    request: ExplainRequest,
    methods: Mapping[str, Method] = METHODS,
) -> RawMap:
    """Make the raw map of one answer of a network.

    The network is left as it was: no hook stays, no weight or gradient changes.

    Args:
        opened: The network.
        prepared: The image as the network was given it.
        request: Which answer, and how it is to be explained.
        methods: The table that the method's name is looked up in.

    Raises:
        ConfigError: The method, layer or target does not fit the network
            (codes method_unfit, unknown_layer, unknown_target, unfit_output).
        InputError: The image is constant, or the map holds numbers that are none
            (codes constant_image, nan_gradients).
    """
    method = pick_method(methods, request.method)
    _refuse_constant(prepared.data)
    windows = windows_of(opened, prepared, request)
    subject = subject_of(opened.network, request)
    layer = _fit(method, subject, windows.part(slice(0, 1)).on(opened.device), request)
    parts = tuple(_attribute(opened, method, subject, windows, layer, request))
    maps = np.concatenate([part.maps.to("cpu", torch.float32).numpy() for part in parts])
    _refuse_nan(maps, request)
    data, to_image = stitch(maps, windows)
    raw = RawMap(
        data,
        prepared.affine @ to_image,
        request.target_name,
        request.method,
        layer or None,
        subject.forwards,
        _completeness_error(parts),
        finding_id=request.finding_id,
    )
    return replace(raw, notes=tuple(_notes(raw, method)))


def explain_mean(
    members: Sequence[OpenNetwork],
    prepared: NetworkInput,
    request: ExplainRequest,
    methods: Mapping[str, Method] = METHODS,
) -> RawMap:
    """Make the raw map of what the members of an ensemble say together: the mean of their raw maps.

    It explains the mean of their scores before the softmax. The maps lie on the first member's
    grid; those of another grid are interpolated linearly. A layer that a member does not have
    is chosen anew by its grid.

    Args:
        members: At least one; a single one is explained as by `explain`.
        prepared: The image as the networks were given it.
        request: Which answer, and how it is to be explained.
        methods: The table that the method's name is looked up in.

    Raises:
        ConfigError: As `explain`.
        InputError: As `explain`.
    """
    first = explain(members[0], prepared, request, methods)
    others = [explain(one, prepared, _for_member(request, one), methods) for one in members[1:]]
    if not others:
        return first
    i, j, k = first.data.shape
    placed = [map_on_grid(one.data, one.affine, (i, j, k), first.affine) for one in others]
    errors = [one.completeness_error for one in (first, *others) if one.completeness_error is not None]
    mean = replace(
        first,
        data=np.mean([first.data, *placed], axis=0, dtype=np.float32),
        forwards=sum(one.forwards for one in (first, *others)),
        completeness_error=max(errors, default=None),
    )
    said = [note for one in (first, *others) for note in one.notes if one.has_positive_evidence]
    together = f"the mean of the raw maps of {len(members)} networks, on the first one's grid"
    return replace(mean, notes=tuple(dict.fromkeys((together, *said, *_without_evidence(mean)))))


def located(opened: OpenNetwork, prepared: NetworkInput, request: ExplainRequest) -> ExplainRequest:
    """Fix what a request is about on the image as it is: the anchor that a finding came from, and its layer.

    Raises:
        ConfigError: No anchor of the detector gives the finding's box.
    """
    detector = opened.network
    if request.task != "detect" or request.box is None or not has_anchors(detector):
        return request
    window = windows_of(opened, prepared, request).on(opened.device)
    extent = [n for axis, n in enumerate(window.image_shape) if axis != window.flat_axis]
    anchor = matched_anchor(detector, window.inputs, extent, request.box, request.target)
    found = replace(request, anchor=anchor)
    layers = layers_seen(subject_of(opened.network, found), window)
    level = [one.name for one in layers if one.name.startswith(PYRAMID) and one.grid == anchor.grid and one.calls == 1]
    return replace(found, layer=request.layer or (level[-1] if level else None))


def windows_of(opened: OpenNetwork, prepared: NetworkInput, request: ExplainRequest) -> Windows:
    """Cut an image into the windows that have a part in the answer."""
    region = request.region if request.task == "segment" else None
    if region is not None and region.size != prepared.data[0].size:
        raise ConfigError(
            f"the region has {region.shape} voxels, the network's input {prepared.data.shape[1:]}",
            code="unfit_output",
        )
    windows = split(opened.inferer, prepared.data, region, request.slice_at)
    if request.task == "detect" and has_anchors(opened.network):
        # Filled up here, so that the layers' maps are known to reach beyond the image.
        return windows.with_inputs(padded(opened.network, windows.inputs))
    return windows


def windows_at_once(windows: Windows, wanted: int) -> int:
    """Say how many windows go through the network in one pass."""
    return max(1, min(wanted, VOXELS_AT_ONCE // windows.inputs[0, 0].numel()))


def _for_member(request: ExplainRequest, member: OpenNetwork) -> ExplainRequest:
    """Keep a layer that was named for the first member where another one has it."""
    known = {name for name, _ in member.network.named_modules()}
    return request if request.layer in known else replace(request, layer=None)


def _attribute(
    opened: OpenNetwork, method: Method, subject: Subject, windows: Windows, layer: str, request: ExplainRequest
) -> Iterator[Attribution]:
    at_once = windows_at_once(windows, request.budget.windows_at_once)
    for start in range(0, len(windows), at_once):
        part = windows.part(slice(start, start + at_once)).on(opened.device)
        baseline = blurred(part) if method.needs_baseline else part
        with warnings.catch_warnings():
            # Captum warns that it sets hooks and gradients, and then undoes both.
            warnings.filterwarnings("ignore", category=UserWarning, module="captum")
            given = MethodInput(subject, part, baseline, layer, request.budget, at_once, request.seed + start)
            yield _run_method(method, given, request.method)


def _run_method(method: Method, given: MethodInput, name: str) -> Attribution:
    """Run a method; what torch cannot do with a network costs a run its heatmap, not its results."""
    try:
        return method.run(given)
    except RuntimeError as error:  # also of a card that has not enough memory for gradients
        first_line = (str(error).splitlines() or [""])[0]
        where = f" at the layer {given.layer}" if given.layer else ""
        raise ConfigError(
            f"{name} does not fit this network{where}: {first_line[:160]}",
            hint="name another layer, or use occlusion, which needs no gradient",
            code="method_unfit",
        ) from error


def _fit(method: Method, subject: Subject, first: Windows, request: ExplainRequest) -> str:
    """Find the layer to look at, and refuse a method that would be wrong for the network."""
    layers = layers_seen(subject, first)
    if reason := method.refusal(subject.network, layers):
        raise ConfigError(
            f"{request.method} does not fit this network: {reason}",
            hint="use grad_cam, integrated_gradients or occlusion",
            code="method_unfit",
        )
    fewest = FEWEST_CELLS_DRAWN if request.task == "segment" else FEWEST_CELLS
    return choose_layer(layers, request.layer, fewest) if method.needs_layer else ""


def _refuse_constant(data: NDArray[np.float32]) -> None:
    if float(np.ptp(data)) == 0:
        raise InputError(
            f"the image is constant ({float(data.flat[0]):g} everywhere), there is nothing to explain in it",
            hint="look at the image: its window or its preprocessing took everything out",
            code="constant_image",
        )


def _refuse_nan(maps: NDArray[np.float32], request: ExplainRequest) -> None:
    if bad := int((~np.isfinite(maps)).sum()):
        raise InputError(
            f"{bad} of {maps.size} values of the {request.method} map of {request.target_name} are not finite",
            hint="look for NaN in the image and in the weights; explain in float32",
            code="nan_gradients",
        )


def _completeness_error(parts: tuple[Attribution, ...]) -> float | None:
    """Compare what all windows' maps add up to with the change of the whole score."""
    total = change = 0.0
    for part in parts:
        if part.sums is None or part.changes is None:
            return None
        total += float(part.sums.sum())
        change += float(part.changes.sum())
    return abs(total - change) / max(abs(change), 1e-12)


def _notes(raw: RawMap, method: Method) -> Iterator[str]:
    if method.warning:
        log.warning("%s of %s: %s", raw.method, raw.target, method.warning)
        yield method.warning
    if raw.completeness_error is not None:
        log.info("%s of %s: completeness error %.4f", raw.method, raw.target, raw.completeness_error)
        if raw.completeness_error > WORST_COMPLETENESS:
            yield f"the map adds up to the change of the score only within {raw.completeness_error:.0%}"
    yield from _without_evidence(raw)


def _without_evidence(raw: RawMap) -> Iterator[str]:
    if not raw.has_positive_evidence:
        low, high = raw.raw_range
        yield f"no place speaks for {raw.target}: the map lies between {low:.3g} and {high:.3g}"
