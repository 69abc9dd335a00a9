"""Results on the test cases, by the question a bundle answers: a table beside the checkpoints, words for its card."""

import logging
from pathlib import Path

from diascope.bundles.find import read_bundle
from diascope.errors import BundleError
from diascope.train.answer_kinds import task_of
from diascope.train.card import labels_text
from diascope.train.cost import cost_of_test_case, cost_text
from diascope.train.folds import training_cases
from diascope.train.manifest import cases_of
from diascope.train.scoring import score_bundle, write_scores
from diascope.train.settings import TrainConfig
from diascope.train.slice_card import boxes_text, classes_text
from diascope.train.slice_scoring import lowest_score, score_boxes, score_classes, write_box_scores, write_class_scores
from diascope.train.source_settings import BoxSettings, ClassSettings

log = logging.getLogger(__name__)

SCORES = "test_scores.csv"


def operating_point(config: TrainConfig, folder: Path) -> dict[str, float]:
    """Choose on the calibration split what a detector reports; keys of the bundle's `diascope` block.

    Empty for networks that have no such choice.
    """
    if not isinstance(config.source, BoxSettings):
        return {}
    scores = score_boxes(config, folder, "calibration")
    return {"min_score": lowest_score(scores, config.source.false_positives_per_scan)}


def test_results(config: TrainConfig, folder: Path, out: Path) -> str:
    """Run a bundle on its test cases, once, and say what came out.

    Args:
        config: The training.
        folder: The bundle.
        out: Where the table of scores is written.
    """
    text = _results(config, folder, out)
    if not config.cost_on_card:
        return text
    try:
        return f"{text}\n\n{cost_text(cost_of_test_case(config, folder))}"
    except BundleError as error:
        # A sentence on the card is not worth the hours of a training that is done.
        log.warning("what a case costs was not measured: %s", error)
        return text


def _results(config: TrainConfig, folder: Path, out: Path) -> str:
    task, source = task_of(config), config.source
    if task == "classify" and isinstance(source, ClassSettings):
        classes = score_classes(config, folder)
        write_class_scores(classes, out / SCORES)
        return classes_text(classes, cases_of(training_cases(config), "test"), source.groups)
    if task == "detect" and isinstance(source, BoxSettings):
        boxes = score_boxes(config, folder)
        write_box_scores(boxes, out / SCORES)
        return boxes_text(boxes, source.groups, read_bundle(folder).block.min_score)
    scores = score_bundle(config, folder)
    write_scores(scores, out)
    return labels_text(config, scores)
