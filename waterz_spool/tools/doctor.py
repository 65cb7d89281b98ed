"""`doctor`: is this machine fit, is the spool's folder, and what do two hosts see of each other through it?

Every check has a time limit: one that hangs (an unreachable file server) is abandoned and reported.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
import queue
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from waterz_spool.backends import DETECTORS, RESTORERS
from waterz_spool.errors import WaterzError
from waterz_spool.intake.spools import file_system, settings_for
from waterz_spool.spool import FileOps, Spool, SpoolLayout, SpoolSettings, World
from waterz_spool.spool.mount import (
    Check,
    Meeting,
    NameProbe,
    PairProbe,
    Verdict,
    explain,
    fail,
    judge,
    newest_verdict,
    ok,
    probe_access,
    probe_space,
    put_verdict,
    warn,
)

Checks = Iterable[Check]

LIMIT_S = 30.0
MEET_S = 180.0
_PAIR_S = 300.0
_LIBGL = "apt-get install libgl1, or: pip uninstall opencv-python && pip install opencv-python-headless"
_NEEDED = {"ffv1", "libx264", "h264"}  # segments, and the default of most videos


def machine_checks() -> Iterator[Check]:
    """What this machine must have, whatever the spool."""
    yield from limited("python", python_check)
    yield from limited("libraries", library_checks)
    yield from limited("codecs", codec_checks)
    yield from limited("gpu", gpu_checks, 90.0)
    yield from limited("back ends", backend_checks)
    yield from limited("weights", weight_checks)
    yield from limited("text", text_checks)


def spool_checks(root: Path) -> Iterator[Check]:
    """What one machine finds out about the folder of a spool."""
    ops = FileOps()
    for name, act in (
        ("folder", lambda: probe_access(root, ops)),
        ("file system", lambda: [_file_system(root)]),
        ("space", lambda: probe_space(root)),
        ("names", lambda: NameProbe(root, World.real()).run()),
        ("spool", lambda: [_spool(root)]),
    ):
        for check in limited(name, act):
            yield check
            if check.state == "fail" and check.name in ("folder", name):
                return  # nothing more can be tried there


def pair_checks(root: Path, meet_s: float = MEET_S) -> Iterator[Check]:
    """What two hosts find out together; the verdict is recorded in the spool by one of them."""
    yield from limited("pair", lambda: _pair(root, meet_s), meet_s + _PAIR_S)


def limited(name: str, act: Callable[[], Checks], limit_s: float = LIMIT_S) -> Iterator[Check]:
    """Checks as they come, in a thread that is left behind when one takes too long; an error is a failed check."""
    found: queue.SimpleQueue[Check | BaseException | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            for check in act():
                found.put(check)
        except WaterzError as error:
            found.put(fail(name, error.what, error.todo))
        except (OSError, ImportError) as error:
            found.put(fail(name, str(error), "repair that, then run doctor again"))
        except BaseException as error:  # raised again where it is waited for
            found.put(error)
        found.put(None)

    threading.Thread(target=run, name=f"waterz-doctor-{name}", daemon=True).start()
    try:
        while (check := found.get(timeout=limit_s)) is not None:
            if isinstance(check, BaseException):
                raise check
            yield check
    except queue.Empty:
        yield fail(name, f"no answer in {limit_s:.0f} s", "is the file server there?")


def python_check() -> Checks:
    """The interpreter, and where it comes from."""
    yield ok("python", f"{platform.python_version()}, {sys.executable}")


def library_checks() -> Checks:
    """The libraries that every worker loads; OpenCV needs the system's libGL."""
    for name in ("numpy", "av", "cv2"):
        try:
            module = importlib.import_module(name)
        except ImportError as error:
            libgl = "libGL" in str(error)
            yield fail(name, f"cannot be loaded: {error}", _LIBGL if libgl else "install waterz-spool in a fresh venv")
        else:
            yield ok(name, str(module.__version__))


def codec_checks() -> Checks:
    """Encoders and decoders in the build of libav that PyAV brings."""
    from waterz_spool.media import missing_codecs

    missing = missing_codecs()
    names = [*missing["encoders"], *missing["decoders"]]
    if not names:
        yield ok("codecs", "all that the program knows are there")
        return
    text = "; ".join(f"no {', '.join(group)} among the {kind}" for kind, group in missing.items() if group)
    told = fail if _NEEDED & set(names) else warn
    yield told("codecs", text, "pip install --force-reinstall av (its wheels bring them)")


def gpu_checks() -> Checks:
    """GPUs of the machine, and whether torch can use them: it is loaded in a process of its own, if both are there."""
    cards = sorted(Path("/dev").glob("nvidia[0-9]*"))
    installed = importlib.util.find_spec("torch") is not None
    if not cards:
        yield ok("gpu", "none; engines run on the CPU")
    elif not installed:
        engines = ", ".join(kind.name for kind in RESTORERS.usable() if kind.needs_gpu)
        yield warn("gpu", f"{len(cards)}, but no torch: {engines} cannot run", "pip install waterz-spool[neural]")
    else:
        yield _torch(len(cards))


def _torch(cards: int) -> Check:
    code = "import torch; print(torch.cuda.device_count(), torch.cuda.is_available() and torch.cuda.get_device_name())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=80, check=False)
    count, _, name = done.stdout.strip().partition(" ")
    if done.returncode or count in ("", "0"):
        return warn("gpu", f"{cards}, but torch sees none", "install the torch build for your driver (nvidia-smi)")
    return ok("gpu", f"{count}, {name}")


def backend_checks() -> Checks:
    """Restorers and detectors that are installed, of this package and of others, and those that are broken."""
    for registry in (RESTORERS, DETECTORS):
        yield ok(f"{registry.what}s", ", ".join(kind.name for kind in registry.usable()))
        for fault in registry.faults():
            yield warn(f"{registry.what}s", f"{fault.what} ({fault.where})", fault.todo)


def weight_checks() -> Checks:
    """The files that some restorers need; the others work without."""
    from waterz_spool.restore.weights import absent

    for kind in RESTORERS.usable():
        if missing := absent(kind.weights):
            yield ok("weights", f"{kind.name} is not available ({len(missing)} files absent, see `models list`)")
        elif kind.weights:
            yield ok("weights", f"all files of {kind.name} are there; `models verify` checks them")


def text_checks() -> Checks:
    """The network that finds text, and what runs it; everything else works without."""
    from waterz_spool.detect.text import TextNetwork
    from waterz_spool.detect.text.files import installed

    if not installed():
        yield ok("text", 'the text detector is not available (pip install "waterz-spool[text]")')
        return
    TextNetwork()
    yield ok("text", "the text network loads")


def _file_system(root: Path) -> Check:
    settings = settings_for(root)
    kind = file_system(root) or "unknown"
    return ok("file system", f"{kind}, lease of a new spool {settings.lease_s:g} s")


def _spool(root: Path) -> Check:
    """The spool itself, as a worker finds it."""
    layout = SpoolLayout(root)
    if not layout.spool_file.exists():
        return ok("spool", "none yet; submit makes it")
    settings = Spool.open(root).settings
    verdict = newest_verdict(FileOps(), layout)
    basis = f"as {verdict.hosts[0]} and {verdict.hosts[1]} found" if verdict else "no --two-node verdict yet"
    return ok("spool", f"lease {settings.lease_s:g} s, locks {settings.locks} ({basis})")


def _pair(root: Path, meet_s: float) -> Checks:
    world = World.real()
    layout = SpoolLayout(root)
    side = Meeting(layout.doctor, world).find(meet_s)
    try:
        a, b = PairProbe(side, socket.gethostname()).run()
        verdict = judge(a, b, world.tokens(), side.say())
        yield from explain(verdict, a, b, _settings(root))
        if side.seat == "a":
            yield _record(layout, verdict, useful=a.device != b.device or verdict.machines > 1)
        side.exchange()  # the record is there before either goes
    finally:
        side.part()


def _settings(root: Path) -> SpoolSettings | None:
    try:
        return Spool.open(root).settings
    except WaterzError:
        return None


def _record(layout: SpoolLayout, verdict: Verdict, *, useful: bool) -> Check:
    """Only what was seen by two clients is worth a record."""
    if not useful:
        return warn("verdict", "not recorded")
    return ok("verdict", f"recorded as {put_verdict(World.real(), layout, verdict).name}")
