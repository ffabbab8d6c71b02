"""Secrets in files, and their rotation under a running daemon."""

import json
import os
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
import structlog

from forwarder import logs
from forwarder.secret import Secret
from forwarder.settings.secret_file import SecretFile


@pytest.fixture
def log() -> Iterator[StringIO]:
    stream = StringIO()
    logs.configure(stream=stream)
    yield stream
    structlog.reset_defaults()


def events(log: StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in log.getvalue().splitlines()]


class Mount:
    """A Secret volume as the kubelet writes it: name → ..data/name → ..<version>/name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.versions = 0
        self.path = root / "token"
        self.path.symlink_to("..data/token")

    def publish(self, text: str | None) -> None:
        self.versions += 1
        version = self.root / f"..version_{self.versions}"
        version.mkdir()
        if text is not None:
            (version / "token").write_text(text)
            os.utime(version / "token", ns=(0, 0))  # so that neither the time nor the size tells them apart
        fresh = self.root / "..data_tmp"
        fresh.symlink_to(version.name)
        fresh.rename(self.root / "..data")


def test_a_secret_follows_kubernetes_swap_of_the_data_link(tmp_path: Path, log: StringIO) -> None:
    mount = Mount(tmp_path)
    mount.publish("first\n")
    secret = Secret(SecretFile("FORWARDER_SOC_TOKEN_FILE", mount.path))
    assert secret.reveal() == "first"
    mount.publish("other\n")
    assert secret.reveal() == "other"
    assert secret.reveal() == "other"
    assert events(log) == ["secret.changed"]


def test_a_swap_to_nothing_keeps_the_last_value_and_is_logged_once(tmp_path: Path, log: StringIO) -> None:
    mount = Mount(tmp_path)
    mount.publish("first")
    secret = SecretFile("FORWARDER_SOC_TOKEN_FILE", mount.path)
    mount.publish(None)
    assert [secret(), secret(), secret()] == ["first"] * 3
    assert events(log) == ["secret.unreadable"]
    mount.publish("third")
    assert secret() == "third"
    assert events(log) == ["secret.unreadable", "secret.changed"]


def test_a_file_rewritten_in_place_is_read_again(tmp_path: Path, log: StringIO) -> None:
    path = tmp_path / "token"
    path.write_text("first")
    secret = SecretFile("V", path)
    path.write_text("")
    assert secret() == "first"
    path.write_text("second\r\n")
    assert secret() == "second"
    assert events(log) == ["secret.unreadable", "secret.changed"]


def test_a_file_that_comes_back_as_it_was_is_in_use_without_a_word_of_change(tmp_path: Path, log: StringIO) -> None:
    path = tmp_path / "token"
    path.write_text("same")
    secret = SecretFile("V", path)
    path.rename(tmp_path / "away")
    assert secret() == "same"
    (tmp_path / "away").rename(path)
    assert secret() == "same"
    path.unlink()
    assert secret() == "same"
    assert events(log) == ["secret.unreadable", "secret.unreadable"]


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "token"
    path.write_text("value")
    secret = SecretFile("V", path)
    monkeypatch.setattr(Path, "open", lambda *_a, **_k: pytest.fail("it was opened"))
    assert secret() == "value"


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"\r\n\n", "empty"), (b"\xff\xfe", "not UTF-8"), (b"x" * (1 << 20) + b"y", "larger than 1 MiB")],
)
def test_what_cannot_be_a_secret_is_refused_at_the_start(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        SecretFile("V", path)


def test_a_missing_file_is_refused_without_its_path(tmp_path: Path) -> None:
    """Whoever puts the secret itself into X_FILE must not find it in a log."""
    with pytest.raises(ValueError, match="No such file") as caught:
        SecretFile("V", tmp_path / "actually-the-secret")
    assert "actually" not in str(caught.value)


def test_only_line_breaks_at_the_end_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(" a\nb \n\n")
    assert SecretFile("V", path)() == " a\nb "
