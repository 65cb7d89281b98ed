"""`retry`, `cancel`, `pause`, `resume`, `finalize`, `verify` and `clean`: control of jobs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import click

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.show import find_jobs, split_task
from waterz_spool.errors import UsageError, VerificationError
from waterz_spool.spool import Spool


@click.command("retry")
@click.argument("name")
@shared_options
def retry_command(settings: Settings, name: str) -> None:
    """Grant a failed job (JOB) or one task (JOB/52) another round of attempts."""
    job_name, task = split_task(name)
    granted = []
    for job in find_jobs(settings, job_name):
        tasks = job.state().tasks
        if task is not None and not any(each.task == task for each in tasks):
            raise UsageError(f"the job has no task {task}", where=job.id, todo="waterz-spool status --segments")
        if not any(each.kind == "dead" for each in tasks if task in (None, each.task)):
            raise UsageError("nothing has failed there", where=job.id, todo=f"waterz-spool explain {job.id}")
        job.retry(task)
        granted.append(({"job": job.id, "retry": task}, f"{job.id}: granted another round"))
    settings.emit_each(granted)


SpoolWide = Callable[[Any], None] | None


def _control(name: str, about: str, act: Callable[[Any], str], *, spool_wide: SpoolWide) -> click.Command:
    @click.command(name, help=about)
    @click.argument("job", required=spool_wide is None)
    @shared_options
    def command(settings: Settings, job: str | None) -> None:
        _act(settings, name, job, act, spool_wide)

    return command


def _act(settings: Settings, name: str, job: str | None, act: Callable[[Any], str], spool_wide: SpoolWide) -> None:
    if job is None and spool_wide is not None:
        spool_wide(Spool.open(settings.spool_root()))
        settings.emit({name: "spool"}, f"{name}: the whole spool")
        return
    done = []
    for each in find_jobs(settings, job):
        if job == "all" and each.state().terminal:
            continue
        done.append(({"job": each.id, name: (text := act(each))}, f"{each.id}: {text}"))
    settings.emit_each(done)


def _cancel(job: Any) -> str:
    if job.cancel():
        return "cancelled"
    record = job.published()
    todo = f"the result lies in {record.path}" if record else f"waterz-spool explain {job.id}"
    raise UsageError("too late to cancel: the job is done", where=job.id, todo=todo)


def _pause(job: Any) -> str:
    job.pause()
    return "paused; workers hand back at the next window"


def _resume(job: Any) -> str:
    job.resume()
    return "resumed"


cancel_command = _control("cancel", "End a job without a result; what runs is handed back.", _cancel, spool_wide=None)
pause_command = _control(
    "pause", "Hold a job, or the whole spool: nothing new is claimed.", _pause, spool_wide=Spool.pause
)


@click.command("resume")
@click.argument("job", required=False)
@click.option("--host", metavar="HOST", help="Let a host that stopped because it failed too often claim again.")
@shared_options
def resume_command(settings: Settings, job: str | None, host: str | None) -> None:
    """Continue after pause, or let a host that stopped itself work again."""
    if host is None:
        _act(settings, "resume", job, _resume, Spool.resume)
        return
    if job is not None:
        raise UsageError("a job or a host, not both", where=f"--host {host}")
    spool = Spool.open(settings.spool_root())
    if not spool.hosts.resume(host):
        stopped = ", ".join(spool.hosts.stopped()) or "none"
        raise UsageError(f"{host} has not stopped", where=str(spool.root), todo=f"stopped hosts: {stopped}")
    settings.emit({"resume": host}, f"{host}: takes work again")


@click.command("finalize")
@click.argument("job", default="last")
@shared_options
def finalize_command(settings: Settings, job: str) -> None:
    """Join, verify and publish a job whose segments are all done, here and now."""
    from waterz_spool.intake.inbox import finalize_jobs
    from waterz_spool.launch.follow import follow
    from waterz_spool.report.ending import raise_if_passed, result_path
    from waterz_spool.report.explain import Around, explain_job
    from waterz_spool.report.living import Living
    from waterz_spool.report.status import summary

    spool = Spool.open(settings.spool_root())
    each = spool.job(job)
    state = each.state()
    if state.state not in ("finalizing", "done"):
        why = explain_job(each, state, Around(Living(spool)))
        raise UsageError("the job is not ready to be finalized", where=each.id, todo="; ".join(why))
    finalize_jobs(spool, [each.id])
    follow(each)
    settings.emit(summary(each, Living(spool)), str(result_path(each)))
    raise_if_passed({each.id: each.state().passed})


@click.command("verify")
@click.argument("job", default="last")
@shared_options
def verify_command(settings: Settings, job: str) -> None:
    """Check every record and file of a job against the protocol's invariants."""
    broken, checked = 0, []
    for each in find_jobs(settings, job):
        violations = each.verify()
        broken += len(violations)
        lines = [f"{each.id}: {violation}" for violation in violations] or [f"{each.id}: all invariants hold"]
        checked.append(({"job": each.id, "violations": [str(violation) for violation in violations]}, "\n".join(lines)))
    settings.emit_each(checked)
    if broken:
        raise VerificationError(
            f"{broken} invariants are violated", todo="do not trust this job; submit the video again"
        )


@click.command("clean")
@click.option(
    "--older-than",
    "--older",
    "older_than",
    default="7d",
    show_default=True,
    metavar="AGE",
    help="Only jobs that ended at least this long ago: 30m, 12h, 7d.",
)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(["done", "cancelled", "failed"]),
    help="Only jobs in this state; repeatable. Without it: done and cancelled.",
)
@click.option("--dry-run/--yes", default=True, show_default=True, help="Only show what would be removed, or remove it.")
@shared_options
def clean_command(settings: Settings, older_than: str, states: tuple[str, ...], dry_run: bool) -> None:
    """Remove ended jobs from the spool, but never one still being worked on, and never a published result."""
    spool = Spool.open(settings.spool_root())
    found = spool.clean(older_than_s=_age_s(older_than), states=states or ("done", "cancelled"), dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    lines = [f"{verb} {item.what} {item.name} {item.state}".rstrip() for item in found] or ["nothing to remove"]
    if found and dry_run:
        lines.append("run it again with --yes")
    settings.emit({"would_remove" if dry_run else "removed": found}, "\n".join(lines))


def _age_s(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not match:
        raise UsageError("an age is a number with s, m, h or d", where=f"--older-than {text}", todo="for example 12h")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[match[2]]
