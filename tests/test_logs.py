"""What comes out on standard error, read as an operator's log collector would read it."""

import asyncio
import io
import json
import logging
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forwarder import logs
from forwarder.secret import Secret
from tests import catalogue


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield
    root.handlers[:] = handlers
    logging.captureWarnings(capture=False)


class Written(io.StringIO):
    """Standard error."""

    def lines(self) -> list[dict[str, Any]]:
        """Return what was written, one JSON object a line."""
        return [json.loads(line) for line in self.getvalue().split("\n") if line]

    def one(self) -> dict[str, Any]:
        """Return the only line."""
        (line,) = self.lines()
        return line


def configured(level: str = "info", form: str = "json", **options: Any) -> Written:
    written = Written()
    logs.configure(level, form, written, **options)
    return written


def test_a_line_begins_with_time_level_and_event_and_then_has_its_fields() -> None:
    written = configured()
    logs.get_logger(sink="soc").warning("sink.x", events=3, reason="no room")
    line = written.one()
    assert list(line) == ["timestamp", "level", "event", "sink", "events", "reason"]
    assert (line["level"], line["event"], line["sink"], line["events"]) == ("warning", "sink.x", "soc", 3)


def test_the_timestamp_is_rfc_3339_in_utc() -> None:
    written = configured()
    logs.get_logger().info("x.y")
    text = written.one()["timestamp"]
    assert text.endswith("Z")
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo == UTC
    assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)


def test_lines_below_the_level_are_not_written() -> None:
    written = configured("warning")
    log = logs.get_logger()
    log.debug("a.debug")
    log.info("a.info")
    log.warning("a.warning")
    log.error("a.error")
    assert [line["event"] for line in written.lines()] == ["a.warning", "a.error"]


def test_text_from_outside_cannot_forge_a_line() -> None:
    written = configured()
    logs.get_logger().info("x.y", reason='no\n{"event": "forged"}\r\x85\u2028')
    assert written.one()["reason"] == 'no\n{"event": "forged"}\r\x85\u2028'


def test_on_a_console_control_characters_are_shown_and_not_obeyed() -> None:
    written = configured(form="console")
    logs.get_logger().info("x.y", reason="\x1b[2Jgone\nforged", other="\x07")
    assert written.getvalue().count("\n") == 1
    assert "\x1b" not in written.getvalue()
    assert "\x07" not in written.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_names_the_fault_and_shows_no_local_variables(form: str) -> None:
    written = configured(form=form)

    def fails(api_key: str) -> None:
        raise RuntimeError("broken")

    try:
        fails("persona_production_" + "local")
    except RuntimeError:
        logs.get_logger().exception("x.failed")
    assert "RuntimeError: broken" in written.getvalue()
    assert "production_local" not in written.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize(
    "value",
    [2**70, float("nan"), "\ud800", {1: {"x": object()}}, b"\xff", {"a": {3, 4}}, Secret("hunter22"), [[]] * 3, None],
)
def test_any_value_can_be_logged(value: object, form: str) -> None:
    written = configured(form=form)
    logs.get_logger().info("x.y", value=value)
    assert "x.y" in written.getvalue()
    assert "hunter22" not in written.getvalue()


def test_a_circle_can_be_logged() -> None:
    written = configured()
    circle: list[Any] = []
    circle.append(circle)
    logs.get_logger().info("x.y", value=circle)
    assert written.one()["value"] == "[[...]]"


def test_logging_goes_on_when_standard_error_is_gone() -> None:
    written = configured()
    written.close()
    logs.get_logger().error("x.y")


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("secret", ["hunter2", 'quo"te\\back', "täst ö", "per%cent&x=1", "-----KEY\nabc\n-----"])
def test_a_secret_in_a_line_is_masked_however_it_is_spelled_there(secret: str, form: str) -> None:
    written = configured(form=form, secrets=lambda: [secret])
    log = logs.get_logger()
    log.info("x.y", text=f"before {secret} after", nested={"a": [secret]}, shown=repr(secret))
    log.info("x.z", **{f"key {secret}": 1})
    for spelling in {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]}:
        assert spelling not in written.getvalue()
    assert written.getvalue().count(logs.MASK) >= 4


def test_a_secret_in_a_traceback_is_masked() -> None:
    written = configured(secrets=lambda: ["hunter2"])
    try:
        int("login with hunter2 failed")
    except ValueError:
        logs.get_logger().exception("x.failed")
    assert "hunter2" not in written.getvalue()
    assert f"login with {logs.MASK} failed" in written.one()["exception"]


def test_a_rotated_secret_is_masked_as_the_one_before_it_still_is() -> None:
    current = ["first-one"]
    written = configured(secrets=lambda: current)
    log = logs.get_logger()
    log.info("x.y", text="first-one")
    current[0] = "second-one"
    log.info("x.y", text="first-one second-one")
    assert [line["text"] for line in written.lines()] == [logs.MASK, f"{logs.MASK} {logs.MASK}"]


def test_a_secret_that_cannot_be_read_or_logs_while_it_is_read_stops_no_line() -> None:
    calls = []

    def secrets() -> list[str]:
        calls.append(1)
        logs.get_logger().info("secret.changed")
        if len(calls) > 1:
            raise OSError("gone")
        return ["hunter2"]

    written = configured(secrets=secrets)
    logs.get_logger().info("x.y", text="hunter2")
    logs.get_logger().info("x.z", text="hunter2")
    assert [line["event"] for line in written.lines()] == ["secret.changed", "x.y", "secret.changed", "x.z"]
    assert "hunter2" not in written.getvalue()


def test_very_short_secrets_do_not_garble_lines() -> None:
    written = configured(secrets=lambda: ["", "e", "key"])
    logs.get_logger().info("x.y", text="the key")
    assert written.one()["text"] == "the key"


@given(secret=st.text(min_size=4), around=st.text())
def test_no_secret_survives_in_a_line(secret: str, around: str) -> None:
    written = Written()
    output = logs._Output(written, logs._Mask(lambda: [secret]))
    line = logs._to_json(None, "info", {"event": "x.y", "text": around + secret + around})
    output.msg(line)
    if logs.MASK.find(secret) < 0:
        assert secret not in written.getvalue().replace(logs.MASK, "")


def test_what_libraries_log_from_warning_on_becomes_a_line_of_ours() -> None:
    written = configured("debug")
    library = logging.getLogger("some.library")
    library.info("not worth a line")
    library.warning("broker %s is %s", "b1", "away")
    line = written.one()
    assert line["level"] == "warning"
    assert (line["event"], line["logger"], line["message"]) == ("library.message", "some.library", "broker b1 is away")


def test_a_librarys_fault_has_its_traceback_and_our_level_holds_for_libraries() -> None:
    written = configured("error")
    library = logging.getLogger("aiohttp.server")
    library.warning("not at this level")
    try:
        int("odd")
    except ValueError:
        library.exception("Error handling request")
    line = written.one()
    assert (line["level"], line["message"]) == ("error", "Error handling request")
    assert "ValueError: invalid literal" in line["exception"]


def test_a_librarys_broken_format_string_is_logged_as_it_is() -> None:
    written = configured()
    record = logging.LogRecord("x", logging.WARNING, "x.py", 1, "%d of %d", ("a",), None)
    logs._LibraryHandler().emit(record)
    assert written.one()["message"] == "%d of %d ('a',)"


def test_a_secret_in_a_librarys_line_is_masked() -> None:
    written = configured(secrets=lambda: ["hunter2"])
    logging.getLogger("x").error("login with %s", "hunter2")
    assert written.one()["message"] == f"login with {logs.MASK}"


def test_configuring_twice_writes_each_line_once() -> None:
    first, second = configured(), configured()
    logging.getLogger("x").warning("once")
    assert (first.getvalue(), second.one()["message"]) == ("", "once")


@pytest.mark.filterwarnings("default")
def test_a_warning_becomes_a_line() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        written = configured()
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    line = written.one()
    assert (line["event"], line["logger"]) == ("library.message", "py.warnings")
    assert "DeprecationWarning: old ways" in line["message"]


async def test_a_tasks_exception_that_nobody_looks_at_becomes_a_line() -> None:
    written = configured()

    async def fails() -> None:
        raise RuntimeError("unseen")

    task = asyncio.ensure_future(fails())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    del task
    line = written.one()
    assert (line["level"], line["event"], line["logger"]) == ("error", "library.message", "asyncio")
    assert "RuntimeError: unseen" in line["exception"]


def test_threads_do_not_mix_their_lines() -> None:
    written = configured()

    def speak(number: int) -> None:
        for _ in range(50):
            logs.get_logger().info("x.y", number=number, text="a" * 500)

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(written.lines()) == 400


def test_every_logged_event_is_in_the_catalogue() -> None:
    unknown = {name: logged.places for name, logged in catalogue.logged_events().items() if name not in logs.EVENTS}
    assert unknown == {}, "add each to EVENTS in forwarder/logs.py, with a sentence for operators"


def test_every_event_of_the_catalogue_is_logged_somewhere() -> None:
    assert sorted(set(logs.EVENTS) - set(catalogue.logged_events())) == []


def test_every_log_call_has_a_literal_name() -> None:
    assert catalogue.unreadable_calls() == []


def test_event_names_are_dotted_and_their_meanings_are_sentences() -> None:
    assert [name for name in logs.EVENTS if not catalogue.is_event_name(name)] == []
    assert [name for name, meaning in logs.EVENTS.items() if not (meaning[0].isupper() and meaning.endswith("."))] == []


def test_the_page_of_log_events_is_current() -> None:
    """If this fails: ``python -m tests.catalogue --write``."""
    assert catalogue.LOGS_PAGE.read_text(encoding="utf-8") == catalogue.logs_page()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ('log.info("a.b", x=1)', {"a.b": ({"info"}, {"x"})}),
        ('self._log.exception("a.b")', {"a.b": ({"error"}, set())}),
        ('get_logger(sink="s").bind(y=1).warning("a.b")', {"a.b": ({"warning"}, {"sink", "y"})}),
        ('log.log(level, "a.b", exc_info=True)', {"a.b": ({"as reported"}, set())}),
        ('log.error("a.b" if x else "a.c")', {"a.b": ({"error"}, set()), "a.c": ({"error"}, set())}),
        ('parser.error("no logger")', {}),
        ('(log.info if x else log.debug)("a.b")', {"a.b": ({"info", "debug"}, set())}),
        ('tell = log.error if x else log.debug\ntell("a.b", why=1)', {"a.b": ({"error", "debug"}, {"why"})}),
        (
            'tell = log.error\ntell("a.b")\ntell = log.info\ntell("a.c")',
            {"a.b": ({"error"}, set()), "a.c": ({"info"}, set())},
        ),
        (
            'def f(self, why, event):\n log.error(event, why=why)\nself.f(1, "a.b")\nself.f(2, "a.c")',
            {"a.b": ({"error"}, {"why"}), "a.c": ({"error"}, {"why"})},
        ),
    ],
)
def test_the_catalogue_reads_log_calls(
    code: str,
    expected: dict[str, tuple[set[str], set[str]]],
    tmp_path: Any,
) -> None:
    (tmp_path / "module.py").write_text(code)
    found = {name: (logged.levels, logged.fields) for name, logged in catalogue.logged_events(tmp_path).items()}
    assert found == expected


def test_the_catalogue_notices_a_name_that_is_no_literal(tmp_path: Any) -> None:
    (tmp_path / "module.py").write_text('log.info(f"a.{b}")\nlog.info("a.b")')
    assert [place.rsplit(":")[-1] for place in catalogue.unreadable_calls(tmp_path)] == ["1"]


def test_logs_go_to_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logs.get_logger().info("x.y")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "x.y"
