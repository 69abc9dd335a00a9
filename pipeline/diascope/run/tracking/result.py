"""How sending to MLflow went, and whether a refusal is final."""

from dataclasses import dataclass, replace

from diascope.run.tracking.target import Target

SPOOL = "tracking.jsonl"

# MLflow's names for a request that will be refused however often it is sent.
_FINAL_CODES = frozenset({"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "MALFORMED_REQUEST", "RESOURCE_ALREADY_EXISTS"})


@dataclass(frozen=True, slots=True)
class SendResult:
    """How sending went.

    Attributes:
        sent: How many events.
        left: How many are still to be sent.
        run_id: MLflow's id of the latest run; empty if it has none yet.
        experiment_id: MLflow's id of the experiment.
        problem: Why not everything was sent; empty if it was.
        kept_back: How many files stayed here, since pictures may not go to a server.
        skipped: How many events MLflow will never take; they stay in tracking.jsonl.
        why_skipped: Of the first of them.
    """

    sent: int
    left: int
    run_id: str = ""
    experiment_id: str = ""
    problem: str = ""
    kept_back: int = 0
    skipped: int = 0
    why_skipped: str = ""

    def then(self, later: "SendResult") -> "SendResult":
        """Sum up two visits, of which the later one says what is left."""
        return replace(
            later,
            sent=self.sent + later.sent,
            run_id=later.run_id or self.run_id,
            experiment_id=later.experiment_id or self.experiment_id,
            kept_back=self.kept_back + later.kept_back,
            skipped=self.skipped + later.skipped,
            why_skipped=self.why_skipped or later.why_skipped,
        )


def left_text(result: SendResult) -> str:
    """Say what was not sent, why, and how to send it."""
    return (
        f"tracking: {result.left} entries were not sent ({result.problem or 'no reason known'}); "
        f"they wait in {SPOOL}, and `diascope sync OUT` sends them"
    )


def skipped_text(result: SendResult) -> str:
    """Say what MLflow will never take; empty where it took everything."""
    if not result.skipped:
        return ""
    what = "1 entry" if result.skipped == 1 else f"{result.skipped} entries"
    return f"tracking: MLflow will never take {what}, kept in {SPOOL} and left out ({result.why_skipped})"


def where_text(target: Target, result: SendResult) -> str:
    """Say where to look at a run that was sent."""
    # Without the last part MLflow's pages open on traces of language models, with the runs hidden.
    page = f"/#/experiments/{result.experiment_id}/runs/{result.run_id}?workflowType=machine_learning"
    if target.is_local:
        return (
            f"tracking: sent; `mlflow server --backend-store-uri {target.shown} --workers 1` shows it "
            f"at http://127.0.0.1:5000{page}"
        )
    return f"tracking: sent; {target.shown.rstrip('/')}{page}"


def is_final(error: Exception) -> bool:
    """Say whether the fault lies in what was sent, so that sending it again is in vain.

    Servers, networks, locks and full disks recover; a name that MLflow does not allow
    does not.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - three seconds, and only where it is needed
    from requests import RequestException  # noqa: PLC0415 - likewise

    if isinstance(error, MlflowException):
        return error.error_code in _FINAL_CODES
    if isinstance(error, RequestException):  # some of them are ValueErrors too
        return False
    return isinstance(
        error, ValueError | TypeError | LookupError | FileNotFoundError | NotADirectoryError | IsADirectoryError
    )
