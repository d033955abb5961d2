"""Train LoRA with devices = 2 on a real server, queued as the page queues it."""
import psutil
from client import run
from prompts import training


def test_a_training_on_two_processes_in_the_server(server):
    prompt = training("bottega_woodcut", steps=3)
    prompt["train"]["inputs"] |= {"devices": "2", "batch_size": 2, "name": "two_devices"}
    shown = run(server.address, prompt)
    report = shown["train"]["text"][0]
    assert "2 devices: rank 0 (CPU) 1 pictures a step" in report and "rank 1 (CPU) 1 pictures a step" in report
    assert (server.base / "output" / "loras" / "two_devices.safetensors").is_file()
    (process,) = [each for each in psutil.process_iter() if str(server.base) in _command(each) and "main.py" in
                  _command(each)]
    assert not [each for each in process.children(recursive=True) if "spawn_main" in _command(each)]


def _command(process):
    try:
        return " ".join(process.cmdline())
    except psutil.Error:                        # gone, or another user's
        return ""
