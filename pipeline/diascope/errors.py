"""Everything this package raises on purpose.

PipelineError            the person at the keyboard can act on it
├── InputError           the image or file is not what we can read
│   ├── IncompleteSeries slices are missing or doubled
│   └── UnsupportedInput valid, but outside what we promise to read
├── ConfigError          the run was described wrongly
├── BundleError          a model folder is missing, altered or mislabelled
├── GridMismatch         two results do not lie on the same voxel grid
└── OutputError          the output folder cannot take the results

Anything else that escapes is our bug, and the command line says so.
"""


class PipelineError(Exception):
    """The person at the keyboard can act on it.

    Attributes:
        message: Where, what was seen, what was expected, with numbers. Never a
            name, UID, date or path of a patient.
        hint: What to do about it; empty where nothing helps.
        code: Short snake_case name of the problem, stable across versions:
            people sort rejects.csv by it.
    """

    default_code = "failed"

    def __init__(self, message: str, *, hint: str = "", code: str = "") -> None:
        """Keep the message, the cure and the code."""
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.default_code

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way between processes with hint and code."""
        return _rebuild, (type(self), self.message, self.hint, self.code)


class InputError(PipelineError):
    """The image or file is not what we can read."""

    default_code = "unreadable"


class IncompleteSeries(InputError):
    """Slices are missing or doubled."""

    default_code = "incomplete_series"


class UnsupportedInput(InputError):
    """Valid, but outside what we promise to read."""

    default_code = "unsupported"


class ConfigError(PipelineError):
    """The run was described wrongly."""

    default_code = "config"


class BundleError(PipelineError):
    """A model folder is missing, altered or mislabelled."""

    default_code = "bundle"


class GridMismatch(PipelineError):
    """Two results do not lie on the same voxel grid."""

    default_code = "grid_mismatch"


class OutputError(PipelineError):
    """The output folder cannot take the results."""

    default_code = "output"


def _rebuild(kind: type[PipelineError], message: str, hint: str, code: str) -> PipelineError:
    return kind(message, hint=hint, code=code)
