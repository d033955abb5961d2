"""Small videos of every kind, and the host's video VAE, shrunk, as the tests of videos share them."""
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture(scope="session")
def video_vae(host):
    """Wan's VAE as the host loads it from a file, with few channels and weights of chance."""
    import comfy.ldm.wan.vae
    import comfy.ops
    import comfy.sd
    from training_models import randomise
    network = comfy.ldm.wan.vae.WanVAE(
        dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=2, attn_scales=[],
        temperal_downsample=[False, True, True], image_channels=3, conv_out_channels=3, dropout=0.0)
    weights = {key: value.clone() for key, value in randomise(network, std=0.2).state_dict().items()}
    return comfy.sd.VAE(sd=weights)


def moving_square(count, size=(64, 48), side=16, step=2, colour=(255, 255, 255)):
    """Frames of a square that moves to the right, `step` pixels a frame, on a dark ground."""
    frames = []
    for number in range(count):
        image = Image.new("RGB", size, (16, 24, 32))
        left = (number * step) % (size[0] - side)
        image.paste(colour, (left, 16, left + side, 16 + side))
        frames.append(image)
    return frames


def place_of(frame):
    """The column of a frame's brightest part."""
    return float((np.asarray(frame.convert("L")) > 128).any(0).argmax())


def write_video(path, frames, fps=16, codec="mpeg4", **stream_options):
    """A video file by PyAV, which ComfyUI installs."""
    import av
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(fps))
        stream.width, stream.height = frames[0].size
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_image(frame)))
        container.mux(stream.encode())
    return path


def write_animation(path, frames, fps=10, **options):
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=round(1000 / fps), **options)
    return path


def write_frames(folder, frames):
    folder.mkdir(parents=True)
    for number, frame in enumerate(frames):
        frame.save(folder / f"{number}.png")
    return folder


PLACES, FRAMES = (0, 2, 4, 6), 4


def square_clip(model, left):
    """Latents [1, 16, FRAMES, 4, 8] as a VAE would give them of a square whose left edge is at each of `left`: in the
    model's own space 1 where it is and -1 elsewhere."""
    made = torch.full((1, 16, FRAMES, 4, 8), -1.0)
    for number, column in enumerate(left):
        made[0, :, number, :2, column:column + 2] = 1.0
    return model.process_latent_out(made)


def still(model):
    """A square that stays where it is, at each place."""
    return [square_clip(model, [place] * FRAMES) for place in PLACES]


def moving(model):
    """A square that moves by its width each frame, and comes in again on the left, from each place."""
    return [square_clip(model, [(place + 2 * number) % 8 for number in range(FRAMES)]) for place in PLACES]


def teach_still_squares(patcher, steps=250, batch=8, rate=3e-3):
    """Trains a whole tiny Wan, by torch alone, until it draws squares that stand still."""
    import comfy.model_management
    network, model = patcher.model.diffusion_model.requires_grad_(True), patcher.model
    generator = torch.Generator().manual_seed(0)
    for name, weight in network.named_parameters():
        if weight.dim() > 1:
            small = "modulation" in name or "head" in name
            weight.data.normal_(std=0.02 if small else weight[0].numel() ** -0.5, generator=generator)
    clips, words = model.process_latent_in(torch.cat(still(model))), torch.zeros(batch, 8, 64)
    optimizer = torch.optim.Adam(network.parameters(), rate, betas=(0.9, 0.98))
    before, comfy.model_management.in_training = comfy.model_management.in_training, True
    for step in range(steps):
        clean = clips[torch.randint(0, len(clips), (batch,), generator=generator)]
        noise = torch.randn(clean.shape, generator=generator)
        sigma = torch.sigmoid(torch.randn(batch, generator=generator) * 1.5 + 0.5)
        noisy = torch.lerp(clean, noise, sigma.view(-1, 1, 1, 1, 1))
        loss = (network(noisy, sigma * 1000, words) - (noise - clean)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.param_groups[0]["lr"] = rate * min(1, (step + 1) / 20) * (1 - 0.9 * step / steps)
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    comfy.model_management.in_training = before
    network.requires_grad_(False)
