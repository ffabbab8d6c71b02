"""What only Persona and the destinations can tell is wrong: said, waited for, and mended without a loss."""

import asyncio
from pathlib import Path

import pytest

from forwarder.simulator import SimulatedPersona, World
from tests.daemon.process import DaemonProcess, Lines, environment


async def test_the_key_of_another_organization_is_78_and_nothing_of_it_is_taken(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        await daemon.until(lambda: lines.has(list(persona.world.ids())))
        assert await daemon.stop() == 0
    async with SimulatedPersona(World(seed=2, records=50)) as other:
        with DaemonProcess(environment(tmp_path, other), tmp_path) as daemon:
            assert await daemon.ended(30) == 78
            assert "FORWARDER_PERSONA_API_KEY: the key belongs to organization " in daemon.words()
            for organization in (persona.world.activity.organization_id, other.world.activity.organization_id):
                assert organization in daemon.words()
    assert sorted(lines.look()) == sorted(persona.world.ids())
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        added = persona.world.append(3)
        await daemon.until(lambda: lines.has(added))
        assert await daemon.stop() == 0


async def test_two_organizations_are_two_names_in_one_process(persona: SimulatedPersona, tmp_path: Path) -> None:
    async with SimulatedPersona(World(seed=2, records=50)) as other:
        variables = environment(
            tmp_path,
            persona,
            sources="persona,emea=persona",
            emea_base_url=other.url,
            emea_api_key=other.api_key,
            emea_poll_interval="200ms",
        )
        lines = Lines(tmp_path / "events.jsonl")
        with DaemonProcess(variables, tmp_path) as daemon:
            await daemon.until(lambda: len(lines.look()) >= 350)
            await daemon.ready()
            assert await daemon.stop() == 0
    by_source: dict[str, set[str]] = {"persona": set(), "emea": set()}
    for event in lines.content():
        by_source[event["source"]["name"]].add(event["id"])
    assert by_source == {"persona": set(persona.world.ids()), "emea": set(other.world.ids())}


async def test_a_key_file_that_turns_to_another_organization_is_not_followed(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    """The daemon lives on: it is one source that is wrong now, and it heals when the key is put back."""
    ours, theirs = persona.world, World(seed=2, records=50)
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        await daemon.until(lambda: lines.has(list(ours.ids())))
        persona._endpoint.world = theirs
        foreign = await daemon.logged("source.foreign")
        assert theirs.activity.organization_id in foreign["reason"]
        persona._endpoint.world = ours
        added = ours.append(3)
        await daemon.until(lambda: lines.has(added))
        assert await daemon.stop() == 0
    assert sorted(lines.look()) == sorted(ours.ids())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("persona_production_wrong", "401"),
        pytest.param("persona_production_without_permission", "user_audit_log.read", marks=pytest.mark.slow),
    ],
)
async def test_a_refused_key_is_tried_slowly_and_heals_when_its_file_changes(
    persona: SimulatedPersona, tmp_path: Path, wrong: str, told: str
) -> None:
    key = tmp_path / "key"
    key.write_text(wrong)
    variables = environment(tmp_path, persona, persona_api_key_file=key)
    del variables["FORWARDER_PERSONA_API_KEY"]
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(variables, tmp_path) as daemon:
        reason = await daemon.unready("no good poll yet: ")
        assert told in reason
        assert "FORWARDER_PERSONA_API_KEY" in reason
        assert (await daemon.ask("/livez"))[0] == 200  # a restart would mend nothing
        assert (await daemon.logged("source.misconfigured"))["level"] in {"warning", "error"}
        await asyncio.sleep(1)
        assert persona.stats.requests <= 2
        replacement = tmp_path / "key.new"
        replacement.write_text(persona.api_key + "\n")
        replacement.replace(key)
        await daemon.until(lambda: lines.has(list(persona.world.ids())), 40)
        await daemon.ready()
        assert daemon.events("secret.changed")
        assert await daemon.stop() == 0
        assert wrong not in daemon.words()
        assert persona.api_key not in daemon.words()


async def test_a_misconfigured_sink_makes_unready_delays_no_other_and_heals(
    persona: SimulatedPersona, tmp_path: Path
) -> None:
    archive = tmp_path / "missing" / "archive.jsonl"
    variables = environment(tmp_path, persona, sinks="file,archive=file", archive_path=archive)
    good, late = Lines(tmp_path / "events.jsonl"), Lines(archive)
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: good.has(list(persona.world.ids())))
        reason = await daemon.unready("sink archive: misconfigured")
        assert str(archive) in reason
        added = persona.world.append(3)
        await daemon.until(lambda: good.has(added))
        archive.parent.mkdir()
        await daemon.until(lambda: late.has(list(persona.world.ids())), 60)
        await daemon.ready()
        assert daemon.events("sink.healed")
        assert await daemon.stop() == 0
    assert sorted(late.look()) == sorted(good.look()) == sorted(persona.world.ids())


async def test_persona_out_of_reach_at_the_start_is_waited_for(tmp_path: Path) -> None:
    async with SimulatedPersona(World(records=20)) as persona:
        port = int(persona.url.split(":")[2].split("/")[0])
    lines = Lines(tmp_path / "events.jsonl")
    with DaemonProcess(environment(tmp_path, persona), tmp_path) as daemon:
        await daemon.unready("no good poll yet: ")
        async with SimulatedPersona(World(records=20), port=port) as persona:
            await daemon.until(lambda: lines.has(list(persona.world.ids())))
            await daemon.ready()
            assert await daemon.stop() == 0
