"""Two custom node packs as other people write them: one whose node stands before the model and makes trouble on
purpose, and one that nothing needs, which leaves a trace wherever it is loaded."""

TROUBLE = '''
"""A MODEL that makes trouble in one process at one forward pass."""
import multiprocessing
import os
import signal
import sys

import comfy.model_management
import torch


HOOKS = []      # of the last trouble: the model is the one that the cache gives again


class Trouble:
    """who: rank 0 or another; at: the forward pass with a gradient that it happens in, 0 for a model that is another
    from the start."""
    RETURN_TYPES, FUNCTION, CATEGORY = ("MODEL",), "apply", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"model": ("MODEL",), "kind": ("STRING", {}), "at": ("INT", {}), "who": ("STRING", {})}}

    def apply(self, model, kind, at, who):
        while HOOKS:
            HOOKS.pop().remove()
        network, here = model.model.diffusion_model, multiprocessing.parent_process() is not None
        if here != (who == "another"):
            return (model,)
        if kind == "other weights":
            with torch.no_grad():
                network.x_embedder.proj.weight.mul_(1.5)
            return (model,)
        seen = [0]

        def hook(module, given, output):
            if not output.requires_grad:
                return output
            seen[0] += 1
            return MAKE[kind](output) if seen[0] == at else output
        HOOKS.append(network.register_forward_hook(hook))
        return (model,)


def memory_full(output):
    raise MemoryError("as if the device were full")


def fail(output):
    raise KeyError("something in a node's patch")


def send(number):
    def act(output):
        os.kill(os.getpid(), number)
        return output
    return act


def cancel(output):
    comfy.model_management.interrupt_current_processing()
    return output


def stop_and_keep(output):
    (stop,) = [module for name, module in sys.modules.items() if name.endswith(".training.stop_and_keep")]
    for place in list(stop._running):
        assert stop.request_stop(*place)
    return output


MAKE = {"memory": memory_full, "stop and keep": stop_and_keep, "raise": fail,
        "nan": lambda output: output * float("nan"), "cancel": cancel,
        "kill": send(signal.SIGKILL), "stop": send(signal.SIGSTOP), "wait for it": lambda output: output}
NODE_CLASS_MAPPINGS = {"TestTrouble": Trouble}
'''

UNNEEDED = '''
"""A pack with start-up code; nothing before a model needs it."""
import os
import pathlib

TRACE = pathlib.Path(__file__).with_name("loaded.txt")
TRACE.open("a").write(f"{os.getpid()}\\\\n")
NODE_CLASS_MAPPINGS = {}
'''


def write_packs(folder):
    """Writes both and returns their paths."""
    for name, text in (("trouble", TROUBLE), ("unneeded", UNNEEDED.replace("\\\\\\\\", "\\\\"))):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(text, encoding="utf-8")
        (folder / name / "prestartup_script.py").write_text(
            "import os, pathlib\npathlib.Path(__file__).with_name('prestart.txt').open('a').write(f'{os.getpid()} ')\n",
            encoding="utf-8")
    return folder / "trouble", folder / "unneeded"
