"""The command line. Commands live in small modules that are imported when they are called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from waterz_spool import __version__
from waterz_spool.cli.context import Settings, with_shared
from waterz_spool.cli.options import Group

_GROUPS: dict[str, dict[str, tuple[str, str]]] = {  # heading, verb, its module and its first sentence
    "Clean a video": {
        "run": ("start", "Process videos on this machine, start to finish."),
        "pick": ("pick", "Write a page on which you draw the place of the overlay."),
        "detect": ("detect", "Look for overlays; write what was found, and start nothing."),
        "plan": ("plan", "Say what `run` would do, how long it takes, how large it gets."),
        "preview": ("preview", "Make a few seconds, and a page with before and after."),
        "demo": ("demo", "Show it on a clip made on the spot, with the result measured."),
    },
    "Work on many machines": {
        "submit": ("start", "Write jobs into the spool; workers anywhere do the rest."),
        "worker": ("work", "Claim tasks and work on them."),
        "watch": ("work", "Take videos from the inbox; publish what is complete."),
        "slurm": ("slurm", "Launch and watch workers on a Slurm cluster."),
    },
    "Look": {
        "status": ("status", "Show what is done, running and waiting."),
        "workers": ("status", "Show the workers that live, and what each one does."),
        "explain": ("show", "Say why a job or one of its tasks makes no progress."),
        "logs": ("show", "Show what workers logged about a job or one of its tasks."),
        "wait": ("show", "Wait until jobs have ended, and say what was done."),
        "report": ("show", "Write a page about a job: before, after, what was a guess."),
        "verify": ("control", "Check every record and file of a job."),
    },
    "Steer": {
        "pause": ("control", "Hold a job, or the whole spool: nothing new is claimed."),
        "resume": ("control", "Continue after pause, or let a stopped host work again."),
        "retry": ("control", "Grant a failed job or task another round of attempts."),
        "cancel": ("control", "End a job without a result; what runs is handed back."),
        "finalize": ("control", "Join, verify and publish a job here and now."),
        "clean": ("control", "Remove ended jobs from the spool."),
    },
    "Set up": {
        "init": ("setup", "Make a spool in a folder."),
        "doctor": ("doctor", "Check this machine, and what the spool's folder really does."),
        "config": ("settings", "Show, check or begin a configuration file."),
        "models": ("models", "List and check engines, detectors and weights."),
        "detector": ("detector", "Train a YOLO detector for your own overlay, or score one."),
        "completion": ("completion", "Print the lines that make a shell complete commands."),
    },
}
_VERBS = {verb: about for verbs in _GROUPS.values() for verb, about in verbs.items()}


class _Lazy(Group):
    """Knows its commands by name and summary, so that help imports none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _VERBS:
            return None
        module = importlib.import_module(f"waterz_spool.cli.{_VERBS[cmd_name][0]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, verbs in _GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(verb, about) for verb, (_, about) in verbs.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="waterz-spool")
@with_shared
@click.pass_context
def commands(ctx: click.Context, /, **given: Any) -> None:
    """Remove burnt-in overlays from your own video, on one machine or on many that share a directory.

    `waterz-spool COMMAND --help` shows examples, every option and its default.

    Exit codes: 0 done and verified, 1 failed, 2 usage, 3 no overlay found, 4 input unreadable or unsupported,
    5 verification failed and nothing published, 6 environment, 7 published, but some of the overlay is still there
    (its mask is too small, or with --on-dead passthrough segments could not be restored), 75 try again.
    """
    ctx.obj = Settings(**given, document={} if ctx.obj is None else ctx.obj)


__all__ = ["commands"]
