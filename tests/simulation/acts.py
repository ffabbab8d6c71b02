"""What can happen in a world: a function for each kind of :class:`~tests.simulation.plan.Happening`."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from tests.simulation.chronicle import Made
from tests.simulation.drawing.surroundings import BROKEN_KEYS
from tests.simulation.plan import MISTAKES, Happening, Kind

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

KEYS = ("persona_production_first", "persona_production_second")
FAILING = ("write", "sync", "read")
REMOVABLE_ABOVE = 1 << 30
"""A backlog limit below this would stop collecting for good when a sink goes away."""


def happen(stage: "Stage", one: Happening) -> None:
    """Let *one* happen now; what lasts ends by itself."""
    _ACTS[one.kind](stage, one)


def append(stage: "Stage", count: int, *, created_ago: float = 0.0, visible_in: float = 0.0) -> None:
    """Make records."""
    now, first = stage.loop.time(), stage.world.made
    for index, id_ in enumerate(stage.world.append(count, created_ago=created_ago, visible_in=visible_in), first):
        created = stage.world.created_at(index)
        stage.chronicle.made[id_] = Made(index, now, now + visible_in, created, back_dated=bool(created_ago))


def calm(stage: "Stage") -> None:
    """End every fault; what is to come is for the daemon alone to do."""
    stage.persona.faults.set([])
    stage.persona.faults.upcoming.clear()
    stage.network.weather.clear()
    if stage.way.trouble:
        _mend_way(stage)
    stage.persona.api_keys.add(stage.key)
    if stage.key_is_broken:
        _write_key(stage)
    stage.disk.full = False
    stage.disk.room = None
    stage.disk.die_at(None)
    stage.disk.busy()
    for operation in FAILING:
        stage.disk.fail(operation, 0)
    for destination in stage.destinations.values():
        destination.suffer("")
    stage.life.process.die_at = None
    stage.storage.calm()


# Persona


def _answers(stage: "Stage", one: Happening) -> None:
    stage.persona.faults.next(*(kind for kind in one.what if _may_be(stage, kind)))


def _faults(stage: "Stage", one: Happening) -> None:
    if _may_be(stage, one.what.partition(":")[0]):
        stage.persona.faults.set([one.what])
    stage.loop.call_later(one.lasts, stage.persona.faults.set, [])


def _may_be(stage: "Stage", kind: str) -> bool:
    """The first page decides whose log the journal keeps: it cannot be another organization's."""
    return kind != "foreign" or stage.chronicle.has_told("source.page_collected")


def _away(stage: "Stage", one: Happening) -> None:
    stage.network.weather[stage.persona_address] = one.what
    stage.loop.call_later(one.lasts, stage.network.weather.pop, stage.persona_address, None)


def _revoke_key(stage: "Stage", one: Happening) -> None:
    stage.persona.api_keys.clear()
    stage.loop.call_later(one.lasts, lambda: stage.persona.api_keys.add(stage.key))


def _rotate_key(stage: "Stage", _: Happening) -> None:
    stage.key = KEYS[1]
    stage.persona.api_keys.clear()
    stage.persona.api_keys.add(stage.key)
    stage.loop.call_later(stage.plan.poll_interval * 2, _write_key, stage)


def _break_key(stage: "Stage", one: Happening) -> None:
    """Somebody writes the file in two steps, or by mistake."""
    stage.key_file.write_text(BROKEN_KEYS[one.what])
    stage.key_is_broken = True
    stage.loop.call_later(one.lasts, _write_key, stage)


def _write_key(stage: "Stage") -> None:
    stage.key_is_broken = False
    stage.key_file.write_text(stage.key + "\n")


def _block_way(stage: "Stage", one: Happening) -> None:
    stage.way.suffer(one.what)
    if one.what == "socks":
        stage.life.stop()  # the proxy is the environment's, which no process reads again
    stage.loop.call_later(one.lasts, _mend_way, stage)


def _mend_way(stage: "Stage") -> None:
    if stage.way.trouble == "socks":
        stage.life.stop()
    stage.way.suffer("")


def _behave(stage: "Stage", one: Happening) -> None:
    setattr(stage.persona.behaviour, one.kind, one.what)


def _their_clock(stage: "Stage", one: Happening) -> None:
    stage.persona_clock.offset += one.what


# The destinations


def _trouble(stage: "Stage", one: Happening) -> None:
    name, trouble = one.what
    stage.destinations[name].suffer(trouble)
    stage.loop.call_later(one.lasts, stage.destinations[name].suffer, "")


# Our machine


def _our_clock(stage: "Stage", one: Happening) -> None:
    stage.clock.offset += one.what


def _crash(stage: "Stage", one: Happening) -> None:
    steps, stage.crash_kind = one.what
    stage.restart_after = one.lasts
    stage.life.process.die_at = stage.life.process.steps + steps


def _crash_disk(stage: "Stage", one: Happening) -> None:
    operations, stage.crash_kind = one.what
    stage.restart_after = one.lasts
    stage.disk.die_at(operations)


def _fill_disk(stage: "Stage", one: Happening) -> None:
    stage.disk.full = True
    stage.loop.call_later(one.lasts, setattr, stage.disk, "full", False)  # noqa: FBT003 # setattr takes any value


def _tighten_disk(stage: "Stage", one: Happening) -> None:
    stage.disk.room = one.what
    stage.loop.call_later(one.lasts, setattr, stage.disk, "room", None)


def _break_disk(stage: "Stage", one: Happening) -> None:
    stage.disk.fail(FAILING[one.what % len(FAILING)], one.what)


def _occupy_disk(stage: "Stage", one: Happening) -> None:
    stage.disk.busy(times=one.what * 3, seconds=3.0 * one.what)


# The operator


def _restart(stage: "Stage", one: Happening) -> None:
    stage.restart_after = one.lasts
    _change(stage, *one.what)
    stage.life.stop()


def _stop_twice(stage: "Stage", one: Happening) -> None:
    stage.restart_after = one.lasts
    stage.life.stop()
    stage.life.stop()


def _hinder(stage: "Stage", one: Happening) -> None:
    trouble, end = one.what
    if end == "alive":
        stage.storage.lay(trouble, one.lasts)
        return
    _end(stage, end)
    stage.storage.when_ended(lambda: stage.storage.lay(trouble, one.lasts))


def _restore(stage: "Stage", one: Happening) -> None:
    _end(stage, one.what)
    stage.storage.when_ended(stage.storage.restore)


def _end(stage: "Stage", how: str) -> None:
    """Ask the daemon to stop, or let it die, *how* being how the world's crashes are called."""
    if how == "stop":
        stage.life.stop()
    else:
        stage.crash_kind = "power" if how == "power" else "process"
        stage.life.kill()


def _stay_away(stage: "Stage", one: Happening) -> None:
    if stage.life.ended.is_set():
        return  # it is away already, and comes back when it was to
    stage.restart_after = one.lasts
    stage.delayed += one.lasts
    stage.life.stop()


def _look(stage: "Stage", _: Happening) -> None:
    stage.looking.append(asyncio.create_task(stage.look()))


def _change(stage: "Stage", what: str, value: str) -> None:
    """Change the configuration of the next life."""
    away = [name for name in stage.sinks if name not in stage.configured]
    match what:
        case "page":
            stage.page_size = int(value)
        case "mistake":
            stage.mistake = MISTAKES[int(value)]
        case "remove" if away:
            stage.configured.append(away[0])
        case "remove" if len(stage.configured) > 1 and stage.plan.max_bytes > REMOVABLE_ABOVE:
            stage.configured.remove(value)
        case "format":
            sink = stage.sinks[value]
            stage.sinks[value] = replace(sink, format="raw" if sink.format == "json" else "json")
        case "exclude":
            stage.sinks[value] = replace(stage.sinks[value], exclude="DELETE *")
            stage.excludes[value].add("DELETE *")


_ACTS: Mapping[Kind, Callable[["Stage", Happening], None]] = {
    "append": lambda stage, one: append(stage, one.what),
    "late": lambda stage, one: append(stage, 2, visible_in=one.what),
    "back-dated": lambda stage, one: append(stage, 2, created_ago=one.what),
    "answers": _answers,
    "faults": _faults,
    "persona-away": _away,
    "key-revoked": _revoke_key,
    "key-rotated": _rotate_key,
    "key-broken": _break_key,
    "way": _block_way,
    "included": _behave,
    "links": _behave,
    "inflection": _behave,
    "their-clock": _their_clock,
    "sink": _trouble,
    "our-clock": _our_clock,
    "crash": _crash,
    "disk-crash": _crash_disk,
    "disk-full": _fill_disk,
    "disk-error": _break_disk,
    "disk-busy": _occupy_disk,
    "restart": _restart,
    "long-outage": _stay_away,
    "look": _look,
    "journal": _hinder,
    "backup": lambda stage, _: stage.storage.back_up(),
    "restore": _restore,
    "command": lambda stage, _: stage.storage.ask(),
    "disk-tight": _tighten_disk,
    "stop-twice": _stop_twice,
}
