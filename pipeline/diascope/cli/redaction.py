"""Tell the log what it must never show."""

import logging
from collections.abc import Iterator

from diascope.io.series import Catalogue
from diascope.log import Redactor


def register_identifiers(found: Catalogue) -> None:
    """Register every name, number, UID, date and path that was found with the log's filters."""
    texts = set(_identifiers(found))
    for handler in logging.getLogger().handlers:
        for redactor in handler.filters:
            if isinstance(redactor, Redactor):
                redactor.register(texts)


def _identifiers(found: Catalogue) -> Iterator[str]:
    for one in found.identities:
        yield from (
            one.patient_id,
            one.patient_name,
            one.study_uid,
            one.accession_number,
            one.study_date,
            one.birth_date,
        )
    yield from (file.path for file in found.files)
