#!/usr/bin/env python3
"""The developer's door: sets up a pinned ComfyUI with this pack in it, and runs it. Needs nothing but Python.

    python dev.py demo [--keep] [--port N]   run the shipped workflow on a real server and show what came out
    python dev.py serve [--port N]           open the page with the pack loaded
    python dev.py templates                  write example_workflows anew from devtools/templates
    python dev.py test [pytest arguments]    run the tests
    python dev.py bench [names] [arguments]  run the benchmarks, or those of the names: training, loading, ...
    python dev.py torture [--minutes N]      kill, cancel, fill up and damage for hours, and print what held
    python dev.py test --gpu [arguments]     run every node on a CUDA device
    python dev.py bench --gpu [arguments]    measure the kernels on a CUDA device, at most 8 minutes
    python dev.py gpu                        both, one after the other
    python dev.py doctor                     say which capabilities this host lacks, and what does not work without
    python dev.py bundle-gpu                 gather what that needs for a GPU machine without a network

Everything it makes lies in `.venv`, of the Python that ran it first, and `.workshop`; delete them to start again.
`COMFYUI_PATH` uses another host. The exact versions stand in `.ci/pins.ini`.
"""
import sys

from devtools.commands import main

if __name__ == "__main__":
    sys.exit(main(__doc__, sys.argv[1:]))
