"""The examples under ``config/`` are configurations that this version takes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from forwarder.settings import load, read_environment

EXAMPLES = sorted((Path(__file__).parents[2] / "config").glob("*.env"))


def check(example: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: text for name, text in os.environ.items() if not name.startswith("FORWARDER_")}
    command = [sys.executable, "-m", "forwarder", "--env-file", str(example), "check"]
    return subprocess.run(command, env=environ, cwd=directory, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_valid_and_checking_it_leaves_nothing_behind(example: Path, tmp_path: Path) -> None:
    result = check(example, tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("configuration is valid\n")
    assert list(tmp_path.iterdir()) == []


def test_the_examples_are_all_there() -> None:
    names = {path.name for path in EXAMPLES}
    assert names == {"minimal.env", "splunk.env", "kafka.env", "syslog.env", "everything.env"}


def test_everything_mentions_every_variable_and_no_other() -> None:
    (path,) = [path for path in EXAMPLES if path.name == "everything.env"]
    mentioned = set(re.findall(r"^(?:# )?(FORWARDER_[A-Z0-9_]+)=", path.read_text(encoding="utf-8"), re.MULTILINE))
    settings = load(read_environment(path))
    known = {variable.name for loaded in settings.sections for variable in loaded.section.variables()}
    assert mentioned == known
