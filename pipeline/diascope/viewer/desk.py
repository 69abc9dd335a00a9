"""What the handlers share: the folders and their index, who is signed in, the record."""

import threading
from dataclasses import dataclass
from typing import cast

from starlette.requests import Request

from diascope.run.report.case_address import ANY_FOLDER
from diascope.viewer.answers import Problem
from diascope.viewer.corrections import Drafts
from diascope.viewer.index import CaseIndex
from diascope.viewer.mirror import Mirror
from diascope.viewer.mlflow_page import MlflowPages
from diascope.viewer.outs import ServedOut
from diascope.viewer.record import Record
from diascope.viewer.sessions import Session, Sessions
from diascope.viewer.settings import ViewSettings
from diascope.viewer.truth import Truths
from diascope.viewer.users import Users
from diascope.viewer.voxels import Scratch


@dataclass(frozen=True, slots=True)
class Desk:
    """One server.

    Attributes:
        settings: How it was started.
        token: Opens a session where there are no users.
        sessions: Who is signed in.
        index: All cases.
        scratch: Derived files.
        record: Verdicts and claims.
        drafts: Corrections in the making.
        truths: Finds the truth of a case.
        mirror: Sends what readers said to MLflow.
        users: Who may sign in with a password; none where a token opens the session.
        mlflow: Finds the page of a batch in MLflow.
        closing: Set when the server ends.
    """

    settings: ViewSettings
    token: str
    sessions: Sessions
    index: CaseIndex
    scratch: Scratch
    record: Record
    drafts: Drafts
    truths: Truths
    mirror: Mirror
    users: Users
    mlflow: MlflowPages
    closing: threading.Event

    def out(self, request: Request) -> ServedOut:
        """Find the output folder that an address names.

        Raises:
            Problem: There is none of that name.
        """
        name = request.path_params["out"]
        out = self.folder_with(request.path_params.get("case_id", "")) if name == ANY_FOLDER else None
        out = out or self.index.outs.get(name)
        if out is None:
            raise Problem("no_such_case", "there is no output folder of this name", "go back to the worklist")
        return out

    def folder_with(self, case_id: str) -> ServedOut | None:
        """Find the first output folder that holds a case: links from elsewhere do not name the folder."""
        rows = self.index.query("SELECT out_id FROM cases WHERE case_id = ? ORDER BY out_id", (case_id,))
        return self.index.outs[rows[0][0]] if rows else None


def session_of(request: Request) -> Session:
    """Give the session of a request that passed the guard."""
    return cast("Session", request.state.session)


def named(request: Request) -> Session:
    """Give the session of a reader who may judge.

    Raises:
        Problem: The reader has no name yet, or may only look.
    """
    session = session_of(request)
    if session.role != "reviewer":
        raise Problem("forbidden", "your role is reader: you may look, not judge", "ask for the role reviewer")
    if not session.reviewer:
        raise Problem("needs_name", "a verdict needs its reader's name", "give your name first")
    return session
