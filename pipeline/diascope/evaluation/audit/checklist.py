"""Where the report answers the items that guidelines ask of a study of this kind."""

from dataclasses import dataclass

from diascope.evaluation.audit.result import AuditResult


@dataclass(frozen=True, slots=True)
class Item:
    """One demand of a guideline.

    Attributes:
        guideline: CLAIM 2024, TRIPOD+AI 2024 or FUTURE-AI 2025.
        demand: In our words.
        answer: Where it is met, or what the authors must add.
        is_met: By this report alone.
    """

    guideline: str
    demand: str
    answer: str
    is_met: bool


def checklist(result: AuditResult) -> tuple[Item, ...]:
    """Fill the parts of the checklists that an audit can fill, and name the rest."""
    registered = bool(result.registration.registered)
    has_missing = any(group.name == "missing" for group in result.groups)
    return (
        Item(
            "TRIPOD+AI",
            "say for which groups performance was looked at, and why",
            "Section 3; the reasons are the authors'",
            is_met=False,
        ),
        Item(
            "TRIPOD+AI", "give performance with intervals, overall and for each group", "Sections 3 and 4", is_met=True
        ),
        Item(
            "TRIPOD+AI",
            "say how missing values of group variables were handled",
            "A group of their own" + (" (section 4)" if has_missing else "; there are none"),
            is_met=True,
        ),
        Item(
            "TRIPOD+AI",
            "give calibration, not discrimination alone",
            "Section 5" if result.task == "classification" else "Not for this task",
            is_met=True,
        ),
        Item(
            "CLAIM",
            "describe the data: source, dates, inclusion, demographics",
            "To be added by the authors",
            is_met=False,
        ),
        Item("CLAIM", "define the reference standard and who set it", "To be added by the authors", is_met=False),
        Item(
            "CLAIM",
            "state the metrics, their uncertainty and the unit of analysis",
            "Section 11: patients are drawn as a whole",
            is_met=True,
        ),
        Item(
            "CLAIM",
            "analyse failures and robustness",
            "Groups of acquisition in section 3, explanations in section 6",
            is_met=True,
        ),
        Item(
            "CLAIM",
            "register the plan before the data are analysed",
            f"Registered {result.registration.registered}"
            if registered
            else "Not registered: run diascope audit --register first",
            is_met=registered,
        ),
        Item(
            "FUTURE-AI",
            "name sources of bias, acquisition included",
            "Section 6: each gap within strata of the other attributes",
            is_met=True,
        ),
        Item(
            "FUTURE-AI",
            "collect attributes of individuals and data",
            "Section 3 lists those that were given",
            is_met=True,
        ),
        Item("FUTURE-AI", "evaluate fairness with stated metrics", "Sections 2 and 3", is_met=bool(result.rulings)),
    )
