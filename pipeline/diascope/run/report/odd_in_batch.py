"""Cases that are odd beside the others of their batch: only the whole batch knows it, so no report of a case has it."""


def odd_in_batch(compared_with: str, times_the_border: float | None) -> tuple[str, ...]:
    """Say why a case was flagged that its own report does not flag; empty where it was not.

    Args:
        compared_with: As in cases.csv.
        times_the_border: `out_of_distribution` of cases.csv.
    """
    if compared_with != "batch" or times_the_border is None or times_the_border <= 1:
        return ()
    return (f"unlike the other cases of this batch ({times_the_border:.1f} times the border of what is usual)",)
