"""The quick form of `python dev.py torture`: some faults of every kind, put in by real means."""
import asyncio
import itertools
import os
import random
import sys
from functools import partial
from pathlib import Path

import pytest
from cancels import cancels
from damaged_files import damaged_files
from disk import disk_faults
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kills import Kills
from memory import memory_faults
from outcome import LONGEST_QUOTE, not_a_sentence
from storm import install_pictures, storm
from texts import ANYWHERE, WORDS, answered, doors, texts

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="faults are put into forks of this process")


NEVER = {"socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn",
         "pickle.find_class", "ctypes.dlopen"}
WRITES = {"os.rename", "os.link", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod"}


def refuse(folder, event, args):
    """An audit hook that fails for what the pack promises not to do."""
    assert event not in NEVER, f"{event} {args}"
    writing = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writing or event in WRITES:
        assert str(args[0]).startswith((str(folder), os.devnull)), f"{event} {args}"


@pytest.fixture(scope="module")
def kills(bench):
    return Kills(bench, bench.folder / "kills")


def test_a_kill_at_a_file_operation_loses_an_interval_at_most(kills, held):
    held(kills.every_operation(start=random.randrange(12), stride=12))


def test_a_kill_at_any_moment_loses_an_interval_at_most(kills, held):
    held(itertools.islice(kills.any_moment(random.Random()), 4))


def test_a_cancel_at_any_moment_leaves_the_model_and_whole_files(bench, held):
    held(itertools.islice(cancels(bench, bench.folder / "cancels", random.Random(), each=10), 10))


def test_a_disk_that_refuses_ends_no_training_without_a_sentence(bench, held):
    held(disk_faults(bench, bench.folder / "disk", steps=(0, 4)))


def test_full_memory_makes_a_training_smaller_or_ends_it_with_a_sentence(bench, held):
    held(memory_faults(bench, bench.folder / "memory", stride=30))


def test_a_text_gets_a_right_answer_or_a_sentence_in_under_a_second(bench, held):
    held(itertools.islice(texts(bench, random.Random()), 1400))


@pytest.mark.parametrize("door", WORDS)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_text_that_hypothesis_finds_is_answered_otherwise(bench, door, data):
    runs = st.sampled_from(ANYWHERE).map(lambda sign: sign * 1000)
    pieces = st.sampled_from(WORDS[door]) | st.text(max_size=3) | runs
    outcome = answered(door, doors(bench)[door], "".join(data.draw(st.lists(pieces, max_size=12))))
    assert outcome.ok, outcome


def test_a_damaged_file_is_read_right_or_refused_with_a_sentence(bench, held):
    held(itertools.islice(damaged_files(bench, bench.folder / "files", random.Random()), 300))


def test_three_clients_at_once_are_all_answered(server, held):  # noqa: F811
    install_pictures(server.base)
    held(asyncio.run(storm(server.address, 15, random.Random())))


def test_a_training_connects_to_nothing_starts_nothing_and_writes_only_below_its_output_folder(bench):
    folder = bench.folder / "watched"
    assert bench.train(folder, "ink", before=lambda: sys.addaudithook(partial(refuse, folder))) == ""
    assert (folder / "loras" / "ink.safetensors").is_file()


@pytest.mark.parametrize("event, args", [("socket.connect", ()), ("open", ("/tmp/elsewhere", "w", os.O_WRONLY)),
                                         ("os.rename", ("/tmp/a", "/tmp/b"))])
def test_what_a_training_must_not_do_is_seen(event, args):
    with pytest.raises(AssertionError):
        refuse(Path("/output"), event, args)


@pytest.mark.parametrize("error, given", [
    (KeyError("version"), ""), (ValueError("not enough values to unpack (expected 1)"), ""), (ValueError("no"), ""),
    (OSError(28, "No space left on device"), ""),
    (ValueError(f"rubric: cannot read {'x' * (LONGEST_QUOTE + 1)}"), "x" * 500),
    (RuntimeError("[enforce fail at alloc_cpu.cpp] . DefaultCPUAllocator: can't allocate memory"), "")])
def test_what_is_no_sentence_is_seen(error, given):
    assert not_a_sentence(error, given)
    assert not not_a_sentence(ValueError('rubric: "Balanc" is not judged'), "Balanc")
