"""A sink from somebody else's package: found by its entry point, held to the contract, driven by the worker."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from forwarder.sinks import sink_class, sink_kinds
from forwarder.sinks.base import SinkContext
from tests.delivery.conftest import Rig
from tests.delivery.memory_journal import MemoryJournal
from tests.sinks.contract import Destination, SinkContract
from tests.sinks.installed import installed_plugin


@pytest.fixture(autouse=True, scope="module")
def _installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with installed_plugin(tmp_path_factory.mktemp("site")):
        yield


class Spool(Destination):
    """A directory that can be taken away."""

    def __init__(self, root: Path) -> None:
        self._directory, self._away = root / "spool", root / "away"
        self._directory.mkdir()

    def settings(self) -> dict[str, Any]:
        return {"directory": str(self._directory), "timeout": 5}

    async def arrived(self) -> list[bytes]:
        return [file.read_bytes() for file in sorted(self._directory.glob("*.json"))]

    async def break_down(self) -> None:
        self._directory.rename(self._away)

    async def mend(self) -> None:
        self._away.rename(self._directory)


class TestSpoolSink(SinkContract):
    kind = "spool"

    @pytest_asyncio.fixture
    async def destination(self, tmp_path: Path) -> AsyncIterator[Destination]:  # type: ignore[override] # its place
        yield Spool(tmp_path)


def test_an_installed_sink_is_found_after_ours() -> None:
    assert sink_kinds() == ["stdout", "file", "kafka", "syslog", "splunk_hec", "spool"]
    assert sink_class("spool").__module__ == "forwarder_spool"


async def test_the_worker_delivers_to_it_and_outlives_its_outage(tmp_path: Path) -> None:
    """From the journal to the spool, through a failure, every event once."""
    spool = Spool(tmp_path)
    loaded = sink_class("spool")
    sink = loaded(
        loaded.settings_model.model_validate({**spool.settings(), "batch_max_events": 3}), SinkContext("spool", "j")
    )
    rig = Rig(MemoryJournal())
    rig.journal.release(5)
    await spool.break_down()
    worker = rig.start(sink, "spool")
    await rig.until(lambda: worker.health.misconfigured, seconds=5)
    await spool.mend()
    await rig.until_at(5, "spool", seconds=20)
    rig.journal.release(2)
    await rig.until_at(7, "spool", seconds=5)
    await rig.halt()
    assert len(await spool.arrived()) == 7
