"""Small words that all reports share: times, numbers of things, names of tasks."""

from __future__ import annotations

from waterz_spool.spool import Task


def clock(seconds: float | None) -> str:
    """Seconds as hours:minutes:seconds; a dash when unknown."""
    if seconds is None:
        return "-"
    whole = max(0, round(seconds))
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def short(seconds: float) -> str:
    """A length of time in its largest unit: ``3d``, ``2h``, ``5m``, ``12s``."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:.0f}s"


def count(number: int, noun: str) -> str:
    """``1 task``, ``2 tasks``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def are(number: int) -> str:
    """The verb that fits a number of things."""
    return "is" if number == 1 else "are"


def task_name(task: Task) -> str:
    """``segment 17``; prep and final by their own names."""
    return f"segment {task}" if isinstance(task, int) else task
