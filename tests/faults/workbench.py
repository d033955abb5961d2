"""The real host in this process with a small model and a data set, and copies of this process that a fault ends."""
import importlib
import os
import pkgutil
import sys
import time
import traceback
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path += [path for path in (str(TESTS), str(TESTS / "training")) if path not in sys.path]

STEPS = 6


class Workbench:
    """host: a real_host.Host. Every training runs in a fork, so that each begins in the same state."""

    def __init__(self, host, pack, folder: Path):
        from training_models import caption, latents, tiny_sd3
        for module in pkgutil.walk_packages(pack.nodes.__path__, f"{pack.nodes.__name__}."):
            importlib.import_module(module.name)
        self.host, self.pack, self.folder = host, pack, folder
        self.model = tiny_sd3()
        captions = [caption(number) for number in range(4)]
        self.feeds = {"model": ("MODEL", self.model), "latents": ("LATENT", [{"samples": latents(4)}]),
                      "captions": ("CONDITIONING", captions), "prompts": ("CONDITIONING", caption(9))}
        for name, (kind, value) in self.feeds.items():
            host.nodes.NODE_CLASS_MAPPINGS[f"Faults_{name}"] = feeding(name, kind, value)

    def prompt(self, name: str, resume: str = "", steps: int = STEPS) -> dict:
        """A training that comes by every phase: checks, data set, validation, sample pictures, states, the LoRA."""
        feeds = {name: {"class_type": f"Faults_{name}", "inputs": {}} for name in self.feeds}
        recipe = {"checkpoint_every": 2, "checkpoint_loras": True, "validation_pictures": 1, "validation_every": 2,
                  "sample_every": 3, "sample_steps": 1, "warmup_steps": 0, "schedule": "constant"}
        return feeds | {
            "set": {"class_type": "BottegaCoreTrainingSet",
                    "inputs": {"latents": ["latents", 0], "positive": ["captions", 0]}},
            "recipe": {"class_type": "BottegaRecipe", "inputs": recipe},
            "train": {"class_type": "BottegaTrainLora", "inputs": {
                "model": ["model", 0], "dataset": ["set", 0], "recipe": ["recipe", 0], "steps": steps, "batch_size": 2,
                "sample_prompts": ["prompts", 0], "learning_rate": 1e-2, "rank": 4, "seed": 3, "name": name,
                "resume": resume}}}

    def output(self, folder: Path) -> None:
        """Sends what is written from here on to a folder."""
        import folder_paths
        folder_paths.set_output_directory(str(folder))
        folder_paths.folder_names_and_paths["loras"] = ([str(folder / "loras")], {".safetensors"})

    def fork(self, folder: Path, work) -> "Fork":
        """Starts a copy of this process that does `work()` with its output in the folder."""
        return Fork(lambda: (self.output(folder), work()))

    def train(self, folder: Path, name: str, resume: str = "", before=lambda: None) -> str:
        """Trains in a fork to the end; returns what went wrong, "" for nothing. before: done in the fork at first."""
        return self.fork(folder, lambda: (before(), self.host.run(self.prompt(name, resume)))).wait()


class Fork:
    """A copy of this process. wait: how it ended, "" for well; what it raised is passed on in words."""

    def __init__(self, work):
        sys.stdout.flush()
        sys.stderr.flush()
        reading, writing = os.pipe()
        self.process = os.fork()
        if not self.process:
            os.close(reading)
            self._do(work, writing)
        os.close(writing)
        self.pipe = reading

    def _do(self, work, writing):
        said = ""
        try:
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            work()
        except BaseException as error:
            said = str(error) or type(error).__name__
            if isinstance(error, AssertionError):
                said = traceback.format_exc()
        finally:
            os.write(writing, said.encode(errors="replace")[:60_000])
            os._exit(1 if said else 0)

    def wait(self, seconds: float = 300) -> str:
        """What it said in the end; "killed by N" where a signal ended it. One that hangs is killed and told so."""
        until, hung = time.monotonic() + seconds, False
        while not (ended := os.waitpid(self.process, os.WNOHANG))[0]:
            if time.monotonic() > until and not hung:
                hung = True
                os.kill(self.process, 9)
            time.sleep(0.005)
        with os.fdopen(self.pipe, "rb") as pipe:
            said = pipe.read().decode()
        if hung:
            return f"hung for {seconds:.0f} s"
        return f"killed by {os.WTERMSIG(ended[1])}" if os.WIFSIGNALED(ended[1]) else said


def feeding(name: str, kind: str, value):
    """A node class that gives a value; a Python list is a list output."""
    return type(f"Faults_{name}", (), {
        "INPUT_TYPES": classmethod(lambda cls: {"required": {}}), "RETURN_TYPES": (kind,), "FUNCTION": "give",
        "CATEGORY": "test", "OUTPUT_IS_LIST": (name in ("latents", "captions"),), "give": lambda self: (value,)})
