"""A workflow that torchrun starts: two agents on the loopback stand for two machines with a process each."""
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import torch
from training_graphs import tensors

from devtools.server import free_port
from devtools.setting_up import link_pack

PACK = Path(__file__).resolve().parents[3]
PROGRAM = PACK / "nodes" / "training" / "distributed" / "run_workflow.py"
STEPS = 24


def workflow(starter):
    def node(kind, **inputs):
        return {"class_type": kind, "inputs": {name: list(value) if isinstance(value, tuple) else value
                                               for name, value in inputs.items()}}
    return {
        "model": node("UNETLoader", unet_name=starter.MODEL, weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name=starter.TEXT, type="sd3"),
        "vae": node("VAELoader", vae_name=starter.VAE),
        "set": node("BottegaTrainingSet", vae=("vae", 0), clip=("clip", 0), folder="bottega_woodcut", resolution=64),
        "recipe": node("BottegaRecipe", checkpoint_every=4, exact=True),
        "train": node("BottegaTrainLora", model=("model", 0), dataset=("set", 0), recipe=("recipe", 0), steps=STEPS,
                      batch_size=2, learning_rate=1e-3, rank=4, seed=3, name="hand"),
        "lora": node("LoraModelLoader", model=("model", 0), lora=("train", 0), strength_model=1.0, bypass=False),
        "words": node("CLIPTextEncode", text="a red circle", clip=("clip", 0)),
        "empty": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        "sample": node("KSampler", model=("lora", 0), positive=("words", 0), negative=("words", 0), seed=3, steps=1,
                       latent_image=("empty", 0), cfg=1.0, sampler_name="euler", scheduler="simple", denoise=1.0),
        "decode": node("VAEDecode", samples=("sample", 0), vae=("vae", 0)),
        "save": node("SaveImage", images=("decode", 0), filename_prefix="after"),
    }


def agent(base, port, log):
    """torchrun on one of two machines."""
    flags = ["--cpu", "--base-directory", str(base), "--disable-all-custom-nodes", "--whitelist-custom-nodes",
             "bottega"]
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
               f"--rdzv-endpoint=127.0.0.1:{port}", "--rdzv-id=job", "--max-restarts=2", "--local-addr=127.0.0.1",
               str(PROGRAM), str(base / "workflow_api.json"), "--", *flags]
    return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=base, env={
        **os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "COMFYUI_PATH": os.environ["COMFYUI_PATH"],
        "BOTTEGA_RANK_WAIT": "300"})


def rank_process(agents, rank):
    """The process of a rank among the children of the agents."""
    for parent in agents:
        for process in psutil.Process(parent.pid).children(recursive=True):
            if process.environ().get("RANK") == str(rank) and str(PROGRAM) in process.cmdline():
                return process
    raise AssertionError(f"no process of rank {rank}")


def test_a_killed_rank_is_started_again_and_the_lora_is_that_of_an_uncut_run(host, starter, output_folder, tmp_path):
    base = tmp_path / "machine"
    starter.install_models(base / "models")
    starter.install_pictures(base / "input" / "bottega_woodcut")
    link_pack(base)
    prompt = workflow(starter)
    (base / "workflow_api.json").write_text(json.dumps(prompt), encoding="utf-8")
    states, port, logs = base / "output" / "training" / "hand", free_port(), [base / f"log_{n}" for n in range(2)]
    with open(logs[0], "w") as first, open(logs[1], "w") as second:
        agents = [agent(base, port, log) for log in (first, second)]
        try:
            wait(lambda: list(states.glob("step_*.safetensors")), agents)
            rank_process(agents, 1).kill()
            codes = [each.wait(timeout=600) for each in agents]
        finally:
            for each in agents:
                each.kill()
    told = "".join(log.read_text() for log in logs)
    assert codes == [0, 0], told[-3000:]
    assert "exitcode: -9" in told and (states / "launch.txt").read_text() == "job\ntrain\n"
    written = sorted(str(path.relative_to(base / "output")) for path in (base / "output").rglob("*.png"))
    assert written == ["after_00001_.png"]
    there, _ = tensors(base / "output" / "loras" / "hand.safetensors")
    here = uncut(host, prompt, base, output_folder)
    assert there.keys() == here.keys() and all(torch.equal(there[key], here[key]) for key in there)


def uncut(host, prompt, base, output_folder):
    """The LoRA that this process trains by itself."""
    own = {key: prompt[key] for key in ("model", "clip", "vae", "set", "recipe", "train")}
    own["set"] = {**own["set"], "inputs": {**own["set"]["inputs"], "folder": str(base / "input" / "bottega_woodcut")}}
    host.run(own)
    return tensors(output_folder / "loras" / "hand.safetensors")[0]


def wait(done, agents):
    until = time.monotonic() + 600
    while not done():
        assert time.monotonic() < until and all(each.poll() is None for each in agents), "no state was written"
        time.sleep(0.1)
