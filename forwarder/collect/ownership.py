"""One journal, one organization per source name."""

from forwarder.collect.persona import Page
from forwarder.journal import SourceRecord


def foreign(source: SourceRecord, page: Page) -> str | None:
    """What is wrong if *page* belongs to another organization than the one that the journal keeps; None if nothing.

    Answers without the headers that name the organization (documented, yet not promised) decide nothing.
    """
    if page.organization_id is None or source.organization_id is None:
        return None
    ours = (source.organization_id, source.environment_id)
    if ours == (page.organization_id, page.environment_id or source.environment_id):
        return None
    return (
        f"the key belongs to organization {page.organization_id}, environment {page.environment_id}, "
        f"but the journal keeps {ours[0]}, {ours[1]} under the source name {source.name!r}; give the other one "
        "a name of its own in FORWARDER_SOURCES, or a journal of its own in FORWARDER_STATE_PATH"
    )
