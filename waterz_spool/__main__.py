"""The command line's entry: runs a command and turns every error into what, where, what to do, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from waterz_spool.errors import SetupError, WaterzError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends by SystemExit."""
    import click

    from waterz_spool.cli import commands

    try:
        code = commands.main(args=arguments, prog_name="waterz-spool", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        code = exit_.exit_code
    except click.Abort:
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except WaterzError as error:
        code = _report(error)
    except ImportError as error:
        code = _report(_import_cure(error))
    sys.exit(code if isinstance(code, int) else 0)


def _report(error: WaterzError) -> int:
    if os.environ.get("WATERZ_DEBUG") == "1":
        raise error
    sys.stderr.write(f"error: {error}\n")
    return error.exit_code


def _import_cure(error: ImportError) -> WaterzError:
    """opencv-python is linked against the system's libGL.so.1, which headless nodes lack."""
    if "libGL" in str(error):
        return SetupError(
            "OpenCV cannot load: this machine has no libGL.so.1",
            where=str(error),
            todo="apt-get install libgl1, or: pip uninstall opencv-python && pip install opencv-python-headless",
        )
    return SetupError(f"a package is missing or broken: {error}", todo="install waterz-spool again in a fresh venv")


if __name__ == "__main__":
    main()
