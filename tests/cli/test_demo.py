"""``forwarder demo``: its processes, its counting, its view, and the whole of it."""

import asyncio
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from forwarder.cli.demonstration.children import Child, ChildFailed, start_simulator
from forwarder.cli.demonstration.judge import Findings, Verdict
from forwarder.cli.demonstration.story import Delivered, Progress
from forwarder.cli.demonstration.view import picture, print_verdict, view

ROOT = Path(__file__).parents[2]


def written(log: Path) -> Path:
    log.write_text("first word\nlast word\n")
    return log


async def running(code: str, log: Path) -> Child:
    """Start *code*, which has to print a line when it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return Child("child", process, log)


async def test_a_child_that_stops_when_asked_has_its_own_exit_status(tmp_path: Path) -> None:
    child = await running(
        "import signal,sys; signal.signal(15, lambda *_: sys.exit(3)); print(flush=True); signal.pause()",
        written(tmp_path / "log"),
    )
    assert await child.stop(10) == 3
    with pytest.raises(ChildFailed, match=r"(?s)exit status 3.*last word"):
        child.check()


async def test_a_child_that_does_not_stop_is_killed_and_has_no_exit_status(tmp_path: Path) -> None:
    child = await running(
        "import signal; signal.signal(15, signal.SIG_IGN); print(flush=True)\nwhile True: signal.pause()",
        written(tmp_path / "log"),
    )
    child.check()
    assert await child.stop(0.2) is None
    assert child.process.returncode == -9


async def test_a_simulator_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match="no fault 'teapot'"):
        await start_simulator(["--fault", "teapot"], tmp_path / "log")


async def test_the_operator_s_settings_do_not_reach_the_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDER_NONSENSE", "1")
    child = await Child.start("check", ["check"], {"FORWARDER_PERSONA_API_KEY": "k"}, tmp_path / "log")
    await child.process.wait()
    assert child.process.returncode == 0, child.last_words()


def test_a_growing_file_is_counted_by_whole_lines_and_different_events(tmp_path: Path) -> None:
    delivered = Delivered(tmp_path / "events.jsonl")
    assert delivered.count() == 0
    with delivered.path.open("wb", buffering=0) as file:
        file.write(b'{"id":"a"}\n{"id":"b"}\n{"id":')
        assert delivered.count() == 2
        file.write(b'"c"}\n{"id":"a"}\nnothing\n')
        assert delivered.count() == 3
    assert len([*delivered.lines()]) == 5


def test_elsewhere_than_on_a_terminal_there_are_plain_lines_one_at_each_change_of_phase() -> None:
    out = io.StringIO()
    with view(Console(file=out, width=40)) as show:
        progress = Progress("catching up", made=2000, delivered=500, seconds=1.0, requests=7, faults={"429": 2})
        show(progress)
        show(progress)
        progress.phase = "killed"
        show(progress)
    assert out.getvalue().splitlines() == [
        "  1.0 s  catching up: 500 of 2,000 delivered, 7 requests, faults: 429 2",
        "  1.0 s  killed: 500 of 2,000 delivered, 7 requests, faults: 429 2",
    ]


def test_on_a_terminal_there_is_a_picture_that_is_taken_back() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with view(console) as show:
        show(Progress("catching up", made=2000, delivered=500, seconds=2.0))
    assert "catching up" in out.getvalue()
    text = io.StringIO()
    Console(file=text, width=80).print(picture(Progress("x", made=2000, delivered=500, seconds=2.0)))
    assert "500 of 2,000" in text.getvalue()
    assert "250" in text.getvalue()


@pytest.mark.parametrize(("missing", "last"), [((), "nothing was lost"), (("a",), "NOT as promised")])
def test_the_last_line_is_the_verdict(missing: tuple[str, ...], last: str) -> None:
    out = io.StringIO()
    findings = Findings(made=1, delivered=1, missing=missing, duplicates=0, strangers=0, unreadable=0)
    print_verdict(Console(file=out, width=40), Verdict(findings, (), 500, 1.0, 1.0, 0))
    assert out.getvalue().splitlines()[-1] == f"VERDICT     {last}"


def demo(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "forwarder", "demo", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=ROOT,
        check=False,
        env={**os.environ, "FORWARDER_NONSENSE": "1"},
    )


def test_the_whole_demonstration_ends_with_nothing_lost(tmp_path: Path) -> None:
    ended = demo("--records", "3000", "--seed", "5", "--keep", str(tmp_path / "kept"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "VERDICT     nothing was lost" in ended.stdout.splitlines()
    assert "missing     0" in ended.stdout.splitlines()
    assert {"events.jsonl", "forwarder.db", "daemon.log"} <= {path.name for path in (tmp_path / "kept").iterdir()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="children are found through /proc")
def test_an_interrupted_demonstration_leaves_no_process_behind(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "forwarder", "demo", "--keep", str(tmp_path / "kept")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert process.stdout is not None
    while "requests" not in (line := process.stdout.readline()) or line.lstrip().startswith("0.0"):
        assert process.poll() is None
    children = [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
    assert len(children) == 2
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "interrupted" in out
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []


def test_a_directory_with_something_in_it_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    assert demo("--keep", str(tmp_path)).returncode == 2
