"""How many file operations a segment costs, and how many segments a second go through: the spool, jug, a naive spool.

    pip install jug
    python benchmarks/spool_throughput.py --folder /some/disk
    python benchmarks/spool_throughput.py --nfs          (a kernel of its own as client; needs root, see tests/infra)

The same toy work for all: N segments of 2 kB each, computed in microseconds, then one task that joins them. Workers
are real processes, forked at one moment. Operations are counted from outside, the same for all three: the RPCs that
the kernel's NFS client sent where the folder lies on NFS, else the system calls on names in the folder (strace;
reading, writing and closing opened files are not counted). "data" is the spool's handling of a segment's files alone,
without any coordination: what remains above it is what coordination costs. For the spool, a counting `FileOps` says
in addition what its operations were for. Rates are of another run, without strace.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve()
sys.path.insert(0, str(HERE.parent.parent / "tests" / "spool"))

NAMES_CALLS = (
    "open,openat,stat,lstat,newfstatat,statx,access,faccessat,faccessat2,readlink,link,linkat,unlink,unlinkat,rename,"
    "renameat,renameat2,mkdir,mkdirat,rmdir,chmod,fchmod,fchmodat,utimensat,getdents64,truncate,ftruncate,flock"
)
TRACED_MAX = 1000  # larger jobs are counted at the seam only: strace makes them too slow
DONE_AT = [0.0]  # when this process finished its last segment


def note_done() -> None:
    DONE_AT[0] = time.monotonic()


# ---- the systems: made once, then `work` in every worker until all is done


class OurSpool:
    """waterz-spool with toy stages."""

    def __init__(self, folder: Path, segments: int) -> None:
        from waterz_spool.spool import Session, Spool, SpoolSettings

        self.root, self.segments = folder / "spool", segments
        network = SpoolSettings(beat_s=30, lease_s=180, poll_s=2, idle_s=30, backoff_s=5, locks="off")
        spool = Spool.create(self.root, network if nfs_mount(folder) else SpoolSettings())
        source = folder / "v.mp4"
        source.write_bytes(b"not looked at")
        spool.submit(b"{}", source=source, job_id="job")
        with Session(spool, tasks=["prep"]) as session:
            self.run(session.next())

    def run(self, claim: Any) -> None:
        from spooltoy import work, write_file

        work(claim, self.segments, write_file, Path.read_bytes)

    def work(self, number: int, workers: int) -> dict[str, int]:
        from waterz_spool.spool import Session, Spool

        ops = counting_ops()
        with Session(Spool.open(self.root, ops=ops)) as session:
            while True:
                claim = session.next()
                if claim is not None:
                    self.run(claim)
                    if claim.task != "final":
                        note_done()
                elif session.drained():
                    return dict(ops.counts)
                else:
                    time.sleep(session.idle_s())


class Jug:
    """The same as a jugfile, by `jug execute`."""

    FILE = """
import sys
sys.path[:0] = [{tests!r}, {here!r}]
from jug import Task
from spool_throughput import jug_segment, jug_join
parts = [Task(jug_segment, index) for index in range({segments})]
result = Task(jug_join, parts)
"""

    def __init__(self, folder: Path, segments: int) -> None:
        import jug.jug  # noqa: F401 - before the fork, and to fail early

        self.folder = folder
        text = self.FILE.format(tests=sys.path[0], here=str(HERE.parent), segments=segments)
        (folder / "jugfile.py").write_text(text)

    def work(self, number: int, workers: int) -> dict[str, int]:
        from jug.jug import main

        where = [str(self.folder / "jugfile.py"), "--jugdir", str(self.folder / "jugdir"), "--will-cite"]
        waiting = ["--wait-cycle-time", "1", "--nr-wait-cycles", "600"]
        with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):
            main(["jug", "execute", *where, *waiting])
        return {}


def jug_segment(index: int) -> bytes:
    from spooltoy import payload_of, segment_bytes

    data = segment_bytes(index, payload_of(index))
    sys.modules["__main__"].note_done()
    return data


def jug_join(parts: list[bytes]) -> bytes:
    return b"".join(parts)


class Naive:
    """A FileLock per segment, a marker, one output name (tests/spool/naive.py)."""

    def __init__(self, folder: Path, segments: int) -> None:
        from naive import NaiveSpool

        root = folder / "naive"
        root.mkdir()
        self.spool = NaiveSpool(root, segments)

    def work(self, number: int, workers: int) -> dict[str, int]:
        from spooltoy import write_file

        self.spool.run(write_file, lambda name: note_done() if name != "result" else None)
        return {}


class DataAlone:
    """What the spool does with a segment's files, everybody with its own ones: no claims, no outcomes."""

    def __init__(self, folder: Path, segments: int) -> None:
        from spooltoy import payload_of, write_file

        self.folder, self.segments = folder, segments
        for index in range(segments):
            (folder / f"{index:05d}").mkdir()
            write_file(folder / f"{index:05d}" / "job.json", payload_of(index))

    def work(self, number: int, workers: int) -> dict[str, int]:
        from spooltoy import segment_bytes, write_file

        from waterz_spool.spool import FileOps

        ops = FileOps()
        mine = range(number, self.segments, workers)
        for index in mine:
            folder = self.folder / f"{index:05d}"
            write_file(folder / "out", segment_bytes(index, ops.read(folder / "job.json", 10_000)))
            ops.seal(folder / "out")
            ops.sync_folder(folder)
            note_done()
        for index in mine:  # final verifies, then reads
            ops.digest(self.folder / f"{index:05d}" / "out")
            (self.folder / f"{index:05d}" / "out").read_bytes()
        return {}


SYSTEMS: dict[str, Callable[[Path, int], Any]] = {"spool": OurSpool, "jug": Jug, "naive": Naive, "data": DataAlone}


# ---- counting


def counting_ops() -> Any:
    """A `FileOps` that counts what each operation is for."""
    from waterz_spool.spool import FileOps

    class Counting(FileOps):
        def __init__(self) -> None:
            self.counts: Counter[str] = Counter()
            self.last = ""

    def counted(name: str) -> Callable[..., Any]:
        original = getattr(FileOps, name)

        def call(self: Any, *paths: Any, **options: Any) -> Any:
            what = purpose(name, [path for path in paths if isinstance(path, Path)][-1])
            if name == "sync_folder" and self.last == "join":
                what = "join"  # of the names that a worker writes when it joins a job
            self.counts[what] += 1
            self.last = what
            return original(self, *paths, **options)

        return call

    for name in ("listdir", "read", "write_new", "link", "unlink", "mkdir", "rename", "seal", "sync_folder", "digest"):
        setattr(Counting, name, counted(name))
    return Counting()


def purpose(operation: str, path: Path) -> str:
    """What an operation is for: claim and finish, look, watch, data, or joining in and leaving."""
    name, folder = path.name, path.parent.name
    if folder == "log" or name == "log":
        if name.startswith((".w.", ".e.")):
            return "join"
        if operation == "listdir" or name.startswith("plan."):
            return "look"
        if re.fullmatch(r"\d{5}\.0", name) or (operation == "read" and name.endswith(".end")):
            return "data"  # a segment's job; final reads all outcomes
        return "claim and finish"
    if operation == "listdir" and name in ("active", "control", "ctl", "jobs"):
        return "look"
    if name.endswith(".hb"):
        return "watch"
    return "join" if folder in ("workers", "job", "spool") else "data"


def nfs_mount(folder: Path) -> str | None:
    """The mount point of the NFS file system that holds a folder."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [(point, kind) for point, kind in mounts if folder.resolve().is_relative_to(point)]
    point, kind = max(holding, key=lambda mount: len(mount[0]))
    return point if kind.startswith("nfs") else None


def rpcs(point: str) -> Counter[str]:
    """RPCs sent for a mount so far, by operation."""
    text = Path("/proc/self/mountstats").read_text().split("\ndevice ")
    (section,) = (part for part in text if f" mounted on {point} " in part)
    found = re.findall(r"^\s+([A-Z_]+): (\d+) ", section.partition("per-op statistics")[2], re.MULTILINE)
    return Counter({name: int(count) for name, count in found})


def traced_calls(trace: Path, folder: Path) -> Counter[str]:
    """System calls on names in the folder, by name."""
    counts: Counter[str] = Counter()
    with trace.open(errors="replace") as lines:
        for line in lines:
            call = re.match(r"\d+\s+(?:<\.\.\. )?(\w+)\(", line)
            if call and str(folder) in line and ', "", ' not in line:  # "" is fstat, of an opened file
                counts[call[1]] += 1
    return counts


# ---- one cell: in a process of its own


def worker(system: Any, number: int, workers: int, barrier: Any, report: Path) -> None:
    barrier.wait()
    counts = system.work(number, workers)
    (report / f"{os.getpid()}.json").write_text(json.dumps({"last": DONE_AT[0], "counts": counts}))


def cell(name: str, segments: int, workers: int, folder: Path, report: Path) -> dict[str, Any]:
    """Run one cell in this process and its forks."""
    system = SYSTEMS[name](folder, segments)
    point = nfs_mount(folder)
    fork = multiprocessing.get_context("fork")
    barrier = fork.Barrier(workers + 1)
    processes = [fork.Process(target=worker, args=(system, n, workers, barrier, report)) for n in range(workers)]
    for process in processes:
        process.start()
    before = rpcs(point) if point else Counter()
    os.access(folder / "BEGAN", os.F_OK)  # strace sees where the set-up ends
    began = time.monotonic()
    barrier.wait()
    for process in processes:
        process.join()
    sent = rpcs(point) - before if point else Counter()
    notes = [json.loads(path.read_text()) for path in report.glob("*.json")]
    counts: Counter[str] = sum((Counter(note["counts"]) for note in notes), Counter())
    seconds = max(note["last"] for note in notes) - began
    return {"seconds": seconds, "seam": counts, "rpc": sent, "ended": len(notes)}


def run_cell(name: str, segments: int, workers: int, base: Path, *, strace: bool, limit_s: float) -> dict[str, Any]:
    """One cell in fresh processes, with or without strace; {} when it took too long."""
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=base))
    report = Path(tempfile.mkdtemp())
    trace = report / "trace"
    command = [sys.executable, str(HERE), "--cell", name, str(segments), str(workers), str(folder), str(report)]
    if strace:
        tracer = ["strace", "-f", "-y", "--seccomp-bpf", "-s", "300", "-qq", "-o", str(trace)]
        command = [*tracer, "-e", f"trace={NAMES_CALLS}", *command]
    try:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.communicate()
            return {}
        result: dict[str, Any] = json.loads(output.splitlines()[-1])
        if strace:
            result["calls"] = traced_calls_after_start(trace, folder)
        if segments >= 10_000 and name == "spool":
            result["status_s"] = status_seconds(folder / "spool")
        return result
    finally:
        shutil.rmtree(folder)
        shutil.rmtree(report)


def traced_calls_after_start(trace: Path, folder: Path) -> Counter[str]:
    """The calls after the set-up."""
    lines = trace.read_text(errors="replace").partition(f"{folder}/BEGAN")[2]
    rest = trace.with_name("rest")
    rest.write_text(lines)
    return traced_calls(rest, folder)


def status_seconds(root: Path) -> float:
    """How long the command `status` takes, the interpreter's start included; the best of three."""
    times = []
    for _ in range(3):
        began = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "waterz_spool", "status", "--spool", str(root)], check=True, capture_output=True
        )
        times.append(time.monotonic() - began)
    return min(times)


# ---- the table

SEAM = ("claim and finish", "look", "watch", "join")


def row(name: str, segments: int, workers: int, base: Path, limit_s: float) -> dict[str, Any]:
    """One line of the table."""
    plain = run_cell(name, segments, workers, base, strace=False, limit_s=limit_s)
    found: dict[str, Any] = {"system": name, "N": segments, "workers": workers, "operations": "", "seam": {}}
    if not plain:
        return {**found, "rate": f"gave up after {limit_s:.0f} s"}
    found["rate"] = f"{segments / plain['seconds']:.0f}"
    counted = plain["rpc"]
    if not nfs_mount(base) and segments <= TRACED_MAX:
        counted = run_cell(name, segments, workers, base, strace=True, limit_s=2 * limit_s).get("calls", {})
    found["operations"] = f"{sum(counted.values()) / segments:.1f}" if counted else ""
    found["kinds"] = {kind: round(count / segments, 2) for kind, count in Counter(counted).most_common(12)}
    found["seam"] = {kind: plain["seam"].get(kind, 0) / segments for kind in SEAM} if plain["seam"] else {}
    if "status_s" in plain:
        found["status_s"] = round(plain["status_s"], 2)
    return found


def table(cells: str, systems: str, base: Path, limit_s: float) -> None:
    """All lines, each as soon as it is known; details as JSON on standard error."""
    what = "RPCs" if nfs_mount(base) else "calls on names"
    print(f"| system | N | workers | segments/s | {what} per segment | {' | '.join(SEAM)} |")
    print("|---|---|---|---|---" + "|---" * len(SEAM) + "|", flush=True)
    for cell_name in cells.split(","):
        segments, workers = map(int, cell_name.split("x"))
        for name in systems.split(","):
            found = row(name, segments, workers, base, limit_s)
            seam = [f"{found['seam'][kind]:.2f}" if found["seam"] else "" for kind in SEAM]
            line = [name, segments, workers, found["rate"], found["operations"], *seam]
            print("|", " | ".join(map(str, line)), "|", flush=True)
            print(json.dumps(found), file=sys.stderr, flush=True)


def in_guest(options: list[str]) -> None:
    """This program in a guest with NFS."""
    sys.path.insert(0, str(HERE.parent.parent / "tests" / "infra" / "sharedfs"))
    from clients import Nfs

    environment = {"PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    with Nfs(1, UML_MEM="1600M") as nfs:
        done = nfs.machines[0].run(
            sys.executable, HERE, "--folder", "/mnt/spool", *options, limit_s=7200, environment=environment
        )
    print(done.out)
    print(done.err, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--nfs", action="store_true", help="on NFS instead, in a guest made for it")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--cells", default="100x1,100x8,100x64,1000x1,1000x8,1000x64,10000x1,10000x8,10000x64")
    parser.add_argument("--limit", type=float, default=150.0, metavar="S", help="give a cell up after so long")
    parser.add_argument("--cell", nargs=5, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.cell:
        name, segments, workers, folder, report = args.cell
        print(json.dumps(cell(name, int(segments), int(workers), Path(folder), Path(report))))
    elif args.nfs:
        in_guest(["--systems", args.systems, "--cells", args.cells, "--limit", str(args.limit)])
    else:
        table(args.cells, args.systems, args.folder, args.limit)


if __name__ == "__main__":
    main()
