"""The locks, the image and the wheel agree with pyproject.toml, and nothing names where packages come from."""

import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from forwarder import __version__

ROOT = Path(__file__).parents[1]
LOCKS = ("runtime", "dev", "build")
PIN = re.compile(r"^([a-z0-9._-]+)==([^ ;\\]+)", re.MULTILINE)


@cache
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def pins(name: str) -> dict[str, str]:
    return dict(PIN.findall(lock(name)))


def names(requirements: list[Any]) -> set[str]:
    """The distributions that *requirements* ask for, as the locks spell them."""
    found = [re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements if isinstance(requirement, str)]
    return {re.sub(r"[._-]+", "-", match[0]).lower() for match in found if match}


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_version_of_the_package_is_the_version_of_the_distribution() -> None:
    assert project()["project"]["version"] == __version__


def test_every_dependency_is_locked() -> None:
    declared = project()["project"]
    runtime = names(declared["dependencies"]) | names(declared["optional-dependencies"]["kafka"])
    assert runtime <= set(pins("runtime"))
    groups = project()["dependency-groups"]
    assert runtime | names(groups["dev"]) | names(groups["build"]) <= set(pins("dev"))
    assert names(groups["build"]) <= set(pins("build"))


def test_the_locks_agree_with_each_other() -> None:
    assert pins("runtime").items() <= pins("dev").items()
    assert pins("build").items() <= pins("dev").items()


@pytest.mark.parametrize("name", LOCKS)
def test_every_locked_package_has_its_hashes(name: str) -> None:
    blocks = re.split(r"^(?=[a-z0-9])", lock(name), flags=re.MULTILINE)[1:]
    assert len(blocks) == len(pins(name))
    assert [block.splitlines()[0] for block in blocks if "--hash=sha256:" not in block] == []


@pytest.mark.parametrize("name", LOCKS)
def test_no_lock_names_a_registry(name: str) -> None:
    assert "://" not in lock(name)
    assert "index-url" not in lock(name)


def test_both_stages_of_the_image_have_one_base_named_by_version() -> None:
    bases = re.findall(r"^FROM (\S+)", dockerfile(), flags=re.MULTILINE)
    assert bases == ["python:3.13-slim-trixie"] * 2


def test_the_image_installs_from_checked_hashes_alone() -> None:
    """Each pip install either checks hashes or may reach nothing but what the build itself made."""
    text = dockerfile().replace("\\\n", " ")
    installs = re.findall(r"(?:^RUN|&&)([^&\n]*\bpip\b[^&\n]*\binstall\b[^&\n]*)", text, flags=re.MULTILINE)
    assert len(installs) == 3
    for install in installs:
        assert "--require-hashes" in install or "--no-index" in install


def test_the_image_hands_signals_to_python_and_runs_as_nobody_in_particular() -> None:
    last = dockerfile().rsplit("\nFROM ", 1)[1]
    assert 'ENTRYPOINT ["forwarder"]' in last
    assert 'CMD ["run"]' in last
    assert "STOPSIGNAL SIGTERM" in last
    assert "HEALTHCHECK" not in last
    assert re.search(r"^USER \d+:\d+$", last, flags=re.MULTILINE)
    assert "VOLUME" not in last


def test_the_wheel_holds_the_package_the_licence_and_the_command(tmp_path: Path) -> None:
    """Built as the image builds it: without isolation, from a copy of what the image's context holds."""
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "forwarder", source / "forwarder", ignore=shutil.ignore_patterns("__pycache__"))
    # pip, not a call of hatchling: what is tested is what the Dockerfile does.
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "-q",
            "--no-deps",
            "--no-build-isolation",
            "--no-index",
            "-w",
            tmp_path,
            ".",
        ],
        check=True,
        cwd=source,
    )
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name == f"persona_siem_forwarder-{__version__}-py3-none-any.whl"
    with ZipFile(wheel) as archive:
        held = set(archive.namelist())
        metadata = next(name for name in held if name.endswith(".dist-info/METADATA"))
        entry_points = archive.read(metadata.replace("METADATA", "entry_points.txt")).decode()
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "forwarder").rglob("*.py")}
    assert modules | {"forwarder/py.typed"} <= held
    assert not {name for name in held if name.startswith(("tests/", "docs/"))}
    assert metadata.replace("METADATA", "licenses/LICENSE") in held
    assert "forwarder = forwarder.cli:main" in entry_points


def test_what_the_image_is_built_from_is_in_its_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    assert "*" in ignored
    copied = re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile(), flags=re.MULTILINE)
    assert {name for line in copied for name in line.split()} == kept
    assert all((ROOT / name).exists() for name in kept)
