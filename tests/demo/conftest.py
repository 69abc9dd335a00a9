"""What is dear to make, made once."""

import numpy as np
import pytest

from diascope.demo.anatomy import Anatomy, build_anatomy
from diascope.demo.cohort import make_cohort
from diascope.demo.planted import Cohort


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The whole cohort."""
    return make_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture(scope="session")
def anatomy() -> Anatomy:
    """The template head."""
    return build_anatomy(np.random.default_rng(5))
