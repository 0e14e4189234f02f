"""Where a recording goes: a file that takes the place of an older one, or a pipe or device.

Once the program runs, nothing that happens here may harm it: writes do not
raise and do not wait for a reader.  What cannot be written is counted as lost.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import stat
import time
from contextlib import suppress

LAST_WORDS_BYTES = 128
"""Kept free for what is said at the end, so that a full disk does not swallow it."""
_RESERVED_BYTES = (1 << 18, 1 << 14, 1 << 12)
"""How much of the disk is asked for ahead; less where there is not so much."""
_WAITING_BYTES = 64 << 20
"""What is kept for a slow reader of a pipe before calls are lost."""
_READER_SECONDS = 5.0
_KEEP_SIZE = 1
_NO_SPACE = frozenset((errno.ENOSPC, errno.EDQUOT))
_UNLIMITED = 1 << 63


class Output:
    """A recording's bytes on their way out."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.failure = ""
        """Why nothing can be written any more."""

    def write(self, data: bytes) -> bool:
        """Append a whole record; False if it is lost."""
        raise NotImplementedError

    def begin(self) -> None:
        """The program has started: from here on the recording stands under its name, an older one
        is gone.
        """

    def finish(self, data: bytes) -> None:
        """Append the last words, even if nothing else could be written."""
        self.write(data)

    def close(self) -> None:
        """Let go of it; what never began leaves nothing behind."""


def open_output(path: str) -> Output:
    """The output with this name.  Raises OSError; an existing file is untouched until `begin`."""
    full = os.path.abspath(path)
    try:
        there = os.stat(path)
    except FileNotFoundError:
        there = None
    if there and stat.S_ISDIR(there.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if there and not stat.S_ISREG(there.st_mode):
        return _Stream(path)
    if full.startswith(("/proc/", "/dev/")) and not full.startswith("/dev/shm/"):
        return _Stream(path)  # /dev/stdout: whoever opened it wants it there, not in another file
    return _File(path, _target(full))


def _target(full: str) -> str:
    """Where a name leads.  Raises PermissionError for another user's link."""
    if not os.path.islink(full):
        return full
    if os.lstat(full).st_uid not in (os.geteuid(), 0):
        raise PermissionError(errno.EACCES, "a symbolic link of another user is not followed", full)
    return os.path.realpath(full)


class _File(Output):
    """A file, at first under a name of its own beside the one that it will have."""

    def __init__(self, path: str, target: str) -> None:
        super().__init__(path)
        self._target = target
        self._at = self._reserved = 0
        """Bytes written, and bytes that the disk has promised."""
        self._limit = _file_limit()
        self._has_begun = False
        self._head = b""
        """What was written before the beginning."""
        self._fd = -1
        self._part = os.path.join(
            os.path.dirname(target), f".memslots-{os.getpid()}-{os.urandom(4).hex()}.part"
        )
        self._has_name = False
        try:
            self._open(os.path.dirname(target))
        except PermissionError:
            # a folder in which nothing may be made, but perhaps a file that may be written
            if not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path) from None
        except OSError as error:
            raise OSError(error.errno, error.strerror, path) from None

    def _open(self, folder: str) -> None:
        """Make a file that has no name yet, where that can be; it leaves nothing behind if we are
        killed.
        """
        try:
            self._fd = os.open(folder, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL):
                raise
            self._fd = os.open(
                self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
            )
            self._has_name = True

    def write(self, data: bytes) -> bool:
        if self.failure:
            return False
        if not self._has_begun:
            self._head += data
        end = self._at + len(data) + LAST_WORDS_BYTES
        if end > self._limit:
            return self._fail(errno.EFBIG)
        if end > self._reserved:
            number = self._reserve(end)
            if number:
                return self._fail(number)
        return self._put(data)

    def begin(self) -> None:
        self._has_begun = True
        try:
            if not self._has_name:
                # a descriptor of any folder makes Python follow the link, which plain os.link does
                # not
                os.link(
                    f"/proc/self/fd/{self._fd}",
                    self._part,
                    src_dir_fd=self._fd,
                    follow_symlinks=True,
                )
                self._has_name = True
            os.rename(self._part, self._target)
        except OSError:
            self._begin_in_place()
        self._has_name, self._head = False, b""

    def _begin_in_place(self) -> None:
        """A mount point cannot be replaced, but written; so can a file in a folder that is closed
        to us.
        """
        try:
            fd = os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if self._has_name:
                self.path = self._part
            else:
                self.failure = os.strerror(error.errno or errno.EIO)
            return
        if self._fd >= 0:
            os.close(self._fd)
        if self._has_name:
            os.unlink(self._part)
        self._fd, self._at, self._reserved = fd, 0, 0
        self._put(self._head)

    def _reserve(self, end: int) -> int:
        """Have the disk promise room up to `end` at least: 0, or the errno if it is full."""
        for nbytes in _RESERVED_BYTES:
            number = _fallocate(self._fd, self._at, nbytes) if self._fd >= 0 else 0
            if number not in _NO_SPACE:
                # one that promises nothing (EOPNOTSUPP) may have room all the same
                self._reserved = self._at + nbytes if number == 0 else _UNLIMITED
                return 0
        return number

    def _put(self, data: bytes) -> bool:
        if self._fd < 0:
            return True
        left = data
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError as error:
            return self._fail(error.errno or errno.EIO)
        self._at += len(data)
        return True

    def _fail(self, number: int) -> bool:
        """No more can be written: what is there ends with its last whole record."""
        self.failure = os.strerror(number)
        if self._fd >= 0:
            self._cut()
        return False

    def _cut(self) -> None:
        with suppress(OSError):
            os.lseek(self._fd, self._at, os.SEEK_SET)
            os.ftruncate(self._fd, self._at)

    def finish(self, data: bytes) -> None:
        failure = self.failure
        if self._put(data) and self._reserved:
            self._cut()  # gives back what was reserved and not used
        self.failure = failure or self.failure

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._has_name:
            os.unlink(self._part)
            self._has_name = False


class _Stream(Output):
    """A pipe, device or socket: its reader may be slow, or go."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._fd = _open_stream(path)
        self._waiting = bytearray()
        self._begun = False

    def write(self, data: bytes) -> bool:
        if self.failure or len(self._waiting) > _WAITING_BYTES:
            return False
        self._waiting += data
        self._push()
        return not self.failure

    def _push(self) -> None:
        waiting = self._waiting
        try:
            while waiting:
                del waiting[: os.write(self._fd, waiting)]
        except BlockingIOError:
            return
        except OSError as error:
            if not self._begun:
                raise
            self.failure = os.strerror(error.errno or errno.EIO)
            self._waiting = bytearray()

    def begin(self) -> None:
        self._begun = True

    def finish(self, data: bytes) -> None:
        """The program has ended: the reader may take its time now."""
        if self.failure:
            return
        os.set_blocking(self._fd, True)
        self._waiting += data
        self._push()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def _open_stream(path: str) -> int:
    deadline = time.monotonic() + _READER_SECONDS
    while True:
        try:
            return os.open(
                path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | os.O_APPEND
            )
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            if time.monotonic() > deadline:
                raise OSError(error.errno, "nobody reads this pipe", path) from None
            time.sleep(0.02)


def _file_limit() -> int:
    """Size beyond which the kernel refuses to let a file of ours grow (ulimit -f)."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return _UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _fallocate(fd: int, at: int, nbytes: int) -> int:
    """Have the file system promise room, without a change of the file's size: 0 or an errno."""
    call = _libc.fallocate
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return ctypes.get_errno() if call(fd, _KEEP_SIZE, at, nbytes) else 0


_libc = ctypes.CDLL(None, use_errno=True)
