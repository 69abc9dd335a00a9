"""The queue shows doubtful cases first, and a random part of the others among them."""

import numpy as np
import pytest

from diascope.viewer.queue import Standing, places


def cases(count: int, seed: int = 3) -> list[Standing]:
    scores = np.random.default_rng(seed).random(count)
    return [Standing(f"case-{at:05d}", float(score), bool(score < 0.2)) for at, score in enumerate(scores)]


def test_doubtful_cases_stand_in_the_order_of_doubt() -> None:
    found = places(cases(500), 0.1, seed=0)

    doubtful = sorted((one for one in cases(500) if one.review_first), key=lambda one: found[one.case_id].at)

    assert [one.confidence for one in doubtful] == sorted(
        one.confidence for one in doubtful if one.confidence is not None
    )
    assert all(found[one.case_id].probability == 1.0 for one in doubtful)
    assert max(found[one.case_id].at for one in doubtful) < 1


def test_of_the_others_the_part_that_was_asked_for_is_drawn_and_mixed_in_evenly() -> None:
    everything = cases(20_000)
    found = places(everything, 0.1, seed=0)
    others = [one for one in everything if not one.review_first]

    drawn = [found[one.case_id] for one in others if found[one.case_id].is_sample]

    # Binomial: 16,000 draws of 0.1 have a standard deviation of 38.
    assert len(drawn) == pytest.approx(0.1 * len(others), abs=5 * 38)
    assert all(0 <= one.at < 1 and one.probability == 0.1 for one in drawn)
    assert np.mean([one.at for one in drawn]) == pytest.approx(0.5, abs=0.04)
    rest = [found[one.case_id] for one in others if not found[one.case_id].is_sample]
    assert all(one.at >= 1 and one.probability is None for one in rest)


def test_the_draw_does_not_depend_on_how_sure_the_network_is() -> None:
    everything = cases(20_000)
    found = places(everything, 0.1, seed=0)

    scores = [one.confidence for one in everything if found[one.case_id].is_sample]

    # Uniform over 0.2 to 1 as the cases are.
    assert np.mean([score for score in scores if score is not None]) == pytest.approx(0.6, abs=0.03)


def test_the_same_seed_draws_the_same_cases_whatever_else_is_there() -> None:
    few, many = places(cases(300), 0.1, seed=7), places([*cases(300), *cases(900)[300:]], 0.1, seed=7)

    def drawn(found: dict) -> set[str]:  # type: ignore[type-arg]
        return {case for case, one in found.items() if one.is_sample and case < "case-00300"}

    assert drawn(few) == drawn(many)
    assert drawn(few) != drawn(places(cases(300), 0.1, seed=8))


def test_without_confidence_and_without_cases_it_still_works() -> None:
    assert places([], 0.1, 0) == {}
    assert places([Standing("a", None, False)], 0.0, 0)["a"].at == 1.0
