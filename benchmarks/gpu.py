"""Everything that only a GPU can show, in one run: likeness, the way through the spool, the ladder, time and memory.

Needs nothing but the repository with the extra `neural`: synthetic weights are written on first use.

    python -m benchmarks.gpu all --minutes 9 --out gpu     # writes gpu.json and gpu.md; parts that do not fit are named
    python -m benchmarks.gpu table spool                   # some parts
    python -m benchmarks.gpu all --tiny --device cpu       # the script itself, without a GPU

Every measurement is a process of its own, so that one which hangs or runs out of memory costs only itself.
"""

import argparse
import hashlib
import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.propainter_speed import SPEC_GIB, frames, hole, weights

ROOT = Path(__file__).parents[1]
SIZES = ((240, 432), (480, 864), (720, 1280))
MODES = (("reference", "float32", False), ("default", "float32", False), ("default", "float16", False),
         ("default", "float16", True))  # fmt: skip
TOLERANCES = {"cuda": {"flow_px": 1e-2, "level_share": 0.99}, "cpu": {"flow_px": 1e-4, "level_share": 0.999}}
LADDER_PSNR_DB = 35.0


def part_golden(options):
    """The recorded vectors of the published network: optical flow in px, the whole pipeline in levels."""
    import torch

    from propainter import Inpainter
    from propainter.correlation import correlation_pyramid
    from tests.propainter.conftest import Golden

    limits = TOLERANCES[options.device.partition(":")[0]]
    net = Inpainter.load(weights(), device=options.device)
    case = Golden("raft")
    with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        video = case.video().to(net.device)
        features, (hidden, context) = net.models.raft.features(video), net.models.raft.context(video)
        pyramid = correlation_pyramid(features[:1], features[1:2])
        flow, _ = net.models.raft.refine(pyramid, hidden[:1], context[:1], iters=20)
    flow_px = 8 * float((flow.float().cpu() - case.tensor("low_20")).abs().max())
    facts = {"flow_px": flow_px, "limits": limits, "passed": flow_px <= limits["flow_px"]}
    if not options.tiny:
        whole = Golden("e2e_a")
        found = net.inpaint(whole["frames_u8"], whole["mask_u8"], mode="reference")
        share = float((np.abs(found.astype(int) - whole["comp_u8"]) <= 1).mean())
        facts |= {"within_one_level": share, "passed": facts["passed"] and share >= limits["level_share"]}
    return facts


def part_stream(options):
    """One stream: seconds per frame, peak memory, bytes over the bus, share of time in which the device computes."""
    import torch

    from propainter import Inpainter

    height, width = options.size
    cuda = options.device.startswith("cuda")
    net = Inpainter.load(weights(), device=options.device, dtype=options.dtype)
    if options.compile:
        for part in (net.models.generator.encoder, net.models.generator.decoder, net.models.raft.feature_encoder):
            part.forward = torch.compile(part.forward, dynamic=True)
    clip, mask = np.stack(list(frames(options.frames, height, width))), hole(height, width)
    chosen = {"raft_iter": options.raft_iter}

    def once(count):
        if options.mode == "reference":
            return net.inpaint(clip[:count], mask, mode="reference", **chosen)
        return np.stack(list(net.stream(iter(clip[:count]), (mask for _ in range(count)), scene_cuts=None, **chosen)))

    once(min(12, options.frames))
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    started = time.perf_counter()
    out = once(options.frames)
    if cuda:
        torch.cuda.synchronize()
    took = time.perf_counter() - started
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    facts = {"ms_per_frame": round(1000 * took / options.frames, 2), "peak_mib": round(peak / 2**20)}
    facts["sha256"] = hashlib.sha256(out.tobytes()).hexdigest()[:16]
    if cuda and options.mode == "default":
        facts |= _traffic(lambda: once(min(40, options.frames)), min(40, options.frames))
    if options.keep:
        np.save(options.keep, out[:, mask != 0])
    return facts


def _traffic(work, count):
    """Bytes to and from the device per frame, and the share of wall time in which it does nothing."""
    from torch.profiler import ProfilerActivity, profile

    started = time.perf_counter()
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        work()
    wall_us = (time.perf_counter() - started) * 1e6
    with tempfile.TemporaryDirectory() as folder:
        seen.export_chrome_trace(f"{folder}/trace.json")
        events = json.loads(Path(f"{folder}/trace.json").read_text())["traceEvents"]
    spans = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("cat") in ("kernel", "gpu_memcpy"))
    busy_us, end = 0.0, 0.0
    for begin, stop in spans:
        busy_us += max(0.0, stop - max(begin, end))
        end = max(end, stop)
    sums = dict.fromkeys(("HtoD", "DtoH"), 0)
    for event in events:
        way = re.search("HtoD|DtoH", event.get("name", "")) if event.get("cat") == "gpu_memcpy" else None
        if way:
            sums[way[0]] += int(event.get("args", {}).get("bytes", 0))
    return {"to_kib_per_frame": sums["HtoD"] // 1024 // count, "from_kib_per_frame": sums["DtoH"] // 1024 // count,
            "waits": round(1 - min(1.0, busy_us / wall_us), 3)}  # fmt: skip


def part_ladder(options):
    """With too little memory it steps down and still gives nearly the same; on a CPU memory cannot be limited."""
    import logging

    import torch

    from propainter import Inpainter

    height, width = options.size
    clip, mask = np.stack(list(frames(options.frames, height, width))), hole(height, width)
    net, steps = Inpainter.load(weights(), device=options.device), []
    handler = logging.Handler()
    handler.emit = lambda record: steps.append(record.getMessage())
    logging.getLogger("propainter").addHandler(handler)
    whole = net.inpaint(clip, mask, scene_cuts=None, raft_iter=options.raft_iter)
    if not options.device.startswith("cuda"):
        return {"steps": steps, "passed": True, "note": "a CPU has no ladder; tests/propainter walks it by hand"}
    peak, all_of_it = torch.cuda.max_memory_allocated(), torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(0.6 * peak / all_of_it)
    less = net.inpaint(clip, mask, scene_cuts=None, raft_iter=options.raft_iter)
    inside = np.broadcast_to(mask != 0, whole.shape[:3])
    error = np.mean((whole[inside].astype(float) - less[inside]) ** 2)
    psnr = float(10 * np.log10(255**2 / max(error, 1e-9)))
    return {"steps": steps, "psnr_db": round(psnr, 2), "passed": bool(steps) and psnr >= LADDER_PSNR_DB}


def part_spool(options):
    """`run --engine propainter` with one worker and with two on one device: the lock, and equal results."""
    import av

    height, width = options.size
    with tempfile.TemporaryDirectory() as folder:
        video, (x, y) = Path(folder) / "clip.mkv", (width * 3 // 5 & ~1, height * 5 // 8 & ~1)
        with av.open(str(video), "w") as container:
            stream = container.add_stream("ffv1", rate=20)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for picture in frames(options.frames, height, width):
                picture[y : y + height // 5, x : x + width // 3] = (240, 200, 20)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        facts, environment = {}, os.environ | {"WATERZ_MODELS": str(weights()), "XDG_STATE_HOME": folder}
        config = Path(folder) / "config.yaml"
        config.write_text("restore: {torch_threads: 1}\nplan: {segment_s: 1}\n")
        for workers in (1, 2):
            out = Path(folder) / f"{workers}.mkv"
            command = [sys.executable, "-m", "waterz_spool", "--config", config, "run", video, "-o", out, "--engine",
                       "propainter", "--box-exact", f"{x},{y},{width // 3},{height // 5}",
                       "--workers", workers]  # fmt: skip
            started = time.perf_counter()
            done = subprocess.run([*map(str, command)], env=environment, capture_output=True, text=True, check=False)
            facts[f"{workers}_workers_s"] = round(time.perf_counter() - started, 1)
            facts[f"{workers}_workers_exit"] = done.returncode
            facts[f"{workers}_workers_sha256"] = _sha256(out)
            facts |= {"failed": done.stderr[-400:]} if done.returncode else {}
            facts[f"{workers}_workers_busy_gpu"] = done.stderr.count("in use by another worker")
        facts["passed"] = facts["1_workers_exit"] == facts["2_workers_exit"] == 0
        facts["equal"] = facts["1_workers_sha256"] == facts["2_workers_sha256"] != ""
        return facts


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16] if path.exists() else ""


def part_table(options):
    """Time and memory of each way to run the network, for each size and length."""
    rows, kept = [], {}
    for size in options.sizes:
        for count in options.lengths:
            for mode, dtype, compiled in MODES:
                if options.device == "cpu" and (dtype != "float32" or compiled):
                    continue
                keep = Path(tempfile.gettempdir()) / f"gpu-{size[0]}-{count}-{mode}-{dtype}.npy"
                more = ["--size", *size, "--frames", count, "--mode", mode, "--dtype", dtype, "--keep", keep]
                facts = child("stream", options, *more, *(["--compile"] if compiled else []))
                row = {"size": f"{size[1]}x{size[0]}", "frames": count, "mode": mode, "dtype": dtype,
                       "compiled": compiled, **facts}  # fmt: skip
                if keep.exists():
                    kept[mode, dtype, compiled] = np.load(keep)
                    keep.unlink()
                    row["psnr_to_fp32_db"] = _psnr(kept.get(("default", "float32", False)), kept[mode, dtype, compiled])
                rows.append(row)
                print(json.dumps(row), flush=True)
            kept.clear()
    return {"rows": rows, "published_gib": {f"{w}x{h}": text for (h, w), text in SPEC_GIB.items()}}


def _psnr(truth, found):
    if truth is None or truth.shape != found.shape:
        return None
    return round(float(10 * np.log10(255**2 / max(np.mean((truth.astype(float) - found) ** 2), 1e-9))), 2)


PARTS = {"golden": part_golden, "spool": part_spool, "ladder": part_ladder, "table": part_table}


def child(part, options, *more):
    """Run one part in a fresh process; its facts, or why there are none."""
    left_s = options.end - time.time()
    if left_s < 5:
        return {"failed": "no time left"}
    own = ["--device", options.device, "--raft-iter", options.raft_iter, "--end", options.end]
    own += ["--tiny"] if options.tiny else []
    command = [sys.executable, "-m", "benchmarks.gpu", part, "--child", *own, *more]
    try:
        done = subprocess.run(
            [*map(str, command)], cwd=ROOT, capture_output=True, text=True, check=False, timeout=left_s
        )
    except subprocess.TimeoutExpired:
        return {"failed": "no time left"}
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return {"failed": done.stderr.strip()[-400:] or f"exit {done.returncode}"}
    return json.loads(lines[-1])


def markdown(found):
    """The facts as a page."""
    lines = [f"# {found['device']}", "", f"`{found['command']}`; torch {found['torch']}", ""]
    for part in ("golden", "ladder", "spool"):
        facts = found.get(part)
        if facts:
            lines += [f"- {part}: " + ", ".join(f"{key} {value}" for key, value in facts.items())]
    rows = found.get("table", {}).get("rows", [])
    keys = ("size", "frames", "mode", "dtype", "compiled", "ms_per_frame", "peak_mib", "psnr_to_fp32_db",
            "to_kib_per_frame", "from_kib_per_frame", "waits", "failed")  # fmt: skip
    if rows:
        lines += ["", "| " + " | ".join(keys) + " |", "|" + "---|" * len(keys)]
        lines += ["| " + " | ".join(str(row.get(key, "")).replace("\n", " ") for key in keys) + " |" for row in rows]
        published = found["table"]["published_gib"].items()
        lines += ["", "Published GiB, fp32 / fp16: " + "; ".join(f"{size}: {text}" for size, text in published) + "."]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=("all", "stream", *PARTS))
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--out", default="gpu", help="name of the .json and .md files")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--tiny", action="store_true", help="small pictures and few frames: the script itself")
    parser.add_argument("--raft-iter", type=int, default=None)
    parser.add_argument("--size", type=int, nargs=2, default=None, metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--frames", type=int, default=None)
    parser.add_argument("--mode", default="default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--keep", default="")
    parser.add_argument("--end", type=float, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.raft_iter = options.raft_iter or (1 if options.tiny else 20)
    options.size = options.size or ((128, 128) if options.tiny else SIZES[0])
    options.frames = options.frames or (6 if options.tiny else 60)
    options.sizes, options.lengths = (((128, 128),), (4,)) if options.tiny else (SIZES, (40, 160))
    options.end = options.end or time.time() + 60 * options.minutes
    if options.child:
        print(json.dumps({**PARTS, "stream": part_stream}[options.parts[0]](options)))
        return
    import torch

    cuda = options.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        sys.exit("no CUDA GPU here: run this where there is one, or try the script with --tiny --device cpu")
    weights()
    name = torch.cuda.get_device_name() if cuda else "CPU"
    found = {
        "device": name,
        "torch": torch.__version__,
        "command": f"python -m benchmarks.gpu {' '.join(sys.argv[1:])}",
    }
    for part in PARTS if "all" in options.parts else options.parts:
        found[part] = part_table(options) if part == "table" else child(part, options)
        print(part, json.dumps(found[part])[:600], flush=True)
        Path(f"{options.out}.json").write_text(json.dumps(found, indent=1))
        Path(f"{options.out}.md").write_text(markdown(found))
    failed = [part for part in found if isinstance(found[part], dict) and not found[part].get("passed", True)]
    failed += [part for part in found if isinstance(found[part], dict) and "failed" in found[part]]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
