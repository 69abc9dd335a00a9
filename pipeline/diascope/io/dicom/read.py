"""Read one DICOM file's header."""

from dataclasses import replace
from typing import BinaryIO, Literal

from diascope.errors import InputError
from diascope.findings import Failure
from diascope.identity import IdentityKey
from diascope.io.dicom import values
from diascope.io.dicom.elements import DEFLATED, MEDIA_STORAGE_CLASS, NATIVE, UNDEFINED_LENGTH, Elements, Wanted, walk
from diascope.io.dicom.facts import FACT_TAGS, common_of
from diascope.io.dicom.headers import Common, Frame, Header, Layout, Orientation
from diascope.io.dicom.kinds import NoImage, burned_in_reason, no_image
from diascope.io.dicom.mosaic import is_tiled, untiled
from diascope.io.dicom.multiframe import expanded
from diascope.io.dicom.vendor import PRIVATE, b_value, direction, has_precise_scale, image_component
from diascope.io.reader import FoundFile, IngestSettings, failure_of

_HEADER_TAGS = frozenset(
    {
        0x00080005, 0x00080008, 0x00080016, 0x00080018, 0x00080022, 0x00080023, 0x00080032, 0x00080033, 0x00180050,
        0x00180081, 0x00180086, 0x00180088, 0x00181060, 0x00181164, 0x00181210, 0x00189087, 0x00189089, 0x0020000D,
        0x0020000E, 0x00200012, 0x00200013, 0x00200032, 0x00200037, 0x00200052, 0x00200100, 0x00280002, 0x00280004,
        0x00280006, 0x00280008, 0x00280010, 0x00280011, 0x00280030, 0x00280100, 0x00280101, 0x00280102, 0x00280103,
        0x00280301, 0x00280A02, 0x00281050, 0x00281051, 0x00281052, 0x00281053, 0x00283000, 0x00283010, 0x52009229,
        0x52009230,
    }
)  # fmt: skip


class HeaderReader:
    """Reads headers one after the other, and what a series shares only once."""

    def __init__(self, key: IdentityKey, settings: IngestSettings) -> None:
        """Remember how ids are made and what may pass."""
        self._key = key
        self._settings = settings
        self._wanted = Wanted(_HEADER_TAGS | FACT_TAGS | _kept_tags(settings), PRIVATE)
        self._commons: dict[tuple[bytes, ...], Common] = {}
        self._layouts: dict[Layout, Layout] = {}

    def read(self, file: FoundFile) -> Header | NoImage:
        """Read one file.

        Raises:
            InputError: It is broken, or no DICOM at all.
        """
        try:
            with file.path.open("rb", buffering=0) as stream:
                found = walk(stream, file.size_bytes, self._wanted, int(self._settings.max_header_mb * 1e6))
                behind = _behind_pixels(stream, found, file.size_bytes)
        except OSError as error:
            raise InputError(f"the system does not let us read it: {error.strerror}", code="cannot_read") from None
        sop_class = values.uid(found, 0x00080016) or values.uid(found, MEDIA_STORAGE_CLASS)
        if (other := no_image(sop_class)) is not None:
            return other
        if found.pixel_tag is None:
            return _without_pixels(sop_class)
        header = self._header(file, found, sop_class)
        header = replace(header, notes=(*header.notes, *behind)) if behind else header
        frames = values.whole(found, 0x00280008) or 1
        try:
            if is_tiled(header.image_type):
                return untiled(header, found)
            if frames > 1 or 0x52009230 in found.values:
                return expanded(header, frames)
        except InputError as error:
            return replace(header, refusal=failure_of(error))
        return header

    def _header(self, file: FoundFile, found: Elements, sop_class: str) -> Header:
        layout = layout_of(found)
        layout = self._layouts.setdefault(layout, layout)
        common = self._common(found, file)
        image_type = tuple(part.upper() for part in values.texts(found, 0x00080008))
        if component := image_component(found):
            image_type = (*image_type, component)
        annotation = values.text(found, 0x00280301).upper()
        frames_number = values.whole(found, 0x00280008) or 1
        return Header(
            file=file,
            common=common,
            layout=layout,
            frames=(frame_of(found),),
            sop_class=sop_class,
            sop_uid=values.uid(found, 0x00080018),
            frame_of_reference=values.uid(found, 0x00200052),
            image_type=image_type,
            instance=values.whole(found, 0x00200013),
            acquisition=values.whole(found, 0x00200012),
            time_s=_time_s(found),
            kernel=values.text(found, 0x00181210),
            pixel_at=found.pixel_at,
            pixel_bytes=found.pixel_bytes,
            detector_spacing_mm=_in_plane_mm(found, 0x00181164),
            calibrated=bool(values.text(found, 0x00280A02)),
            burned_in=_burned_in(annotation),
            quarantine=burned_in_reason(sop_class, common.facts.modality or "", image_type, annotation),
            broken=_broken(found, layout, frames_number, file.size_bytes),
            notes=(*_notes(found), *_surplus(found, layout, frames_number)),
        )

    def _common(self, found: Elements, file: FoundFile) -> Common:
        tags = (0x0020000D, 0x0020000E, 0x00100020, 0x00100021)
        address = (*(found.values.get(tag, b"") for tag in tags), repr(file.origin).encode())
        if address not in self._commons:
            self._commons[address] = common_of(found, file, self._key, self._settings)
        return self._commons[address]


def layout_of(found: Elements) -> Layout:
    """Read how the pixels are stored.

    Raises:
        InputError: The numbers make no image.
    """
    rows, columns = values.short(found, 0x00280010), values.short(found, 0x00280011)
    allocated = values.short(found, 0x00280100)
    if not rows or not columns or not allocated:
        raise InputError(
            f"the header names {rows} rows, {columns} columns and {allocated} bits per pixel", code="bad_shape"
        )
    stored = values.short(found, 0x00280101) or allocated
    high = values.short(found, 0x00280102)
    high = stored - 1 if high is None else high
    if allocated not in (1, 8, 16, 32, 64) or not 1 <= stored <= allocated or not stored - 1 <= high < allocated:
        raise InputError(f"{stored} bits up to bit {high} do not fit into {allocated} bits", code="bad_bits")
    return Layout(
        rows=rows,
        columns=columns,
        samples=values.short(found, 0x00280002) or 1,
        photometric=values.text(found, 0x00280004).upper() or "MONOCHROME2",
        planar=values.short(found, 0x00280006) == 1,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        is_signed=values.short(found, 0x00280103) == 1,
        is_float=found.pixel_tag != 0x7FE00010,
        transfer_syntax=found.transfer_syntax,
        big_endian=found.big_endian,
        has_lut=0x00283000 in found.values,
        has_voi_lut=0x00283010 in found.values,
    )


def frame_of(found: Elements) -> Frame:
    """Read where a plain file's one slice lies, and what tells it from its neighbours."""
    slope, intercept = values.number(found, 0x00281053), values.number(found, 0x00281052)
    return Frame(
        position_lps_mm=values.vector(found, 0x00200032),
        orientation=_orientation(found),
        spacing_mm=_in_plane_mm(found, 0x00280030),
        thickness_mm=values.number(found, 0x00180050),
        spacing_between_mm=values.number(found, 0x00180088),
        slope=slope if slope else 1.0,
        intercept=intercept or 0.0,
        echo_ms=values.number(found, 0x00180081),
        echo_number=values.whole(found, 0x00180086),
        b_value=b_value(found),
        direction=direction(found),
        temporal=values.number(found, 0x00200100),
        trigger_ms=values.number(found, 0x00181060),
        display_window=_window(found),
    )


def _kept_tags(settings: IngestSettings) -> frozenset[int]:
    if not settings.keep_facts:
        return frozenset()
    from pydicom.datadict import tag_for_keyword  # noqa: PLC0415 - the dictionary is large, and rarely asked

    tags = {keyword: tag_for_keyword(keyword) for keyword in settings.keep_facts}
    return frozenset(tag for tag in tags.values() if tag is not None)


def _without_pixels(sop_class: str) -> NoImage:
    if sop_class.startswith("1.2.840.10008.5.1.4.1.1."):
        raise InputError("an image object without pixels", hint="send it again with its pixels", code="no_pixels")
    return NoImage("not_an_image", Failure("no_pixels", "a DICOM object without pixels", ""))


def _orientation(found: Elements) -> Orientation | None:
    six = values.numbers(found, 0x00200037)
    if len(six) != 6:
        return None
    return six[0], six[1], six[2], six[3], six[4], six[5]


def _in_plane_mm(found: Elements, tag: int) -> tuple[float, float] | None:
    # DICOM names the distance between rows first: that is along j (PS3.3, 10.7.1.3).
    pair = values.numbers(found, tag)
    if len(pair) != 2 or min(pair) <= 0:
        return None
    return pair[1], pair[0]


def _window(found: Elements) -> tuple[float, float] | None:
    centre, width = values.number(found, 0x00281050), values.number(found, 0x00281051)
    return (centre, width) if centre is not None and width is not None and width >= 1 else None


def _time_s(found: Elements) -> float | None:
    acquired = values.seconds(values.text(found, 0x00080032))
    return acquired if acquired is not None else values.seconds(values.text(found, 0x00080033))


def _broken(found: Elements, layout: Layout, frames: int, size_bytes: int) -> Failure | None:
    """Check without reading a pixel that they are all there."""
    if found.is_cut:
        return Failure("truncated_pixels", "its compressed pixels are cut off", "copy or send the file again")
    is_native = found.transfer_syntax in NATIVE
    if found.transfer_syntax == DEFLATED or (found.pixel_bytes == UNDEFINED_LENGTH and not is_native):
        return None
    if is_native != (found.pixel_bytes != UNDEFINED_LENGTH):
        reason = "its pixels are not packed in the way that its header says"
        return Failure("transfer_syntax", reason, "send it again with its file header")
    there, needed = min(found.pixel_bytes, size_bytes - found.pixel_at), layout.frame_bytes * frames
    if there >= needed:
        return None
    return Failure("truncated_pixels", f"its pixels have {there} bytes of {needed}", "copy or send the file again")


def _surplus(found: Elements, layout: Layout, frames: int) -> tuple[str, ...]:
    """Tell of pixels that the header does not promise: a damaged number of rows would leave some."""
    needed = layout.frame_bytes * frames
    # A value has an even length (PS3.5, 7.1.1).
    if found.transfer_syntax not in NATIVE or found.pixel_bytes <= needed + needed % 2:
        return ()
    return (f"a file holds {found.pixel_bytes} bytes of pixels, its header promises {needed}",)


def _behind_pixels(stream: BinaryIO, found: Elements, size_bytes: int) -> tuple[str, ...]:
    """Tell of bytes behind the pixels that are no element: something was inserted before them."""
    end = found.pixel_at + found.pixel_bytes
    if found.pixel_tag is None or found.transfer_syntax not in NATIVE or end + 8 > size_bytes:
        return ()
    stream.seek(end)
    group = int.from_bytes(stream.read(2), "big" if found.big_endian else "little")
    # Elements stand in ascending order (PS3.5, 7.1): signatures and padding come last.
    return () if group >= found.pixel_tag >> 16 else ("bytes behind the pixels of a file belong to nothing",)


def _burned_in(annotation: str) -> Literal["yes", "no", "unknown"]:
    if annotation == "YES":
        return "yes"
    return "no" if annotation == "NO" else "unknown"


def _notes(found: Elements) -> tuple[str, ...]:
    notes = []
    if not found.has_meta:
        notes.append("a file without a DICOM file header: its encoding was recognised from the content")
    if found.preamble.startswith((b"MZ", b"\x7fELF")):
        notes.append("a program hides in the preamble of a file; nothing of it was used or copied")
    if has_precise_scale(found):
        notes.append("Philips: the numbers are the displayed ones (rescale slope), not the precise ones (scale slope)")
    return tuple(notes)
