"""What the documents tell people to type exists, and what can be run here is run."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "deploy/**/*.md")
    for path in ROOT.glob(pattern)
    if path.name not in {"logs.md", "metrics.md", "configuration.md"}  # generated, and compared elsewhere
)
BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
SYSTEM = {"bash", "cp", "curl", "docker", "git", "jq", "kubectl", "systemctl"}
"""Programs of others: what is checked of these lines is that the files of ours that they name exist."""


def blocks(document: Path, language: str) -> Iterator[str]:
    for _, found, text in BLOCK.findall(document.read_text(encoding="utf-8")):
        if found == language:
            yield text


def commands() -> Iterator[tuple[Path, list[str]]]:
    """Each command line of each document: the words of it, assignments before it and a pipe behind it taken off."""
    for document in DOCUMENTS:
        for block in blocks(document, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                for part in re.split(r"\s(?:\||&&)\s", line):
                    words = shlex.split(part, comments=True)
                    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
                        words.pop(0)
                    if words:
                        yield document, words


def commands_of(*programs: str) -> list[list[str]]:
    return [words for _, words in commands() if words[0].removeprefix(".venv/bin/") in programs]


def described(words: list[str]) -> str:
    return " ".join(words)


def clean_environment() -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith("FORWARDER_")}


def forwarder(arguments: list[str], directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "forwarder", *arguments]
    return subprocess.run(
        command, cwd=directory, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )


def test_every_line_begins_with_a_program_that_is_known() -> None:
    programs = {words[0].removeprefix(".venv/bin/") for _, words in commands()}
    assert programs - SYSTEM <= {"make", "forwarder", "pytest", "ruff", "mypy", "python"}
    assert {"make", "forwarder"} <= programs


@pytest.mark.parametrize("words", commands_of("make"), ids=described)
def test_a_make_target_exists(words: list[str]) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    assert {word for word in words[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("words", commands_of("forwarder"), ids=described)
def test_a_forwarder_command_and_its_options_exist(words: list[str], tmp_path: Path) -> None:
    """The line as it stands, asked for its help: an unknown command or option before that is an error."""
    for name in (ROOT / "config").glob("*.env"):
        shutil.copy(name, tmp_path)
    done = forwarder([*words[1:], "--help"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("words", commands_of(*SYSTEM), ids=described)
def test_a_file_of_ours_that_a_line_names_exists(words: list[str]) -> None:
    ours = [word for word in words if word.startswith(("config/", "deploy/", "docs/", "forwarder/"))]
    assert [word for word in ours if not (ROOT / word).exists()] == []


def test_the_splunk_example_is_a_configuration_that_passes_check(tmp_path: Path) -> None:
    """Its own lines: the copy, what is written down, and the check without --live."""
    readme = ROOT / "README.md"
    (settings,) = blocks(readme, "ini")
    copies = [words for document, words in commands() if document == readme and words[0] == "cp"]
    checks = [words for document, words in commands() if document == readme and words[-1] == "check"]
    assert len(copies) == len(checks) == 1
    shutil.copytree(ROOT / "config", tmp_path / "config")
    subprocess.run(copies[0], cwd=tmp_path, check=True)
    target = copies[0][-1]
    for words in ([], re.findall(r"^ *(FORWARDER_\w+=.*)$", settings, flags=re.MULTILINE)):
        if words:  # what the README shows, in the place of the copied example
            (tmp_path / target).write_text("\n".join(words) + "\n", encoding="utf-8")
        done = forwarder(checks[0][1:], tmp_path)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_to_a_file_that_exists(document: Path) -> None:
    links = LINK.findall(document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_command_that_exists_is_not_called_missing() -> None:
    """The list under "Not yet" may name no command that this version has."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("\n## Not yet\n")[1].split("\n## ")[0]
    usage = forwarder(["--help"], ROOT).stdout
    have = set(re.findall(r"^│ ([a-z-]+) {2,}", usage, flags=re.MULTILINE))
    line = next(line for line in text.splitlines() if "commands" in line)
    assert {"run", "check"} <= have
    assert set(re.findall(r"`([a-z-]+)`", line)) & have == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_metric_or_log_event_that_a_document_names_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    metrics = set(re.findall(r"`(forwarder_\w+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))
    assert set(re.findall(r"\bforwarder_[a-z_]+\b", text)) <= metrics
    events = set(re.findall(r"^\| `([a-z_.]+)`", (ROOT / "docs" / "logs.md").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"`((?:process|secret|daemon|source|sink|gap|admin|actor)\.[a-z_]+)`", text))
    assert named - events == set()
