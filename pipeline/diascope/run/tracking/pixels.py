"""A report without its pictures, for a store where pixels may not go."""

import re

# As the page of a run spells it (`run/report/templates`).
_PICTURE = re.compile(r'<img class="preview" [^>]*>')


def without_pictures(html: str) -> str:
    """Take the pictures out of a report."""
    return _PICTURE.sub('<p class="quiet">The picture stays in the output folder.</p>', html)
