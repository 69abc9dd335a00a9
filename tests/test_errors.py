"""What a person is told, and that it survives the way between processes."""

import copy
import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from diascope import errors
from diascope.errors import BundleError, IncompleteSeries, InputError, PipelineError

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, PipelineError)]


def test_there_are_the_errors_of_the_tree() -> None:
    assert len(KINDS) == 8


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_keeps_its_message_cure_and_code_when_pickled_and_copied(kind: type[PipelineError]) -> None:
    error = kind("slice 3 of 5 is missing", hint="send the series again", code="one_gap")

    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert (str(other), other.message) == ("slice 3 of 5 is missing", "slice 3 of 5 is missing")
        assert (other.hint, other.code) == ("send the series again", "one_gap")


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_has_a_code_of_its_own_for_rejects(kind: type[PipelineError]) -> None:
    assert kind("it").code == kind.default_code
    assert [other for other in KINDS if other.default_code == kind.default_code] == [kind]


def test_an_error_raised_in_a_spawned_process_arrives_whole() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        error = processes.submit(_refuse_series).exception()

    assert isinstance(error, IncompleteSeries)
    assert (error.message, error.hint, error.code) == ("slices 2 and 3 of 5", "send it again", "incomplete_series")


def test_who_catches_input_errors_catches_incomplete_series_but_no_bundle_error() -> None:
    with pytest.raises(InputError):
        raise IncompleteSeries("a slice is missing")

    assert not issubclass(BundleError, InputError)


def _refuse_series() -> None:
    raise IncompleteSeries("slices 2 and 3 of 5", hint="send it again")
