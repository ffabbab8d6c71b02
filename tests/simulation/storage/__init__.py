"""What befalls the journal's file between two lives: locked, damaged, away, restored; and what commands read in it.

A trouble is laid when the daemon has ended, and the operator puts it right a while later. Until then each start has to
end with the exit status of the contract and leave the file as it is; from then on nothing may be missing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from forwarder.errors import ForwarderError
from forwarder.journal.letters import find_dead_letters, list_dead_letters
from forwarder.journal.status import Status, read_status
from tests.simulation.storage.file import JournalFile
from tests.simulation.storage.troubles import LAYERS, UNAVAILABLE, Hindered, Restored, promised

if TYPE_CHECKING:
    from tests.simulation.stage import Stage

DISK_TROUBLES = {"disk-full", "disk-error", "disk-busy", "disk-tight"}
"""Happenings that may keep anybody from the journal while they last."""

OPENING = 5.0
"""Seconds within which a start has opened the journal or ended."""


class Storage:
    """The journal's file as the operator and other programs have to do with it."""

    def __init__(self, stage: "Stage", scratch: Path) -> None:
        self.hindered: list[Hindered] = []
        self.mended: list[float] = []
        """When each trouble ended."""
        self.restored: list[Restored] = []
        self.spoilt: set[str] = set()
        """Records whose event cannot be read in the journal any more."""
        self.complaints: list[str] = []
        """What was wrong with what a command read, or with a file that was to be left as it is."""
        self.stage = stage
        self.file = JournalFile(stage.state / "forwarder.db", stage.disk, scratch)
        self._trouble = ""
        self._mend: Callable[[], None] = lambda: None
        self._waiting: list[Callable[[], None]] = []
        self._backup: tuple[float, bytes] | None = None

    # -- the daemon's lives ----------------------------------------------------------------------------------------

    def when_ended(self, act: Callable[[], None]) -> None:
        """Do *act* once no daemon has the file open."""
        self._waiting.append(act)
        if self.stage.life.ended.is_set():
            self.ended()

    def ended(self) -> None:
        """The daemon has ended: what waited for that happens now."""
        waiting, self._waiting = self._waiting, []
        for act in waiting:
            act()

    def began(self, life: int) -> None:
        """A life begins."""
        if self._trouble:
            self.hindered.append(Hindered(life, self.stage.loop.time(), promised(self._trouble)[0]))

    def calm(self) -> None:
        """Put right what is wrong, and let nothing more come."""
        self._waiting.clear()
        self.mend()

    # -- troubles --------------------------------------------------------------------------------------------------

    def lay(self, trouble: str, lasts: float) -> None:
        """Let *trouble* be, until it is mended."""
        self.mend()
        mend = LAYERS[trouble](self)
        if mend is None:
            return  # there is too little of a journal for it
        self._trouble, self._mend = trouble, mend
        self.stage.chronicle.note("journal", trouble)
        self.stage.loop.call_later(lasts, self.mend)

    def mend(self) -> None:
        """The operator has put it right. Twice is fine."""
        if self._trouble:
            self._mend()
            self.stage.chronicle.note("journal", f"no longer {self._trouble}")
            self._trouble = ""
            self.mended.append(self.stage.loop.time())

    # -- backups ---------------------------------------------------------------------------------------------------

    def back_up(self) -> None:
        """Make an online copy, beside whoever runs, once there is anything to lose."""
        if self._trouble or not self.stage.chronicle.has_told("source.page_collected"):
            return
        if (content := self.file.copy()) is not None:
            self._backup = (self.stage.loop.time(), content)

    def restore(self) -> None:
        """Put the copy in the journal's place."""
        if self._backup is None:
            return
        self.mend()
        taken, content = self._backup
        self.file.put({"": content})
        self.restored.append(Restored(len(self.stage.lives), taken, self.stage.loop.time()))
        self.stage.chronicle.note("journal", f"put back as it was at {taken:.1f} s")

    # -- commands --------------------------------------------------------------------------------------------------

    def ask(self) -> None:
        """``forwarder status``, ``dead-letters list`` and ``show``, beside a daemon or without one."""
        stage, status = self.stage, 0
        try:
            self._check(read_status(self.file.path, now=stage.clock.now()))
        except ForwarderError as error:
            status = error.exit_status
        except Exception as error:  # noqa: BLE001 # the process's last resort, as in forwarder.cli
            self.complaints.append(f"status ended with 70: {error!r}")
        stage.chronicle.note("command", f"status {status}")
        allowed = promised(self._trouble)[1] if self._trouble else {0}
        if not stage.chronicle.has_told("daemon.started"):
            allowed = allowed | {UNAVAILABLE}  # it is not made yet, or half made
        if status not in allowed and not self._disk_is_troubled():
            self.complaints.append(f"status ended with {status}, under {self._trouble or 'no trouble'}")

    def _disk_is_troubled(self) -> bool:
        return any(one.kind in DISK_TROUBLES for one in self.stage.plan.happenings)

    def _check(self, status: Status) -> None:
        letters = list_dead_letters(self.file.path)
        for sink in status.sinks:
            filed = [one.letter for one in letters if one.sink == sink.name]
            if len(filed) != sink.dead_letters:
                self.complaints.append(f"{sink.name} has {len(filed)} dead letters, and status {sink.dead_letters}")
            if list_dead_letters(self.file.path, sink.name) != [one for one in letters if one.sink == sink.name]:
                self.complaints.append(f"the dead letters of {sink.name} alone are others than among all")
        for filed_letter in letters[:3]:
            if filed_letter not in find_dead_letters(self.file.path, filed_letter.letter.id):
                self.complaints.append(f"the dead letter {filed_letter.letter.id} is listed, and cannot be shown")
