"""Tokens for Amazon MSK, made by Amazon's own signer; no request leaves the machine."""

import base64

import pytest

from forwarder.errors import Misconfigured
from forwarder.sinks.kafka.failures import TokenError
from forwarder.sinks.kafka.msk import MskTokens, installed

SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", f"{tmp_path}/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", f"{tmp_path}/credentials")


async def test_a_token_is_a_signed_request_to_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    token = await MskTokens("eu-west-1", 30).token()
    signed = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    assert signed.startswith("https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect&")
    assert "AKIAIOSFODNN7EXAMPLE%2F" in signed
    assert "X-Amz-Signature=" in signed
    assert SECRET not in signed


async def test_without_credentials_it_says_what_to_give() -> None:
    with pytest.raises(TokenError, match="no AWS credentials to sign with") as raised:
        await MskTokens("eu-west-1", 30).token()
    assert isinstance(raised.value.failure, Misconfigured)
    assert raised.value.__cause__ is None
