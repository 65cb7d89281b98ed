"""`completion`: what makes a shell complete verbs, options and job ids."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from waterz_spool.cli.context import Settings, shared_options
from waterz_spool.cli.options import Command

_EXAMPLES = """
waterz-spool completion bash >> ~/.bashrc
waterz-spool completion zsh >> ~/.zshrc
waterz-spool completion fish > ~/.config/fish/completions/waterz-spool.fish
"""


@click.command("completion", cls=Command, examples=_EXAMPLES)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@shared_options
def completion_command(settings: Settings, shell: str) -> None:
    """Print the lines that make a shell complete commands.

    Verbs, options, their choices and the ids of jobs are completed. Start a new shell afterwards.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = click.get_current_context().find_root()
    text = kind(root.command, {}, "waterz-spool", "_WATERZ_SPOOL_COMPLETE").source()
    settings.emit({"shell": shell, "script": text}, text.rstrip())
