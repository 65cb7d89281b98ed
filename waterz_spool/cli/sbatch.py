"""Commands whose arguments after ``--`` belong to sbatch."""

from __future__ import annotations

import click

from waterz_spool.cli.options import Command

_KEY = "waterz_spool.sbatch"


class SbatchCommand(Command):
    """Keeps everything after ``--`` for sbatch, unread."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take the part before ``--``."""
        if "--" in args and self.takes_sbatch(args):
            place = args.index("--")
            ctx.meta[_KEY] = tuple(args[place + 1 :])
            args = args[:place]
        return super().parse_args(ctx, args)

    def takes_sbatch(self, args: list[str]) -> bool:
        """Whether ``--`` begins sbatch's arguments in this call."""
        return True

    def hint(self, ctx: click.Context) -> str:
        """A forgotten ``--`` is what most often is wrong here."""
        return f"options of sbatch go after --: {ctx.command_path} .. -- --partition=gpu"


class SubmitCommand(SbatchCommand):
    """Without ``--slurm`` a ``--`` only protects file names that begin with a dash."""

    def takes_sbatch(self, args: list[str]) -> bool:
        """Whether workers are asked for."""
        return any(arg == "--slurm" or arg.startswith("--slurm=") for arg in args[: args.index("--")])

    def hint(self, ctx: click.Context) -> str:
        """The same, together with --slurm."""
        return f"options of sbatch go after --: {ctx.command_path} VIDEO --slurm 8 -- --partition=gpu"


def sbatch_arguments() -> tuple[str, ...]:
    """What stood after ``--``."""
    found: tuple[str, ...] = click.get_current_context().meta.get(_KEY, ())
    return found
