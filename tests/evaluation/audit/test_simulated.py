"""The demo's simulated cohort: its planted scanner is found, and named as the reason of the rest."""

from diascope.evaluation.audit.audit import audit
from diascope.evaluation.audit.simulated import OLD_SCANNER, SIMULATED_PLAN, simulated_predictions
from diascope.evaluation.audit.words import findings


def test_the_planted_scanner_fails_and_explains_the_gap_of_its_site() -> None:
    plan = SIMULATED_PLAN.model_copy(update={"rounds": 40, "intersections": False})

    found = audit(simulated_predictions(), plan)

    failed = [one for one in found.rulings if one.verdict == "fail"]
    assert (found.verdict, found.is_simulated) == ("fail", True)
    assert [one.reason.split()[0] for one in failed if one.attribute == "manufacturer"] == [OLD_SCANNER]
    assert {one.attribute for one in failed} <= {"manufacturer", "site"}
    site = next(one for one in found.confounding if (one.attribute, one.by) == ("site", "manufacturer"))
    assert site.reading == "explains"
    assert any("manufacturer explains it" in line for line in findings(found))


def test_the_same_seed_gives_the_same_table() -> None:
    assert simulated_predictions(3, 50).equals(simulated_predictions(3, 50))
    assert not simulated_predictions(3, 50).equals(simulated_predictions(4, 50))
