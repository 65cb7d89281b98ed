"""Put-if-absent by link(2): the one primitive on which the safety of the spool rests.

Guarantee: of all processes that put something under one name, exactly one succeeds, whatever dies, hangs, is
answered twice or not at all. A name, once there, never changes. Limit: the file system must have hard links and
decide them in one place; an error in reply to a link proves nothing, so the name is read and compared, and where the
read is answered from a stale cache too, the outcome stays undecided for the caller (`UndecidedError`).
"""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path

from waterz_spool.spool.disk.fileops import FileOps

RECORD_CAP_BYTES = 16 * 1024
PAYLOAD_CAP_BYTES = 256 * 1024
PLAN_CAP_BYTES = 64 * 1024 * 1024

_TRANSIENT = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EINTR)
_TRIES = 3


class UndecidedError(OSError):
    """A link was refused or unanswered, and the name cannot be read: who holds it is unknown for now."""


def read_settled(ops: FileOps, path: Path, cap_bytes: int = RECORD_CAP_BYTES) -> bytes | None:
    """The content, or None when the name is (or seems) absent; ESTALE, EIO and the like are tried again.

    Limit: None proves nothing on a network file system. Ask only for names that are known to exist, and treat None
    as "not visible here yet".

    Raises:
        OSError: It cannot be read although it is there.
    """
    for attempt in range(_TRIES):
        try:
            return ops.read(path, cap_bytes)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in _TRANSIENT or attempt == _TRIES - 1:
                raise
    raise AssertionError


def link_if_absent(ops: FileOps, source: Path, target: Path, data: bytes) -> bool:
    """Give a durable file that holds ``data`` the name ``target``, unless that name is taken.

    ``data`` must be unique to the caller (it holds a nonce), so that finding it under the name means: mine.

    Returns:
        True when the name holds ``data``; False when it holds something else, for ever.

    Raises:
        UndecidedError: The link failed and the name cannot be read; it may still be the caller's.
    """
    failure: OSError | None = None
    for _ in range(_TRIES):
        try:
            ops.link(source, target)
            return True  # success is definite
        except OSError as error:  # any error: who is there?
            failure = error
        with contextlib.suppress(OSError):
            held = read_settled(ops, target, max(len(data), PAYLOAD_CAP_BYTES))
            if held is not None:
                return held == data
        if failure.errno not in (*_TRANSIENT, errno.EEXIST, errno.EPERM):
            break
    assert failure is not None
    raise UndecidedError(failure.errno, failure.strerror or str(failure), str(target)) from failure


def put_if_absent(ops: FileOps, target: Path, data: bytes, nonce: str) -> bool:
    """Put a record under a name unless the name is taken; the record is durable before the name exists.

    Args:
        ops: The file operations.
        target: The name; its temporary file lies in the same folder (some systems link only within one).
        data: The content, unique to the caller.
        nonce: Names the temporary file; unused elsewhere.

    Returns:
        True when the name holds ``data``; False when it holds something else, for ever.

    Raises:
        OSError: The record could not be written (ENOSPC and the like): nothing happened.
        UndecidedError: See `link_if_absent`.
    """
    temp = target.parent / f".t.{nonce}"
    try:
        ops.write_new(temp, data)
        won = link_if_absent(ops, temp, target, data)
    finally:
        with contextlib.suppress(OSError):
            ops.unlink(temp)
    if won:
        settle_folder(ops, target.parent)
    return won


def settle_folder(ops: FileOps, folder: Path) -> None:
    """Make names durable where that can be done; a failure leaves them visible to all, at risk of a power cut only."""
    with contextlib.suppress(OSError):
        ops.sync_folder(folder)
