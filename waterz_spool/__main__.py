"""The command line's entry: runs a command and turns every error into what, where, what to do, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence

from waterz_spool.errors import SetupError, WaterzError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends by SystemExit."""
    try:
        code = _run(arguments)
    except KeyboardInterrupt:
        code = 130
    except WaterzError as error:
        code = _report(error, error)
    except ImportError as error:
        code = _report(_import_cure(error), error)
    except OSError as error:
        code = _report(_file_error(error), error)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    import click

    from waterz_spool.cli import commands

    try:
        code = commands.main(args=arguments, prog_name="waterz-spool", standalone_mode=False)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        return 130
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0


def _report(error: WaterzError, cause: Exception) -> int:
    if os.environ.get("WATERZ_DEBUG") == "1":
        traceback.print_exception(cause)
    sys.stderr.write(f"error: {error}\n")
    return error.exit_code


def _file_error(error: OSError) -> WaterzError:
    """What the system refused, where, and the usual cure."""
    cures = {
        errno.ENOSPC: "make room there, then run it again; what is done is kept",
        errno.EDQUOT: "make room in your quota there, then run it again; what is done is kept",
        errno.EROFS: "name a folder that can be written",
        errno.EACCES: "check who may read and write there",
        errno.EPERM: "check who may read and write there, and that the file system has hard links",
        errno.EIO: "look after the disk or its server, then run it again",
        errno.ESTALE: "look after the file server, then run it again",
        errno.ENOTCONN: "mount it again or look after its server, then run it again",
        errno.ENOTDIR: "a file lies where a folder is needed",
    }
    what = error.strerror or type(error).__name__
    return SetupError(
        f"the system says: {what}", where=str(error.filename or ""), todo=cures.get(error.errno or 0, "check the path")
    )


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
