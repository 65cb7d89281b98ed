"""A web server on real sockets that answers as a test tells it to: well, badly, or not at all."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Handler"], None]
ETAG = '"one"'


class Server(ThreadingHTTPServer):
    """Answers requests in order; the last answer is repeated.

    Attributes:
        asked: Path and headers of every request.
        released: What ends stalling.
    """

    def __init__(self, answers: list[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.released = threading.Event()
        self.scheme = "http"

    def url(self, path: str = "/clip.mp4", *, user: str = "") -> str:
        return f"{self.scheme}://{user}127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away early is no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers.items())))
        answers = self.server.answers
        (answers.pop(0) if len(answers) > 1 else answers[0])(self)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def asked_from(self) -> int:
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))


@contextlib.contextmanager
def serving(*answers: Answer, certificate: tuple[str, str] | None = None) -> Iterator[Server]:
    with Server(list(answers)) as server:
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()


def good(data: bytes, etag: str = ETAG, **headers: object) -> Answer:
    """A server as it should be: ranges, and a version to compare."""

    def answer(handler: Handler) -> None:
        start, version = handler.asked_from(), {"ETag": etag, **headers} if etag else headers
        if start and handler.headers.get("If-Range") == etag:
            if start >= len(data):
                handler.head(416, Content_Range=f"bytes */{len(data)}", Content_Length=0)
                return
            span = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.head(206, Content_Range=span, Content_Length=len(data) - start, **version)
            handler.wfile.write(data[start:])
        else:
            handler.head(200, Content_Length=len(data), **version)
            handler.wfile.write(data)

    return answer


def cut(data: bytes, at: int, *, stall: bool = False, **headers: object) -> Answer:
    """Announces everything, sends a part, and hangs up or falls silent."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(data), **headers)
        handler.wfile.write(data[:at])
        handler.wfile.flush()
        if stall:
            handler.server.released.wait(60)

    return answer


def whole(data: bytes, *, length: int | None = None, kind: str = "video/mp4", **headers: object) -> Answer:
    """Sends everything, whatever was asked for, and announces what it likes."""

    def answer(handler: Handler) -> None:
        handler.head(200, Content_Length=len(data) if length is None else length, Content_Type=kind, **headers)
        handler.wfile.write(data)

    return answer


def part_of_another(data: bytes, etag: str) -> Answer:
    """Answers the range it was asked for from another version of the file, as no server should."""

    def answer(handler: Handler) -> None:
        start = handler.asked_from()
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.head(206, Content_Range=span, Content_Length=len(data) - start, ETag=etag)
        handler.wfile.write(data[start:])

    return answer


def endless(handler: Handler) -> None:
    """Never stops, and never said how long it would be."""
    handler.head(200, Transfer_Encoding="chunked", ETag=ETAG)
    with contextlib.suppress(OSError):
        while not handler.server.released.is_set():
            handler.wfile.write(b"10000\r\n" + bytes(65536) + b"\r\n")


def status(code: int, **headers: object) -> Answer:
    """Nothing but a status."""
    return lambda handler: handler.head(code, Content_Length=0, **headers)


def redirect(place: str, code: int = 302) -> Answer:
    return status(code, Location=place)
