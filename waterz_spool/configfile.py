"""Reading the YAML of a config file: what it says, not whether it makes sense."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

from waterz_spool.errors import UsageError

MAX_CONFIG_BYTES = 1 << 20

_YAML_SURPRISES = (ValueError, KeyError, IndexError, AttributeError, TypeError, OverflowError)
"""What PyYAML lets through of values that do not fit their tags: no date, ``!!bool maybe``, 5000 digits."""


def read_file(path: Path, *, todo: str) -> dict[str, Any]:
    """The sections of a config file as plain data, unchecked; empty for an empty file.

    Args:
        path: YAML file.
        todo: What its errors tell the user to do.

    Raises:
        UsageError: It cannot be read, is too large, is not valid YAML, or holds no sections.
    """
    import yaml

    try:
        if path.stat().st_size > MAX_CONFIG_BYTES or not path.is_file():
            raise UsageError("the config file is not a regular file, or larger than 1 MiB", where=str(path), todo=todo)
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_yaml_loader())  # noqa: S506 - a SafeLoader
    except OSError as error:
        raise UsageError(
            f"cannot read the config file: {error.strerror}", where=str(path), todo="check the path"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        what = f"the config file is not valid YAML, line {line}: {error.problem or error.context or 'unreadable'}"
        raise UsageError(what, where=str(path), todo=f"look at line {line} and those before it") from error
    except (yaml.YAMLError, RecursionError, *_YAML_SURPRISES) as error:
        what = f"the config file is not valid YAML: {str(error).partition(chr(10))[0]:.300}"
        raise UsageError(what, where=str(path), todo=todo) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise UsageError("config file must hold sections", where=str(path), todo=todo)
    return tree


@cache
def _yaml_loader() -> Any:
    """PyYAML's SafeLoader, to which ``on`` and ``off`` are words and not booleans."""
    import yaml

    class Loader(yaml.SafeLoader):
        yaml_implicit_resolvers = {  # noqa: RUF012 - read by PyYAML
            first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
        }

    Loader.add_implicit_resolver(_BOOL, re.compile(r"(?i:true|false|yes|no)$"), list("tTfFyYnN"))
    return Loader


_BOOL = "tag:yaml.org,2002:bool"
