"""Slurm's own commands, each with a time limit: a controller that does not answer must not hang anybody."""

from __future__ import annotations

import os
import shutil
import subprocess

from waterz_spool.errors import SetupError

_FOLDERS = "/usr/bin:/usr/local/bin:/opt/slurm/bin:/usr/local/slurm/bin"
# Users' own output formats and filters would change what the commands print.
_PERSONAL = ("SQUEUE_", "SLURM_TIME_FORMAT", "SCONTROL_", "SLURM_BITSTR_LEN")


class SlurmError(SetupError):
    """A Slurm command is missing, was refused, or did not answer in time."""


def find(command: str) -> str:
    """The absolute path of a Slurm command.

    Raises:
        SlurmError: This machine has none.
    """
    path = shutil.which(command) or shutil.which(command, path=_FOLDERS)
    if path is None:
        raise SlurmError(f"no {command} on this machine", todo="run this where Slurm's commands are installed")
    return path


def ask(command: str, *arguments: str, timeout_s: float = 30.0) -> str:
    """Run a Slurm command and return what it prints.

    Raises:
        SlurmError: It is missing, failed, or took longer than ``timeout_s``.
    """
    line = " ".join((command, *arguments))
    environment = {key: value for key, value in os.environ.items() if not key.startswith(_PERSONAL)}
    try:
        done = subprocess.run(
            [find(command), *arguments],
            capture_output=True,
            check=False,
            env=environment | {"LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as error:
        raise SlurmError(
            f"Slurm did not answer within {timeout_s:g} s", where=line, todo="try again when the controller is up"
        ) from error
    if done.returncode:
        raise SlurmError(f"Slurm refused: {_reason(done.stderr)}", where=line, todo="see the message of Slurm")
    return done.stdout


def _reason(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return "; ".join(lines[-3:]) or "no reason given"
