"""One answer of a web server: http and https on every hop, no cookies, no credentials for another host.

The standard library is enough: what a download needs beyond it (which version, how long, where a part begins) is
reading a handful of headers, and its usual opener is not used, because that would follow a redirect to ftp.
"""

from __future__ import annotations

import base64
import email.utils
import http.client
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from waterz_spool.errors import InputError, UsageError

_PORTS = {"http": 80, "https": 443}
_HOPS = 8
_MOVED = (301, 302, 303, 307, 308)
_LATER = (408, 425, 429, 500, 502, 503, 504)
_LONGEST_WAIT_S = 60
_HEADERS = {"User-Agent": "waterz-spool", "Accept": "video/*, */*;q=0.5", "Accept-Encoding": "identity"}


class BrokenError(Exception):
    """The network or the server failed in a way that may pass.

    Attributes:
        wait_s: How long the server asks to be left alone; None when it does not say.
    """

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.wait_s = wait_s


class RangeError(Exception):
    """The server has no bytes where they were asked for."""


@dataclass(frozen=True)
class Url:
    """A URL that may be asked for.

    Attributes:
        text: Without user name and password.
        authorization: What these become in a header; empty without any.
    """

    text: str
    authorization: str = ""

    @classmethod
    def of(cls, text: str, *, base: str = "") -> Url:
        """The URL that somebody typed, or that a server redirects to from ``base``.

        Raises:
            UsageError: It is none, or neither http nor https.
        """
        try:
            parts = urllib.parse.urlsplit(urllib.parse.urljoin(base, text.strip()))
            usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
        except ValueError:
            usable = False
        if not usable:
            raise UsageError("only http and https URLs are fetched", where=shown(text), todo="check the URL")
        path = urllib.parse.quote(parts.path, safe="/%:@!$&'()*+,;=~")
        query = urllib.parse.quote(parts.query, safe="/%:@!$&'()*+,;=~?")
        host = parts.netloc.rpartition("@")[2]
        return cls(urllib.parse.urlunsplit((parts.scheme, host, path or "/", query, "")), _basic(parts))

    @property
    def origin(self) -> tuple[str, str | None, int | None]:
        """Scheme, host and port: who a password is for."""
        parts = urllib.parse.urlsplit(self.text)
        return parts.scheme, parts.hostname, parts.port or _PORTS[parts.scheme]


def _basic(parts: urllib.parse.SplitResult) -> str:
    if parts.username is None:
        return ""
    pair = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def shown(url: str) -> str:
    """A URL for messages: without user, password and query, which may be secrets."""
    return re.sub(r"(?<=://)[^/?#]*@", "", url).partition("?")[0]


class Answer:
    """What a server sends, up to its end.

    Attributes:
        partial: Whether it begins at ``start`` instead of the file's first byte.
        start: Place of its first byte in the file.
        total: Length of the whole file in bytes; None when it is not announced.
        mark: The server's name for this version of the file: its strong ETag, else its date; may be empty.
        changed_s: When the file last changed, seconds since 1970; None when unknown.
    """

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        headers = answer.headers
        span = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", ""))
        length = "" if headers.get("Transfer-Encoding") else headers.get("Content-Length", "")
        self.partial = answer.status == 206
        self.start = 0 if not self.partial else int(span[1]) if span else -1
        size = span[2] if self.partial and span else length
        self.total = int(size) if size.isdecimal() else None
        tag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
        self.mark = tag if tag.startswith('"') else date
        when = email.utils.parsedate_tz(date)
        self.changed_s = email.utils.mktime_tz(when) if when else None

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, whatever is still to come."""
        self._answer.close()

    def read(self, most_bytes: int) -> bytes:
        """The next bytes; none at the end.

        Raises:
            BrokenError: The connection broke or stalled.
        """
        try:
            data: bytes = self._answer.read1(most_bytes)
        except (OSError, http.client.HTTPException) as error:
            raise BrokenError(str(error) or type(error).__name__) from error
        return data


def answer_of(url: Url, headers: Mapping[str, str], *, stall_s: float) -> Answer:
    """Ask for a URL, follow redirects, give back what is neither an error nor a redirect.

    Raises:
        InputError: The server refuses, redirects away from http or in a circle, or cannot prove who it is.
        BrokenError: It may work later.
        RangeError: The range that was asked for lies beyond the end.
    """
    here = url
    for _ in range(_HOPS + 1):
        sent = {**_HEADERS, **headers}
        if url.authorization and here.origin == url.origin:
            sent["Authorization"] = url.authorization
        try:
            return Answer(_opener().open(urllib.request.Request(here.text, headers=sent), timeout=stall_s))
        except urllib.error.HTTPError as error:
            with closing(error):
                here = _next(here, error)
        except (OSError, http.client.HTTPException) as error:
            raise _broken(url, error) from error
    raise InputError("the server redirects in a circle", where=shown(url.text), todo="give the URL of the video itself")


def _opener() -> urllib.request.OpenerDirector:
    """Proxies of the environment, http and https; whatever is not 2xx is an error."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _next(here: Url, error: urllib.error.HTTPError) -> Url:
    """Where a redirect leads."""
    if error.code in _MOVED and (place := error.headers.get("Location")):
        try:
            return Url.of(place, base=here.text)
        except UsageError as away:
            raise InputError(
                "the server redirects to something that is neither http nor https",
                where=f"{shown(here.text)} to {shown(place)}",
                todo="give the URL of the video itself",
            ) from away
    if error.code == 416:
        raise RangeError
    if error.code in _LATER:
        wait = error.headers.get("Retry-After", "")
        wait_s = min(int(wait), _LONGEST_WAIT_S) if wait.isdecimal() else None
        raise BrokenError(f"HTTP {error.code} {error.reason}", wait_s)
    todo = "check the URL"
    if error.code in (401, 403):
        todo = "fetch it with your browser and submit the file; no cookies are sent"
    raise InputError(f"the server answers {error.code} {error.reason}", where=shown(here.text), todo=todo)


def _broken(url: Url, error: Exception) -> Exception:
    """What a failed connection means: passing, or not."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return InputError(
            f"the server cannot prove who it is: {cause.verify_message}", where=shown(url.text), todo="check the URL"
        )
    return BrokenError(str(cause) or type(cause).__name__)
