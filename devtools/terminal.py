"""What the person at the terminal reads."""
import os
import sys


class SetupError(Exception):
    """One sentence for the person at the terminal."""


def last_line(text):
    return text.strip().splitlines()[-1].strip() if text.strip() else "no message"


def show_step(text):
    """Overwrites one line of a terminal; says nothing where output is kept, such as in CI."""
    if sys.stdout.isatty() and not os.environ.get("CI"):
        print(f"\r  {text.strip():<76}", end="" if text else "\r", flush=True)
