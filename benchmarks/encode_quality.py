"""Size, loss and time of the two qualities, on whole videos: ``python benchmarks/encode_quality.py VIDEO...``.

The loss is that against the source's decoded frames, PSNR over all samples; the source's own loss is not known.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np

from waterz_spool import media
from waterz_spool.media.quality import mean_quantiser, wanted_db
from waterz_spool.records import EncodeSettings, VideoInfo


def packets_bytes(path: Path, index: int) -> int:
    """Of one stream."""
    with av.open(str(path)) as container:
        return sum(packet.size for packet in container.demux(container.streams[index]))


def encoded(source: Path, info: VideoInfo, settings: EncodeSettings, out: Path) -> float:
    """Encode all frames; seconds of processors, decoding included."""
    begun = time.process_time()
    with media.SegmentEncoder(out, settings, info) as encoder:
        for frame in media.decode(source, info, threads=1):
            encoder.write(frame)
    return time.process_time() - begun


def psnr(source: Path, info: VideoInfo, out: Path) -> float:
    """Over all samples of all frames."""
    total, count = 0.0, 0
    with av.open(str(out)) as container:
        for frame, got in zip(media.decode(source, info, threads=1), container.decode(video=0), strict=True):
            for a, b in zip(media.planes(frame), media.planes(got), strict=True):
                error = np.subtract(a, b, dtype=np.float32)
                total, count = total + float(np.vdot(error, error)), count + error.size
    return 10 * np.log10(((1 << info.bits) - 1) ** 2 * count / total)


def main() -> None:
    for source in map(Path, sys.argv[1:]):
        info = media.probe(source)
        archive = media.encode_settings(info, container="mkv")
        begun = time.process_time()
        chosen = media.like_source(source, info, archive)
        choosing_s = time.process_time() - begun
        own, quantiser = packets_bytes(source, info.stream_index), mean_quantiser(source, info)
        print(f"{source.name} {info.codec} {info.width}x{info.height}, quantiser {quantiser and round(quantiser, 1)}, "
              f"wanted {wanted_db(quantiser):.1f} dB, chosen in {choosing_s:.1f} s of processors")  # fmt: skip
        for name, settings in (("archive", archive), ("source", chosen)):
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "out.mkv"
                cpu_s = encoded(source, info, settings, out)
                words = [name, *(settings.options.get(key, "") for key in ("crf", "preset"))]
                size, loss = packets_bytes(out, 0) / own, psnr(source, info, out)
                print("  ", *words, f"{size:.2f} of the source, {loss:.1f} dB, {cpu_s:.1f} s of processors", flush=True)


if __name__ == "__main__":
    main()
