"""RFC 5424 section 6, read strictly and written from its ABNF, to judge what the sink writes."""

import re
from dataclasses import dataclass

_HEADER = re.compile(
    rb"<(?P<pri>0|[1-9][0-9]{0,2})>(?P<version>[1-9][0-9]{0,2})"
    rb" (?P<time>-|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-9]{2}))"
    rb" (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) (?P<proc>[!-~]{1,128}) (?P<msgid>[!-~]{1,32}) ",
)
_NAME = re.compile(rb"[!#-<>-\\^-~]{1,32}")  # printable ASCII without space, `"`, `=` and `]`


@dataclass(frozen=True)
class Parsed:
    """One message: its header's fields, its structured data by name, its text."""

    facility: int
    severity: int
    time: str
    host: str
    app: str
    proc: str
    msgid: str
    data: dict[str, list[tuple[str, str]]]
    text: bytes


def parse(message: bytes) -> Parsed:
    """Parse a whole message.

    :raises ValueError: it is not an RFC 5424 message
    """
    header = _HEADER.match(message)
    if header is None:
        raise ValueError(f"no header: {message[:200]!r}")
    priority = int(header["pri"])
    if priority > 191 or header["version"] != b"1":
        raise ValueError("priority or version out of range")
    data, end = _structured_data(message, header.end())
    if end < len(message) and message[end : end + 1] != b" ":
        raise ValueError("no space after the structured data")
    names = {name: header[name].decode("ascii") for name in ("time", "host", "app", "proc", "msgid")}
    return Parsed(priority // 8, priority % 8, data=data, text=message[end + 1 :], **names)


def _structured_data(message: bytes, at: int) -> tuple[dict[str, list[tuple[str, str]]], int]:
    if message[at : at + 1] == b"-":
        return {}, at + 1
    found: dict[str, list[tuple[str, str]]] = {}
    while message[at : at + 1] == b"[":
        name, at = _name(message, at + 1)
        if name in found:
            raise ValueError("the same SD-ID twice")
        found[name] = []
        while message[at : at + 1] == b" ":
            key, at = _name(message, at + 1)
            if message[at : at + 2] != b'="':
                raise ValueError("no value")
            value, at = _value(message, at + 2)
            found[name].append((key, value))
        if message[at : at + 1] != b"]":
            raise ValueError("the element does not end")
        at += 1
    if not found:
        raise ValueError("no structured data")
    return found, at


def _name(message: bytes, at: int) -> tuple[str, int]:
    name = _NAME.match(message, at)
    if name is None:
        raise ValueError("no SD-NAME")
    return name[0].decode("ascii"), name.end()


def _value(message: bytes, at: int) -> tuple[str, int]:
    value = bytearray()
    while message[at : at + 1] != b'"':
        byte = message[at : at + 1]
        if not byte:
            raise ValueError("the value does not end")
        if byte == b"]":
            raise ValueError("an unescaped bracket")
        if byte == b"\\" and message[at + 1 : at + 2] in (b'"', b"\\", b"]"):
            at += 1
            byte = message[at : at + 1]
        value += byte
        at += 1
    return value.decode("utf-8"), at + 1
