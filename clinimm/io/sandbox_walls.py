"""What a child that reads untrusted files gives up before the first one: Linux's own walls, through libc alone.

Each is asked for, and what the system refuses is said so. Files stay readable, since reading them is the work."""

import ctypes
import os
import platform
import resource
import sys
from struct import pack

CLONE_NEWNET, CLONE_NEWUSER, CLONE_THREAD = 0x40000000, 0x10000000, 0x00010000
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
OPEN_FILES = 64

# System calls refused, by their numbers on x86-64 and on aarch64 (-1: it has none).
NETWORK = {
    "socket": (41, 198), "connect": (42, 203), "accept": (43, 202), "sendto": (44, 206), "sendmsg": (46, 211),
    "bind": (49, 200), "listen": (50, 201), "socketpair": (53, 199), "accept4": (288, 242), "sendmmsg": (307, 269),
    "io_uring_setup": (425, 425),
}  # fmt: skip
PROCESSES = {
    "fork": (57, -1), "vfork": (58, -1), "execve": (59, 221), "execveat": (322, 281), "kill": (62, 129),
    "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    "pidfd_send_signal": (424, 424), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438), "ptrace": (101, 117),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
}  # fmt: skip
CLONE, CLONE3 = (56, 220), 435
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, AUDIT_ARCH_*
X32_CALLS = 0x40000000

# Classic BPF over struct seccomp_data: number at 0, architecture at 4, arguments from 16.
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
ALLOW, REFUSE, UNKNOWN = 0x7FFF0000, 0x00050000 | 1, 0x00050000 | 38  # the last two with EPERM and ENOSYS

# Landlock's rights over files, all but those to read them, by the version that first knows them.
CREATE_RULESET, RESTRICT_SELF = 444, 446
WRITING = {1: 0b1_1111_1111_0011, 2: 1 << 13, 3: 1 << 14}


def raise_walls(memory_bytes: int) -> dict[str, bool]:
    """Give up network, writing, other processes and all memory over `memory_bytes`, for good.

    What the process can do all the same: `network`, `processes` (start, trace or signal others), `writing` (change
    files: their bytes are under a limit anyway, names and modes are Landlock's). False is what is wished for."""
    _limit(memory_bytes)
    apart, read_only, filtered = leave_network(), forbid_writing(), forbid_calls()
    return {"network": not (apart or filtered), "processes": not filtered, "writing": not read_only}


def allow_seconds(seconds: float) -> None:
    """The limit of processor time counts from the start of the process, so it moves on with each input."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    allowed = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (allowed, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _renounce_privileges() -> bool:
    """What is run from here on gains no rights by who owns it; both walls ask for that first."""
    return sys.platform == "linux" and bool(_libc().prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def _limit(memory_bytes: int) -> None:
    """No more memory than allowed, no byte written to a file, no core dumps, no children, few open files."""
    for what, most in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(what, (most, most))


def leave_network() -> bool:
    """Enter a network namespace without interfaces; False where the system does not let us."""
    libc = _libc()
    if sys.platform != "linux":
        return False
    return any(libc.unshare(flags) == 0 for flags in (CLONE_NEWNET, CLONE_NEWNET | CLONE_NEWUSER))


def forbid_writing() -> bool:
    """Landlock without a single rule: no file is opened to write, made, renamed, cut, removed or run; False where the
    system has none, or one too old to know how to cut."""
    if not _renounce_privileges():
        return False
    call = _libc().syscall
    version = call(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < max(WRITING):
        return False
    handled = ctypes.c_uint64(sum(WRITING.values()))
    rules = call(CREATE_RULESET, ctypes.byref(handled), ctypes.c_size_t(8), 0)
    if rules < 0:
        return False
    try:
        return bool(call(RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def forbid_calls() -> bool:
    """A seccomp filter, which needs no privilege; False where the machine or the system has none."""
    if platform.machine() not in MACHINES or not _renounce_privileges():
        return False
    program = _program(*MACHINES[platform.machine()])
    held = ctypes.create_string_buffer(program)
    described = ctypes.create_string_buffer(pack("@HP", len(program) // 8, ctypes.addressof(held)))
    return bool(_libc().prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, described, 0, 0) == 0)


def _program(column: int, architecture: int) -> bytes:
    """Each test skips the verdict that follows it unless it holds, so that no jump has to be counted."""
    refused = [numbers[column] for numbers in (NETWORK | PROCESSES).values() if numbers[column] >= 0]
    lines = [(LOAD, 0, 0, 4), (EQUAL, 1, 0, architecture), (RETURN, 0, 0, REFUSE), (LOAD, 0, 0, 0)]
    if architecture == MACHINES["x86_64"][1]:
        lines += [(AT_LEAST, 0, 1, X32_CALLS), (RETURN, 0, 0, REFUSE)]
    for number in refused:
        lines += [(EQUAL, 0, 1, number), (RETURN, 0, 0, REFUSE)]
    # The flags of clone3 lie in memory, where no filter sees them: libc then falls back to clone.
    lines += [(EQUAL, 0, 1, CLONE3), (RETURN, 0, 0, UNKNOWN)]
    # Threads may start, processes may not.
    lines += [(EQUAL, 0, 3, CLONE[column]), (LOAD, 0, 0, 16), (ANY_BIT, 1, 0, CLONE_THREAD), (RETURN, 0, 0, REFUSE)]
    lines += [(RETURN, 0, 0, ALLOW)]
    return b"".join(pack("=HBBI", *line) for line in lines)
