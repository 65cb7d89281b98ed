"""The command line's entry: runs a command and turns every error into what, where, what to do, and an exit code."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from waterz_spool.errors import SetupError, UsageError, WaterzError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; ends by SystemExit."""
    document: dict[str, Any] = {}
    found: WaterzError | None = None
    try:
        code = _run(arguments, document)
    except KeyboardInterrupt:
        code = 130
    except SystemExit as end:  # a signal, or a scheduler's warning
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except WaterzError as error:
        code, found = _report(error, error), error
    except ImportError as error:
        found = _import_cure(error)
        code = _report(found, error)
    except OSError as error:
        found = _file_error(error)
        code = _report(found, error)
    if _wants_json(sys.argv[1:] if arguments is None else arguments):
        _print(document, code, found)
    sys.exit(code)


def _wants_json(arguments: Sequence[str]) -> bool:
    """Whether the end is one JSON document; known even where the options are wrong."""
    own = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in own


def _print(document: dict[str, Any], code: int, error: WaterzError | None) -> None:
    """The document of a command that ended, with what went wrong."""
    from waterz_spool.cli.context import print_json

    error = error or (WaterzError("stopped", todo="run it again to continue") if code in _STOPPED else None)
    if error is not None:
        document["error"] = {"what": error.what, "where": error.where, "to_do": error.todo, "exit_code": code}
    if document:
        print_json(document)


_STOPPED = (75, 129, 130, 143)


def _run(arguments: Sequence[str] | None, document: dict[str, Any]) -> int:
    import click

    from waterz_spool.cli import commands

    try:
        code = commands.main(args=arguments, prog_name="waterz-spool", standalone_mode=False, obj=document)
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.Abort:
        return 130
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "waterz-spool"
        what = error.format_message().rstrip(".")
        raise UsageError(what[:1].lower() + what[1:], where=path, todo=f"{path} --help") from error
    except click.ClickException as error:
        error.show()
        return error.exit_code
    return code if isinstance(code, int) else 0


def _report(error: WaterzError, cause: Exception) -> int:
    import logging

    if os.environ.get("WATERZ_DEBUG") == "1" or logging.getLogger("waterz_spool").isEnabledFor(logging.DEBUG):
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
