"""Three clients that send a real server prompts of every kind at once: it answers all, and nothing piles up in it."""
import asyncio
import random
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
sys.path += [path for path in (str(TESTS / "server"), str(TESTS.parent)) if path not in sys.path]

from client import Failed, Refused, connect  # noqa: E402
from outcome import Outcome  # noqa: E402
from prompts import MODELS, node, picture, training  # noqa: E402

CLIENTS, PATIENCE = 3, 600
PROBE, PICTURES = "faults_probe", "storm_picture"


class Held(NamedTuple):
    """What the server's process holds."""
    megabytes: float
    tensors: int


async def storm(address: str, prompts: int, rng: random.Random) -> list[Outcome]:
    """What came of every prompt."""
    outcomes, left = [], list(range(prompts))

    async def send():
        async with connect(address) as client:
            while left:
                left.pop()
                outcomes.append(await _sent(client, rng))

    await asyncio.gather(*(send() for _ in range(CLIENTS)))
    return outcomes


async def _sent(client, rng) -> Outcome:
    name = rng.choice(list(KINDS))
    prompt, may_fail = KINDS[name](rng), name.startswith("refused") or name == "cancelled"

    async def cancel(kind, data):
        if name == "cancelled" and kind == "progress_state" and rng.random() < 0.2:
            await client.interrupt()

    try:
        await asyncio.wait_for(client.run(prompt, on_event=cancel), PATIENCE)
    except Failed as error:     # another client's cancel may hit any prompt
        cut = error.event == "execution_interrupted"
        wrong = "" if cut or may_fail and ": " in str(error) else f"{error.event}: {str(error)[:200]}"
        return Outcome(name, wrong)
    except Refused as error:
        return Outcome(name, "" if may_fail else f"refused: {str(error)[:200]}")
    except asyncio.TimeoutError:
        return Outcome(name, f"no answer in {PATIENCE} s")
    return Outcome(name, "it was to be refused" if name.startswith("refused") else "")


async def held(address: str, process: int) -> Held:
    """What a server with the probe holds once it has put away what it no longer needs."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            megabytes = int(line.split()[1]) / 1024
    async with connect(address) as client:
        return Held(megabytes, (await client.get(f"/{PROBE}"))["tensors"])


def _seeded(prompt: dict, rng) -> dict:
    """Inputs called seed get another number, or the host answers from its cache."""
    for entry in prompt.values():
        if "seed" in entry["inputs"]:
            entry["inputs"]["seed"] = rng.randrange(2 ** 32)
    return prompt


def _shown(class_type, output, **inputs):
    return MODELS | {"ours": node(class_type, **inputs), "show": node("PreviewAny", source=("ours", output))}


def _image(rng):
    width, color = rng.choice((64, 96)), rng.randrange(2 ** 24)
    return {"image": node("EmptyImage", width=width, height=64, batch_size=1, color=color)}


KINDS = {
    "picture": lambda rng: _seeded(MODELS | picture(("model", 0), "storm"), rng),
    "training": lambda rng: _seeded(training(PICTURES, 2), rng),
    "critique": lambda rng: _image(rng) | _shown("BottegaCritique", 1, images=("image", 0)),
    "chart": lambda rng: {"ours": node("BottegaChart", data=f'[{{"a": "x", "b": {rng.random()}}}]', spec="bars()"),
                          "show": node("PreviewImage", images=("ours", 0))},
    "cancelled": lambda rng: _seeded(training(PICTURES, 200), rng),
    "refused rubric": lambda rng: _image(rng) | _shown("BottegaCritique", 1, images=("image", 0), rubric=" " * 10 ** 6),
    "refused blocks": lambda rng: _shown(
        "BottegaLoadLora", 2, model=("model", 0), strength_model=1.0, strength_clip=1.0,
        blocks=f"Z{rng.randrange(99)}=", lora_name="none.safetensors"),
    "refused training": lambda rng: _seeded(training(PICTURES, 2), rng) | {
        "train": node("BottegaTrainLora", model=("model", 0), dataset=("set", 0), steps=2, batch_size=1, rank=4,
                      learning_rate=1e-3, seed=rng.randrange(99), name="/" * 5000)},
}


def install_pictures(base: Path) -> None:
    """A training set of one picture, which is ready at once."""
    folder = base / "input" / PICTURES
    folder.mkdir(exist_ok=True)
    for name in ("01.png", "01.txt"):
        shutil.copy(base / "input" / "bottega_woodcut" / name, folder)


def install_probe(base: Path) -> None:
    """A custom node beside the pack that counts the server's tensors."""
    probe = base / "custom_nodes" / PROBE
    probe.mkdir(parents=True, exist_ok=True)
    (probe / "__init__.py").write_text(
        "import gc, server, torch\nNODE_CLASS_MAPPINGS = {}\n\n"
        f"@server.PromptServer.instance.routes.get('/{PROBE}')\n"
        "async def tensors(request):\n    gc.collect()\n"
        "    count = sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())\n"
        "    return server.web.json_response({'tensors': count})\n")
