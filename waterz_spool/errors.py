"""The error tree: every failure a user can meet, with its exit code and what to do about it.

Exit codes: 0 done and verified, 1 failed, 2 usage or configuration, 3 no overlay found, 4 input unreadable or
unsupported, 5 verification failed and nothing published, 6 environment, 7 published, but some of the overlay is still
there: its mask is too small, or segments could not be restored (only where the job allows that: on_dead passthrough),
75 try again, 130/143 signals.
"""

from __future__ import annotations


def printable(text: str) -> str:
    """Text from a spool or a video with control characters escaped, safe for a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def printable_lines(text: str) -> str:
    """The same with its lines kept."""
    return "\n".join(map(printable, text.split("\n")))


class WaterzError(Exception):
    """Root of all errors raised on purpose.

    Args:
        what: What went wrong, one line.
        where: Path, job, segment or option it concerns; empty when there is none.
        todo: What the user can do next, one line.
    """

    exit_code = 1

    def __init__(self, what: str, *, where: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo

    def __str__(self) -> str:
        return "\n".join(line for line in self.lines() if line)

    def lines(self) -> tuple[str, str, str]:
        """The three lines a terminal shows: what, where, what to do (the last two may be empty)."""
        where, todo = printable(self.where), printable_lines(self.todo)
        return printable_lines(self.what), where and f"  where: {where}", todo and f"  to do: {todo}"


class JobFailedError(WaterzError):
    """A job ended in a dead letter or was cancelled."""

    exit_code = 1


class UsageError(WaterzError):
    """A wrong option, configuration key or combination of them."""

    exit_code = 2


class NoOverlayError(WaterzError):
    """No overlay was given and none was found."""

    exit_code = 3


class InputError(WaterzError):
    """The video or mask cannot be read, is damaged, or uses something unsupported."""

    exit_code = 4


class VerificationError(WaterzError):
    """A result did not pass verification; nothing was published."""

    exit_code = 5


class SetupError(WaterzError):
    """The machine or the spool is not fit: missing library, codec, model, GPU, or an unsafe file system."""

    exit_code = 6


class TryAgainError(WaterzError):
    """The work was handed back cleanly (walltime, preemption, no space) and can be resumed."""

    exit_code = 75


class PassedThroughError(WaterzError):
    """The result is published and verified, but some segments could not be restored and are the source's own."""

    exit_code = 7


class OverlayLeftError(WaterzError):
    """The result is published and verified, but a second look at it finds that some of the overlay is still there."""

    exit_code = 7
