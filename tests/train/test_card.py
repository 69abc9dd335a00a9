"""The card is markdown that shows what it says, and says which weights are shipped."""

import re
from pathlib import Path
from typing import Any

import pytest

from diascope.config import parse_settings
from diascope.train.card import INTERIM, Effort, card_text
from diascope.train.settings import TrainConfig
from tests.train.training_phantoms import slice_config

EFFORT = Effort(steps=48, minutes=3.2, device="1 thread of a CPU (x86_64)", parameters=12_345)


def card(**changes: Any) -> str:
    config = parse_settings(TrainConfig, {**slice_config(Path("nowhere")), **changes})
    return card_text(config, INTERIM, EFFORT, {"dice": 0.912, "dice_ball": 0.912})


def test_no_line_of_prose_begins_as_a_list_with_the_seed() -> None:
    text = card(seed=20261120)

    assert "seed 20261120." in text
    # A number with a point at the head of a line is an ordered list in markdown.
    assert not re.search(r"^\d+\.", text, re.MULTILINE)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("last", "The last weights are shipped: no epoch was chosen by looking at results."),
        ("best", "The weights of the best epoch are shipped, chosen on the calibration split."),
    ],
)
def test_it_says_which_epochs_weights_are_shipped(weights: str, words: str) -> None:
    assert words in card(weights=weights)


def test_it_says_where_a_transfer_began_without_the_folder() -> None:
    text = card(init_from={"bundle": "/secret/place/hippocampus_start"})

    assert "It began with the weights of `hippocampus_start`." in text
    assert "/secret" not in text


def test_what_could_not_be_calibrated_is_said_with_its_reason() -> None:
    config = parse_settings(TrainConfig, slice_config(Path("nowhere")))
    reason = "the confidence curve: 8 patients are too few for a curve, 30 are needed"

    assert f"## What is not calibrated\n\n- {reason}\n\n## Licence" in card_text(config, INTERIM, EFFORT, {}, [reason])
    assert "not calibrated" not in card_text(config, INTERIM, EFFORT, {})
