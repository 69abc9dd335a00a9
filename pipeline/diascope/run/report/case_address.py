"""Where the viewer shows a case, for those who link to it from elsewhere."""

from urllib.parse import quote

ANY_FOLDER = "-"
"""Stands for the output folder in a link: its name may be a patient's, and the viewer finds the case without it."""


def case_path(case_id: str, **query: str | int) -> str:
    """Give the path of a case below the viewer's address, such as `#/case/-/case-1?finding=f-1`."""
    asked = "&".join(f"{name}={quote(str(value), safe='')}" for name, value in query.items())
    return f"#/case/{ANY_FOLDER}/{quote(case_id, safe='')}" + (f"?{asked}" if asked else "")
