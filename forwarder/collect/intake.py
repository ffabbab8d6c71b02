"""From Persona's page to what enters the journal: redacted, serialized, each record with the id of its user."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from forwarder.journal import CollectedRecord, Row
from forwarder.record import Json, created_at, record_id, related_id


class Redactor(Protocol):
    """What is done to a resource before it may touch the disk."""

    def resource(self, resource: Json) -> Json:
        """A record's resource without what must not be kept."""

    def user(self, user: Json) -> Json:
        """The same for a user's resource."""


@dataclass(frozen=True, slots=True)
class Intake:
    """One page, ready for the journal."""

    records: Sequence[CollectedRecord]
    users: Mapping[str, bytes]
    missing_users: Mapping[str, str]
    """Users that the page names and does not include, each with the id of one of its records."""
    without_id: int
    """Records that have no id to know them by: refused, for they could not be told apart."""


def take_in(records: Sequence[Json], users: Mapping[str, Json], redactor: Redactor) -> Intake:
    """Make a page ready for the journal. Pure: the same page gives the same bytes."""
    collected: list[CollectedRecord] = []
    missing: dict[str, str] = {}
    redacted = (redactor.user(resource) for resource in users.values())
    included = {str(user["id"]): orjson.dumps(user) for user in redacted}
    for resource in records:
        id_ = record_id(resource)
        if id_ is None:
            continue
        clean = redactor.resource(resource)
        # By its id after redaction, which is what the journal knows it by.
        user = related_id(clean, "user")
        if user is not None and user not in included:
            missing.setdefault(user, id_)
        collected.append(CollectedRecord(Row(id_, created_at(clean)), orjson.dumps(clean), user))
    return Intake(
        records=collected,
        users=included,
        missing_users=missing,
        without_id=len(records) - len(collected),
    )
