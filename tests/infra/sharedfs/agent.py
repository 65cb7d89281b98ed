"""Starting, watching and signalling processes in a guest: ``agent.py serve ADDRESS`` in it, ``ask ADDRESS`` outside.

One JSON line asks, one answers. ``{"start": [argv], "env": {...}, "errors": path}`` gives a pid;
``{"signal": [pid, n]}`` signals its process group; ``{"poll": pid}`` gives its exit code or null;
``{"run": argv, "env": {...}, "limit_s": s}`` gives code, output and errors. What a connection started ends with it.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import socketserver
import subprocess
import sys

PORT = 7000


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        for line in self.rfile:
            asked = json.loads(line)
            verb = next(verb for verb in ("start", "signal", "poll", "run") if verb in asked)
            answer = getattr(self, verb)(asked)
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def finish(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        super().finish()

    def start(self, asked):
        with open(asked["errors"], "ab") as errors:
            process = subprocess.Popen(
                asked["start"], env={**os.environ, **asked["env"]}, stdin=subprocess.DEVNULL, stdout=errors,
                stderr=errors, start_new_session=True,
            )  # fmt: skip
        self.processes[process.pid] = process
        return process.pid

    def signal(self, asked):
        pid, number = asked["signal"]
        if self.processes[pid].poll() is None:
            os.killpg(pid, number)

    def poll(self, asked):
        return self.processes[asked["poll"]].poll()

    def run(self, asked):
        process = subprocess.Popen(
            asked["run"], env={**os.environ, **asked["env"]}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, errors="replace", start_new_session=True,
        )  # fmt: skip
        try:
            out, errors = process.communicate(timeout=asked["limit_s"])
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            out, errors = process.communicate()
        return [process.returncode, out, errors]


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def ask(address: str) -> None:
    with socket.create_connection((address, PORT), timeout=10) as connection:
        connection.settimeout(None)
        answers = connection.makefile("rb")
        for line in sys.stdin.buffer:
            connection.sendall(line)
            answer = answers.readline()
            if not answer:
                sys.exit("the guest is gone")
            sys.stdout.buffer.write(answer)
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    verb, address = sys.argv[1:]
    if verb == "ask":
        ask(address)
    else:
        Server((address, PORT), Handler).serve_forever()
