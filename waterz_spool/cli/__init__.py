"""The command line. Commands live in small modules that are imported when they are called."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from waterz_spool import __version__
from waterz_spool.cli.context import Settings

_COMMANDS = {
    "run": "start",
    "submit": "start",
    "worker": "work",
    "watch": "work",
    "status": "show",
    "explain": "show",
    "logs": "show",
    "report": "show",
    "retry": "control",
    "cancel": "control",
    "pause": "control",
    "resume": "control",
    "finalize": "control",
    "verify": "control",
    "clean": "control",
    "slurm": "slurm",
    "detect": "detect",
    "pick": "pick",
    "plan": "plan",
    "preview": "preview",
    "detector": "detector",
    "doctor": "doctor",
    "models": "models",
    "config": "settings",
    "demo": "demo",
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f"waterz_spool.cli.{_COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, f"{cmd_name}_command")
        return command


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="waterz-spool")
@click.option("--spool", type=click.Path(path_type=Path), help="Shared directory [WATERZ_SPOOL_DIR].")
@click.option("--config", type=click.Path(path_type=Path), help="Configuration file [WATERZ_CONFIG].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def commands(ctx: click.Context, spool: Path | None, config: Path | None, as_json: bool) -> None:
    """Remove burnt-in overlays from your own video, on one machine or on many that share a directory.

    Exit codes: 0 done and verified, 1 failed, 2 usage, 3 no overlay found, 4 input unreadable or unsupported,
    5 verification failed and nothing published, 6 environment, 7 published, but some segments could not be restored
    (with --on-dead passthrough), 75 try again.
    """
    ctx.obj = Settings(spool=spool, config_file=config, as_json=as_json)


__all__ = ["commands"]
