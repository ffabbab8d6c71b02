"""The employees of the simulated organization, and where they work from.

Addresses are of the ranges kept for documentation (RFC 5737, RFC 3849) and domains of RFC 2606, so nothing that the
simulator says can be taken for somebody real.
"""

from dataclasses import dataclass
from random import Random

from forwarder.record import Json
from forwarder.simulator.identifiers import Identifiers

SUPPORT = "support.engineer@persona.example"
"""Who impersonates an employee, when Persona's own staff does."""

_FIRST = (
    "Jane", "Zoë", "Łukasz", "José", "Anh", "Søren", "Chloé", "Dmitri", "Priya", "Mohammed", "Aoife", "Kenji",
    "Fatima", "Grace", "Ólafur", "Noah", "Ngọc", "Beatriz", "明", "Иван", "Sinéad", "Tariq", "Yuki", "Amara",
)  # fmt: skip
_LAST = (
    "Doe", "O'Connor", "Nguyễn", "García", "Müller", "Kowalski", "Østergaard", "Patel", "Sørensen", "李", "Петров",
    "Al-Hassan", "Şahin", "Smith", "Tanaka", "Okafor", "Lefèvre", "Þórsson", "Costa", "Novák", "van der Berg",
)  # fmt: skip
_CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36"
_AGENTS = (
    f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {_CHROME}",
    f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {_CHROME}",
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 Version/18.5 Safari/604.1",
)


@dataclass(frozen=True, slots=True, eq=False)
class Employee:
    """A user of the dashboard, with what their requests come from."""

    number: int
    id: str
    resource: Json
    """The JSON:API resource, as it stands in ``included``."""
    addresses: tuple[str, ...]
    """The usual one first."""
    user_agent: str


def hire(count: int, seed: int, identifiers: Identifiers) -> tuple[Employee, ...]:
    """The *count* employees of the organization of this *seed*."""
    random = Random(seed)
    return tuple(_employee(number, random, identifiers) for number in range(count))


def _employee(number: int, random: Random, identifiers: Identifiers) -> Employee:
    user_id = identifiers.opaque("user", number)
    return Employee(
        number=number,
        id=user_id,
        resource={
            "type": "user",
            "id": user_id,
            "attributes": {
                "email-address": f"employee{number + 1}@corp.example",
                "name-first": random.choice(_FIRST),
                "name-last": random.choice(_LAST),
            },
        },
        addresses=(
            f"203.0.113.{1 + number % 8}",
            f"2001:db8:{random.randrange(1, 0xFFFF):x}::{random.randrange(1, 0xFFFF):x}",
            f"198.51.100.{random.randrange(1, 255)}",
        ),
        user_agent=random.choice(_AGENTS),
    )
