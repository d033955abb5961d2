"""Puts the painter where a ComfyUI looks.

    python starter/painter/install.py MODELS_DIR [--input INPUT_DIR] [--model MODEL.safetensors] [--vae VAE.safetensors]

What training leaves out of its files, because it is zero, is put back: the columns that the text encoder never writes
and the channels that the narrow VAE does without. The text encoder is that of the flat starter. LoRAs of the media that
the painter never saw are copied. With --input, twelve woodcuts with captions go to INPUT_DIR/bottega_painter_woodcut,
for the painter to learn from. Running it again changes nothing.
"""
import argparse
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
if __package__ in (None, ""):
    sys.path.insert(0, str(HERE.resolve().parent))

import torch  # noqa: E402
from install import TEXT, beside, newer  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

from painter import pictures, vae  # noqa: E402
from painter.scenes import HELD_OUT_MEDIA  # noqa: E402

MODEL, VAE = "bottega_painter.safetensors", "bottega_painter_vae.safetensors"
PICTURES, STYLE, LEARNT, FIRST_SEED = "bottega_painter_woodcut", "woodcut", 12, 3_000_000
WEIGHTS, AUTOENCODER = HERE / "painter.safetensors", HERE / "vae.safetensors"
SHOWN_SEED = 77_041                      # of the picture that examples of the critique open
READ_BY = {"context_embedder.weight": 4096, "y_embedder.mlp.0.weight": 2048}


def lora_of(medium: str) -> str:
    """The file name of the LoRA of a medium that the painter never saw."""
    return f"bottega_painter_{medium.replace(' ', '_')}.safetensors"


LORAS = tuple(HERE / lora_of(medium) for medium in HELD_OUT_MEDIA)


def whole_model(narrow: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict that the host's `load_diffusion_model` recognises as SD3."""
    whole = dict(narrow)
    for name, width in READ_BY.items():
        whole[name] = torch.nn.functional.pad(narrow[name], (0, width - narrow[name].shape[1]))
    return {f"model.diffusion_model.{name}": value.contiguous() for name, value in whole.items()}


def whole_vae(narrow: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict that the host's `VAE` recognises as a TAESD of 16 channels."""
    return vae.for_the_host(narrow)


def install(models: Path, model: Path = WEIGHTS, autoencoder: Path = AUTOENCODER):
    """Writes model, VAE, text encoder and LoRAs below `models`, where they are not already there."""
    import text
    for target, source, state in ((models / "diffusion_models" / MODEL, model, lambda: whole_model(load_file(model))),
                                  (models / "vae" / VAE, autoencoder, lambda: whole_vae(load_file(autoencoder))),
                                  (models / "text_encoders" / TEXT, Path(text.__file__), text.write_down)):
        if not newer(target, source):
            beside(target, lambda part, state=state: save_file(state(), part))
    for lora in filter(Path.exists, LORAS):
        if not newer(models / "loras" / lora.name, lora):
            beside(models / "loras" / lora.name, lambda part, lora=lora: shutil.copyfile(lora, part))


def install_pictures(folder: Path):
    """Writes LEARNT pictures of a medium that the painter never saw, with their captions."""
    from PIL import Image
    for k in range(LEARNT):
        target = folder / f"{k + 1:02}.png"
        if not newer(target, HERE / "media.py"):
            picture, scene = pictures.picture(FIRST_SEED + k, media=(STYLE,))
            beside(target, lambda part, p=picture: Image.fromarray(p).save(part, format="PNG"))
            beside(target.with_suffix(".txt"), lambda part, s=scene: part.write_text(s.caption, encoding="utf-8"))


def install_picture(path: Path):
    """Writes one picture of the generator, for a critique."""
    from PIL import Image
    if not newer(path, HERE / "media.py"):
        beside(path, lambda part: Image.fromarray(pictures.picture(SHOWN_SEED)[0]).save(part, format="PNG"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path)
    parser.add_argument("--input", type=Path)
    parser.add_argument("--model", type=lambda path: Path(path).resolve(), default=WEIGHTS)
    parser.add_argument("--vae", type=lambda path: Path(path).resolve(), default=AUTOENCODER)
    options = parser.parse_args()
    install(options.models, options.model, options.vae)
    if options.input:
        install_pictures(options.input / PICTURES)
