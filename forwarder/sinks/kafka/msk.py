"""Logging in to Amazon MSK by IAM: the tokens that Amazon's own signer makes, offered over OAUTHBEARER.

The signer finds its credentials as every AWS library does (environment, profile, role of the pod or the machine); it
blocks while it asks for them, so it runs in a thread. It comes with the extra ``msk``.
"""

import asyncio
from importlib import import_module
from importlib.util import find_spec

from aiokafka.abc import AbstractTokenProvider

from forwarder.errors import Misconfigured
from forwarder.sinks.kafka.failures import TokenError

_SIGNER = "aws_msk_iam_sasl_signer"


def installed() -> bool:
    """Whether the signer is there."""
    return find_spec(_SIGNER) is not None


class MskTokens(AbstractTokenProvider):  # type: ignore[misc] # the library ships no types
    """Tokens for one region. They hold for 15 minutes, and are made anew for each connection: signing is local."""

    def __init__(self, region: str, timeout: float) -> None:
        self._region = region
        self._timeout = timeout

    async def token(self) -> str:
        """Make a token.

        :raises TokenError: no credentials were found, or not in time
        """
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.to_thread(_sign, self._region)
        except Exception as error:  # noqa: BLE001 # botocore raises dozens of kinds, and they mean the same to us
            # The type alone: what the AWS libraries raise may quote what they were given.
            reason = f"no AWS credentials to sign with ({type(error).__name__}); give the process a role or a profile"
            raise TokenError(Misconfigured(reason)) from None


def _sign(region: str) -> str:
    token, _ = import_module(f"{_SIGNER}.MSKAuthTokenProvider").generate_auth_token(region)
    return str(token)
