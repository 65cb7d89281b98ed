"""Deaths on demand at the crash points of the protocol, for tests.

``WATERZ_FAILPOINT=after_claim:kill`` ends the process by SIGKILL the first time it passes ``after_claim``;
``:stop`` stops it by SIGSTOP; a third field says at which pass (``after_claim:kill:3``); ``after_end@final:kill``
counts only passes with that task. The variable is read once; unset, a pass costs one comparison.
"""

from __future__ import annotations

import os
import signal

POINTS = (
    "submit_built",  # the job folder is complete under its temporary name
    "submit_renamed",  # the job exists, its active entry does not
    "after_token",
    "after_claim",
    "plan_decided",
    "segment_published",
    "after_output",  # outputs are durable, the outcome is not written
    "before_end",  # the outcome is durable under a temporary name
    "after_end",  # the outcome is recorded, its marker is not
    "after_marker",
    "before_revoke",  # the owner is known to be stale
    "after_revoke",
    "before_commit",
    "after_commit",
    "publish_copied",  # the copy beside the target is durable
    "after_publish",  # the target exists, the record of it does not
    "after_published",
)

_SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


class _Armed:
    def __init__(self, text: str) -> None:
        point, action, *rest = text.split(":")
        self.point, _, self.task = point.partition("@")
        self.signal = _SIGNALS[action]
        self.left = int(rest[0]) if rest else 1
        if self.point not in POINTS:
            raise ValueError(f"unknown failpoint {self.point!r}, known: {', '.join(POINTS)}")

    def passes(self, point: str, task: str) -> bool:
        if point != self.point or (self.task and task != self.task):
            return False
        self.left -= 1
        return self.left == 0


_ARMED = _Armed(os.environ["WATERZ_FAILPOINT"]) if os.environ.get("WATERZ_FAILPOINT") else None


def hit(point: str, task: str = "") -> None:
    """Pass a crash point."""
    if _ARMED is not None and _ARMED.passes(point, task):
        os.kill(os.getpid(), _ARMED.signal)
