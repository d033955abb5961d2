#!/usr/bin/env python3
"""The developer's door: sets up a pinned ComfyUI with this pack in it, and runs it. Needs nothing but Python.

    python dev.py demo [--keep] [--port N]   run the shipped workflow on a real server and show what came out
    python dev.py serve [--port N]           open the page with the pack loaded
    python dev.py test [pytest arguments]    run the tests
    python dev.py bench [names] [arguments]  run the benchmarks, or those of the names: training, loading, ...
    python dev.py bench --gpu [arguments]    measure the kernels on a CUDA device, at most 8 minutes
    python dev.py bundle-gpu                 gather what that needs for a GPU machine without a network

Everything it makes lies in `.venv`, of the Python that ran it first, and `.workshop`; delete them to start again.
`COMFYUI_PATH` uses another host. The exact versions stand in `.ci/pins.ini`.
"""
import sys

from workshop.commands import main

if __name__ == "__main__":
    sys.exit(main(__doc__, sys.argv[1:]))
