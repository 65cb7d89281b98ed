"""What an error in a task's work means: somebody asked to stop, storage, too little memory, or the task itself.

Only what is the task's own fault costs one of its attempts. Limit: a worker that the kernel kills for want of memory
cannot say so; its task counts as lost, and the next one who takes it works carefully from the start.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import logging
import os
import re
import shlex
import traceback

from waterz_spool.errors import JobFailedError, SetupError, TryAgainError, WaterzError
from waterz_spool.restore import Stop
from waterz_spool.spool import Claim, DamagedRecordError, Session, storage_error
from waterz_spool.stages.contract.request import decode_request

log = logging.getLogger(__name__)

_AGAIN = (SetupError, DamagedRecordError, JobFailedError)
_MEMORY_NAMES = ("OutOfMemoryError", "_ArrayMemoryError")  # of torch and numpy, which need not be imported
_NO_MEMORY_CODE = -4  # of OpenCV's errors


class Failing:
    """One worker's way to deal with errors.

    Attributes:
        careful: Whether it has run out of memory and takes as little at a time as it can from now on.
    """

    def __init__(self, session: Session) -> None:
        self.careful = False
        self._session = session

    def settle(self, claim: Claim, error: Exception) -> None:
        """Record the outcome of a claim whose work ended in an error."""
        if claim.ended:
            log.error("%s", "".join(traceback.format_exception(error)))
        elif isinstance(error, Stop):
            log.info("handing back %s: %s", claim.task, error)
            claim.released(str(error))
        elif isinstance(error, TryAgainError):
            claim.released(error.what)
        elif self._session.trouble.to_blame(error, claim.job, claim.task):
            why = os.strerror(storage_error(error))
            log.info("handing back %s: %s (%s)", claim.task, why, error)
            claim.released(f"storage: {why}")
        elif is_memory(error) and not self.careful:
            self._step_down(claim)
        else:
            _fail(claim, error)

    def works_carefully(self, claim: Claim) -> bool:
        """Whether to take as little as possible at a time: out of memory before, or earlier owners vanished."""
        if self.careful or claim.attempt == 1:
            return self.careful
        with contextlib.suppress(OSError):
            return bool(claim.job.log.scan().task(claim.task).lost())
        return False

    def _step_down(self, claim: Claim) -> None:
        self.careful = True
        log.warning("out of memory in %s: this worker continues with less at a time", claim.task)
        claim.released("out of memory; tried again with less at a time")
        gc.collect()


def is_memory(error: BaseException) -> bool:
    """Whether memory ran out, on the CPU or a GPU."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ in _MEMORY_NAMES
        or getattr(error, "errno", None) == errno.ENOMEM
        or getattr(error, "code", None) == _NO_MEMORY_CODE
    )


def _name_as_given(claim: Claim, error: WaterzError) -> None:
    """Let an error name the files that the user gave, not the copies in the job, which goes when `run` has ended."""
    request, layout = decode_request(claim.job.request()), claim.job.layout
    file, name = claim.job.file.source.file, request.source_given
    given = {str(layout.source / file): name}
    if request.mask and request.mask_from:
        given[str(layout.source / request.mask)] = request.mask_from
    for pinned, name_given in given.items():
        error.what, error.where = (text.replace(pinned, name_given) for text in (error.what, error.where))
    word = re.compile(rf"(?<!\S)(?:{re.escape(str(layout.source))}/)?{re.escape(file)}(?!\S)")  # of a command
    error.todo = word.sub(lambda _: shlex.quote(name), error.todo)


def _fail(claim: Claim, error: Exception) -> None:
    if isinstance(error, WaterzError):
        with contextlib.suppress(OSError, WaterzError):  # then the copy is named
            _name_as_given(claim, error)
        log.error("%s", error)
        claim.failed(str(error), rc=error.exit_code, retry=isinstance(error, _AGAIN))
    else:
        log.error("%s", "".join(traceback.format_exception(error)))
        claim.failed(f"{type(error).__name__}: {error}", rc=1)
