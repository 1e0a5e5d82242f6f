"""Clips of what the lanes have shown: GIF with Pillow, MP4 where imageio-ffmpeg is installed.

Frames are spaced evenly in the time of the simulation, whatever the pace at which they were
painted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from ddg_explorer.app.share.reel import Reel, compose

FPS = 25
MOST_FRAMES = 250
SUFFIXES = (".gif", ".mp4")


def video_available() -> bool:
    """Whether MP4 can be written here."""
    return find_spec("imageio_ffmpeg") is not None


def clip_frames(
    reels: Sequence[Reel], table: bytes, palette: dict[str, str]
) -> Iterator[np.ndarray]:
    """The clip's images, `(height, width, 3)` uint8 each, from the common start to the last time.

    Raises
    ------
    ValueError
        Where nothing has moved yet.
    """
    start = max(float(reel.times[0]) for reel in reels)
    end = max(float(reel.times[-1]) for reel in reels)
    if not end > start:
        raise ValueError("clip: nothing has moved yet; press Play first")
    count = min(MOST_FRAMES, max(len(reel.times) for reel in reels))
    for t in np.linspace(start, end, count):
        yield compose(reels, float(t), table, palette)


def clip_file(
    suffix: str, reels: Sequence[Reel], table: bytes, palette: dict[str, str], fps: int = FPS
) -> bytes:
    """A `.gif` or `.mp4` as bytes.

    Raises
    ------
    ValueError
        For another suffix, a missing imageio-ffmpeg, or a history without motion.
    """
    if suffix not in SUFFIXES:
        raise ValueError(f"clip={suffix!r}: use {' or '.join(SUFFIXES)}")
    if suffix == ".mp4" and not video_available():
        raise ValueError("clip: MP4 needs imageio-ffmpeg (pip install ddg-explorer[video])")
    frames = clip_frames(reels, table, palette)
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"clip{suffix}"
        if suffix == ".gif":
            _gif(path, frames, fps)
        else:
            _mp4(path, frames, fps)
        return path.read_bytes()


def _gif(path: Path, frames: Iterator[np.ndarray], fps: int) -> None:
    """One palette for the whole clip, so that colours do not flicker."""
    images = [Image.fromarray(frame) for frame in frames]
    last = images[-1].quantize(255, dither=Image.Dither.NONE)
    reduced = [image.quantize(palette=last, dither=Image.Dither.NONE) for image in images]
    first, *others = reduced
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=round(1000 / fps),
        loop=0,
        optimize=False,
    )


def _mp4(path: Path, frames: Iterator[np.ndarray], fps: int) -> None:
    import imageio_ffmpeg

    first = next(frames)
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (first.shape[1], first.shape[0]),
        fps=fps,
        codec="libx264",
        quality=8,
        macro_block_size=2,
        output_params=["-movflags", "+faststart"],
    )
    writer.send(None)
    try:
        writer.send(np.ascontiguousarray(first))
        for frame in frames:
            writer.send(np.ascontiguousarray(frame))
    finally:
        writer.close()
