"""What holds for every test: no asyncio task and no socket outlives it."""

import asyncio
import gc
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, settings

pytest.register_assert_rewrite("tests.sinks.contract")

# How long an example takes says something about the machine, and nothing about us.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")

_DESCRIPTORS = Path("/proc/self/fd")


def pytest_configure() -> None:
    """Draw the first seed of the worlds, the same for all processes of this run.

    And let nobody make an event loop merely by asking for the current one, as looptime does before synchronous tests.
    """
    os.environ.setdefault("SIMULATED_FIRST", str(secrets.randbelow(10**9)))
    asyncio.set_event_loop(None)


def pytest_report_header() -> str:
    """Say which worlds this run plays."""
    return f"worlds from seed {os.environ['SIMULATED_FIRST']} (SIMULATED_FIRST={os.environ['SIMULATED_FIRST']} repeats)"


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the check for tasks around each asynchronous test.

    First in the list of fixtures is last to be torn down: what other fixtures close is closed by then.
    """
    for item in items:
        if isinstance(item, pytest.Function) and pytest_asyncio.is_async_test(item):
            item.fixturenames.insert(0, "_no_task_outlives_the_test")


@pytest_asyncio.fixture
async def _no_task_outlives_the_test() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    for _ in range(5):  # what was cancelled or closed a moment ago needs a few turns of the loop to end
        await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    if left:
        pytest.fail("tasks outlive the test: " + ", ".join(sorted(map(repr, left))), pytrace=False)


@pytest.fixture(autouse=True)
def _no_socket_outlives_the_test() -> Iterator[None]:
    before = open_sockets()
    yield
    if open_sockets() - before:
        gc.collect()  # an unclosed socket that nobody holds warns now, and warnings are errors
        left = open_sockets() - before
        if left:
            pytest.fail(f"sockets outlive the test: {sorted(left)}", pytrace=False)


def open_sockets() -> set[str]:
    """List the sockets that this process holds, as the kernel names them; none where it does not tell."""
    found = set()
    for descriptor in _DESCRIPTORS.iterdir() if _DESCRIPTORS.exists() else ():
        try:
            target = str(descriptor.readlink())
        except OSError:  # the descriptor of the listing itself
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found
