"""What is scanned in the demo: who, how, and what is wrong with it.

Each study shows something: a lesion on a known side, an oblique plane, a patient
over 90, one with two studies, a series with a hole, a torn file.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from diascope.demo import people
from diascope.demo.patient import Build, Bulge, Lesion
from diascope.demo.people import Visit
from diascope.demo.scanner import Protocol

Fault = Literal["missing_slice", "torn_file"]

FLAIR_SHAPE = (256, 256, 26)
FLAIR_SPACING_MM = (0.9, 0.9, 5.0)
VOLUME_SHAPE = (120, 128, 92)

MISSING_SLICE = 9


@dataclass(frozen=True, slots=True)
class Study:
    """One planned study.

    Attributes:
        name: What it shows, in a word or two.
        visit: Who, where, when.
        build: The patient's head.
        protocols: A series each.
        has_localizer: Three planes in one series come first.
        file_format: NIfTI studies are one file.
        fault: What is wrong with the files.
    """

    name: str
    visit: Visit
    build: Build
    protocols: tuple[Protocol, ...]
    has_localizer: bool = False
    file_format: Literal["dicom", "nifti"] = "dicom"
    fault: Fault | None = None


LOCALIZER = tuple(
    Protocol(
        "3 PLANE LOC", "t2", plane, (128, 128, 3), (2.0, 2.0, 12.0), repetition_time_ms=6.0, echo_time_ms=1.6,
        flip_angle_deg=30.0, noise=0.05, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"),
    )
    for plane in ("axial", "coronal", "sagittal")
)  # fmt: skip


def _flair(description: str, **changes: object) -> Protocol:
    values: dict[str, object] = {
        "shape": FLAIR_SHAPE, "spacing_mm": FLAIR_SPACING_MM, "centre_ras_mm": (0.0, -14.0, 18.0),
        "repetition_time_ms": 9000.0, "echo_time_ms": 121.0, "inversion_time_ms": 2500.0, "flip_angle_deg": 150.0,
    }  # fmt: skip
    return Protocol(description, "flair", "axial", **{**values, **changes})  # type: ignore[arg-type]  # as in Protocol


def _t1(description: str, **changes: object) -> Protocol:
    values: dict[str, object] = {
        "shape": VOLUME_SHAPE, "spacing_mm": (2.0, 2.0, 2.0), "centre_ras_mm": (0.0, -4.0, 1.0),
        "repetition_time_ms": 1900.0, "echo_time_ms": 2.5, "inversion_time_ms": 900.0, "flip_angle_deg": 9.0,
        "noise": 0.025,
    }  # fmt: skip
    return Protocol(description, "t1", "sagittal", **{**values, **changes})  # type: ignore[arg-type]  # as in Protocol


STUDIES: tuple[Study, ...] = (
    Study(
        "left_frontal_lesion",
        Visit(people.OKONKWO, people.SKYRA, date(2017, 9, 18), "101512", "ACC-7719043", "MRI HEAD"),
        Build(
            (0.92, 0.93, 0.93),
            (3.0, 2.0, -4.0),
            (1.0, -2.0, 3.0),
            lesions=(Lesion((-31.0, 26.0, 26.0), 21.0, seed=3),),
        ),
        (_flair("AX FLAIR", white_level=620.0, bias=0.08),),
    ),
    Study(
        "right_temporal_lesion_with_cyst",
        Visit(people.LINDQVIST, people.SIGNA, date(2016, 4, 6), "144010", "ACC-3300815", "MRI brain, Mr Lindqvist"),
        Build(
            (0.95, 0.95, 0.94),
            (-4.0, 0.0, 3.0),
            (-2.0, 3.0, -1.0),
            lesions=(Lesion((46.0, -20.0, -8.0), 18.0, cyst_share=0.5, seed=11),),
        ),
        (
            _t1("SAG T1 FSPGR", white_level=900.0, noise=0.035),
            _flair("AX FLAIR 3MM", shape=(256, 256, 42), spacing_mm=(0.9, 0.9, 3.0), noise=0.04, bias=0.14),
        ),
        has_localizer=True,
    ),
    Study(
        "oblique_wide_ventricles_over_90",
        Visit(people.FERRANTE, people.ACHIEVA, date(2018, 2, 27), "091733", "ACC-5140278", "RM ENCEFALO"),
        Build(
            (0.90, 0.92, 0.90),
            (6.0, -3.0, 5.0),
            (2.0, 0.0, 2.0),
            bulges=(Bulge((0.0, -12.0, 18.0), 38.0, 0.48),),
        ),
        (_flair("TRA FLAIR LONGTR", tilt_deg=(14.0, 3.0, -5.0), echo_time_ms=125.0, white_level=540.0),),
    ),
    Study(
        "no_lesion_t1_and_t2",
        Visit(people.NAKAGAWA, people.VANTAGE, date(2017, 1, 23), "160255", "ACC-9027716", "HEAD ROUTINE"),
        Build((0.94, 0.92, 0.94), (0.0, 2.0, 2.0), (0.0, 1.0, 0.0)),
        (
            _t1("T1 SAG 3D", white_level=1100.0),
            Protocol(
                "T2 AX FSE",
                "t2",
                "axial",
                (256, 256, 32),
                (0.9, 0.9, 4.0),
                (0.0, -14.0, 15.0),
                repetition_time_ms=4500.0,
                echo_time_ms=105.0,
                white_level=800.0,
            ),
        ),
    ),
    Study(
        "t1_only",
        Visit(people.BRUECKNER, people.SKYRA, date(2017, 9, 19), "113820", "ACC-7719188", "MRI HEAD RESEARCH"),
        Build((0.91, 0.92, 0.92), (-2.0, -2.0, 3.0), (0.0, 0.0, 1.0), bend_mm=3.0),
        (_t1("T1W MPRAGE SAG ISO", tilt_deg=(0.0, -2.0, 3.0), white_level=650.0),),
    ),
    Study(
        "nifti_left_parietal_lesion",
        Visit(people.CASTELLANOS, people.SIGNA, date(2015, 10, 12), "083105", "ACC-3288017", "MRI BRAIN"),
        Build(
            (0.94, 0.94, 0.95),
            (2.0, -2.0, -3.0),
            (1.0, -1.0, 0.0),
            lesions=(Lesion((-35.0, -42.0, 30.0), 17.0, seed=20),),
        ),
        (_flair("AX FLAIR NIFTI", tilt_deg=(-6.0, 0.0, 2.0), bias=0.12),),
        file_format="nifti",
    ),
    Study(
        "missing_slice",
        Visit(people.ABERNATHY, people.ACHIEVA, date(2018, 3, 14), "122646", "ACC-5141190", "RM ENCEFALO"),
        Build((0.92, 0.92, 0.91)),
        (_flair("TRA FLAIR", shape=(192, 192, 24), spacing_mm=(1.2, 1.2, 5.5)),),
        fault="missing_slice",
    ),
    Study(
        "no_lesion_flair",
        Visit(people.DUBROVSKAYA, people.VANTAGE, date(2016, 12, 9), "150044", "ACC-9026603", "HEAD ROUTINE"),
        Build((0.93, 0.91, 0.92), (1.0, 1.0, 5.0), (-1.0, 0.0, 2.0)),
        (_flair("FLAIR AX", white_level=800.0, noise=0.045, bias=0.10),),
    ),
    Study(
        "torn_file",
        Visit(people.DUBROVSKAYA, people.VANTAGE, date(2017, 6, 30), "171209", "ACC-9028850", "HEAD FOLLOW-UP"),
        Build((0.93, 0.91, 0.92)),
        (_flair("FLAIR AX", shape=(128, 128, 1), spacing_mm=(1.8, 1.8, 5.0)),),
        fault="torn_file",
    ),
)
