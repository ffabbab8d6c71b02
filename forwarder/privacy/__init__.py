"""Redaction and pseudonyms, before anything touches the disk. Pure: values in, new values out, no clock, no log.

What the operator writes into ``FORWARDER_REDACT`` and ``FORWARDER_PSEUDONYMIZE`` are **paths**:

- Segments are joined by dots and compared without case and separators: ``post-params.data.ssn`` is
  ``postParams.data.SSN``. ``*`` stands for one segment, ``**`` for any number, none included. A list takes no
  segment: its items stand where it stands. A flat key such as ``data[attributes][ssn]`` or ``data.ssn`` counts as
  nested.
- A path begins at the record's attributes (``post-params.password``, ``context.inquiry-id``); the attributes of the
  user's resource are below ``user`` (``user.email-address``). A bare word is that whole key at any depth: ``ssn`` is
  ``**.ssn``.
- The names of the canonical event are understood too (:data:`FIELDS`): ``user.email``, ``client.ip``, ``session_id``.
- Three degrees: ``post-params`` becomes one ``"[REDACTED]"``; with ``post-params.*`` each of its direct values does;
  with ``post-params.**`` all keys stay and each string, number and boolean below does.

Beside these, values of secret-like keys (:mod:`forwarder.privacy.secretlike`) are redacted, unless ``!defaults`` stands
in the list. Of two rules the one that the operator wrote wins, and redaction wins over a pseudonym.

The query and the parameters inside ``path`` are treated as ``get-params``. A string that holds JSON, form pairs or a
URL is looked into. What holds nothing stays as it is: null, ``""``, ``{}``, ``[]``, and Persona's own ``"[FILTERED]"``.

**Limits**, to be known by whoever relies on it: values are found by where they stand, not by what they look like. An
address in a free text, an object id in a path segment, base64, XML and ``multipart`` bodies are not looked into:
redact the whole value there (``post-params.raw-body``). A pseudonym of ``user.email`` does not replace the same address
in a parameter; name that place as well (``**.email-address``). Pseudonyms of values that can be guessed are as good as
the key is secret.
"""

from collections.abc import Sequence
from typing import Any

from forwarder.privacy.paths import FIELDS, NO_DEFAULTS, RELATED, check_path, compile_rules, names_related
from forwarder.privacy.pseudonyms import Pseudonyms
from forwarder.privacy.treatment import FILTERED, REDACTED, TOO_DEEP, Treatment
from forwarder.record import Json

__all__ = ["FIELDS", "FILTERED", "NO_DEFAULTS", "REDACTED", "TOO_DEEP", "Privacy", "check_path"]

_IDENTITY = frozenset({"id", "type", "attributes", "relationships"})


class Privacy:
    """What an operator wants hidden, compiled; give each resource and each user to it before storing them.

    :param redact: paths, and perhaps ``!defaults``
    :param pseudonymize: paths
    :param key: secret of at least 16 bytes; needed where *pseudonymize* names anything
    :raises ValueError: a path is not one, or the key is missing or too short
    """

    def __init__(self, redact: Sequence[str], pseudonymize: Sequence[str], key: bytes | None) -> None:
        for path in redact:
            check_path(path)
        for path in pseudonymize:
            check_path(path, pseudonymize=True)
        defaults = NO_DEFAULTS not in redact
        redact = [path for path in redact if path != NO_DEFAULTS]
        if pseudonymize and key is None:
            raise ValueError("pseudonyms need a key")
        self._pseudonyms = None if key is None or not pseudonymize else Pseudonyms(key)
        self._treatment = Treatment(
            defaults=defaults,
            pseudonym=str if self._pseudonyms is None else self._pseudonyms.replace,
        )
        self._root = compile_rules(redact, pseudonymize, defaults=defaults)
        self._redacted_ids = {kind for kind in RELATED if any(names_related(path, kind) for path in redact)}
        self._pseudonymized_ids = {kind for kind in RELATED if any(names_related(path, kind) for path in pseudonymize)}

    @property
    def key_id(self) -> str | None:
        """The part of each pseudonym that tells its key, or None without pseudonyms."""
        return None if self._pseudonyms is None else self._pseudonyms.key_id

    def resource(self, resource: Json) -> Json:
        """Return *resource* (an audit log as Persona sent it) with what is to be hidden replaced; it stays untouched.

        ``id``, ``type`` and ``attributes.created-at`` are never changed: the journal lives by them. What is nested
        deeper than a serializer takes becomes ``"[TOO DEEP]"``.
        """
        result = self._members(resource, self._root)
        attributes = resource.get("attributes")
        if isinstance(attributes, dict):
            treated = self._treatment.value(attributes, self._root)
            if isinstance(attributes.get("path"), str) and not self._root.step("path").action:
                treated["path"] = self._treatment.path(attributes["path"], self._root.step("get-params"))
            if "created-at" in attributes:
                treated["created-at"] = attributes["created-at"]
            result["attributes"] = treated
        elif "attributes" in resource:
            result["attributes"] = self._treatment.value(attributes, self._root)
        if "relationships" in resource:
            result["relationships"] = self._relationships(resource["relationships"])
        return result

    def user(self, user: Json) -> Json:
        """Return *user* (a user resource of ``included``) likewise; its ``id`` still joins it to its records."""
        node = self._root.step("user")
        result = self._members(user, node)
        if "attributes" in user:
            result["attributes"] = self._treatment.value(user["attributes"], node)
        if "relationships" in user:
            result["relationships"] = self._relationships(user["relationships"])
        if "user" in self._pseudonymized_ids and "id" in user:
            result["id"] = self._treatment.pseudonym_of(user["id"])
        return result

    def _members(self, resource: Json, node: Any) -> Json:
        """Copy the resource's own members, with those that are not of its identity (``meta``, ``links``) treated."""
        if resource.keys() <= _IDENTITY:
            return dict(resource)
        return {
            key: value if key in _IDENTITY else self._treatment.value({key: value}, node)[key]
            for key, value in resource.items()
        }

    def _relationships(self, relationships: Any) -> Any:
        if not isinstance(relationships, dict) or not (self._redacted_ids or self._pseudonymized_ids):
            return relationships
        return {
            name: {**link, "data": self._linkage(name, link["data"])}
            if isinstance(link, dict) and "data" in link
            else link
            for name, link in relationships.items()
        }

    def _linkage(self, name: str, data: Any) -> Any:
        if isinstance(data, list):
            return [self._linkage(name, item) for item in data if not isinstance(item, list)]
        if not isinstance(data, dict) or data.get("id") is None:
            return data
        kinds = {name, data.get("type")} if isinstance(data.get("type"), str) else {name}
        if kinds & self._redacted_ids:
            return {**data, "id": REDACTED}
        if kinds & self._pseudonymized_ids:
            return {**data, "id": self._treatment.pseudonym_of(data["id"])}
        return data
