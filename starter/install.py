"""Puts the starter where a ComfyUI looks: `python starter/install.py MODELS_DIR INPUT_DIR`.

The diffusion model is copied; the VAE and the text encoder are written down (see vae.py and text.py); twelve pictures
with captions go to INPUT_DIR/bottega_woodcut for the training example. Running it again changes nothing.
"""
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

MODEL, VAE, TEXT = "bottega_starter.safetensors", "bottega_starter_vae.safetensors", "bottega_starter_text.safetensors"
PICTURES = "bottega_woodcut"


def beside(path: Path, write):
    """Calls write(temporary path) and renames: an interrupted run leaves no half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def newer(path: Path, *sources: str) -> bool:
    return path.exists() and path.stat().st_mtime >= max((HERE / s).stat().st_mtime for s in sources)


def install_models(models: Path):
    import text
    import vae
    from safetensors.torch import save_file
    model = models / "diffusion_models" / MODEL
    if not newer(model, MODEL):
        beside(model, lambda part: shutil.copyfile(HERE / MODEL, part))
    written = ((models / "vae" / VAE, "vae.py", vae), (models / "text_encoders" / TEXT, "text.py", text))
    for path, source, module in written:
        if not newer(path, source):
            state = module.write_down()
            beside(path, lambda part, state=state: save_file(state, part))


def install_pictures(folder: Path):
    import woodcut
    from PIL import Image
    for i, thing in enumerate(woodcut.things(), 1):
        picture = (woodcut.draw_woodcut(thing).movedim(0, -1) * 255).round().byte().numpy()
        if not newer(folder / f"{i:02}.png", "woodcut.py"):
            beside(folder / f"{i:02}.png", lambda part, p=picture: Image.fromarray(p).save(part, format="PNG"))
            beside(folder / f"{i:02}.txt", lambda part, t=thing: part.write_text(woodcut.caption(t), encoding="utf-8"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python starter/install.py MODELS_DIR INPUT_DIR")
    install_models(Path(sys.argv[1]))
    install_pictures(Path(sys.argv[2]) / PICTURES)
