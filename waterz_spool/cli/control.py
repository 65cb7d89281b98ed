"""`retry`, `cancel`, `pause`, `resume`, `finalize`, `verify` and `clean`: control of jobs."""

from __future__ import annotations

from collections.abc import Callable

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.naming import find_jobs, job_argument, split_task
from waterz_spool.cli.options import DURATION, Command, option
from waterz_spool.errors import UsageError, VerificationError
from waterz_spool.spool import Job, Spool, Task


def _did(
    settings: Settings,
    action: str,
    jobs: list[tuple[Job, Task | None]],
    text: str,
    *,
    spool: bool = False,
    host: str | None = None,
) -> None:
    """Say what was done to what: jobs, one host, or the whole spool."""
    named = [{"job": job.id, "task": task} for job, task in jobs]
    settings.emit({"action": action, "whole_spool": spool, "host": host, "jobs": named}, text)


@click.command("retry", cls=Command, examples="waterz-spool retry last\nwaterz-spool retry last/52")
@job_argument("JOB[/TASK]", required=True)
@shared_options
def retry_command(settings: Settings, name: str) -> None:
    """Grant a failed job or task another round of attempts.

    What is done is kept; JOB/52 is one task of a job.
    """
    job_name, task = split_task(name)
    granted: list[tuple[Job, Task | None]] = []
    for job in find_jobs(settings, job_name):
        tasks = job.state().tasks
        if task is not None and not any(each.task == task for each in tasks):
            raise UsageError(f"the job has no task {task}", where=job.id, todo="waterz-spool status --segments")
        if not any(each.kind == "dead" for each in tasks if task in (None, each.task)):
            raise UsageError("nothing was given up there", where=job.id, todo=f"waterz-spool explain {job.id}")
        job.retry(task)
        granted.append((job, task))
    _did(settings, "retry", granted, "\n".join(f"{job.id}: granted another round" for job, _ in granted))


def _each(settings: Settings, action: str, name: str, act: Callable[[Job], str]) -> None:
    """Do something to the jobs of a name; `all` is those that have not ended."""
    done: list[tuple[Job, Task | None]] = []
    lines = []
    for job in find_jobs(settings, name):
        if name == "all" and job.state().terminal:
            continue
        lines.append(f"{job.id}: {act(job)}")
        done.append((job, None))
    _did(settings, action, done, "\n".join(lines) or "no job is open")


@click.command("cancel", cls=Command, examples="waterz-spool cancel last\nwaterz-spool cancel all")
@job_argument(required=True)
@shared_options
def cancel_command(settings: Settings, name: str) -> None:
    """End a job without a result; what runs is handed back.

    A cancelled job never comes back: submit the video again.
    """
    _each(settings, "cancel", name, _cancel)


def _cancel(job: Job) -> str:
    if job.cancel():
        return "cancelled"
    record = job.published()
    todo = f"the result lies in {record.path}" if record else f"waterz-spool explain {job.id}"
    raise UsageError("too late to cancel: the job is done", where=job.id, todo=todo)


@click.command("pause", cls=Command, examples="waterz-spool pause last\nwaterz-spool pause all\nwaterz-spool pause")
@job_argument("[JOB]")
@shared_options
def pause_command(settings: Settings, name: str | None) -> None:
    """Hold a job, or the whole spool: nothing new is claimed.

    Workers hand back what they have at the next window. `all` is every job that is open now; WITHOUT A NAME the whole
    spool is held, for everybody who uses it and for jobs to come, until `resume` without a name.
    """
    if name is None:
        spool = Spool.open(settings.spool_root())
        spool.pause()
        text = f"pause: the whole spool {spool.root}, for everybody; waterz-spool resume ends it"
        _did(settings, "pause", [], text, spool=True)
        return
    _each(settings, "pause", name, _pause)


def _pause(job: Job) -> str:
    job.pause()
    return "paused; workers hand back at the next window"


@click.command("resume", cls=Command, examples="waterz-spool resume last\nwaterz-spool resume --host gpu03")
@job_argument("[JOB]")
@option("--host", metavar="HOST", shown="none", help="Let a host that stopped because it failed too often claim again.")
@shared_options
def resume_command(settings: Settings, name: str | None, host: str | None) -> None:
    """Continue after pause, or let a stopped host work again.

    Without a name: the whole spool.
    """
    if host is not None:
        _resume_host(settings, name, host)
    elif name is None:
        Spool.open(settings.spool_root()).resume()
        _did(settings, "resume", [], "resume: the whole spool", spool=True)
    else:
        _each(settings, "resume", name, _resume)


def _resume(job: Job) -> str:
    job.resume()
    return "resumed"


def _resume_host(settings: Settings, name: str | None, host: str) -> None:
    if name is not None:
        raise UsageError("a job or a host, not both", where=f"--host {host}")
    spool = Spool.open(settings.spool_root())
    if not spool.hosts.resume(host):
        stopped = ", ".join(spool.hosts.stopped()) or "none"
        raise UsageError(f"{host} has not stopped", where=str(spool.root), todo=f"stopped hosts: {stopped}")
    _did(settings, "resume", [], f"{host}: takes work again", host=host)


@click.command("finalize", cls=Command, examples="waterz-spool finalize last")
@job_argument("[JOB]", default="last")
@shared_options
def finalize_command(settings: Settings, name: str) -> None:
    """Join, verify and publish a job here and now.

    Without a name: the newest one. Its segments must all be done. Workers do this by themselves, unless
    `worker.finalize_by` leaves it to `watch`.
    """
    from waterz_spool.intake.inbox import finalize_jobs
    from waterz_spool.launch.follow import follow
    from waterz_spool.report.ending import raise_if_left, raise_if_passed, result_path
    from waterz_spool.report.explain import Around, explain_job
    from waterz_spool.report.jobdata import job_data
    from waterz_spool.report.living import Living

    spool = Spool.open(settings.spool_root())
    job = spool.job(name)
    state = job.state()
    if state.state not in ("finalizing", "done"):
        why = explain_job(job, state, Around(Living(spool)))
        raise UsageError("the job is not ready to be finalized", where=job.id, todo="; ".join(why))
    finalize_jobs(spool, [job.id])
    follow(job)
    said = job_data(job, Living(spool))
    settings.emit({"jobs": [said]}, str(result_path(job)))
    raise_if_passed({job.id: job.state().passed})
    raise_if_left([said["result"]])


@click.command("verify", cls=Command, examples="waterz-spool verify last\nwaterz-spool verify all")
@job_argument("[JOB]", default="last")
@shared_options
def verify_command(settings: Settings, name: str) -> None:
    """Check every record and file of a job.

    Against the protocol's invariants; outputs are read and compared by sha256. Without a name: the newest job. Exit
    code 5 when one is violated.
    """
    broken, checked, lines = 0, [], []
    for job in find_jobs(settings, name):
        violations = job.verify()
        broken += len(violations)
        lines += [f"{job.id}: {violation}" for violation in violations] or [f"{job.id}: all invariants hold"]
        checked.append({"job": job.id, "violations": [str(violation) for violation in violations]})
    settings.emit({"jobs": checked}, "\n".join(lines))
    if broken:
        raise VerificationError(
            f"{broken} invariants are violated", todo="do not trust this job; submit the video again"
        )


_CLEAN_EXAMPLES = """
waterz-spool clean
waterz-spool clean --older 2w --state done --yes
"""


@click.command("clean", cls=Command, examples=_CLEAN_EXAMPLES)
@option(
    "--older-than",
    "--older",
    "older_than_s",
    type=DURATION,
    default="7d",
    metavar="AGE",
    help="Only jobs that ended at least this long ago: 12h, 7d, 2w.",
)
@option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["done", "cancelled", "failed"]),
    shown="done and cancelled",
    help="Only jobs in this state; repeatable.",
)
@option("--dry-run/--yes", default=True, help="Only show what would be removed, or remove it. [default: --dry-run]")
@shared_options
def clean_command(settings: Settings, older_than_s: float, states: tuple[str, ...], dry_run: bool) -> None:
    """Remove ended jobs from the spool.

    Never one still being worked on, and never a published result.
    """
    spool = Spool.open(settings.spool_root())
    found = spool.clean(older_than_s=older_than_s, states=states or ("done", "cancelled"), dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {item.what} {item.name} {item.state}".rstrip() for item in found] or ["nothing to remove"]
    if found and dry_run:
        lines.append("run it again with --yes")
    settings.emit({"dry_run": dry_run, "items": found}, "\n".join(lines))
