"""The package keeps the rules; and each rule finds what was planted to break it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import source_rules as rules


@pytest.fixture(scope="module")
def package(repository: Path) -> Path:
    folder = repository / "pipeline" / "diascope"
    assert len(rules.modules(folder)) > 10
    return folder


@pytest.mark.parametrize(
    "rule", [rules.long_modules, rules.shapeless_arrays, rules.unitless_quantities, rules.work_at_import]
)
def test_the_package_keeps_the_rule(rule: Callable[[Path], list[str]], package: Path) -> None:
    broken = rule(package)

    assert not broken, "\n".join(broken)


def test_every_test_module_mirrors_a_module(repository: Path, package: Path) -> None:
    assert rules.modules(repository / "tests")

    broken = rules.tests_without_a_module(repository / "tests", package)

    assert not broken, "\n".join(broken)


def test_the_error_tree_drawn_in_the_docstring_is_the_real_one(package: Path) -> None:
    drawn, real = rules.error_tree(package / "errors.py")

    assert len(real) > 5
    assert drawn == real


def test_a_module_of_401_lines_is_found(tmp_path: Path) -> None:
    (tmp_path / "long.py").write_text("x = 1\n" * 401)
    (tmp_path / "fits.py").write_text("x = 1\n" * 400)

    assert [line.rpartition("/")[2] for line in rules.long_modules(tmp_path)] == ["long.py:401: more than 400 lines"]


@pytest.mark.parametrize(
    ("signature", "args"),
    [
        ("def mean(data: NDArray[np.float32]) -> float:", ""),
        ("def mean(data: NDArray[np.float32]) -> float:", "data: Intensities of the image."),
        ("def mean(*, data: torch.Tensor | None = None) -> float:", "data: Intensities (float32)."),
        ("def mean(data: list[NDArray[np.float32]], n: int) -> float:", "n: (n, 3) said of another."),
    ],
)
def test_an_array_parameter_without_its_shape_is_found(tmp_path: Path, signature: str, args: str) -> None:
    (tmp_path / "m.py").write_text(f'{signature}\n    """Find it.\n\n    Args:\n        {args}\n    """\n')

    assert len(rules.shapeless_arrays(tmp_path)) == 1


@pytest.mark.parametrize("shape", ["(i, j, k)", "(n, 3)", "(n,)", "(..., 4)", "(2 * n, k + 1)", "(1, c, i, j, k)"])
def test_a_shape_satisfies_the_rule_also_on_the_second_line(tmp_path: Path, shape: str) -> None:
    text = f'    """Find it.\n\n    Args:\n        data: Some long words,\n            then {shape} float32.\n    """\n'
    (tmp_path / "m.py").write_text("def mean(data: NDArray[np.float32]) -> float:\n" + text)

    assert rules.shapeless_arrays(tmp_path) == []


def test_an_array_field_of_a_dataclass_needs_its_shape_too(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "@dataclass\nclass Volume:\n"
        '    """An image.\n\n    Attributes:\n        data: Numbers.\n    """\n\n    data: NDArray[np.float32]\n'
    )

    assert [line.partition(": ")[2] for line in rules.shapeless_arrays(tmp_path)] == [
        "Volume: say the shape of data, such as (n, 3)"
    ]


def test_private_functions_and_tables_and_functions_as_arguments_need_no_shape(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "def _mean(data: NDArray[np.float32]) -> float: ...\n"
        "def apply(network: Callable[[torch.Tensor], torch.Tensor]) -> None: ...\n"
        "def load(state: Mapping[str, torch.Tensor]) -> None: ...\n"
        "class _Hidden:\n    def mean(self, data: NDArray[np.float32]) -> float: ...\n"
    )

    assert rules.shapeless_arrays(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "def crop(spacing: tuple[float, float, float]) -> None: ...",
        "def crop(*, slice_thickness: float | None = None) -> None: ...",
        "def crop(seed: int, min_diameter: NDArray[np.float64]) -> None: ...",
        "class Settings:\n    window: tuple[float, float] = (0, 1)",
        "class Settings:\n    timeout: Annotated[float, Field(gt=0)] = 3.0",
        "def crop(volume: float) -> None: ...",
        "class Settings:\n    def __init__(self, margin: float) -> None: ...",
    ],
)
def test_a_quantity_without_its_unit_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.py").write_text(line)

    assert len(rules.unitless_quantities(tmp_path)) == 1


def test_a_unit_field_speaks_for_the_volumes_beside_it_and_for_no_other_class(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "class Told:\n    true_volume: float\n    volume_unit: Literal['mm3', 'voxel']\n"
        "class Untold:\n    true_volume: float\n"
    )

    assert [line.split(":")[1] for line in rules.unitless_quantities(tmp_path)] == ["5"]


def test_a_quantity_with_its_unit_and_a_volume_that_is_an_image_pass(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "def crop(volume: Volume, spacing_mm: float, window_hu: tuple[float, float], timeout_s: float) -> None: ...\n"
        "def cut(window: NDArray[np.float32]) -> None: ...\n"
    )

    assert rules.unitless_quantities(tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "torch.set_num_threads(1)",
        "import warnings\nwarnings.filterwarnings('ignore')",
        "os.environ['OMP_NUM_THREADS'] = '1'",
        "del os.environ['HOME']",
        "os.environ.setdefault('A', 'b')",
        "np.random.seed(0)",
        "import matplotlib\nif True:\n    matplotlib.use('Agg')",
        "class A:\n    logging.basicConfig()",
        "CACHE = Path('x').mkdir()",
        "TEXT = open('x').read()",
        "def f(text=open('x')): ...",
    ],
)
def test_work_at_import_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "m.py").write_text(line)

    assert rules.work_at_import(tmp_path)


def test_the_same_work_inside_a_function_passes(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text(
        "def start():\n    torch.set_num_threads(1)\n    os.environ['A'] = 'b'\n"
        "FIRST = TABLE['a']\nif __name__ == '__main__':\n    open('x')\n"
    )

    assert rules.work_at_import(tmp_path) == []


def test_a_test_that_mirrors_nothing_is_found(tmp_path: Path) -> None:
    package, tests = tmp_path / "package", tmp_path / "tests"
    for path in ("package/io/dicom.py", "package/run/__init__.py", "tests/phantoms.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    for path in ("io/test_dicom.py", "io/test_dicom_gaps.py", "test_run.py", "test_phantoms.py", "house/test_x.py"):
        (tests / path).parent.mkdir(parents=True, exist_ok=True)
        (tests / path).write_text("")
    assert rules.tests_without_a_module(tests, package) == []

    (tests / "io" / "test_dicoms.py").write_text("")

    assert len(rules.tests_without_a_module(tests, package)) == 1


@pytest.mark.parametrize(
    "drawn",
    [
        "RootError    it\n└── Leaf     a leaf of another text",
        "RootError    it\n├── Leaf     a leaf\n└── Missing  is not there",
        "RootError    it",
        "RootError    it\n├── Middle   m\n│   └── Leaf a leaf",
    ],
)
def test_an_error_tree_that_is_drawn_wrongly_is_found(tmp_path: Path, drawn: str) -> None:
    module = tmp_path / "errors.py"
    classes = 'class RootError(Exception):\n    """It."""\n\n\nclass Leaf(RootError):\n    """A leaf."""\n'
    module.write_text(f'"""Errors.\n\n{drawn}\n\nEnd of it.\n"""\n\n{classes}')
    right, real = rules.error_tree(module)
    assert right != real

    module.write_text(f'"""Errors.\n\nRootError    it\n└── Leaf     a leaf\n\nEnd of it.\n"""\n\n{classes}')

    right, real = rules.error_tree(module)
    assert right == real == [("Leaf", "RootError", "a leaf"), ("RootError", "Exception", "it")]
