"""A rank of another device, run by its path in a new process that workers.py starts: JOB, RANK and LOG are given."""
import importlib
import os
import runpy
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BEAT = 1.0          # seconds between two signs of life: the log's time


def main(job: dict, rank: int, log: str) -> None:
    """Starts the host with what the graph needs, joins the group and executes the graph, in which the training finds
    that it is a rank. Ends the process: no code of other packs that waits for a usual end runs."""
    _write_into(log)
    device = job["visible"][rank]
    if device is not None:                          # before torch looks at the cards
        os.environ.update(dict.fromkeys(("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"), device))
    sys.path.insert(0, job["settings"]["host"])
    runpy.run_path(os.path.join(HERE, "..", "..", "shared", "spawning.py"))["end_with_parent"]()
    threading.Thread(target=_give_signs_of_life, args=(log,), daemon=True).start()
    code = 1
    try:
        _take_part(job, rank)
        code = 0
    except BaseException:
        import traceback
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _write_into(log):
    file = open(log, "w", buffering=1, encoding="utf-8")
    os.dup2(file.fileno(), 1)
    os.dup2(file.fileno(), 2)
    sys.stdout.reconfigure(line_buffering=True)


def _give_signs_of_life(log):
    """Until the process is stopped or hangs in a call that lets no other thread run."""
    while True:
        os.utime(log)
        time.sleep(BEAT)


def _take_part(job, rank):
    headless = runpy.run_path(os.path.join(HERE, "headless.py"))
    headless["begin"](job["settings"])
    import torch
    torch.set_num_threads(job["threads"])
    executor = headless["start"](job["packs"], job["extras"])
    pack = job["pack"]                              # its modules have a path for a name, as the host gave it
    joining = importlib.import_module(f"{pack}.nodes.training.distributed.joining")
    joining.follow(job, rank, executor, headless["run"])


if __name__ == "bottega_rank":
    main(JOB, RANK, LOG)                            # noqa: F821
