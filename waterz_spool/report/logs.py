"""Logs of a job's tasks, merged by time."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from waterz_spool.errors import printable
from waterz_spool.spool import Job, Task, label

_CAP_BYTES = 4 << 20


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a worker wrote; ``time`` is its worker's own, empty before the first that has one."""

    time: str
    task: str
    text: str
    log: str
    number: int

    def __str__(self) -> str:
        return f"{printable(self.task):>5} {printable(self.text)}"


def merged(job: Job, task: Task | None = None, *, after: Mapping[str, int] | None = None) -> list[Line]:
    """All lines that workers wrote about a job or one of its tasks, each with the task it belongs to.

    Lines begin with their worker's own time; machines' clocks may differ, so the order between machines is a hint.

    Args:
        job: The job.
        task: Only of this task; None is all.
        after: How many lines of each log are known already, by its name.
    """
    prefix = "" if task is None else f"{label(task)}."
    found = []
    for name, data in job.logs(_CAP_BYTES):
        if not name.startswith(prefix):
            continue
        text = "(not a log of at most 4 MiB)" if data is None else data.decode("utf-8", "replace")
        last = ""
        for number, line in enumerate(text.splitlines()):
            last = line[:23] if line[:2] == "20" else last
            found.append(Line(time=last, task=name.split(".")[0], text=line, log=name, number=number))
    new = [line for line in found if line.number >= (after or {}).get(line.log, 0)]
    return sorted(new, key=lambda line: (line.time, line.log, line.number))
