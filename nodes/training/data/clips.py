"""Clips of videos: how many frames, at how many a second, and which part of a video they are."""
import re
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image

from ...shared.text_syntax import shorten
from ...shared.video_file import Video, frames_at

MOST_FRAMES = 10_000


class ClipPlan(NamedTuple):
    """frames: what a clip may have, ascending; fps: frames a second that a video is brought to, 0 for its own; clips:
    how many of each video."""
    frames: tuple[int, ...]
    fps: float = 16.0
    clips: int = 1


def clip_plan(frames: str, fps: float, clips: int) -> ClipPlan | None:
    """From what was typed, such as "17, 33"; None where frames is empty. Raises ValueError with one sentence."""
    words = [word for word in re.split(r"[\s,;]+", frames) if word]
    wrong = next((word for word in words if not word.isdecimal() or not 1 <= int(word) <= MOST_FRAMES), None)
    if wrong:
        raise ValueError(f"frames: expected numbers of frames from 1 to {MOST_FRAMES}, such as 17, 33; got "
                         f"{shorten(wrong)}.")
    return ClipPlan(tuple(sorted({int(word) for word in words})), fps, clips) if words else None


def check_vae(vae, plan: ClipPlan) -> None:
    """Raises ValueError for a VAE of single pictures, and for numbers of frames that it would cut off."""
    shrink, grow = vae.downscale_ratio, vae.upscale_ratio
    if vae.latent_dim != 3 or getattr(vae, "not_video", False) or not isinstance(shrink, tuple):
        raise ValueError("vae: expected that of a video model to learn videos, such as Wan's; this one is for single "
                         "pictures. Leave frames empty to learn pictures alone.")
    for count in plan.frames:
        fitting = [n for n in range(max(1, count - 32), count + 33) if grow[0](shrink[0](n)) == n]
        if fitting and count not in fitting:
            near = sorted(sorted(fitting, key=lambda n: abs(n - count))[:4])
            raise ValueError(f"frames: this VAE takes {', '.join(map(str, near))} frames and others so far apart; got "
                             f"{count}.")


class Clip(NamedTuple):
    """frames: decoded as they are taken; overlaps: whether it shares some with another clip."""
    frames: Iterator[Image.Image]
    overlaps: bool


def clip_of(video: Video, plan: ClipPlan, number: int) -> Clip:
    """One of the clips of a video. They have the most frames that the video fills, and begin evenly spread from its
    first frame to the last that leaves room.

    Raises ValueError for a video that is too short or cannot be read, here or when a frame is taken."""
    times = video.timeline().sampled(plan.fps)
    count = max((count for count in plan.frames if count <= len(times)), default=None)
    if count is None:
        rate = f" at {plan.fps:g} a second" if plan.fps else ""
        raise ValueError(f"it has {len(times)} frame{'s' * (len(times) != 1)}{rate}, and frames asks for at least "
                         f"{plan.frames[0]}")
    room = len(times) - count
    first = round(room * number / (plan.clips - 1)) if plan.clips > 1 else 0
    return Clip(frames_at(video, times[first:first + count]), plan.clips > 1 and room < count * (plan.clips - 1))
