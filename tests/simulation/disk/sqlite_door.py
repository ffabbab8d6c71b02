"""A door in SQLite's own way to the disk: what is written, synced, locked and deleted passes through Python.

The operating system's VFS is copied and the copy made the default. Of the files that the volume in charge manages a few
methods are led here, and from here to the real ones. All other files, and reads, go as they always did. What SQLite was
once given stays for the life of the process, since connections may outlive the volume that they were opened on.
"""

import ctypes
import os
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from typing import Any

from tests.simulation.disk import sqlite_abi as abi
from tests.simulation.disk.sqlite_volume import OpenFile, Volume

_KINDS = {0x100: "db", 0x800: "journal", 0x4000: "journal", 0x80000: "wal"}
"""By their SQLITE_OPEN flags, files that outlive a process; temporary ones are nobody's business."""

_CREATE = 0x4

_in_charge: Volume | None = None
_files: dict[int, OpenFile] = {}
_opens = 0
_lib: Any = None
_original: abi.Vfs
_copy: abi.Vfs
_tables: dict[int, abi.IoMethods] = {}
_reals: dict[int, dict[str, Any]] = {}
_watching_reads = False


def enter(volume: Volume) -> None:
    """Put *volume* in charge of what is opened from now on.

    :raises SqliteHidden: this Python's SQLite cannot be reached
    """
    global _in_charge  # noqa: PLW0603 # SQLite's list of VFSs is the process's, and so is this
    if _in_charge is not None:
        raise RuntimeError("another volume is in charge")
    prepare()
    _lib.sqlite3_vfs_register(ctypes.addressof(_copy), 1)
    _in_charge = volume
    forget_randomness()


def leave(volume: Volume) -> None:
    """Let the operating system have the files again. Whatever is still open stays the volume's."""
    global _in_charge  # noqa: PLW0603 # as above
    if _in_charge is volume:
        _in_charge = None
        watch_reads(on=False)
        _lib.sqlite3_vfs_register(ctypes.addressof(_original), 1)
        forget_randomness()


def forget_randomness() -> None:
    """Let SQLite seed its generator anew, which is the process's too."""
    _lib.sqlite3_randomness(0, None)


def watch_reads(*, on: bool) -> None:
    """Ask the volume before each read, or let reads go at C's speed again."""
    global _watching_reads  # noqa: PLW0603 # as above
    _watching_reads = on
    for table, copy in _tables.items():
        copy.xRead = _address("xRead") if on else abi.IoMethods.from_address(table).xRead


def prepare() -> None:
    """Find this Python's SQLite, once.

    :raises SqliteHidden: it cannot be reached
    """
    global _lib, _original, _copy  # noqa: PLW0603 # as above
    if _lib is not None:
        return
    library = abi.load()
    _original = library.sqlite3_vfs_find(None).contents
    _copy = abi.Vfs.from_buffer_copy(_original)
    _copy.zName = b"simulated"
    for name in ("xOpen", "xDelete", "xRandomness", "xSleep"):
        setattr(_copy, name, _address(name))
    library.sqlite3_vfs_register(ctypes.addressof(_copy), 1)
    try:
        _prove()
    finally:
        library.sqlite3_vfs_register(ctypes.addressof(_original), 1)
    _lib = library


def _prove() -> None:
    """A twin of the library, loaded beside it, would take what it is given and be asked by nobody."""
    before = _opens
    with tempfile.TemporaryDirectory() as directory, closing(sqlite3.connect(f"{directory}/probe")) as probe:
        probe.execute("PRAGMA user_version")
    if _opens == before:
        raise abi.SqliteHidden("this Python hides its SQLite: the one that was found is a twin")


def _reals_of(structure: ctypes.Structure) -> dict[str, Any]:
    addresses = {name: getattr(structure, name, None) for name in abi.REAL}
    return {name: abi.REAL[name](address) for name, address in addresses.items() if address}


def _table_for(original: int) -> int:
    """The address of the table of methods that stands in for the one at *original*."""
    if original not in _tables:
        real = abi.IoMethods.from_address(original)
        copy = _tables[original] = abi.IoMethods.from_buffer_copy(real)
        _reals[original] = _reals_of(real)
        for name in ("xClose", "xWrite", "xTruncate", "xSync", "xLock", "xShmMap", "xShmLock"):
            if getattr(real, name):
                setattr(copy, name, _address(name))
        watch_reads(on=_watching_reads)
    return ctypes.addressof(_tables[original])


# -- what SQLite calls -------------------------------------------------------------------------------------------------


def _open(_vfs: int, name: int | None, address: int, flags: int, out: int | None) -> int:
    global _opens  # noqa: PLW0603 # as above
    _opens += 1
    real = abi.REAL["xOpen"](_original.xOpen)
    kind = next((kind for flag, kind in _KINDS.items() if flags & flag), None)
    path = os.fsdecode(ctypes.string_at(name)) if name else ""
    volume = _in_charge
    if volume is None or kind is None or not volume.manages(path):
        return int(real(ctypes.addressof(_original), name, address, flags, out))
    if code := volume.may_open(path):
        ctypes.c_void_p.from_address(address).value = None  # so that it is not closed
        return code
    flags = volume.granted(flags)
    created = not os.path.exists(path)  # noqa: PTH110 # thousands a second
    code = real(ctypes.addressof(_original), name, address, flags, out)
    if code == sqlite3.SQLITE_OK:
        methods = ctypes.c_void_p.from_address(address)
        table = methods.value
        assert table is not None
        methods.value = _table_for(table)
        _files[address] = file = OpenFile(volume, address, path, kind, new=bool(flags & _CREATE), real=_reals[table])
        volume.opened(file, created=created)
    return int(code)


def _close(address: int) -> int:
    file = _files.pop(address)
    code = file.call("xClose")
    file.volume.closed(file)
    return code


def _read(address: int, buffer: int, amount: int, offset: int) -> int:
    file = _files[address]
    return file.volume.may_read(file) or file.call("xRead", buffer, amount, offset)


def _write(address: int, buffer: int, amount: int, offset: int) -> int:
    file = _files[address]
    return file.volume.write(file, ctypes.string_at(buffer, amount), offset)


def _truncate(address: int, size: int) -> int:
    file = _files[address]
    return file.volume.truncate(file, size)


def _sync(address: int, _flags: int) -> int:
    file = _files[address]
    return file.volume.sync(file)


def _lock(address: int, level: int) -> int:
    file = _files[address]
    return file.volume.may_lock(file, level) or file.call("xLock", level)


def _map(address: int, region: int, size: int, extend: int, out: int) -> int:
    file = _files[address]
    code = file.volume.may_map(file, (region + 1) * size if extend else 0)
    return code or file.call("xShmMap", region, size, extend, out)


def _lock_shared_memory(address: int, slot: int, count: int, flags: int) -> int:
    file = _files[address]
    return file.volume.may_lock_shared_memory(file, slot, flags) or file.call("xShmLock", slot, count, flags)


def _delete(_vfs: int, name: bytes, sync_directory: int) -> int:
    def real() -> int:
        return int(abi.REAL["xDelete"](_original.xDelete)(ctypes.addressof(_original), name, 0))

    path, volume = os.fsdecode(name), _in_charge
    if volume is None or not volume.manages(path):
        return real()
    return volume.delete(path, synced=bool(sync_directory), real=real)


def _randomness(_vfs: int, size: int, out: int) -> int:
    data = os.urandom(size) if _in_charge is None else _in_charge.randomness(size)
    ctypes.memmove(out, data, size)
    return size


def _sleep(_vfs: int, microseconds: int) -> int:
    if _in_charge is None:
        return int(abi.REAL["xSleep"](_original.xSleep)(ctypes.addressof(_original), microseconds))
    _in_charge.slept(microseconds)
    return microseconds


def _guarded(method: Callable[..., int]) -> Callable[..., int]:
    """An exception would be printed, and its call count as a success: tell the volume, and fail."""

    def call(*arguments: Any) -> int:
        try:
            return method(*arguments)
        except BaseException as error:  # noqa: BLE001 # the volume raises it where there is no C in between
            file = _files.get(arguments[0])
            volume = _in_charge if file is None else file.volume
            if volume is not None:
                volume.failed(error)
            return sqlite3.SQLITE_IOERR

    return call


_METHODS: dict[str, Callable[..., int]] = {
    "xOpen": _open,
    "xDelete": _delete,
    "xRandomness": _randomness,
    "xSleep": _sleep,
    "xClose": _close,
    "xRead": _read,
    "xWrite": _write,
    "xTruncate": _truncate,
    "xSync": _sync,
    "xLock": _lock,
    "xShmMap": _map,
    "xShmLock": _lock_shared_memory,
}
_CALLBACKS = {name: abi.CALLBACK[name](_guarded(method)) for name, method in _METHODS.items()}


def _address(name: str) -> int | None:
    return ctypes.cast(_CALLBACKS[name], ctypes.c_void_p).value
