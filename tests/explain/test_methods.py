from typing import get_args

import pytest

from diascope.config import parse_settings
from diascope.errors import ConfigError
from diascope.explain.methods import METHODS
from diascope.explain.settings import ExplainSettings, MethodName


def test_every_method_of_the_table_can_be_named_in_a_config_and_no_other() -> None:
    assert sorted(get_args(MethodName)) == sorted(METHODS)

    with pytest.raises(ConfigError, match="method"):
        parse_settings(ExplainSettings, {"method": "edges"})
