"""ProPainter: time, likeness and peak memory of the default pipeline beside the reference.

Run from the root of the repository. No official weights are needed: synthetic ones are written on first use.

    python -m benchmarks.propainter_speed time                 # both pipelines, one process, one clip
    python -m benchmarks.propainter_speed stages               # the same stage by stage, least of several tries
    python -m benchmarks.propainter_speed memory --raft-iter 1 # peak memory of 40 and 160 streamed frames
    python -m benchmarks.propainter_speed cuda                 # the table for one GPU (needs one)
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torchvision.models.optical_flow._utils import upsample_flow

from propainter import deform, reference, shot
from propainter.effort import Effort
from propainter.flow_completion import complete_bidirectional
from propainter.generator import shrink_flows, shrink_masks
from propainter.masks import dilate
from propainter.options import Options
from propainter.packed import pack_input
from propainter.pipeline import Inpainter
from propainter.propagation import Flows
from propainter.region import hole_box
from propainter.stages import WindowInput, complete_holes, encode_frames, flow_batch, generate
from propainter.windows import raft_clips, window

CACHE = Path(tempfile.gettempdir()) / "propainter-synthetic-weights"
SPEC_GIB = {(720, 1280): "28 / 19 (50 frames), OOM / 25 (80)", (240, 320): "3 / 2 (50 frames), 4 / 3 (80)"}


def weights():
    """Folder of the synthetic checkpoints."""
    if not (CACHE / "ProPainter.pth").exists():
        from tests.propainter import synthetic

        synthetic.write(CACHE)
    return CACHE


def frames(count, height, width):
    """A textured scene that pans by 2 px a frame: uint8 [H,W,3] each, made on the fly."""
    y, x = np.mgrid[0:height, 0 : width + 2 * count].astype(np.float32)
    scene = (127 + 60 * np.sin(x / 17 + y / 29) + 50 * np.sin(x * y / 9000), 127 + 90 * np.sin(x / 11 - y / 13))
    scene = np.stack((*scene, 127 + 80 * np.cos(x / 31) * np.sin(y / 7)), axis=-1)
    noise = np.random.default_rng(0).normal(0, 8, scene.shape)
    scene = np.clip(scene + noise, 0, 255).astype(np.uint8)
    for t in range(count):
        yield np.ascontiguousarray(scene[:, 2 * t : 2 * t + width])


def hole(height, width):
    """A rectangle over a tenth of the picture: uint8 [H,W]."""
    mask = np.zeros((height, width), np.uint8)
    mask[height * 5 // 8 : height * 5 // 6, width * 3 // 5 : width * 19 // 20] = 255
    return mask


class Stopwatch:
    """Wall and CPU seconds of the stages of both pipelines."""

    def __init__(self):
        self.spent = defaultdict(lambda: [0.0, 0.0])
        for owner, names in (
            (reference, ("flow_stage", "completion_stage", "pixel_stage", "generator_stage")),
            (shot.Shot, ("_flow_stage", "_completion_stage", "_pixel_stage", "_window_stage")),
        ):
            for name in names:
                setattr(owner, name, self.timed(getattr(owner, name), name.strip("_")))

    def timed(self, call, name):
        def run(*args, **options):
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return call(*args, **options)
            finally:
                self.spent[name][0] += time.perf_counter() - wall
                self.spent[name][1] += time.process_time() - cpu

        return run

    def report(self):
        for name, (wall, cpu) in self.spent.items():
            print(f"    {name:18s} wall {wall:8.1f} s   cpu {cpu:8.1f} s", flush=True)
        self.spent.clear()


def measure_time(options):
    """Both pipelines in one process, alternating, on one clip."""
    height, width = options.size
    clip, mask = np.stack(list(frames(options.frames, height, width))), hole(height, width)
    net, watch = Inpainter.load(weights(), device="cpu"), Stopwatch()
    net.inpaint(clip[:2], mask, raft_iter=1)  # first-use costs belong to neither
    watch.spent.clear()
    totals, results = {}, {}
    for mode in ("reference", "default"):
        wall, cpu = time.perf_counter(), time.process_time()
        results[mode] = net.inpaint(clip, mask, mode=mode, raft_iter=options.raft_iter)
        totals[mode] = (time.perf_counter() - wall, time.process_time() - cpu)
        print(f"{mode}: wall {totals[mode][0]:.1f} s, cpu {totals[mode][1]:.1f} s, {options.frames} frames")
        watch.report()
    spared = measure_upsampling(net, clip, options.raft_iter)
    for index, kind in enumerate(("wall", "cpu")):
        once = totals["reference"][index] - spared[index]
        print(
            f"reference without upsampling at every update, {kind}: {once:.1f} s: {totals['default'][index] / once:.3f}"
        )
        print(f"default / reference, {kind}: {totals['default'][index] / totals['reference'][index]:.3f}")
    inside = np.broadcast_to(dilate(mask, 4), clip.shape[:3])
    error = results["default"][inside].astype(float) - results["reference"][inside]
    print(f"PSNR in the mask, default against reference: {10 * np.log10(255**2 / np.mean(error**2)):.2f} dB")
    by_frame = [
        np.mean((results["default"][t].astype(float) - results["reference"][t])[inside[t]] ** 2)
        for t in range(len(clip))
    ]
    print("    by frame:", " ".join(f"{10 * np.log10(255**2 / max(e, 1e-9)):.1f}" for e in by_frame))


@torch.inference_mode()
def measure_upsampling(net, clip, iters):
    """Wall and CPU seconds the reference spends on upsampling flow after every update but the last.

    That is what the published RAFT does, and what any rewrite would leave out first: the ratio without it is
    reported, too.
    """
    height, width = (side // 8 for side in clip.shape[1:3])
    spent = [0.0, 0.0]
    for first, last in raft_clips(len(clip), clip.shape[2]):
        hidden, flow = torch.rand(last - first - 1, 128, height, width), torch.rand(last - first - 1, 2, height, width)
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(2):  # once for each direction
            upsample_flow(flow, net.models.raft.mask_predictor(hidden))
        spent[0] += (time.perf_counter() - wall) * (iters - 1)
        spent[1] += (time.process_time() - cpu) * (iters - 1)
    return spent


@torch.inference_mode()
def measure_stages(options):
    """Each stage of both pipelines on the same small input, alternating; the least of several tries counts.

    For machines that are busy with other things: the least time is the one that was disturbed least.
    """
    height, width = options.size
    net, count, mask = Inpainter.load(weights(), device="cpu"), 6, dilate(hole(height, width), 4)
    clip = np.stack(list(frames(2 * count, height, width)))
    ctx = reference.Context(net.models, Options(raft_iter=options.raft_iter), net.device, net.dtype)
    video, effort = reference.to_video(clip, net.device), Effort(net.device)
    masks = torch.from_numpy(np.stack([mask] * len(clip))).float()[:, None]
    flows = Flows(*(torch.rand(len(clip) - 1, 2, height, width) * 3 for _ in range(2)))
    sides = tuple(flow[: count - 1].split(1) for flow in flows)
    view = window(5, len(clip), Options())
    near = Flows(*(flow[view.start : view.stop - 1] for flow in flows))

    def fresh_window():  # what the default pipeline computes for a window: 5 new frames, the others are cached
        packed = [pack_input(clip[t], mask) for t in range(5)]
        encode_frames(net.models.generator, packed, [mask] * 5, effort=effort)
        boxes = [hole_box(mask)] * (view.stop - view.start)
        small = shrink_masks(masks[view.start : view.stop], masks[view.start : view.stop])
        features = cached.split(1)
        local, references = features[: view.stop - view.start], features[view.stop - view.start :]
        found = WindowInput(local, references, shrink_flows(near), small, boxes)
        generate(net.models.generator, found, effort=effort)

    def published_window():
        net.models.generator(video[view.ids], near, masks[view.ids], masks[view.ids], local=view.stop - view.start)

    def published_completion():
        complete_bidirectional(net.models.completion, sides, masks[:count].split(1))

    def completed_holes():
        for flows_one_way in sides:
            complete_holes(net.models.completion, flows_one_way, [mask != 0] * (count - 1), device=net.device)

    cached = net.models.generator.encoder(torch.cat((video[view.ids], masks[view.ids], masks[view.ids]), dim=1))
    stages = {
        "flow, 5 pairs": (
            lambda: reference.flow_stage(video[:count], ctx),
            lambda: flow_batch(net.models.raft, list(clip[:count]), None, iters=options.raft_iter, effort=effort),
        ),
        "completion, 5 flows": (published_completion, completed_holes),
        f"window, {len(view.ids)} frames": (published_window, fresh_window),
    }
    for name, (published, ours) in stages.items():
        least = [[1e9, 1e9], [1e9, 1e9]]
        for _ in range(options.repeat):
            for index, (call, variant) in enumerate(((published, "torchvision"), (ours, "torch"))):
                wall, cpu = time.perf_counter(), time.process_time()
                with deform.using(variant):
                    call()
                spent = (time.perf_counter() - wall, time.process_time() - cpu)
                least[index] = [min(a, b) for a, b in zip(least[index], spent, strict=True)]
        (wall_r, cpu_r), (wall_d, cpu_d) = least
        print(f"{name:22s} wall {wall_r:6.2f} -> {wall_d:6.2f} s ({wall_d / wall_r:.3f})", end="   ")
        print(f"cpu {cpu_r:6.2f} -> {cpu_d:6.2f} s ({cpu_d / cpu_r:.3f})", flush=True)


def stream_once(options):
    """Stream ``frames`` frames and print peak memory; runs in a process of its own."""
    height, width = options.size
    net, mask = Inpainter.load(weights(), device=options.device, dtype=options.dtype), hole(height, width)
    cuda = net.device.type == "cuda"
    started, seconds = time.perf_counter(), []
    chosen = {"raft_iter": options.raft_iter}
    source, masks = frames(options.frames, height, width), (mask for _ in range(options.frames))
    if options.mode == "reference":
        clip = np.stack(list(source))
        net.inpaint(clip[:12], mask, mode="reference", raft_iter=1)
        started = time.perf_counter()
        net.inpaint(clip, mask, mode="reference", **chosen)
    else:
        for _ in net.stream(source, masks, scene_cuts=None, **chosen):
            seconds.append(time.perf_counter() - started)
    if cuda:
        torch.cuda.synchronize()
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    took = time.perf_counter() - started
    print(json.dumps({"frames": options.frames, "peak_mib": round(peak / 2**20), "s_per_frame": took / options.frames}))


def child(arguments):
    """Run ``stream_once`` in a fresh process; its one line of JSON."""
    command = [sys.executable, "-m", "benchmarks.propainter_speed", "stream", *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {"failed": done.stderr[-300:]}


def measure_memory(options):
    """Peak memory of a short and a long stream, each in a fresh process."""
    height, width = options.size
    common = [
        "--size",
        str(height),
        str(width),
        "--raft-iter",
        str(options.raft_iter),
        "--threads",
        str(options.threads),
    ]
    found = []
    for count in options.lengths:
        found.append(child(["--frames", str(count), *common]))
        print(found[-1], flush=True)
    print(f"long / short: {found[-1]['peak_mib'] / found[0]['peak_mib']:.3f}")


def measure_cuda(options):
    """Time per frame and peak memory on the GPU for both sizes: reference fp32, default fp32, default half."""
    if not torch.cuda.is_available():
        sys.exit("no CUDA GPU here; run this where there is one")
    print(torch.cuda.get_device_name(), "torch", torch.__version__)
    for height, width in ((240, 432), (720, 1280)):
        print(f"{width}x{height}; the published table says GiB fp32 / fp16: {SPEC_GIB.get((height, width), '-')}")
        for mode, dtype in (("reference", "float32"), ("default", "float32"), ("default", "float16")):
            size = ["--size", str(height), str(width), "--frames", str(options.frames), "--device", "cuda"]
            print(" ", mode, dtype, child([*size, "--mode", mode, "--dtype", dtype]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("time", "stages", "memory", "cuda", "stream"))
    parser.add_argument("--size", type=int, nargs=2, default=(240, 432), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--frames", type=int, default=None)
    parser.add_argument("--lengths", type=int, nargs="+", default=(40, 160))
    parser.add_argument("--repeat", type=int, default=4, help="tries per stage")
    parser.add_argument("--raft-iter", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--mode", default="default")
    options = parser.parse_args()
    options.frames = options.frames or (60 if options.what == "cuda" else 20)
    torch.set_num_threads(options.threads)
    run = {
        "time": measure_time,
        "stages": measure_stages,
        "memory": measure_memory,
        "cuda": measure_cuda,
        "stream": stream_once,
    }
    run[options.what](options)


if __name__ == "__main__":
    main()
