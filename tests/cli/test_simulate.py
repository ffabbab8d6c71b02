"""``forwarder simulate`` as a process."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pytest

ROOT = Path(__file__).parents[2]


@contextmanager
def simulating(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "forwarder", "simulate", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_it_says_in_one_line_where_it_is_and_serves_there_until_told_to_stop() -> None:
    with simulating("--records", "25", "--seed", "3", "--rate", "0", "--api-key", "persona_production_x") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        variables = dict(re.findall(r"(FORWARDER_\w+)=(\S+)", line))
        assert variables["FORWARDER_PERSONA_API_KEY"] == "persona_production_x"
        request = urllib.request.Request(
            variables["FORWARDER_PERSONA_BASE_URL"] + "/user-audit-logs?page%5Bsize%5D=100",
            headers={"Authorization": "Bearer persona_production_x"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            assert len(orjson.loads(response.read())["data"]) == 25
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
        assert (process.returncode, out, err) == (0, "", "")


@pytest.mark.parametrize(
    "arguments", [["--fault", "teapot:1"], ["--fault", "429:2"], ["--late", "2"], ["--port", "-1"]]
)
def test_wrong_usage_is_exit_status_2(arguments: list[str]) -> None:
    with simulating(*arguments) as process:
        _, err = process.communicate(timeout=20)
        assert process.returncode == 2
        assert arguments[0] in err


def test_a_port_that_is_taken_is_wrong_usage_too() -> None:
    with simulating("--records", "1") as first:
        assert first.stdout is not None
        found = re.search(r"127\.0\.0\.1:(\d+)", first.stdout.readline())
        assert found
        with simulating("--records", "1", "--port", found[1]) as second:
            _, err = second.communicate(timeout=20)
            assert second.returncode == 2
            assert "--port" in err
