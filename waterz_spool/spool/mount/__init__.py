"""What can be found out about the file system of a spool, and what follows from it: the door for a doctor."""

from waterz_spool.spool.mount.meeting import Meeting
from waterz_spool.spool.mount.pair import PairProbe, explain, judge
from waterz_spool.spool.mount.probe import Check, NameProbe, fail, ok, probe_access, probe_space, warn
from waterz_spool.spool.mount.verdict import Verdict, newest_verdict, put_verdict

__all__ = [
    "Check",
    "Meeting",
    "NameProbe",
    "PairProbe",
    "Verdict",
    "explain",
    "fail",
    "judge",
    "newest_verdict",
    "ok",
    "probe_access",
    "probe_space",
    "put_verdict",
    "warn",
]
