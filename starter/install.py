"""Puts the starter where a ComfyUI looks: `python starter/install.py MODELS_DIR INPUT_DIR`.

The diffusion model and two LoRAs for it are copied; the VAE and the text encoder are written down (see vae.py and
text.py); twelve pictures with captions go to INPUT_DIR/bottega_woodcut. The painter is put beside it with its own (see
painter/install.py), and a picture of its generator for the critique's example. Running it again changes nothing.
"""
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

MODEL, VAE, TEXT = "bottega_starter.safetensors", "bottega_starter_vae.safetensors", "bottega_starter_text.safetensors"
LORAS = ("bottega_woodcut.safetensors", "bottega_night.safetensors")
PICTURES, PICTURE = "bottega_woodcut", "bottega_picture.png"    # PICTURE lies beside the folders: *Load Image* lists it


def beside(path: Path, write):
    """Calls write(temporary path) and renames: an interrupted run leaves no half-written file, and the file is as open
    as the system makes files here, which those of safetensors are not by themselves."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        write(part)
        part.chmod(mode)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def newer(path: Path, *sources: str | Path) -> bool:
    """Whether a file is there and younger than its sources, paths or names beside this script."""
    return path.exists() and path.stat().st_mtime >= max((HERE / s).stat().st_mtime for s in sources)


def install_models(models: Path):
    import text
    import vae
    from safetensors.torch import save_file
    copied = {MODEL: "diffusion_models"} | dict.fromkeys(LORAS, "loras")
    for name, kind in copied.items():
        if not newer(models / kind / name, name):
            beside(models / kind / name, lambda part, name=name: shutil.copyfile(HERE / name, part))
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


def install_painter(models: Path, pictures: Path):
    """The second starter, twelve woodcuts for it to learn from, and a picture to criticise (painter/install.py)."""
    from painter import install as painter
    painter.install(models)
    painter.install_pictures(pictures / painter.PICTURES)
    painter.install_picture(pictures / PICTURE)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python starter/install.py MODELS_DIR INPUT_DIR")
    install_models(Path(sys.argv[1]))
    install_pictures(Path(sys.argv[2]) / PICTURES)
    install_painter(Path(sys.argv[1]), Path(sys.argv[2]))
