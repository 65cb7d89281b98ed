"""A video from a URL: fetched once, by whoever submits it, never by a worker.

The bytes grow in a folder of the spool that belongs to the URL, so that the same command goes on where the last one
stopped. Http and https are spoken, on every hop, and nothing else; no cookies are kept and no pages are read.

Guarantee: what is handed on is as long as the server announced, within the limit, and a video. A part is continued
only where the server says that it is still the same version of the file (If-Range, RFC 9110 section 13.1.5), and each
version has a file of its own, so two fetches of one URL at a time write the same bytes to the same places.
Limit: from a server that names no version (no ETag, no Last-Modified) every attempt starts over, and a body whose end
is not announced is as long as its container says, if that says anything.
"""

from __future__ import annotations

import filecmp
import hashlib
import os
import re
import secrets
import shutil
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from waterz_spool import media
from waterz_spool.config import Config
from waterz_spool.errors import InputError, TryAgainError
from waterz_spool.intake.submit import Order, exists_already
from waterz_spool.intake.web import Answer, BrokenError, RangeError, Url, answer_of, shown
from waterz_spool.report.progress import Moment
from waterz_spool.report.terminal import Progress
from waterz_spool.spool import Spool
from waterz_spool.stages.contract.request import output_path

_BLOCK = 1 << 20
_LONGEST_WAIT_S = 60.0
_NAME_BYTES = 150

Tell = Callable[[int, int | None], None]
"""Called with the bytes so far, and in all or None when that is unknown."""


@dataclass(frozen=True, kw_only=True)
class FetchRules:
    """How far a download is followed.

    Attributes:
        max_bytes: Longer files are refused.
        stall_s: A connection that is silent this long is given up.
        tries: Consecutive attempts without progress.
        wait_s: Before the second attempt; doubled each time.
        look: Looks at the complete content; raises InputError where it is not what was wanted.
        todo: What to do when it is not.
    """

    max_bytes: int
    stall_s: float = 30.0
    tries: int = 6
    wait_s: float = 1.0
    look: Callable[[Path], object] = media.probe
    todo: str = "give the URL of the video itself; pages are not searched for videos"


def is_url(text: str) -> bool:
    """Whether this names something on the network rather than a file."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) is not None


def name_of(url: str) -> str:
    """The file name that a URL ends with, without characters that file names should not have."""
    name = urllib.parse.unquote(urllib.parse.urlsplit(url).path).rsplit("/", 1)[-1]
    plain = re.sub(r"[^\w.-]+", "-", name).strip(".-").encode()[-_NAME_BYTES:].decode(errors="ignore")
    return plain.lstrip(".-") or "video"


def fetch(
    url: str,
    folder: Path,
    rules: FetchRules,
    *,
    tell: Tell = lambda done, total: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Path:
    """The file behind a URL, complete and looked at; unchanged since the last time, it is the same file.

    Args:
        url: Http or https; a user name and password in it go to its own host only.
        folder: Where downloads lie.
        rules: Limits.
        tell: Told about progress.
        sleep: Waits between attempts.

    Raises:
        UsageError: Not an http or https URL.
        InputError: Refused by the server, too large, or not what is wanted.
        TryAgainError: The network failed too often; what came is kept for the next time.
    """
    wanted = Url.of(url)
    download = _Download(wanted, _Kept(folder / _key(wanted.text), name_of(url)), rules, tell)
    failures, best = 0, 0
    while True:
        try:
            return download.attempt()
        except BrokenError as error:
            size = download.size
            failures = 1 if size >= best + _BLOCK else failures + 1
            best = max(best, size)
            if failures >= rules.tries:
                raise TryAgainError(
                    f"the download stopped after {size} bytes: {error}",
                    where=shown(wanted.text),
                    todo="run the same command again; it continues from there",
                ) from error
            backoff_s = min(_LONGEST_WAIT_S, rules.wait_s * 2 ** (failures - 1))
            sleep(backoff_s if error.wait_s is None else error.wait_s)


def _key(url: str) -> str:
    """A folder for each user, so that nobody meets files that only another one may write."""
    return hashlib.sha256(f"{os.getuid()} {url}".encode()).hexdigest()[:24]


def as_file(
    video: str, order: Order, spool: Spool, config: Config, *, progress: Progress | None = None
) -> tuple[Path, Order]:
    """A video that was named by path or URL, as a file here; the result of a fetched one goes to the current folder.

    Args:
        video: Path or URL.
        order: What to do with it.
        spool: Where a download lies until its jobs are done and `clean` finds it.
        config: Holds the limit.
        progress: Shows how a download goes; None is silent.

    Raises:
        UsageError: Not an http or https URL, or a result of that name exists or cannot be written.
        InputError: Refused by the server, too large, or not a video that can be worked on.
        TryAgainError: The network failed too often; what came is kept for the next time.
    """
    if not is_url(video):
        return Path(video), order
    order = replace(order, output=order.output or config.output.template)
    name = name_of(video)
    _check_output(_folder(spool, video) / name, order.output, overwrite=config.output.overwrite)

    spool.world.ops.mkdir(spool.layout.fetched)
    rules = FetchRules(max_bytes=int(config.ingest.max_gib * 2**30))
    try:
        return fetch(video, spool.layout.fetched, rules, tell=teller(name, progress)), order
    finally:
        if progress:
            progress.end()


def drop(video: str, spool: Spool) -> None:
    """Remove what was fetched for a URL; jobs have pinned their own."""
    if is_url(video):
        shutil.rmtree(_folder(spool, video), ignore_errors=True)


def _folder(spool: Spool, url: str) -> Path:
    return spool.layout.fetched / _key(Url.of(url).text)


def _check_output(fetched: Path, template: str, *, overwrite: bool) -> None:
    """Say what submitting would say after hours of download."""
    output = output_path(fetched, template, base=Path.cwd())
    media.container_of(output)
    if output.exists() and not overwrite and not fetched.exists():  # else it may be the result of the same job
        raise exists_already(output)


def teller(name: str, progress: Progress | None) -> Tell:
    """Shows how the download of a file goes; None is silent."""

    def tell(done: int, total: int | None) -> None:
        if progress:
            progress.tell(lambda elapsed_s: _moment(name, done, total, elapsed_s))

    return tell


def _moment(name: str, done: int, total: int | None, elapsed_s: float) -> Moment:
    """Where a download stands, in MiB."""
    rate = done / elapsed_s if elapsed_s > 1 else None
    return Moment(
        name=name,
        step="fetching",
        share=done / max(1, total) if total is not None else None,
        done=-(-done // 2**20),
        total=-(-total // 2**20) if total is not None else None,
        unit="MiB",
        rate=rate / 2**20 if rate else None,
        eta_s=(total - done) / rate if rate and total is not None else None,
        elapsed_s=round(elapsed_s, 1),
    )


class _Kept:
    """What lies in the folder of one URL: the file or a part of it, and which version of the file that is.

    Attributes:
        mark: The server's name of the version, its ETag or date; empty when none is known.
        file: Where the complete file lies, when it does.
    """

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)  # `clean` goes by it
        self.file = folder / name
        self._mark_file = folder / ".mark"
        self.mark = self._mark_file.read_text(encoding="utf-8") if self._mark_file.exists() else ""
        self._part = self._part_of(self.mark)

    def _part_of(self, mark: str) -> Path:
        version = hashlib.sha256(mark.encode()).hexdigest()[:16] if mark else secrets.token_hex(8)
        return self.file.with_name(f".part.{version}")

    @property
    def size(self) -> int:
        """Bytes of the part."""
        return self._part.stat().st_size if self._part.exists() else 0

    def holds(self, mark: str, total: int | None) -> bool:
        """Whether all of this version is there."""
        path = self._part if self._part.exists() else self.file
        return bool(mark) and mark == self.mark and path.exists() and path.stat().st_size == total

    def opened(self, mark: str, at: int, total: int | None) -> BinaryIO:
        """The part of this version, to be written from some place on; what lies there already is the same."""
        if mark != self.mark or not mark or (total is not None and self.size > total):
            self.forget()
            self._mark_file.write_text(mark, encoding="utf-8")
            self.mark, self._part = mark, self._part_of(mark)
        file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o660), "wb")
        file.seek(at)
        return file

    def forget(self) -> None:
        """Drop the part."""
        self._part.unlink(missing_ok=True)

    def finish(self, changed_s: float | None, look: Callable[[Path], object]) -> Path:
        """The complete file, after a look at its content.

        Raises:
            InputError: It is not what was wanted; nothing is kept.
        """
        if not self._part.exists():
            return self.file
        try:
            look(self._part)
        except InputError:
            self.forget()
            raise
        if self.file.exists() and filecmp.cmp(self._part, self.file, shallow=False):
            self.forget()  # the same again: keep its times, so that it is the same job
            return self.file
        if changed_s is not None:
            os.utime(self._part, (changed_s, changed_s))
        self._part.replace(self.file)
        return self.file


class _Download:
    """Attempts to get one URL."""

    def __init__(self, url: Url, kept: _Kept, rules: FetchRules, tell: Tell) -> None:
        self._url, self._kept, self._rules, self._tell = url, kept, rules, tell

    @property
    def size(self) -> int:
        """Bytes that are kept for the next attempt."""
        return self._kept.size if self._kept.mark else 0

    def attempt(self) -> Path:
        """One connection: go on where the last one stopped, when the server still has the same version.

        Raises:
            BrokenError: It ended early.
            InputError: Refused, too large, or not what is wanted.
        """
        with self._answer() as answer:
            mark = answer.mark or self._kept.mark if answer.partial else answer.mark
            if not self._kept.holds(mark, answer.total):
                self._check_size(answer.total or 0)
                with self._kept.opened(mark, answer.start, answer.total) as file:
                    self._receive(answer, file)
        try:
            return self._kept.finish(answer.changed_s, self._rules.look)
        except InputError as error:
            raise InputError(
                f"what came cannot be used: {error.what}",
                where=shown(self._url.text),
                todo=self._rules.todo,
            ) from error

    def _answer(self) -> Answer:
        size, stall_s = self.size, self._rules.stall_s
        if not size:
            return answer_of(self._url, {}, stall_s=stall_s)
        try:
            answer = answer_of(self._url, {"Range": f"bytes={size}-", "If-Range": self._kept.mark}, stall_s=stall_s)
        except RangeError:  # nothing lies beyond what is there: the length of the whole tells what that means
            return answer_of(self._url, {}, stall_s=stall_s)
        if answer.partial and (answer.start != size or answer.mark not in ("", self._kept.mark)):
            answer.close()
            self._kept.forget()
            raise BrokenError("the server sent another part than asked for")
        return answer

    def _receive(self, answer: Answer, file: BinaryIO) -> None:
        done = answer.start
        while data := answer.read(_BLOCK):
            done += len(data)
            self._check_size(done)
            file.write(data)
            file.flush()  # what came is kept, whatever happens to this process
            self._tell(done, answer.total)
        os.fsync(file.fileno())
        if answer.total is not None and done != answer.total:
            raise BrokenError(f"{done} of {answer.total} bytes came")

    def _check_size(self, size: int) -> None:
        if size > self._rules.max_bytes:
            self._kept.forget()
            raise InputError(
                f"the file is larger than the limit of {self._rules.max_bytes / 2**30:g} GiB",
                where=shown(self._url.text),
                todo="raise ingest.max_gib in the configuration if it is wanted",
            )
