"""Stops the log writer of a node that runs, as a debugger does it: that one thread."""
import ctypes
import errno
import os
import pathlib

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_DETACH, WALL = 0x4206, 0x4207, 17, 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class Skip(Exception):
    """This machine does not allow what is needed."""


def thread_of(pid):
    """None: the process has no log writer yet, or is about to end."""
    for task in pathlib.Path(f'/proc/{pid}/task').glob('*'):
        try:
            if (task / 'comm').read_text().strip() == 'log':
                return int(task.name)
        except (FileNotFoundError, ProcessLookupError):  # Threads come and go while one looks.
            continue
    return None


def halt(pid):
    """The thread that stands still now, for resume(); None where there is none that could."""
    thread = thread_of(pid)
    if thread is None:
        return None
    if libc.ptrace(PTRACE_SEIZE, thread, None, None) != 0:
        if ctypes.get_errno() == errno.ESRCH:
            return None
        raise Skip(f'no ptrace: {os.strerror(ctypes.get_errno())}')
    libc.ptrace(PTRACE_INTERRUPT, thread, None, None)
    os.waitpid(thread, WALL)
    return thread


def resume(thread):
    libc.ptrace(PTRACE_DETACH, thread, None, None)
