"""Weight files of restorers: what they are, where they lie, whether they are whole. Nothing here downloads them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from waterz_spool.errors import SetupError


@dataclass(frozen=True)
class WeightFile:
    """One file of weights that the user supplies.

    Attributes:
        name: Of the file in `weights_folder`.
        what: What it is for, one line.
        licence: Of the weights.
        source: URL of the file where it is published.
        sha256: Lower-case hex digest that it must have; empty where none is known.
    """

    name: str
    what: str
    licence: str
    source: str
    sha256: str = ""

    @property
    def path(self) -> Path:
        """Where it is looked for."""
        return weights_folder() / self.name


@dataclass(frozen=True)
class WeightState:
    """Whether one file is what it should be: ok, missing, truncated or wrong, and one line about it."""

    file: str
    state: str
    detail: str = ""


def weights_folder() -> Path:
    """Where weight files are looked for: WATERZ_MODELS, else a folder in the user's data folder."""
    named = os.environ.get("WATERZ_MODELS", "")
    if named:
        return Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME", "")
    return (Path(data) if data else Path.home() / ".local" / "share") / "waterz-spool" / "models"


def absent(files: Iterable[WeightFile]) -> list[WeightFile]:
    """Those that are not there; the others may still be damaged."""
    return [file for file in files if not file.path.is_file()]


def sha256_of(path: Path) -> str:
    """Lower-case hex sha256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def pinned_digests(files: Iterable[WeightFile]) -> dict[str, str]:
    """sha256 by file name, for the job: every worker must use the same files."""
    return {file.name: sha256_of(file.path) for file in files}


def require_same(files: Iterable[WeightFile], wanted: Mapping[str, str]) -> None:
    """Make sure that the files are the job's.

    Args:
        files: Those that are here.
        wanted: sha256 by file name; empty accepts any.

    Raises:
        SetupError: Some are others.
    """
    found = pinned_digests(files) if wanted else {}
    wrong = [name for name, digest in wanted.items() if found.get(name) != digest]
    if wrong:
        raise SetupError(
            f"the weights here are not the job's: {', '.join(wrong)}",
            where=str(weights_folder()),
            todo="copy the same files to every machine",
        )


def require_torch(engine: str) -> None:
    """Make sure that the neural packages are here.

    Raises:
        SetupError: They are not.
    """
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise SetupError(
            f"the {engine} engine needs the neural packages",
            where=str(error),
            todo='pip install "waterz-spool[neural]"; --engine propagate and --engine membrane need none',
        ) from error


def verified(files: Iterable[WeightFile]) -> list[WeightState]:
    """Compare each file with the sha256 that it must have, where one is known."""
    return [_verified(file) for file in files]


def _verified(file: WeightFile) -> WeightState:
    if not file.path.is_file():
        return WeightState(file.name, "missing", f"no such file in {weights_folder()}")
    if file.sha256 and sha256_of(file.path) != file.sha256:
        return WeightState(file.name, "wrong", "its sha256 is not that of the published file")
    return WeightState(file.name, "ok")


def listing(files: Iterable[WeightFile]) -> list[dict[str, str]]:
    """What the files are, and which are there, as plain data."""
    rows = []
    for file in files:
        facts = {"file": file.name, "licence": file.licence, "what": file.what, "source": file.source}
        present = file.path.is_file()
        digest = sha256_of(file.path) if present else file.sha256 or "-"
        rows.append({**facts, "present": "yes" if present else "no", "sha256": digest})
    return rows
