"""The read-only routes behind the editor of block weights: what they tell, and what they refuse."""
import pytest
import requests
import torch
from safetensors.torch import save_file


@pytest.fixture(scope="module")
def folder(server):
    folder = server.base / "models" / "loras"
    folder.mkdir(exist_ok=True)
    return folder


def get(server, path, **headers):
    return requests.get(server.address + path, headers=headers, timeout=60)


def lora(norm, module="lora_unet_double_blocks_7_img_attn_proj"):
    down = torch.zeros(1, 3072)
    down[0, 0] = norm
    return {f"{module}.lora_up.weight": torch.tensor([[1.0], [0.0]]), f"{module}.lora_down.weight": down}


def test_a_listed_file_is_described_and_described_anew_when_it_changes(server, folder):
    save_file(lora(2.0), folder / "routes_flux.safetensors")
    first = get(server, "/bottega/lora?name=routes_flux.safetensors")
    found = {entry["block"]: entry for entry in first.json()["blocks"]}
    assert first.json()["architecture"] == "Flux.1"
    assert found["D07"] == {"block": "D07", "path": "double_blocks.7", "in_file": True, "energy": 2.0}
    assert found["S37"] == {"block": "S37", "path": "single_blocks.37", "in_file": False, "energy": None}
    known = {"If-None-Match": first.headers["ETag"]}
    assert get(server, "/bottega/lora?name=routes_flux.safetensors", **known).status_code == 304
    save_file(lora(3.0) | lora(1.0, "lora_unet_double_blocks_8_img_attn_proj"), folder / "routes_flux.safetensors")
    again = get(server, "/bottega/lora?name=routes_flux.safetensors", **known)
    assert {e["block"]: e["energy"] for e in again.json()["blocks"] if e["in_file"]} == {"D07": 3.0, "D08": 1.0}


@pytest.mark.parametrize("name", [
    "absent.safetensors", "../routes_secret.safetensors", "/etc/passwd", "..%2Froutes_secret.safetensors",
    "sub/../../routes_secret.safetensors", "..\\routes_secret.safetensors", "routes_secret.safetensors%00", ".",
    "%2e%2e/routes_secret.safetensors"])
def test_a_name_that_the_host_does_not_list_is_refused_with_a_sentence(name, server, folder):
    save_file(lora(1.0), folder.parent / "routes_secret.safetensors")
    answer = get(server, f"/bottega/lora?name={name}")
    assert answer.status_code == 404
    assert "there is no" in answer.json()["error"] and str(server.base) not in answer.text


def test_no_name_is_refused(server):
    answer = get(server, "/bottega/lora")
    assert (answer.status_code, answer.json()["error"][:4]) == (400, "name")


def test_nothing_can_be_written_through_it(server):
    assert requests.post(f"{server.address}/bottega/lora?name=x", json={}, timeout=60).status_code == 405


def test_a_damaged_file_is_a_sentence_without_the_folders_of_the_machine(server, folder):
    (folder / "routes_damaged.safetensors").write_bytes(b"\x00" * 50)
    answer = get(server, "/bottega/lora?name=routes_damaged.safetensors")
    assert answer.status_code == 422
    assert "routes_damaged.safetensors" in answer.json()["error"] and str(server.base) not in answer.text
    assert get(server, "/bottega/architectures").status_code == 200


def test_presets_come_by_family_with_the_meaning_of_vectors(server):
    found = get(server, "/bottega/presets").json()
    sdxl = next(entry for entry in found["families"] if entry["family"] == "SDXL")
    assert sdxl["blocks"] == {"IN": 9, "OUT": 9} and sdxl["presets"]
    assert found["layouts"]["SDXL"]["12"]["words"][:2] == ["BASE,TE", "IN04"]


WHOLE = b'{"prompt_id": "1", "node": "1"}'


@pytest.mark.parametrize("body, charset", [
    (WHOLE[:-1], "utf-8"), (WHOLE, "no-such-charset"), (b"\xff\xfe\x00", "utf-8"), (b"[" * 9000, "utf-8"),
    (b"{}", "utf-8"),
    (b"", "utf-8"), (b"7", "utf-8"), (WHOLE.replace(b'"1"', b"[" * 900 + b"]" * 900), "utf-8"),
    (WHOLE.replace(b"1", b"1" * 20000), "utf-8")])
def test_a_stop_that_names_no_node_is_refused_with_a_sentence(body, charset, server):
    answer = requests.post(f"{server.address}/bottega/training/stop", data=body, timeout=60,
                           headers={"Content-Type": f"application/json; charset={charset}"})
    if body == WHOLE:
        assert (answer.status_code, answer.json()) == (200, {"stopping": False})
    else:
        assert (answer.status_code, answer.json()["error"][:8]) == (400, "expected")
