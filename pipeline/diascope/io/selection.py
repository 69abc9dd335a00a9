"""Which of a study's images a network is given, and why each other one is not.

A rule first turns images away (modality, plane, slices, ...), then orders the rest
by its preferences; `best` takes the first, `all` takes them all. Only headers are
looked at. The sentences of `why_not` may be shown to anybody: they hold facts and
numbers, never the free text that a pattern was compared with.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from diascope.geometry import FieldOfView, Grid, IndexGrid, Need, PixelGrid, Space, satisfies
from diascope.io.select_rule import Criteria, Order, Patterns, Preference, SelectRule
from diascope.io.series import Series

__all__ = ["Choice", "SelectRule", "choose"]

# What a technologist typed to name the series. The study's description is not among
# them: it names every series of the study alike.
DESCRIPTION_KEYS = ("series_description", "protocol_name", "sequence_name", "bids_suffix")


ANY_FIELD = FieldOfView()


@dataclass(frozen=True, slots=True)
class Choice:
    """What a network is given of a study.

    Attributes:
        bundle: The network.
        chosen: Its images, best first; empty: there is nothing to do.
        why_not: (image_id, reason) of each other image, in the order of the study.
        field_of_view: What its images must show; an image whose geometry is known only
            when it is read is asked then.
        channels: Names of the channels that the chosen images are together, in order;
            empty where each is an input of its own.
        unstated: (image_id, words) of each chosen image whose source does not say that it
            is what the rule asks for: it passed because nothing spoke against it.
    """

    bundle: str
    chosen: tuple[Series, ...]
    why_not: tuple[tuple[str, str], ...]
    field_of_view: FieldOfView = ANY_FIELD
    channels: tuple[str, ...] = ()
    unstated: tuple[tuple[str, str], ...] = ()

    @property
    def groups(self) -> tuple[tuple[Series, ...], ...]:
        """The images of each input of the network."""
        if self.channels:
            return (self.chosen,) if self.chosen else ()
        return tuple((series,) for series in self.chosen)

    @property
    def chosen_ids(self) -> tuple[str, ...]:
        """The image_id of each chosen image."""
        return tuple(series.image_id for series in self.chosen)


def choose(
    bundle: str, need: Need, rule: SelectRule, series: Sequence[Series], *, field_of_view: FieldOfView = ANY_FIELD
) -> Choice:
    """Choose the images of one study for one network.

    The same study gives the same choice, whatever order its series come in.

    Args:
        bundle: Name of the network.
        need: The geometry that it asks for.
        rule: Which images it wants.
        series: All images of the study.
        field_of_view: What an image must show for it.
    """
    reasons = {one.image_id: _misfit(one, need, rule) or _too_little(one, field_of_view) for one in series}
    ranked = sorted((one for one in series if not reasons[one.image_id]), key=lambda one: _rank(one, rule))
    chosen = tuple(ranked[:1] if rule.select == "best" else ranked)
    for one in ranked[len(chosen) :]:
        reasons[one.image_id] = _why_second(one, ranked[0], rule)
    why_not = tuple((one.image_id, reasons[one.image_id]) for one in series if reasons[one.image_id])
    unstated = tuple((one.image_id, words) for one in chosen if (words := _unstated(one, rule)))
    return Choice(bundle, chosen, why_not, field_of_view, unstated=unstated)


def _misfit(series: Series, need: Need, rule: SelectRule) -> str:
    if series.space is not None and not satisfies(series.space, need):
        return f"{_SPACE_NAMES[type(series.space)]}, the network needs {_NEED_NAMES[need]}"
    if not rule.volumes.holds(series.volumes):
        axis = f" ({series.axis})" if series.axis else ""
        return f"it holds {series.volumes} volumes{axis}, asked for: {rule.volumes}"
    if series.selection.get("is_localizer") == "yes" and not rule.scouts:
        return "it is a scout"
    if reason := _criteria_misfit(series, rule):
        return reason
    return _alternatives_misfit(series, rule.any_of)


def _too_little(series: Series, field_of_view: FieldOfView) -> str:
    return field_of_view.misfit(series.space) if series.space is not None else ""


def _alternatives_misfit(series: Series, alternatives: Sequence[Criteria]) -> str:
    """Turn an image away that speaks for none of the alternatives and against one of them."""
    misfits = [_criteria_misfit(series, criteria) for criteria in alternatives]
    if not any(misfits) or _speaks_for_one(series, alternatives):
        return ""
    return f"it fits none of {len(alternatives)} alternatives: {'; '.join(filter(None, misfits))}"


def _speaks_for_one(series: Series, alternatives: Sequence[Criteria]) -> bool:
    return any(
        not _criteria_misfit(series, one)
        and any(_STATED[name](series) for name in one.model_fields_set & _STATED.keys())
        for one in alternatives
    )


def _unstated(series: Series, rule: SelectRule) -> str:
    """Name what a rule asks for and a chosen image does not state; empty where it states enough."""
    asked = list(rule.required)
    if rule.any_of and not _speaks_for_one(series, rule.any_of):
        asked += [name for one in rule.any_of for name in one.model_fields_set & _STATED.keys()]
    return ", ".join(sorted({_words(name) for name in asked if not _STATED[name](series)}))


def _criteria_misfit(series: Series, criteria: Criteria) -> str:
    """Say in one sentence what is wrong, or nothing."""
    for name in criteria.required:
        if series.reader == "dicom" and not _STATED[name](series):
            return f"{_words(name)} is not stated"
    for name in ("modality", "body_part", "plane", "view"):
        value, wanted = getattr(series.facts, name), getattr(criteria, name)
        if wanted and value and str(value).upper() not in {one.upper() for one in wanted}:
            return f"{_words(name)} is {value}, asked for: {' or '.join(wanted)}"
    if criteria.contrast is not None and series.facts.contrast not in (None, criteria.contrast):
        return "a contrast agent is recorded" if series.facts.contrast else "no contrast agent is recorded"
    return _text_misfit(series, criteria) or _range_misfit(series, criteria)


def _range_misfit(series: Series, criteria: Criteria) -> str:
    for name, (measure, unit) in _NUMBERS.items():
        bounds, value = getattr(criteria, name), measure(series)
        if bounds is not None and value is not None and not bounds.holds(value):
            return f"{_words(name)}: {value:g}{unit}, asked for: {bounds}{unit}"
    return ""


def _text_misfit(series: Series, criteria: Criteria) -> str:
    for name, texts_of in _TEXTS.items():
        patterns: Patterns = getattr(criteria, name)
        texts = texts_of(series)
        if any(_found(pattern, texts) for pattern in patterns.exclude):
            return f"its {_words(name)} is among the excluded ones"
        if patterns.include and texts and not any(_found(pattern, texts) for pattern in patterns.include):
            return f"its {_words(name)} is none of those asked for"
    return ""


def _found(pattern: str, texts: Sequence[str]) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for text in texts)


def _rank(series: Series, rule: SelectRule) -> tuple[object, ...]:
    keys = [_key(series, preference) for preference in rule.prefer]
    return (*keys, -_stated_facts(series), _acquisition_order(series), series.image_id)


def _key(series: Series, preference: Order | Preference) -> float:
    """Give a number that is lower for the preferred image; images that say nothing come last."""
    if isinstance(preference, Preference):
        return 0.0 if _matches(series, preference) else 1.0
    value = _ORDERS[preference](series)
    return float("inf") if value is None else value


def _matches(series: Series, preference: Preference) -> bool:
    name = preference.key
    wanted = getattr(preference, name)
    return series.facts.plane == wanted if name == "plane" else _found(wanted, _TEXTS[name](series))


def _why_second(series: Series, best: Series, rule: SelectRule) -> str:
    for preference in rule.prefer:
        if _key(series, preference) > _key(best, preference):
            return _preference_words(series, best, preference)
    if _stated_facts(series) < _stated_facts(best):
        return "equal by every preference; the chosen one states more of how it was acquired"
    return "equal by every preference; the chosen one comes first"


def _preference_words(series: Series, best: Series, preference: Order | Preference) -> str:
    if isinstance(preference, Preference):
        name = preference.key
        return f"another {_words(name)} is preferred{_kernels(series, best) if name == 'kernel' else ''}"
    if preference in ("thinner_slices", "thicker_slices"):
        return f"{_words(preference)} preferred: {_mm(_thickness_mm(series))} instead of {_mm(_thickness_mm(best))}"
    if preference in ("more_slices", "fewer_slices"):
        return f"{_words(preference)} preferred: {_slices(series)} instead of {_slices(best)}"
    return f"{_PREFERRED[preference]} preferred"


def _kernels(series: Series, best: Series) -> str:
    return f": {series.facts.kernel or 'none'} instead of {best.facts.kernel or 'none'}"


def _mm(value_mm: float | None) -> str:
    return "not stated" if value_mm is None else f"{value_mm:.1f} mm"


def _words(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


def _slices(series: Series) -> int:
    return series.space.shape[2] if series.space is not None else len(series.files)


def _thickness_mm(series: Series) -> float | None:
    if series.facts.slice_thickness_mm is not None:
        return series.facts.slice_thickness_mm
    return series.space.spacing_mm[2] if isinstance(series.space, Grid) else None


def _acquisition_order(series: Series) -> float:
    number = series.selection.get("series_number", "")
    return float(number) if re.fullmatch(r"\d{1,9}", number) else float("inf")


def _stated_facts(series: Series) -> int:
    facts = series.facts
    names = ("modality", "body_part", "plane", "sequence", "kernel", "echo_time_ms", "repetition_time_ms")
    return sum(getattr(facts, name) is not None for name in names)


def _fact(name: str) -> Callable[[Series], float | None]:
    return lambda series: getattr(series.facts, name)


def _is_stated(measure: Callable[[Series], float | None]) -> Callable[[Series], bool]:
    return lambda series: measure(series) is not None


def _descriptions(series: Series) -> list[str]:
    texts = {**dict(series.facts.extra), **series.selection}
    return [texts[key] for key in DESCRIPTION_KEYS if texts.get(key)]


_NEED_NAMES: Mapping[Need, str] = {"grid": "a place in the patient", "pixels": "a pixel spacing", "index": "nothing"}

_SPACE_NAMES: Mapping[type[Space], str] = {
    Grid: "it lies in the patient",
    PixelGrid: "it has a pixel spacing but no place in the patient (PixelGrid), as a radiograph",
    IndexGrid: "it does not say how large its voxels are nor how the patient lay (IndexGrid: a picture, or no affine)",
}

_NAMES: Mapping[str, str] = {
    "repetition_time_ms": "repetition time",
    "echo_time_ms": "echo time",
    "inversion_time_ms": "inversion time",
    "flip_angle_deg": "flip angle",
    "b_value_s_per_mm2": "b-value",
    "field_strength_t": "field strength",
    "slice_thickness_mm": "slice thickness",
    "image_type": "ImageType",
}

_NUMBERS: Mapping[str, tuple[Callable[[Series], float | None], str]] = {
    "repetition_time_ms": (_fact("repetition_time_ms"), " ms"),
    "echo_time_ms": (_fact("echo_time_ms"), " ms"),
    "inversion_time_ms": (_fact("inversion_time_ms"), " ms"),
    "flip_angle_deg": (_fact("flip_angle_deg"), "°"),
    "b_value_s_per_mm2": (_fact("b_value_s_per_mm2"), " s/mm²"),
    "field_strength_t": (_fact("field_strength_t"), " T"),
    "slice_thickness_mm": (_thickness_mm, " mm"),
    "slices": (_slices, ""),
}

_TEXTS: Mapping[str, Callable[[Series], Sequence[str]]] = {
    "description": _descriptions,
    "file_name": lambda series: [series.files[0].name] if series.files else [],
    "kernel": lambda series: [series.facts.kernel] if series.facts.kernel else [],
    "image_type": lambda series: series.facts.image_type,
}

_STATED: Mapping[str, Callable[[Series], object]] = {
    **{name: _fact(name) for name in ("modality", "body_part", "plane", "view")},
    "contrast": lambda series: series.facts.contrast is not None,
    **{name: texts_of for name, texts_of in _TEXTS.items() if name != "file_name"},
    **{name: _is_stated(measure) for name, (measure, _) in _NUMBERS.items()},
}

_ORDERS: Mapping[Order, Callable[[Series], float | None]] = {
    "thinner_slices": _thickness_mm,
    "thicker_slices": lambda series: None if (mm := _thickness_mm(series)) is None else -mm,
    "more_slices": lambda series: -float(_slices(series)),
    "fewer_slices": lambda series: float(_slices(series)),
    "no_contrast": lambda series: float(series.facts.contrast is True),
    "contrast": lambda series: float(series.facts.contrast is not True),
    "later": lambda series: None if (at := _acquisition_order(series)) == float("inf") else -at,
}

_PREFERRED: Mapping[Order, str] = {
    "no_contrast": "an image without a contrast agent is",
    "contrast": "an image with a contrast agent is",
    "later": "the later of two series is",
}
