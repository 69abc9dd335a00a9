"""Which DICOM objects are images, and which images must not pass unseen."""

from dataclasses import dataclass

from diascope.findings import Failure
from diascope.io.series import FileFate

_STORAGE = "1.2.840.10008.5.1.4.1.1."

# SOP classes by the end of their UID (PS3.4, B.5). A longer entry wins.
_NO_IMAGE: dict[str, str] = {
    "9": "waveform", "11": "presentation_state", "88": "structured_report", "88.59": "key_object_selection",
    "88.67": "dose_report", "88.68": "dose_report", "104": "encapsulated_document", "66": "raw_data",
    "66.1": "registration",
    "66.2": "fiducials", "66.3": "registration", "66.5": "surface", "66.6": "tractography", "67": "value_mapping",
    "68": "surface", "4.2": "spectroscopy", "481.3": "radiotherapy_structures", "481.4": "radiotherapy_record",
    "481.5": "radiotherapy_plan", "481.6": "radiotherapy_record", "481.7": "radiotherapy_record",
    "481.8": "radiotherapy_plan", "481.9": "radiotherapy_record", "200": "acquisition_protocol",
    "77.1.5.3": "stereometric_relationship", "78": "ophthalmic_measurement", "79": "ophthalmic_measurement",
}  # fmt: skip
_DERIVED: dict[str, str] = {
    "66.4": "segmentation_object", "66.7": "segmentation_object", "66.8": "segmentation_object",
    "30": "parametric_map", "481.2": "radiotherapy_dose", "77.1.6": "whole_slide",
}  # fmt: skip
_MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
_OTHER_NO_IMAGE = {
    _MEDIA_DIRECTORY: "dicomdir",
    "1.2.840.10008.5.1.4.38.1": "hanging_protocol",
    "1.2.840.10008.5.1.4.39.1": "colour_palette",
    "1.3.12.2.1107.5.9.1": "siemens_raw",
}

CODES = frozenset({*_NO_IMAGE.values(), *_DERIVED.values(), *_OTHER_NO_IMAGE.values()})
"""By which objects without an image are told from each other."""

SECONDARY_CAPTURE = _STORAGE + "7"
_ULTRASOUND = (_STORAGE + "6.1", _STORAGE + "6.2", _STORAGE + "3.1", _STORAGE + "6", _STORAGE + "3")
_PROJECTIONS = (_STORAGE + "1", _STORAGE + "12.1", _STORAGE + "12.2", _STORAGE + "481.1")
PROJECTION_MODALITIES = frozenset({"CR", "DX", "MG", "IO", "PX", "RG", "XA", "RF", "RTIMAGE"})


@dataclass(frozen=True, slots=True)
class NoImage:
    """A DICOM object that becomes no image.

    Attributes:
        fate: By rule, never an error.
        failure: In words.
    """

    fate: FileFate
    failure: Failure


def no_image(sop_class: str) -> NoImage | None:
    """Say why objects of this SOP class are not images; None if they are, or may be."""
    if sop_class in _OTHER_NO_IMAGE:
        code = _OTHER_NO_IMAGE[sop_class]
        return NoImage("not_an_image", Failure(code, f"a DICOM object without an image: {_words(code)}", ""))
    if not sop_class.startswith(_STORAGE):
        return None
    found = _lookup(sop_class)
    if found is None:
        return None
    fate, code = found
    if fate == "skipped":
        return NoImage(fate, Failure(code, f"drawn or computed on an image, not one itself: {_words(code)}", ""))
    return NoImage(fate, Failure(code, f"a DICOM object without an image: {_words(code)}", ""))


def is_projection(sop_class: str, modality: str) -> bool:
    """Say whether pixels are shadows on a detector, not a slice of the patient."""
    if sop_class.startswith(_STORAGE):
        return any(sop_class == known or sop_class.startswith(known + ".") for known in _PROJECTIONS)
    return modality in PROJECTION_MODALITIES


def burned_in_reason(sop_class: str, modality: str, image_type: tuple[str, ...], annotation: str) -> str:
    """Say why text may be burned into the pixels; empty where nothing speaks for it.

    The header can only raise a suspicion; it never proves that an image is clean.
    """
    if annotation == "YES":
        return "BurnedInAnnotation is YES"
    kinds = {value.upper() for value in image_type}
    if any("SCREEN" in value for value in kinds):
        return "ImageType says that it is a screen shot"
    if annotation == "NO":
        return ""
    if sop_class == SECONDARY_CAPTURE or sop_class.startswith(SECONDARY_CAPTURE + "."):
        return "it is a secondary capture, and nothing says that it is free of text"
    if sop_class in _ULTRASOUND or modality == "US":
        return "it is an ultrasound image, and nothing says that it is free of text"
    return ""


def _lookup(sop_class: str) -> tuple[FileFate, str] | None:
    ending = sop_class.removeprefix(_STORAGE)
    while ending:
        if ending in _NO_IMAGE:
            return "not_an_image", _NO_IMAGE[ending]
        if ending in _DERIVED:
            return "skipped", _DERIVED[ending]
        ending = ending.rpartition(".")[0]
    return None


def _words(code: str) -> str:
    return code.replace("_", " ")
