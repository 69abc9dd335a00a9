"""Who lies in the demo's scanners: eight invented patients, and the machines of four hospitals.

Names, numbers and places are made up. Each is of a spelling that occurs nowhere
else, so that a search for it finds a leak and nothing but a leak.
"""

from dataclasses import dataclass
from datetime import date
from typing import Literal


@dataclass(frozen=True, slots=True)
class Person:
    """An invented patient.

    Attributes:
        family_name: As spelt in the header.
        given_name: As spelt in the header.
        record_number: PatientID.
        sex: PatientSex.
        birth_date: PatientBirthDate.
        ethnic_group: EthnicGroup, free text of 16 characters as hospitals fill it.
        ascii_name: Family name as file systems of old spell it.
    """

    family_name: str
    given_name: str
    record_number: str
    sex: Literal["F", "M"]
    birth_date: date
    ethnic_group: str
    ascii_name: str = ""

    @property
    def dicom_name(self) -> str:
        """PatientName."""
        return f"{self.family_name}^{self.given_name}"

    @property
    def folder_name(self) -> str:
        """How the patient's folder is called, name and number in it as in real life."""
        return f"{self.ascii_name or self.family_name}_{self.given_name}_{self.record_number}"

    def age_years(self, on: date) -> int:
        """Count whole years."""
        had_birthday = (on.month, on.day) >= (self.birth_date.month, self.birth_date.day)
        return on.year - self.birth_date.year - (not had_birthday)


@dataclass(frozen=True, slots=True)
class Machine:
    """A scanner and where it stands.

    Attributes:
        manufacturer: As this vendor writes it.
        model: ManufacturerModelName.
        field_strength_t: Of the magnet.
        institution: InstitutionName.
        station: StationName.
        serial_number: DeviceSerialNumber.
        physician: ReferringPhysicianName.
        file_name: Of a slice; {n} is its number, {uid} its SOPInstanceUID.
        counts_down: InstanceNumber runs against the position of the slices.
        is_rescaled: Slope and intercept are in the header (Philips).
    """

    manufacturer: str
    model: str
    field_strength_t: float
    institution: str
    station: str
    serial_number: str
    physician: str
    file_name: str
    counts_down: bool = False
    is_rescaled: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """One study of a patient on a machine.

    Attributes:
        person: Who.
        machine: Where.
        on: StudyDate.
        time: StudyTime.
        accession_number: Of the order.
        description: StudyDescription.
    """

    person: Person
    machine: Machine
    on: date
    time: str
    accession_number: str
    description: str


SKYRA = Machine(
    "SIEMENS", "Skyra", 3.0, "St. Brannoc Infirmary", "SBIMR3T01", "SN-145227", "QUARTERMAINE^EDMUND", "{uid}.IMA"
)
SIGNA = Machine(
    "GE MEDICAL SYSTEMS", "Signa HDxt", 1.5, "Ostervik Sykehus", "OSVMR15A", "SN-771043", "HALVORSRUD^GUNNHILD",
    "i{n:05d}.MRDC.{n}", counts_down=True,
)  # fmt: skip
ACHIEVA = Machine(
    "Philips Medical Systems", "Achieva", 3.0, "Ospedale Madonna del Vento", "ODVMR02", "SN-302118",
    "TREVISANUTO^FLAVIA", "IM_{n:04d}", is_rescaled=True,
)  # fmt: skip
VANTAGE = Machine(
    "TOSHIBA_MEC", "Vantage Titan", 1.5, "Kirigamine Hospital", "KRGMR01", "SN-559310", "SHIRAKAWA^NOBUHIRO",
    "IMG{n:05d}.dcm",
)  # fmt: skip

OKONKWO = Person("OKONKWO", "ADAEZE", "SB-482913-K", "F", date(1983, 5, 2), "Black African")
LINDQVIST = Person("LINDQVIST", "TORBJORN", "OV-0071542", "M", date(1958, 11, 30), "White")
FERRANTE = Person("FERRANTE", "ROSALBA", "MV-19240719-F", "F", date(1924, 7, 19), "White")
NAKAGAWA = Person("NAKAGAWA", "HIROSHI", "KH-5520871", "M", date(1972, 1, 8), "Asian")
BRUECKNER = Person("BRÜCKNER", "JOSEFINE", "SB-510077-M", "F", date(1990, 9, 14), "White", "BRUECKNER")
CASTELLANOS = Person("CASTELLANOS", "ESTEBAN", "OV-0033806", "M", date(1951, 3, 27), "Hispanic")
ABERNATHY = Person("ABERNATHY", "CLEMENTINE", "MV-19470322-A", "F", date(1947, 3, 22), "White")
DUBROVSKAYA = Person("DUBROVSKAYA", "YEVGENIYA", "KH-6004418", "F", date(1979, 12, 5), "Asian")
