"""`models get`: the weight files of a restorer, fetched for a user who has accepted their licence; never by itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from waterz_spool.backends import RESTORERS
from waterz_spool.errors import InputError, SetupError, UsageError
from waterz_spool.intake.url import FetchRules, Tell, fetch
from waterz_spool.restore.base import Restorer
from waterz_spool.restore.weights import WeightFile, absent, sha256_of, weights_folder

_MAX_BYTES = 4 << 30
_PARTS = ".parts"


@dataclass(frozen=True)
class Offer:
    """A file that is not there yet.

    Attributes:
        file: What it is.
        url: Where it will be fetched from.
    """

    file: WeightFile
    url: str


def offers(engine: str, *, base_url: str = "") -> list[Offer]:
    """The missing weight files of a restorer.

    Args:
        engine: Its name.
        base_url: Folder on a server that holds files of these names; empty: where their authors publish them.

    Raises:
        UsageError: No such restorer, or it needs no weights.
    """
    kind: type[Restorer] | None = RESTORERS.load(engine) if RESTORERS.has(engine) else None
    if kind is None or not kind.weights:
        known = ", ".join(each.name for each in RESTORERS.usable() if each.weights)
        raise UsageError(f"{engine!r} is no engine that needs weights", todo=f"choose one of: {known}")
    return [
        Offer(file, f"{base_url.rstrip('/')}/{file.name}" if base_url else file.source) for file in absent(kind.weights)
    ]


def get(offer: Offer, *, tell: Tell, tries: int = 6) -> Path:
    """Fetch one file into the weights folder; what came before a failure is kept and continued.

    Raises:
        UsageError: Not an http or https URL.
        InputError: The server refuses, or the file is not the published one; nothing is kept.
        SetupError: The folder cannot be written.
        TryAgainError: The network failed too often; the same command continues.
    """
    folder = weights_folder()
    try:
        (folder / _PARTS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(
            f"weights cannot be put there: {error.strerror}", where=str(folder), todo="set WATERZ_MODELS"
        ) from error
    with FileLock(folder / _PARTS / f"{offer.file.name}.lock"):  # whoever comes second finds it done
        if not offer.file.path.is_file():
            _fetch_into(folder, offer, tell, tries)
    return offer.file.path


def _fetch_into(folder: Path, offer: Offer, tell: Tell, tries: int) -> None:
    rules = FetchRules(
        max_bytes=_MAX_BYTES,
        tries=tries,
        look=_looker(offer.file),
        todo="check restore.weights_url, or get the file yourself and compare its sha256",
    )
    fetched = fetch(offer.url, folder / _PARTS, rules, tell=tell)
    fetched.replace(offer.file.path)
    shutil.rmtree(fetched.parent)


def _looker(file: WeightFile) -> Callable[[Path], None]:
    def look(path: Path) -> None:
        with path.open("rb") as stream:
            if stream.read(1) in (b"<", b""):  # all kinds of weights are zip or pickle
                raise InputError("it is a web page, or empty", where=str(path), todo="")
        if file.sha256 and (found := sha256_of(path)) != file.sha256:
            raise InputError(f"its sha256 is {found}, not {file.sha256}", where=str(path), todo="")

    return look
