"""Facts and identity from a DICOM header: taken here, before identifiers are dropped."""

from pydicom.datadict import tag_for_keyword

from diascope.findings import ImageFacts
from diascope.identity import IdentityKey
from diascope.io.dicom import values
from diascope.io.dicom.elements import Elements
from diascope.io.dicom.headers import Common
from diascope.io.facts import age_of, manufacturer_of, sex_of, with_origin
from diascope.io.reader import FoundFile, IngestSettings

_SELECTION = {
    "series_description": 0x0008103E,
    "study_description": 0x00081030,
    "protocol_name": 0x00181030,
    "sequence_name": 0x00180024,
    "pulse_sequence_name": 0x00189005,
    "series_number": 0x00200011,
    "mr_acquisition_type": 0x00180023,
    "scan_options": 0x00180022,
    "contrast_agent": 0x00180010,
    "kernel": 0x00181210,
    "software": 0x00181020,
    "laterality": 0x00200062,
}

FACT_TAGS = frozenset(
    {
        0x00080020, 0x00080021, 0x00080022, 0x00080050, 0x00080060, 0x00080070, 0x00080080, 0x00081090, 0x00100010,
        0x00100020, 0x00100021, 0x00100030, 0x00100040, 0x00101010, 0x00102160, 0x00180010, 0x00180015, 0x00180020,
        0x00180021, 0x00180050, 0x00180060, 0x00180080, 0x00180081, 0x00180082, 0x00180087, 0x00181314, 0x00185101,
        0x00200060,
        *_SELECTION.values(),
    }
)  # fmt: skip


def common_of(found: Elements, file: FoundFile, key: IdentityKey, settings: IngestSettings) -> Common:
    """Read what a series shares."""
    patient_id, issuer = values.text(found, 0x00100020), values.text(found, 0x00100021)
    patient = f"{issuer}\0{patient_id}" if patient_id else ""
    facts = facts_of(found, key.patient_key(patient) if patient else None, key, settings)
    selection = {name: values.text(found, tag) for name, tag in _SELECTION.items()}
    return Common(
        study_uid=values.uid(found, 0x0020000D),
        series_uid=values.uid(found, 0x0020000E),
        issuer=issuer,
        patient_id=patient_id,
        patient_name=values.text(found, 0x00100010),
        accession_number=values.text(found, 0x00080050),
        study_date=_first_date(found),
        birth_date=values.text(found, 0x00100030),
        facts=with_origin(facts, file.origin, key),
        selection=tuple((name, value) for name, value in selection.items() if value),
    )


def facts_of(found: Elements, patient_key: str | None, key: IdentityKey, settings: IngestSettings) -> ImageFacts:
    """Read what may be known without knowing who it is."""
    site = values.text(found, 0x00080080)
    return ImageFacts(
        modality=values.text(found, 0x00080060).upper() or None,
        body_part=values.text(found, 0x00180015).upper() or None,
        sex=sex_of(values.text(found, 0x00100040)),
        age_years=_age(found),
        ethnic_group=values.text(found, 0x00102160).lower() or None,
        manufacturer=manufacturer_of(values.text(found, 0x00080070)),
        scanner_model=values.text(found, 0x00081090) or None,
        site_key=key.site_key(site) if site else None,
        field_strength_t=_tesla(values.number(found, 0x00180087)),
        kvp=values.number(found, 0x00180060),
        slice_thickness_mm=values.number(found, 0x00180050),
        kernel="/".join(values.texts(found, 0x00181210)) or None,
        view=values.text(found, 0x00185101).upper() or None,
        sequence=_sequence(found),
        contrast=True if values.text(found, 0x00180010) else None,
        repetition_time_ms=values.number(found, 0x00180080),
        echo_time_ms=values.number(found, 0x00180081),
        inversion_time_ms=values.number(found, 0x00180082),
        flip_angle_deg=values.number(found, 0x00181314),
        patient_key=patient_key,
        extra=_kept(found, settings),
    )


def _first_date(found: Elements) -> str:
    dates = (values.iso_date(values.text(found, tag)) for tag in (0x00080020, 0x00080021, 0x00080022))
    return next((date for date in dates if date), "")


def _age(found: Elements) -> str | None:
    if age := age_of(values.text(found, 0x00101010)):
        return age
    born, seen = values.iso_date(values.text(found, 0x00100030)), _first_date(found)
    if not born or not seen or seen < born:
        return None
    years = int(seen[:4]) - int(born[:4]) - (seen[5:] < born[5:])
    return age_of(str(years))


def _tesla(strength: float | None) -> float | None:
    # Some scanners write gauss.
    return strength / 10_000 if strength is not None and strength > 100 else strength


def _sequence(found: Elements) -> str | None:
    scanning, variant = values.texts(found, 0x00180020), values.texts(found, 0x00180021)
    words = "/".join("+".join(part) for part in (scanning, variant) if part)
    return words or None


def _kept(found: Elements, settings: IngestSettings) -> tuple[tuple[str, str], ...]:
    kept = []
    for keyword in settings.keep_facts:
        tag = tag_for_keyword(keyword)
        if tag is not None and (value := values.text(found, tag)):
            kept.append((keyword, value))
    return tuple(kept)
