import numpy as np
import pytest
from scipy.special import expit, logit, softmax
from sklearn.isotonic import IsotonicRegression

from diascope.errors import InputError
from diascope.evaluation.calibration_file import cooled_classes
from diascope.evaluation.calibration_learning import (
    learn_classes,
    learn_confidence,
    learn_missed_volume,
    learn_slices,
    learn_target,
)

RNG_SEED = 5


def overconfident(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Truth drawn from p; the score shows three times the logit of p."""
    rng = np.random.default_rng(seed)
    p = expit(rng.normal(-0.5, 1.2, n))
    return rng.random(n) < p, expit(3 * logit(p))


def of_slices(
    seed: int, patients: int, slices: int = 30, heat: float = 0.5
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, patients * slices)
    return rng.random(len(x)) < expit(x), expit(0.5 * x), [f"p{n // slices}" for n in range(len(x))]


def test_the_temperature_of_slices_has_the_interval_of_leaving_patients_out() -> None:
    inside = 0
    for seed in range(20):
        learnt = learn_slices(*of_slices(seed, 12), np.random.default_rng(seed))
        assert learnt.temperature_interval is not None
        low, high = learnt.temperature_interval
        inside += low <= 0.5 <= high

    assert inside >= 17  # of 20 at 95 %


@pytest.mark.parametrize(("patients", "promised"), [(8, 0.8), (9, 0.9)])
def test_slices_of_few_patients_promise_what_so_few_can_hold(patients: int, promised: float) -> None:
    learnt = learn_slices(*of_slices(1, patients), np.random.default_rng(0))

    assert learnt.sets is not None
    assert (learnt.sets.coverage, learnt.sets.cases) == (promised, patients)
    assert learnt.sets.limit is not None


def test_slices_of_too_few_patients_teach_nothing_however_many_they_are() -> None:
    with pytest.raises(InputError, match="slices of 7 patients show it, of 7 not; 8 of each are needed"):
        learn_slices(*of_slices(0, 7, slices=300), np.random.default_rng(0))


def test_a_temperature_that_hangs_on_who_the_patients_are_is_none() -> None:
    positive, score, patients = of_slices(0, 8)
    odd = np.array([who in {"p0", "p1"} for who in patients])
    score = np.where(odd, expit(8 * (positive - 0.5) * np.where(np.arange(len(odd)) % 4, -1, 1)), score)

    with pytest.raises(InputError, match=r"the temperature of 8 patients may be anything from"):
        learn_slices(positive, score, patients, np.random.default_rng(0))


def test_an_overconfident_score_gets_its_temperature_back() -> None:
    positive, score = overconfident(4000, 0)

    found = learn_target(positive, score, list(range(4000)), np.random.default_rng(RNG_SEED))

    assert found.temperature == pytest.approx(3.0, abs=0.25)


def test_the_promised_coverage_is_kept_on_patients_that_were_not_seen() -> None:
    covered = []
    for seed in range(20):
        positive, score = overconfident(200, seed)
        found = learn_target(positive, score, list(range(200)), np.random.default_rng(seed), coverage=0.8)
        assert found.sets is not None
        truth, unseen = overconfident(500, 1000 + seed)
        cooled = expit(logit(np.clip(unseen, 1e-7, 1 - 1e-7)) / found.temperature)
        of_truth = np.where(truth, cooled, 1 - cooled)
        covered.append(np.mean([found.sets.is_open(value) for value in of_truth.tolist()]))

    assert np.mean(covered) == pytest.approx(0.8, abs=0.025)


def test_the_operating_point_reaches_the_sensitivity_that_was_asked_for() -> None:
    positive, score = overconfident(300, 1)
    found = learn_target(positive, score, list(range(300)), np.random.default_rng(0), sensitivity=0.9)
    assert found.operating_point is not None
    cooled = expit(logit(score) / found.temperature)

    reached = (cooled[positive] >= found.operating_point).mean()

    assert 0.9 <= reached < 0.9 + 2 / positive.sum()
    assert found.operating_rule == "sensitivity of 0.9 on the calibration split"


def test_without_a_wish_the_operating_point_is_youden_s() -> None:
    positive, score = overconfident(300, 2)
    found = learn_target(positive, score, list(range(300)), np.random.default_rng(0))
    cooled = expit(logit(score) / found.temperature)

    def youden(point: float) -> float:
        return float((cooled[positive] >= point).mean() + (cooled[~positive] < point).mean())

    assert found.operating_point is not None
    assert youden(found.operating_point) == pytest.approx(max(youden(point) for point in cooled))


def test_few_patients_of_a_class_are_not_enough_however_many_images() -> None:
    positive, score = overconfident(400, 3)
    patients = [n % 19 if is_ill else 100 + n for n, is_ill in enumerate(positive.tolist())]

    with pytest.raises(InputError, match="19 positive and"):
        learn_target(positive, score, patients, np.random.default_rng(0))


def test_classes_that_exclude_each_other_get_one_temperature() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, size=(5000, 4))
    truth = np.array([rng.choice(4, p=softmax(row)) for row in logits])
    shown = softmax(logits * 2.5, axis=1)

    found = learn_classes(truth, shown, list(range(5000)), np.random.default_rng(0))

    assert found.temperature == pytest.approx(2.5, rel=0.05)
    assert found.operating_point is None
    assert found.sets is not None
    kept = 1 - cooled_classes(shown, found.temperature) <= (found.sets.limit or 1)
    assert kept[np.arange(5000), truth].mean() == pytest.approx(0.9, abs=0.01)


def test_the_missed_volume_is_held_on_patients_that_were_not_seen() -> None:
    thresholds = np.linspace(0.01, 0.5, 50)

    def missed(n: int, seed: int) -> np.ndarray:
        # Of each lesion a share depends on how hard it is: some are missed almost whole.
        hardness = np.random.default_rng(seed).beta(1, 4, n)
        return np.clip(thresholds[None] * 2 * (0.2 + hardness[:, None]), 0, 1)

    held = []
    for seed in range(20):
        rule = learn_missed_volume(missed(60, seed), thresholds, list(range(60)), np.random.default_rng(0), bound=0.2)
        assert rule.threshold is not None
        at = int(np.argmin(np.abs(thresholds - rule.threshold)))
        held.append(missed(2000, 500 + seed)[:, at].mean())

    assert np.mean(held) <= 0.2
    assert np.mean(held) > 0.15  # and not by drawing everything


def test_a_confidence_curve_is_isotonic_regression() -> None:
    rng = np.random.default_rng(0)
    raw = rng.random(80)
    dice = np.clip(raw**2 + rng.normal(0, 0.1, 80), 0, 1)

    found = learn_confidence(raw, dice, list(range(80)), np.random.default_rng(0))

    expected = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(raw, dice)
    for value in (0.0, 0.33, 0.8, 1.0):
        assert found.calibrated(value) == pytest.approx(float(expected.predict([value])[0]))
    assert found.cases == 80


def test_a_curve_of_few_patients_is_refused() -> None:
    with pytest.raises(InputError, match="29 patients are too few for a curve"):
        learn_confidence(np.linspace(0, 1, 58), np.linspace(0, 1, 58), [*range(29)] * 2, np.random.default_rng(0))
