"""What is to be hidden is on no disk, in no sink and in no log, whatever happens to the process."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from forwarder.record import Json
from forwarder.simulator import SimulatedPersona, World
from forwarder.simulator.people import Employee
from tests.daemon.process import DaemonProcess, Lines, environment

KEY = "persona_production_7Jq2XwZr9LmTf4Bv"
PSEUDONYM_KEY = "5f1d0c8e-a-key-for-pseudonyms-9b27"
SECRETS = {
    "a built-in name in the parameters": "hunter2-in-the-parameters",
    "a path of the operator's": "078-05-1120-in-the-parameters",
    "the query of the path": "9fCq-in-the-query",
    "a whole user attribute": "Vestergaard-Quist",
}


def tell(
    slice_: Callable[[int, int], list[tuple[Json, Employee]]],
) -> Callable[[int, int], list[tuple[Json, Employee]]]:
    """Put the secrets into every record."""
    password, number, query, _ = SECRETS.values()

    def told(start: int, end: int) -> list[tuple[Json, Employee]]:
        records = slice_(start, end)
        for resource, _ in records:
            attributes = resource["attributes"]
            attributes["post-params"] = {"user": {"password": password}, "data": {"attributes": {"tax-number": number}}}
            attributes["path"] += f"?session-token={query}&page%5Bsize%5D=5"
            attributes["context"] = {"replayed": f'{{"newPassword":"{password}"}}', "seen": "kept"}
        return records

    return told


@pytest.fixture
def secretive(persona: SimulatedPersona) -> SimulatedPersona:
    persona.world.slice = tell(persona.world.slice)  # type: ignore[assignment,method-assign] # on this one instance
    persona.api_keys.clear()
    persona.api_keys.add(KEY)
    persona.api_key = KEY
    for number, employee in enumerate(persona.world.activity.employees):
        employee.resource["attributes"]["name-last"] = f"{SECRETS['a whole user attribute']}-{number}"
    return persona


def private(folder: Path, persona: SimulatedPersona) -> dict[str, str]:
    return environment(
        folder,
        persona,
        sinks="file,archive=file",
        archive_path=folder / "archive.jsonl",
        archive_format="raw",
        redact="post-params.data.attributes.tax-number,user.last_name",
        pseudonymize="user.email,client.ip",
        pseudonym_key=PSEUDONYM_KEY,
        log_level="debug",
        persona_page_size=20,
    )


def hidden(world: World) -> list[str]:
    """Every text that must be nowhere."""
    people = [
        text
        for one in world.activity.employees
        for text in (one.resource["attributes"]["email-address"], *one.addresses)
    ]
    return [*SECRETS.values(), KEY, PSEUDONYM_KEY, *people]


def spilled(folder: Path, texts: list[str]) -> list[tuple[str, str]]:
    """Which of *texts* stand in which files of *folder*, in any encoding that keeps letters."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 5
    return [(path.name, text) for path in files for text in texts if text.encode() in path.read_bytes()]


async def test_what_is_hidden_was_never_on_the_disk(secretive: SimulatedPersona, tmp_path: Path) -> None:
    lines, texts = Lines(tmp_path / "events.jsonl"), hidden(secretive.world)
    variables = private(tmp_path, secretive)
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.until(lambda: len(lines.look()) >= 300)
        pages = b"".join([(await daemon.ask(path))[1] for path in ("/", "/status", "/metrics", "/readyz", "/livez")])
        daemon.send(signal.SIGKILL)  # what a crash leaves: the write-ahead log, too
        await daemon.ended(5)
    assert (tmp_path / "forwarder.db-wal").stat().st_size > 100_000
    assert spilled(tmp_path, texts) == []
    assert [text for text in texts if text.encode() in pages] == []
    assert b"300" in pages

    secretive.world.append(20)
    secretive.faults.next("garbage", "html", "500")
    with DaemonProcess(variables, tmp_path) as daemon:
        await daemon.logged("source.unavailable")
        await daemon.until(lambda: len(set(lines.look())) >= 320, 40)
        assert await daemon.stop() == 0
    assert spilled(tmp_path, texts) == []


async def test_what_is_not_hidden_is_there_and_pseudonyms_are_stable(
    secretive: SimulatedPersona, tmp_path: Path
) -> None:
    lines, raw = Lines(tmp_path / "events.jsonl"), Lines(tmp_path / "archive.jsonl")
    variables = private(tmp_path, secretive)
    for count in (300, 340):
        with DaemonProcess(variables, tmp_path) as daemon:
            await daemon.until(lambda count=count: len(lines.look()) >= count and len(raw.look()) >= count)  # type: ignore[misc] # bound early
            assert await daemon.stop() == 0
        secretive.world.append(40)
    emails: dict[str, set[str]] = {}
    for event, resource in zip(lines.content(), raw.content(), strict=True):
        emails.setdefault(event["user"]["id"], set()).add(event["user"]["email"])
        assert event["user"]["last_name"] == "[REDACTED]"
        assert event["user"]["first_name"] not in {"", "[REDACTED]"}
        assert event["request"]["post_params"]["data"]["attributes"]["tax-number"] == "[REDACTED]"
        assert event["request"]["path"].endswith("?session-token=%5BREDACTED%5D&page%5Bsize%5D=5")
        assert event["context"]["seen"] == "kept"
        assert resource["id"] == event["id"]
        assert resource["attributes"]["ip-address"] == event["client"]["ip"]
    assert all(len(names) == 1 for names in emails.values()), "one person, one pseudonym, over a restart"
    assert len({name for [name] in emails.values()}) == len(emails)
    assert {name[:3] for [name] in emails.values()} == {"p1_"}


async def test_an_api_key_in_a_file_is_nowhere_else(persona: SimulatedPersona, tmp_path: Path) -> None:
    """The words of a refusal may quote what was sent; ours must not."""
    persona.api_keys.clear()
    (tmp_path / "secret").mkdir()
    key = tmp_path / "secret" / "key"
    key.write_text(KEY)
    work = tmp_path / "work"
    work.mkdir()
    variables = environment(work, persona, persona_api_key_file=key, log_level="debug")
    del variables["FORWARDER_PERSONA_API_KEY"]
    with DaemonProcess(variables, work) as daemon:
        await daemon.unready("401")
        pages = b"".join([(await daemon.ask(path))[1] for path in ("/", "/status", "/metrics", "/readyz")])
        assert await daemon.stop() == 0
    assert spilled(work, [KEY]) == []
    assert KEY.encode() not in pages
