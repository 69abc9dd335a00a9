"""The page of a batch in MLflow: the way back from the viewer."""

from diascope.run.tracking.additions import settings_of
from diascope.run.tracking.result import SPOOL
from diascope.run.tracking.spool import read_spool
from diascope.run.tracking.tracker import sync_target
from diascope.viewer.outs import ServedOut


class MlflowPages:
    """Finds the page of each output folder's run; what was read is kept while tracking.jsonl stays the same."""

    def __init__(self, base: str) -> None:
        """Know where MLflow's pages are.

        Args:
            base: Their address; empty takes that of the tracking server, if it is one.
        """
        self._base = base
        self._kept: dict[str, tuple[int, str | None]] = {}

    def url(self, out: ServedOut) -> str | None:
        """Give the address of a run's page; None where the run was not sent, or nobody knows where its pages are."""
        spool = out.folder.root / SPOOL
        if not spool.is_file() or not out.run_facts().get("finished"):
            return None  # the file of a batch that is still going grows all the time
        stamp = spool.stat().st_mtime_ns
        if out.out_id not in self._kept or self._kept[out.out_id][0] != stamp:
            self._kept[out.out_id] = (stamp, self._find(out))
        return self._kept[out.out_id][1]

    def _find(self, out: ServedOut) -> str | None:
        root = out.folder.root
        content = read_spool(root / SPOOL)
        last = content.last_run()
        if last is None:
            return None
        target = sync_target(root, settings_of(root))
        receipt = content.receipt(target.digest, last.run)
        base = self._base or (target.shown if target.shown.startswith(("http://", "https://")) else "")
        if receipt is None or not base:
            return None
        page = f"/#/experiments/{receipt.experiment_id}" if receipt.experiment_id else "/#"
        # Without the last part MLflow's pages open on traces of language models, with the runs hidden.
        return f"{base.rstrip('/')}{page}/runs/{receipt.run_id}?workflowType=machine_learning"
