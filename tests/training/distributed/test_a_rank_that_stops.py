"""A rank that stops where torch.distributed waits in one go for what it has to tell."""
import os
import subprocess
import sys
import threading

import pytest
import torch
import torch.distributed as dist

ARRIVES_AND_STOPS = """
import os, signal, sys
import torch.distributed as dist
store = dist.FileStore(sys.argv[1], 2)
dist.init_process_group("gloo", rank=1, world_size=2, store=dist.PrefixStore("group", store))
dist.PrefixStore("ranks", store).set("here/1/1", "1")
os.kill(os.getpid(), signal.SIGSTOP)
"""


def test_a_rank_that_stops_between_arriving_and_telling_is_seen(pack, tmp_path):
    local_group, team = (getattr(pack.nodes.training.distributed, name) for name in ("local_group", "team"))
    store, watch = local_group.store_of(tmp_path, 2), lambda waited: "rank 1 is silent" if waited > 0.5 else None
    other = subprocess.Popen([sys.executable, "-c", ARRIVES_AND_STOPS, str(tmp_path / "store")],
                             env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"})
    try:
        with local_group.group(0, 2, store, torch.device("cpu")):
            ranks = dist.PrefixStore("ranks", store)
            ranks.get("here/1/1")
            late = threading.Timer(60, other.kill)
            late.start()
            with pytest.raises(team.RankFailed, match="rank 1 is silent"):
                team.Team(0, 2, ranks, watch=watch).gather_at_first(None)
            late.cancel()
            other.kill()
    finally:
        other.kill()
        other.wait()
