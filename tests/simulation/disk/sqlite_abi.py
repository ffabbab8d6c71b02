"""SQLite's interface to an operating system, as C has it: https://www.sqlite.org/c3ref/vfs.html and io_methods.html."""

import ctypes
import sqlite3
from ctypes import CFUNCTYPE, PYFUNCTYPE, Structure, c_char_p, c_int, c_int64, c_void_p
from typing import Any, ClassVar

_FILE_METHODS: dict[str, tuple[Any, ...]] = {
    "xClose": (),
    "xRead": (c_void_p, c_int, c_int64),
    "xWrite": (c_void_p, c_int, c_int64),
    "xTruncate": (c_int64,),
    "xSync": (c_int,),
    "xFileSize": (c_void_p,),
    "xLock": (c_int,),
    "xShmMap": (c_int, c_int, c_int, c_void_p),
    "xShmLock": (c_int, c_int, c_int),
}
_VFS_METHODS: dict[str, tuple[Any, ...]] = {
    "xOpen": (c_void_p, c_void_p, c_int, c_void_p),
    "xDelete": (c_char_p, c_int),
    "xRandomness": (c_int, c_void_p),
    "xSleep": (c_int,),
}
_ARGUMENTS = _FILE_METHODS | _VFS_METHODS

# Callbacks come from C, which gave the GIL away before it went into SQLite; the real methods are called with the GIL
# kept, for none of those in use waits for anything.
CALLBACK = {name: CFUNCTYPE(c_int, c_void_p, *arguments) for name, arguments in _ARGUMENTS.items()}
REAL = {name: PYFUNCTYPE(c_int, c_void_p, *arguments) for name, arguments in _ARGUMENTS.items()}


class Vfs(Structure):
    """``sqlite3_vfs``, version 3."""

    _fields_: ClassVar = [
        ("iVersion", c_int),
        ("szOsFile", c_int),
        ("mxPathname", c_int),
        ("pNext", c_void_p),
        ("zName", c_char_p),
        ("pAppData", c_void_p),
        *(
            (name, c_void_p)
            for name in (
                *("xOpen", "xDelete", "xAccess", "xFullPathname", "xDlOpen", "xDlError", "xDlSym", "xDlClose"),
                *("xRandomness", "xSleep", "xCurrentTime", "xGetLastError", "xCurrentTimeInt64"),
                *("xSetSystemCall", "xGetSystemCall", "xNextSystemCall"),
            )
        ),
    ]


class IoMethods(Structure):
    """``sqlite3_io_methods``, version 3."""

    _fields_: ClassVar = [
        ("iVersion", c_int),
        *(
            (name, c_void_p)
            for name in (
                *("xClose", "xRead", "xWrite", "xTruncate", "xSync", "xFileSize", "xLock", "xUnlock"),
                *("xCheckReservedLock", "xFileControl", "xSectorSize", "xDeviceCharacteristics"),
                *("xShmMap", "xShmLock", "xShmBarrier", "xShmUnmap", "xFetch", "xUnfetch"),
            )
        ),
    ]


class SqliteHidden(RuntimeError):
    """This Python's ``sqlite3`` does not let others reach the library that it uses."""


def load() -> Any:
    """The library behind :mod:`sqlite3`.

    :raises SqliteHidden: it cannot be reached. That it is the very one, and no twin, is for the caller to try
    """
    import _sqlite3  # noqa: PLC0415 # only here is it of any use

    # Built into the interpreter, it has no file of its own.
    library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    try:
        library.sqlite3_vfs_find.restype = ctypes.POINTER(Vfs)
        library.sqlite3_vfs_find.argtypes = (c_char_p,)
        library.sqlite3_vfs_register.argtypes = (c_void_p, c_int)
        library.sqlite3_randomness.restype = None
        library.sqlite3_randomness.argtypes = (c_int, c_void_p)
        library.sqlite3_libversion.restype = c_char_p
    except AttributeError as error:
        raise SqliteHidden(f"this Python hides its SQLite: {error}") from error
    if library.sqlite3_libversion().decode() != sqlite3.sqlite_version:
        raise SqliteHidden("this Python hides its SQLite: the one that was found is another")
    return library
