"""A token endpoint (RFC 6749, section 4.4) that signs JSON web tokens, and the keys by which others check them."""

import base64
import json
import time
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

CLIENT_ID, CLIENT_SECRET = "forwarder", "the-client's secret: ü/+"


class TokenIssuer:
    """Issues tokens for *subject* to the one client that it knows.

    :ivar status: what it answers; other than 200, it is down or confused
    :ivar audience: whom the tokens are for
    :ivar asked: the scope of each request that was granted
    """

    def __init__(self, subject: str) -> None:
        self.status = 200
        self.audience = "kafka"
        self.life = 300
        self.secret = CLIENT_SECRET
        self.asked: list[str | None] = []
        self._subject = subject
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def keys(self) -> str:
        """The public key, as a JSON web key set."""
        numbers = self._key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "kid": "one",
            "alg": "RS256",
            "use": "sig",
            "n": _number(numbers.n),
            "e": _number(numbers.e),
        }
        return json.dumps({"keys": [key]})

    def application(self) -> web.Application:
        """Its endpoint, ``/token``."""
        application = web.Application()
        application.router.add_post("/token", self._grant)
        return application

    def issue(self) -> str:
        """Sign a token."""
        now = int(time.time())
        claims = {"sub": self._subject, "aud": self.audience, "iss": "test", "iat": now, "exp": now + self.life}
        signed = b".".join(_encode(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "one"}, claims))
        signature = self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        return (signed + b"." + _encode(signature)).decode()

    async def _grant(self, request: web.Request) -> web.Response:
        if self.status != 200:
            return web.Response(status=self.status, text="no")
        form = await request.post()
        login = base64.b64decode(request.headers.get("Authorization", "").removeprefix("Basic ")).decode()
        if login != f"{CLIENT_ID}:{self.secret}" or form.get("grant_type") != "client_credentials":
            return web.json_response({"error": "invalid_client"}, status=401)
        scope: Any = form.get("scope")
        self.asked.append(scope)
        return web.json_response({"access_token": self.issue(), "token_type": "Bearer", "expires_in": self.life})


def _encode(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _number(value: int) -> str:
    return _encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()
