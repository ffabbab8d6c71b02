"""A simulated Persona in the test's own process, so that a test can look at it and change it."""

from collections.abc import AsyncIterator

import pytest

from forwarder.simulator import SimulatedPersona, World


@pytest.fixture
async def persona() -> AsyncIterator[SimulatedPersona]:
    """300 records and no live traffic; the rate limit is out of the way."""
    async with SimulatedPersona(World(records=300), limit=1_000_000) as simulated:
        yield simulated
