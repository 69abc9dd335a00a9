"""No identifier comes through, and what is none stays readable."""

import io
import logging
import sys
import unicodedata
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from diascope.log import MASK, Redactor, start_logging

# Words around a secret, none of which a generated secret can be part of: they hold digits or are too short.
CARRIERS = st.sampled_from(["{}", "at {}", "no 1: {}", "'{}'", "({}),", "{}: 12 of 13", "a={};b", "x {} y\n{}"])
LETTERS = st.characters(categories=["Lu", "Ll", "Lo"])
NAMES = st.text(LETTERS, min_size=3, max_size=12)
COMPONENTS = st.text(st.characters(categories=["Lu", "Ll", "Nd"], include_characters="_-"), min_size=1, max_size=12)


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where a freshly started log goes; everything is as it was afterwards."""
    root, factory = logging.getLogger(), logging.getLogRecordFactory()
    handlers, level = list(root.handlers), root.level
    yield io.StringIO()
    logging.captureWarnings(False)
    logging.setLogRecordFactory(factory)
    root.handlers[:] = handlers
    root.setLevel(level)


def survives(secret: str, redacted: str) -> bool:
    return secret.casefold() in redacted.replace(MASK, " ").casefold()


@given(family=NAMES, given_name=NAMES, separator=st.sampled_from(["^", " ", "_", ", ", "-", "="]), carrier=CARRIERS)
def test_no_part_of_a_registered_name_survives(family: str, given_name: str, separator: str, carrier: str) -> None:
    redactor = Redactor()
    redactor.register([f"{family}^{given_name}^^^"])

    for spelling in (f"{family}{separator}{given_name}", f"{given_name}{separator}{family}"):
        for written in (spelling, spelling.upper(), spelling.lower(), unicodedata.normalize("NFD", spelling)):
            redacted = redactor.redact(carrier.replace("{}", written))
            assert not survives(family, redacted)
            assert not survives(given_name, redacted)


@given(number=st.from_regex(r"[A-Z]{0,3}[-_.]?[0-9]{3,10}", fullmatch=True), carrier=CARRIERS)
def test_no_registered_record_number_survives(number: str, carrier: str) -> None:
    redactor = Redactor()
    redactor.register([number])

    assert not survives(number, redactor.redact(carrier.replace("{}", number)))
    assert not survives(number, redactor.redact(carrier.replace("{}", f"{number}_T1.nii.gz")))


@given(
    root=st.sampled_from(["1.2.840.113619", "1.3.12.2.1107", "2.25", "1.2.276.0"]),
    rest=st.lists(st.integers(0, 10**12), min_size=3, max_size=8),
    carrier=CARRIERS,
    after=st.sampled_from(["", ".", ".dcm", ",", "_2", "/frames/1", "x"]),
)
def test_no_uid_survives_whatever_stands_around_it(root: str, rest: list[int], carrier: str, after: str) -> None:
    uid = ".".join([root, *map(str, rest)])

    redacted = Redactor().redact(carrier.replace("{}", f"IM_{uid}{after}"))

    assert uid not in redacted
    assert uid.rpartition(".")[0] not in redacted


@given(day=st.dates(date(1900, 1, 1), date(2099, 12, 31)), carrier=CARRIERS)
def test_no_dicom_date_survives_in_any_form_of_da_and_dt(day: date, carrier: str) -> None:
    for form in ("%Y%m%d", "%Y.%m.%d", "%Y-%m-%d", "%Y%m%d10", "%Y%m%d1030", "%Y%m%d103059", "%Y%m%d103059.123456"):
        written = day.strftime(form)
        assert not survives(written[:10], Redactor().redact(carrier.replace("{}", written)))


@given(day=st.dates(date(1900, 1, 1), date(2099, 12, 31)), carrier=CARRIERS)
def test_a_registered_date_is_found_in_other_spellings(day: date, carrier: str) -> None:
    redactor = Redactor()
    redactor.register([day.strftime("%Y%m%d")])

    for form in ("%d.%m.%Y", "%m/%d/%Y", "%Y %m %d"):
        assert not survives(day.strftime(form), redactor.redact(carrier.replace("{}", day.strftime(form))))


@given(
    parts=st.lists(COMPONENTS, min_size=3, max_size=6),
    kind=st.sampled_from([PurePosixPath, PureWindowsPath]),
    suffix=st.sampled_from(["", ".dcm", ".nii.gz"]),
)
def test_no_absolute_path_survives(parts: list[str], kind: type[PurePosixPath], suffix: str) -> None:
    assume(all(len(part) > 1 for part in parts))
    root = "/" if kind is PurePosixPath else "C:\\"
    path = f"{kind(root, *parts)}{suffix}"
    with_space = f"{kind(root, parts[0], ' '.join(parts[1:3]), *parts[3:], 'im 1')}.dcm"

    for carrier in (
        "cannot read {}",
        "cannot read {}: no such file",
        "[Errno 2] no such file: '{}'",
        'in "{}", 3 files',
    ):
        redacted = Redactor().redact(carrier.format(path))
        assert redacted == carrier.format(MASK).replace(f"'{MASK}'", MASK).replace(f'"{MASK}"', MASK)
        redacted = Redactor().redact(carrier.format(with_space))
        assert redacted == carrier.format(MASK).replace(f"'{MASK}'", MASK).replace(f'"{MASK}"', MASK)


def test_a_path_between_quotes_may_hold_anything() -> None:
    assert Redactor().redact("no such file: '/data/Anna, geb. Müller (1954)/x: y.dcm'") == f"no such file: {MASK}"
    assert Redactor().redact('"../Müller, Anna/x.dcm" is empty') == f"{MASK} is empty"


def test_a_url_of_a_file_is_a_path() -> None:
    assert Redactor().redact("file:///data/anna/x.dcm and sqlite:////data/anna/y.db") == (
        f"file://{MASK} and sqlite:///{MASK}"
    )


def test_a_name_in_the_header_form_is_masked_although_nobody_registered_it() -> None:
    assert Redactor().redact("patient Müller^Anna^Maria^^Dr. is") == f"patient {MASK}. is"


@pytest.mark.parametrize(
    "line",
    [
        "case case-3f4711b20190101 12 slices, gap 2.50 mm",
        "slices 2 and 3 of 5 are 5.00 mm apart, the others 2.50 mm (1 uneven gap in all)",
        "torch 2.13.0+cpu on Python 3.11.7, CUDA 12.8, driver 570.124.06",
        "MLflow is at http://127.0.0.1:5000/#/experiments/1/runs/0a1b2c",
        "cases/case-0123456789abcde/preview.png and/or SE/SK in 3/4 of the cases",
        "volume 4189.0 mm³, 1e-9 of 10^5, window (40, 400) HU, box ((0, 1, 2), (5, 7, 11))",
        "settings: detect.min_scor is not a setting; did you mean detect.min_score?",
        "~ 30 s left / 8 cases",
        "file-4711000aaaabbbb is not an image",
    ],
)
def test_an_ordinary_line_stays_as_it_is_also_beside_registered_secrets(line: str) -> None:
    redactor = Redactor()
    redactor.register(["Muster^Anna", "4711", "20190101", "/srv/scans/muster/im1.dcm", "1.2.3.4.5", "", "7"])

    assert redactor.redact(line) == line


def test_a_part_of_a_path_that_is_a_common_word_is_not_masked_by_itself() -> None:
    redactor = Redactor()
    redactor.register(["/data/brain scans/dicom/im1.dcm"])

    assert redactor.redact("12 brain scans in dicom") == "12 brain scans in dicom"
    assert redactor.redact("data/brain scans/dicom/im1.dcm") == MASK


def test_texts_too_short_to_be_told_from_words_are_not_masked() -> None:
    redactor = Redactor()
    redactor.register(["Li^Na", "7"])

    assert redactor.redact("7 of 17 lines") == "7 of 17 lines"
    assert redactor.redact("case of Li, Na") == f"case of {MASK}"


def test_the_time_of_a_line_does_not_grow_with_the_number_of_secrets() -> None:
    redactor = Redactor()
    redactor.register(f"/data/archive/{n % 97}/patient {n}/im{n}.dcm" for n in range(30_000))

    # A pattern of 30 000 alternatives would take minutes here.
    for _ in range(1000):
        assert redactor.redact("patient 9999, im9999.dcm: 12 slices").endswith("12 slices")


def test_a_record_of_ours_reaches_the_stream_without_its_identifiers(stream: io.StringIO) -> None:
    start_logging(logging.INFO, stream).register(["Muster^Anna"])

    logging.getLogger("diascope.io").info("%s has %d files in %s", "MUSTER", 3, Path("/data/muster/a.dcm"))

    assert stream.getvalue() == f"INFO: {MASK} has 3 files in {MASK}\n"


def test_a_traceback_is_redacted_but_says_where_in_the_code(stream: io.StringIO) -> None:
    start_logging(logging.INFO, stream).register(["4711"])

    try:
        Path("/data/muster anna/4711.dcm").read_bytes()
    except OSError:
        logging.getLogger("diascope").exception("reading 4711")

    assert "muster" not in stream.getvalue()
    assert "4711" not in stream.getvalue()
    assert 'pathlib.py", line' in stream.getvalue()
    assert "FileNotFoundError" in stream.getvalue()


def test_a_line_of_our_code_keeps_its_module() -> None:
    frame = 'File "/home/anna/diascope-1/pipeline/diascope/io/dicom/sort.py", line 12, in order'

    assert Redactor().redact(frame) == 'File "diascope/io/dicom/sort.py", line 12, in order'


def test_a_library_with_its_own_handler_is_redacted_too(stream: io.StringIO) -> None:
    start_logging(logging.INFO, stream).register(["Muster^Anna"])
    own = io.StringIO()
    library = logging.getLogger("a_library_with_a_handler")
    library.propagate = False
    library.addHandler(handler := logging.StreamHandler(own))

    try:
        library.warning("patient %s", "Muster")
    finally:
        library.removeHandler(handler)

    assert own.getvalue() == f"patient {MASK}\n"


def test_a_record_from_another_process_is_redacted_too(stream: io.StringIO) -> None:
    start_logging(logging.INFO, stream).register(["Muster^Anna"])
    sent = {"msg": "patient Muster", "levelno": logging.INFO, "levelname": "INFO", "exc_text": "Muster: gone"}

    logging.getLogger().handle(logging.makeLogRecord(sent))

    assert stream.getvalue() == f"INFO: patient {MASK}\n{MASK}: gone\n"


def test_a_warning_of_a_library_is_redacted_too(stream: io.StringIO) -> None:
    start_logging(logging.INFO, stream)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("Invalid value for VR UI: '1.2.840.10008.5.1.4'", stacklevel=1)
        logging.captureWarnings(False)

    assert "1.2.840" not in stream.getvalue()
    assert f"VR UI: '{MASK}'" in stream.getvalue()


def test_a_line_whose_arguments_do_not_fit_is_still_a_redacted_line(stream: io.StringIO) -> None:
    start_logging(logging.INFO, stream).register(["Muster"])

    logging.getLogger("a_library").info("%d files of %s", "Muster")  # noqa: PLE1206

    assert stream.getvalue() == f"INFO: %d files of %s ('{MASK}',)\n"


def test_the_log_goes_to_stderr_and_nothing_to_stdout(stream: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
    start_logging()

    logging.getLogger("diascope").warning("look at this")
    logging.getLogger("diascope").info("not shown at this level")

    assert logging.getLogger().handlers[0].stream is sys.stderr  # type: ignore[attr-defined]
    assert capsys.readouterr() == ("", "WARNING: look at this\n")
