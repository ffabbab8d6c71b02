"""What Persona's other statuses mean. Pure: an answer in, the failure to raise out, its text for the operator.

Persona's envelope is ``{"errors": [{"title": …, "details": …}]}``; bodies of the edge are HTML or empty.
"""

from typing import Any

from forwarder.collect.answers import Answer, named, rate_limit, retry_after
from forwarder.collect.lenient import NotJson, loads
from forwarder.errors import CursorLost, Failure, Misconfigured, Refused, Retryable

OK = 200

GONE = frozenset({404, 410})
"""A single record that Persona does not have, or no longer."""

_LONGEST_QUOTE = 300

_BAD_CURSOR = frozenset({400, 404, 410, 422})
"""Undocumented which of them a lost cursor gets. With a cursor they are read so: were the request itself at fault, they
would come again from the top, and are reported then."""


def failure(answer: Answer, *, variable: str, cursor: str | None, key: str) -> Failure:
    """Translate an answer that is no 200.

    :param variable: prefix of the source's variables (``FORWARDER_PERSONA``)
    :param cursor: what was asked for with ``page[after]``
    :param key: the API key that was sent, never empty; its text is taken out of what is quoted
    """
    status, said = answer.status, _quote(answer, key)
    if status in _BAD_CURSOR and cursor is not None:
        return CursorLost(named(answer, f"Persona refused the cursor with {status}{said}"))
    if status == 429:
        return _rate_limited(answer, said)
    if status == 408 or status >= 500:
        return Retryable(
            named(answer, f"Persona answered {status}{said}"),
            retry_after=retry_after(answer),
            kind="server_error",
        )
    if 200 <= status < 300:
        return Retryable(named(answer, f"the answer is {status} and not 200"), kind="not_persona")
    return Misconfigured(named(answer, _advice(answer, variable) + said))


def record_failure(answer: Answer, *, variable: str, key: str) -> Failure:
    """Translate an answer about a single record that is neither a 200 nor one of :data:`GONE`.

    :param variable: prefix of the source's variables (``FORWARDER_PERSONA``)
    :param key: the API key that was sent; its text is taken out of what is quoted
    """
    if answer.status in _BAD_CURSOR:
        return Refused(named(answer, f"Persona refused to show the record with {answer.status}{_quote(answer, key)}"))
    return failure(answer, variable=variable, cursor=None, key=key)


def _rate_limited(answer: Answer, said: str) -> Retryable:
    rate = rate_limit(answer.headers)
    asked = (None if rate is None else rate.reset, retry_after(answer))
    waits = [wait for wait in asked if wait is not None]
    return Retryable(
        named(answer, f"Persona answered 429: the rate limit or a quota is used up{said}"),
        retry_after=max(waits, default=None),
        kind="rate_limited",
    )


def _advice(answer: Answer, variable: str) -> str:
    """What the operator has to do about a status that repetition will not mend."""
    status = answer.status
    if 300 <= status < 400:
        return (
            f"a redirect ({status}) was refused: the API key is sent to no other place than the configured one; "
            f"check {variable}_BASE_URL"
        )
    if status == 407:
        return "the proxy wants credentials (407); check the user and password in HTTPS_PROXY"
    if status in {401, 403}:
        return _denied(answer, variable)
    if status == 404:
        return f"there are no user audit logs at this URL (404); check {variable}_BASE_URL"
    return (
        f"Persona refuses the request itself ({status}); check {variable}_BASE_URL and {variable}_VERSION, "
        "and whether a newer forwarder exists"
    )


def _denied(answer: Answer, variable: str) -> str:
    status = answer.status
    errors = _errors(answer)
    if errors is None:
        return (
            f"access was denied ({status}) before Persona's API was reached: an edge server or a proxy answered; "
            "check whether this machine's egress address is blocked, and HTTPS_PROXY"
        )
    text = " ".join(errors).lower()
    if "ip address" in text:
        return (
            f"the API key is bound to an IP allowlist without this machine's egress address ({status}); "
            "add the address to the key's allowlist in Persona's dashboard"
        )
    if status == 401:
        return (
            f"Persona does not accept the API key (401): it is wrong, expired or revoked; "
            f"put a valid production key into {variable}_API_KEY or the file that {variable}_API_KEY_FILE names"
        )
    return (
        "the API key may not read the audit log (403); give it the permission user_audit_log.read, "
        f"and see that {variable}_API_KEY is a production key: the sandbox does not serve this log"
    )


def _errors(answer: Answer) -> list[str] | None:
    """Title and details of each error, or None if the body is not Persona's envelope."""
    try:
        document = loads(answer.body)
    except NotJson:
        return None
    found = document.get("errors") if isinstance(document, dict) else None
    if not isinstance(found, list):
        return None
    return [_text(error) for error in found if isinstance(error, dict)]


def _text(error: dict[str, Any]) -> str:
    parts = (error.get(key) for key in ("title", "details", "detail"))
    return ": ".join(part for part in parts if isinstance(part, str) and part)


def _quote(answer: Answer, key: str) -> str:
    """Quote what Persona says about it: one line, short, without the key even if it is echoed."""
    text = "; ".join(_errors(answer) or []).replace(key, "********")
    line = "".join(char if char.isprintable() else " " for char in text).strip()
    if len(line) > _LONGEST_QUOTE:
        line = line[:_LONGEST_QUOTE] + "…"
    return f'; Persona says "{line}"' if line else ""
