"""The frames of a video: a file that FFmpeg reads (by PyAV, which ComfyUI installs), an animation that Pillow reads, or
a folder of frames. Frames are decoded one at a time, upright, RGB of 8 bits."""
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple, Protocol

from PIL import Image

from .picture_file import read_picture
from .text_syntax import printable

ANIMATIONS = (".gif", ".webp", ".apng")
UNSAID = 0.1            # seconds that a frame of an animation is shown whose file says 0, as browsers have it
EARLY = 2e-3            # seconds by which a frame may be late, as Matroska counts milliseconds, and still be shown


class Timeline(NamedTuple):
    """times: when each frame begins, in seconds from the first, ascending; end: when the last one ends."""
    times: tuple[float, ...]
    end: float

    def sampled(self, fps: float) -> list[float]:
        """The times of the frames that a video of `fps` frames a second has; of its own frames where fps is 0."""
        if not fps:
            return list(self.times)
        return [number / fps for number in range(max(1, int(self.end * fps + 1e-3)))]


class Video(Protocol):
    """name: for messages."""

    name: str

    def timeline(self) -> Timeline:
        """Raises ValueError, without the file's name, for what cannot be read."""

    def frames(self, since: float = 0.0) -> Iterator[tuple[float, Image.Image]]:
        """(when it begins, the frame), from the one that is shown at `since` or from an earlier one."""


def frames_at(video: Video, times: Sequence[float]) -> Iterator[Image.Image]:
    """The frame that is shown at each of the times, which ascend. Raises ValueError where the video ends before."""
    wanted, shown = iter(times), None
    at = next(wanted)
    for begins, image in video.frames(at):
        while shown is not None and begins > at + EARLY:
            yield shown
            at = next(wanted, None)
            if at is None:
                return
        shown = image
    while at is not None:
        if shown is None:
            raise ValueError("no frame of it can be decoded")
        yield shown
        at = next(wanted, None)


class VideoFile:
    """What FFmpeg reads: the first video stream, turned as its file says."""

    def __init__(self, path: Path):
        self.path, self.name = path, path.name

    def timeline(self) -> Timeline:
        with self._stream() as (container, stream):
            packets = [packet for packet in container.demux(stream) if packet.size and not packet.is_discard]
            stamps = sorted(float(p.pts * p.time_base) for p in packets if p.pts is not None)
            rate = float(stream.average_rate or 0) or 25.0
        if not packets:
            raise ValueError("it has no frames")
        if len(stamps) < len(packets):                      # a raw stream, whose frames follow each other evenly
            stamps = [number / rate for number in range(len(packets))]
        gaps = [after - before for before, after in zip(stamps, stamps[1:], strict=False)]
        return Timeline(tuple(stamp - stamps[0] for stamp in stamps),
                        stamps[-1] - stamps[0] + (median(gaps) if gaps else 1 / rate))

    def frames(self, since: float = 0.0):
        with self._stream() as (container, stream):
            stream.thread_type = "AUTO"
            rate, first = float(stream.average_rate or 0) or 25.0, float((stream.start_time or 0) * stream.time_base)
            if since > 1:
                container.seek(int((first + since) / stream.time_base), stream=stream)
            for number, frame in enumerate(container.decode(stream)):
                yield number / rate if frame.time is None else frame.time - first, _upright(frame)

    @contextmanager
    def _stream(self):
        av = _av()
        try:
            with av.open(str(self.path)) as container:
                if not container.streams.video:
                    raise ValueError("it has no video stream")
                yield container, container.streams.video[0]
        except (av.error.FFmpegError, OSError) as error:
            raise ValueError(printable(error.strerror or str(error))[:200]) from None


class Animation:
    """A GIF, an animated WebP or PNG."""

    def __init__(self, path: Path):
        self.path, self.name = path, path.name

    def timeline(self) -> Timeline:
        times, end = [], 0.0
        for begins, shown_for, _ in self._frames():
            times.append(begins)
            end = begins + shown_for
        return Timeline(tuple(times), end)

    def frames(self, since: float = 0.0):
        for begins, _, image in self._frames():
            yield begins, image

    def _frames(self):
        begins = 0.0
        try:
            with Image.open(self.path) as image:
                for number in range(getattr(image, "n_frames", 1)):
                    image.seek(number)
                    frame = image.convert("RGB")
                    shown_for = image.info.get("duration", 0) / 1000 or UNSAID
                    yield begins, shown_for, frame
                    begins += shown_for
        except GeneratorExit:
            raise
        except Exception as error:          # a damaged file makes Pillow's readers raise whatever it leads them to
            raise ValueError(printable(str(error))[:200] or type(error).__name__) from None


class FrameFolder:
    """Pictures that are the frames of a video, in the order of the numbers in their names, as many a second as are
    asked for."""

    def __init__(self, name: str, paths: Iterable[Path], fps: float):
        self.name, self.paths, self.fps = name, sorted(paths, key=_by_number), fps or 1.0

    def timeline(self) -> Timeline:
        return Timeline(tuple(number / self.fps for number in range(len(self.paths))), len(self.paths) / self.fps)

    def frames(self, since: float = 0.0):
        first = int(since * self.fps + 1e-3)
        for number, path in enumerate(self.paths[first:], first):
            try:
                yield number / self.fps, read_picture(path).image.convert("RGB")
            except ValueError as error:
                raise ValueError(f"its frame {path.name}: {error}") from None


def is_animation(path: Path) -> bool:
    """Whether a picture file has more than one frame."""
    if path.suffix.lower() not in ANIMATIONS:
        return False
    try:
        with Image.open(path) as image:
            return getattr(image, "n_frames", 1) > 1
    except Exception:                       # it is named when it is read
        return False


def _by_number(path: Path) -> list:
    """Text and numbers of a name by turns: 2.png comes before 10.png."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.name)]


def _upright(frame) -> Image.Image:
    """A frame of PyAV, turned by what its file says, in quarter turns against the clock."""
    image = frame.to_image()
    turns = round(frame.rotation / 90) % 4
    return image.transpose((Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)[
        turns - 1]) if turns else image


def _av():
    try:
        import av
    except ImportError:
        raise ValueError("videos are read by the package av, which ComfyUI's requirements.txt lists and which is not "
                         "installed") from None
    return av
