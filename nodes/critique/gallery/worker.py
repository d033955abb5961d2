"""Runs in a process of its own, by its path (see `pool`): takes one picture at a time and gives back its row.

CONNECTION is given. Once it listens it says so and is sent the settings; once it is ready it says so and is sent a
picture in each message, an empty one ends it. What crosses is JSON, in which floating-point numbers keep every bit.
"""
import json
import os
import runpy
from pathlib import Path


def main(connection) -> None:
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", CUDA_VISIBLE_DEVICES="")    # before torch is loaded
    alone = runpy.run_path(str(Path(__file__).resolve().parents[2] / "shared" / "pack_alone.py"))["module"]
    alone("shared.spawning").end_with_parent()
    import torch
    torch.set_num_threads(1)
    alone("shared.freed_memory").keep()
    measuring, entries = alone("critique.gallery.measuring"), alone("critique.gallery.entries")
    connection.send_bytes(b"listening")
    measurer = measuring.Measurer(measuring.Settings(**json.loads(connection.recv_bytes())))
    connection.send_bytes(b"ready")
    while message := connection.recv_bytes():
        row = measurer.row(entries.Entry(*json.loads(message)))
        connection.send_bytes(json.dumps(row).encode())


if __name__ == "bottega_gallery_worker":
    main(CONNECTION)  # noqa: F821
