"""The program from Python: one video here and now, or jobs in a spool that workers anywhere take."""

from waterz_spool.api.asked import Asked
from waterz_spool.api.job import Job, State, as_completed
from waterz_spool.api.spool import Spool, run
from waterz_spool.report.jobdata import TaskInfo
from waterz_spool.report.progress import Moment
from waterz_spool.report.result import Result

__all__ = ["Asked", "Job", "Moment", "Result", "Spool", "State", "TaskInfo", "as_completed", "run"]
