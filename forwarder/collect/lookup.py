"""Users that a page names and does not include: fetched once, by one of their records, and never waited for."""

import asyncio
import math
from collections.abc import Mapping

from forwarder.clock import Clock
from forwarder.collect.budget import Budget
from forwarder.collect.persona import PersonaApi
from forwarder.errors import Failure, Retryable
from forwarder.record import Json

SECONDS = 5.0
"""Longest that the look-ups of one page may hold it up."""

SLOW_FAILURE = 1.0
"""A look-up that fails after so many seconds says that the others would."""

PAUSE_SECONDS = 300.0
"""After one, nobody is looked up for so long: not every page of a catch-up is to be held up."""

AGAIN_SECONDS = 3600.0
"""A user whom Persona did not show is asked for again only so much later."""


class UserLookup:
    """Finds users within what the rate budget lets go at once."""

    def __init__(self, api: PersonaApi, budget: Budget, clock: Clock) -> None:
        self._api = api
        self._budget = budget
        self._clock = clock
        self._not_before: dict[str, float] = {}
        self._paused_until = -math.inf

    async def find(self, wanted: Mapping[str, str]) -> dict[str, Json]:
        """The resources of those *wanted* users (id to the id of one of their records) that Persona shows now."""
        found: dict[str, Json] = {}
        deadline = self._clock.monotonic() + SECONDS
        for user, record in wanted.items():
            now = self._clock.monotonic()
            if now >= deadline or now < self._paused_until or self._budget.delay(now) > 0:
                break
            if self._not_before.get(user, now) > now:
                continue
            self._budget.spend(now)
            # Assume failure: whatever ends this look-up, it is not repeated at every page.
            self._not_before[user] = now + AGAIN_SECONDS
            try:
                async with asyncio.timeout(deadline - now):
                    resource = await self._api.fetch_user(record)
            except (Failure, TimeoutError) as error:
                failed = self._clock.monotonic()
                if isinstance(error, Retryable) and (error.kind == "rate_limited" or error.retry_after is not None):
                    self._budget.throttled(error.retry_after, failed)
                if failed - now >= SLOW_FAILURE:
                    self._paused_until = failed + PAUSE_SECONDS
                continue
            if self._api.rate is not None:
                self._budget.learn(self._api.rate, self._clock.monotonic())
            if resource is not None:
                found[user] = resource
        return found
