"""Logs of a job's tasks, merged by time."""

from __future__ import annotations

from waterz_spool.errors import printable
from waterz_spool.spool import Job, Task, label

_CAP_BYTES = 4 << 20


def merged(job: Job, task: Task | None = None) -> list[str]:
    """All lines that workers wrote about a job or one of its tasks, each with the task it belongs to.

    Lines begin with their worker's own time; machines' clocks may differ, so the order between machines is a hint.
    """
    prefix = "" if task is None else f"{label(task)}."
    lines = []
    for name, data in job.logs(_CAP_BYTES):
        if not name.startswith(prefix):
            continue
        text = "(not a log of at most 4 MiB)" if data is None else data.decode("utf-8", "replace")
        for number, line in enumerate(text.splitlines()):
            lines.append((line[:23] if line[:2] == "20" else "", name, number, line))
    last = ""
    stamped = []
    for stamp, name, number, line in lines:
        last = stamp or last
        stamped.append((last, name, number, line))
    return [f"{printable(name.split('.')[0]):>5} {printable(line)}" for _, name, _, line in sorted(stamped)]
