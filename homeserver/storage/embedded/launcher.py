"""Becomes a Postgres program: gives up root, and asks to be stopped when Foyer dies.

A program of its own (`python -I -S launcher.py …`) rather than code between fork and exec, which
in a process with threads may deadlock. It imports the standard library only.

Root and what Postgres may reach
    Foyer opens the directories that Postgres needs and passes them on as file descriptors; through
    /proc/self/fd they need no permission on the directories above, so those stay as closed as they
    are. The programs themselves cannot be had that way (Postgres looks for its library next to the
    real path of its program). Where the account may not reach them, as below /root, Postgres keeps
    one capability: to search and read (CAP_DAC_READ_SEARCH), or, in containers that lack that one,
    to pass by permissions altogether (CAP_DAC_OVERRIDE).

Sources: capabilities(7), prctl(2), proc_pid_fd(5).
"""

import ctypes
import os
import sys
from typing import NoReturn

# include/uapi/linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_SECBIT_NO_SETUID_FIXUP = 1 << 2
# include/uapi/linux/capability.h
_CAPABILITY_VERSION_3 = 0x20080522
_CAP_DAC_OVERRIDE = 1
_CAP_DAC_READ_SEARCH = 2
_CAP_SETPCAP = 8


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapabilitySets(ctypes.Structure):
    """The low 32 capabilities; ours are among them."""

    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_libc = ctypes.CDLL(None, use_errno=True)


def main(arguments: list[str]) -> NoReturn:
    """arguments: parent's pid, signal for its death, "uid:gid" or "", program, its arguments."""
    parent, death_signal, account, *command = arguments
    if account:
        uid, gid = map(int, account.split(":"))
        _become(uid, gid, program=command[0])
    # After the change of account, which clears it.
    _call(_libc.prctl, _PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != int(parent):  # it died before it could be watched
        sys.exit("error: Foyer has ended")
    os.execv(command[0], command)  # noqa: S606


def _become(uid: int, gid: int, *, program: str) -> None:
    """Change to the account for good, with no more capabilities than reaching `program` takes."""
    _call(_libc.prctl, _PR_SET_KEEPCAPS, 1, 0, 0, 0)
    try:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise PermissionError(
            f"this root may not become user id {uid}: give it the capabilities SETUID, SETGID, "
            "CHOWN and KILL, or run Foyer as an ordinary account"
        ) from error
    if _reaches(program):
        _write_capabilities(_CapabilitySets(0, 0, 0))
        return
    held = _read_capabilities().permitted
    for capability in (1 << _CAP_DAC_READ_SEARCH, 1 << _CAP_DAC_OVERRIDE):
        if capability & held and _reaches_with(capability, program, held=held):
            _write_capabilities(_CapabilitySets(capability, capability, capability))
            number = capability.bit_length() - 1
            _call(_libc.prctl, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, number, 0, 0)
            return
    raise PermissionError(
        f"user id {uid} may not execute {program}; install Foyer where every account may read it"
    )


def _reaches(program: str) -> bool:
    """Whether the program, and the data that belongs to it, are within reach."""
    shared = os.path.join(os.path.dirname(os.path.dirname(program)), "share")  # noqa: PTH118, PTH120
    return os.access(program, os.X_OK | os.R_OK) and os.access(shared, os.X_OK | os.R_OK)


def _reaches_with(capability: int, program: str, *, held: int) -> bool:
    """Whether the program would be within reach with the capability.

    Postgres asks with access(2), which leaves out the capabilities of everybody but root, except
    where changes of account have been declared to have nothing to do with capabilities.
    """
    setpcap = held & (1 << _CAP_SETPCAP)
    _write_capabilities(_CapabilitySets(capability | setpcap, held, 0))
    declared = _libc.prctl(_PR_SET_SECUREBITS, _SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0
    return declared and _reaches(program)


def _read_capabilities() -> _CapabilitySets:
    sets = (_CapabilitySets * 2)()
    _call(_libc.capget, ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), sets)
    low: _CapabilitySets = sets[0]
    return low


def _write_capabilities(low: _CapabilitySets) -> None:
    sets = (_CapabilitySets * 2)(low)
    _call(_libc.capset, ctypes.byref(_CapabilityHeader(_CAPABILITY_VERSION_3, 0)), sets)


def _call(function: "ctypes._NamedFuncPointer", *arguments: object) -> None:
    if function(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{function.__name__}: {os.strerror(number)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except OSError as error:
        sys.exit(f"error: Postgres could not be launched: {error}")
