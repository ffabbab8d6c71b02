"""What it means that no whole answer came. Pure: an exception of the HTTP client in, the failure to raise out.

The client's own texts are used only where they hold neither URLs nor headers.
"""

import ssl

import aiohttp

from forwarder.errors import Failure, Misconfigured, Retryable

_BROKEN: tuple[tuple[type[Exception], str, str], ...] = (
    (aiohttp.ClientPayloadError, "the answer was cut before its end", "incomplete"),
    (aiohttp.ClientResponseError, "the answer is not valid HTTP", "protocol"),
    (aiohttp.ServerDisconnectedError, "the connection was closed before an answer came", "connection"),
    (OSError, "the connection broke: {cause}", "connection"),
    (aiohttp.ClientConnectionError, "the connection was lost", "connection"),
    (Exception, "the request failed in the HTTP client ({name})", "protocol"),
)
"""What is neither a time-out nor a matter of connecting: the first type that fits, its text, the failure's kind."""


def unreached(error: Exception, *, variable: str, seconds: float) -> Failure:
    """Translate *error*.

    :param variable: prefix of the source's variables (``FORWARDER_PERSONA``)
    :param seconds: the time-out that was set for the request
    """
    if isinstance(error, TimeoutError):
        return Retryable(f"no whole answer within {seconds:g} s ({variable}_TIMEOUT)", kind="timeout")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return _distrusted(error, variable)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return _proxy_refused(error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unconnected(error)
    text, kind = next((text, kind) for broken, text, kind in _BROKEN if isinstance(error, broken))
    return Retryable(text.format(cause=_cause(error), name=type(error).__name__), kind=kind)


def _unconnected(error: aiohttp.ClientConnectorError) -> Retryable:
    peer = f"{error.host}:{error.port}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        peer = f"the proxy {peer} of HTTPS_PROXY"
    kind = "tls" if isinstance(error, aiohttp.ClientSSLError) else "connection"
    return Retryable(f"{peer} cannot be reached: {_cause(error.os_error)}", kind=kind)


def _distrusted(error: Exception, variable: str) -> Misconfigured:
    cause = getattr(error, "certificate_error", error)
    why = getattr(cause, "verify_message", "") or "verification failed"
    return Misconfigured(
        f"the server's certificate is not trusted ({why}); if a proxy of yours inspects TLS, name its CA in "
        f"{variable}_TLS_CA_FILE, and see that this machine's time is right"
    )


def _proxy_refused(error: aiohttp.ClientHttpProxyError) -> Failure:
    if error.status in {401, 403, 407}:
        return Misconfigured(
            f"the proxy of HTTPS_PROXY refuses to connect us ({error.status}); check its credentials and its rules"
        )
    return Retryable(f"the proxy of HTTPS_PROXY answered {error.status}", kind="connection")


def _cause(error: Exception) -> str:
    """Say what broke, in the system's words, which name addresses at most."""
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS failed"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return type(error).__name__
