"""What goes wrong is said in a sentence that names the input, and the server lives on."""
import asyncio
import shutil

import pytest
from client import Failed, Refused, connect, run
from prompts import MODELS, node, picture, training

SMALL = {"image": node("EmptyImage", width=64, height=64, batch_size=1, color=255),
         "show": node("PreviewImage", images=("image", 0))}


@pytest.fixture
def refusal(server):
    """Runs a prompt that must not work; returns what the client is told, after the server proved to be alive."""
    def told(prompt):
        with pytest.raises((Refused, Failed)) as error:
            run(server.address, prompt)
        assert run(server.address, SMALL)["show"]["images"]
        return str(error.value)
    return told


@pytest.fixture(scope="module")
def one_picture(server) -> str:
    """A folder of the server's input with the first woodcut and its caption: a training set that is ready at once."""
    source, folder = server.base / "input" / "bottega_woodcut", server.base / "input" / "one_picture"
    folder.mkdir()
    for name in ("01.png", "01.txt"):
        shutil.copy(source / name, folder)
    return folder.name


def shown(class_type, **inputs):
    """A prompt that shows the report of one of our nodes on the starter's model."""
    return MODELS | {"ours": node(class_type, **inputs), "show": node("PreviewAny", source=("ours", 2))}


def load_lora(**inputs):
    return shown("BottegaLoadLora", **{"model": ("model", 0), "strength_model": 1.0, "strength_clip": 1.0, "blocks": "",
                                       "lora_name": "nothing.safetensors"} | inputs)


def test_a_lora_that_does_not_exist(refusal):
    text = refusal(load_lora())
    assert "lora_name" in text and "nothing.safetensors" in text


def test_text_in_blocks_that_means_nothing(refusal):
    assert "blocks" in refusal(load_lora(blocks="what is this"))


def test_text_in_blocks_that_arrives_over_a_link(one_picture, refusal):
    prompt = training(one_picture, steps=2) | {
        "text": node("PrimitiveString", value="what is this"),
        "ours": node("BottegaApplyLora", model=("model", 0), lora=("train", 0), strength_model=1.0, strength_clip=1.0,
                     blocks=("text", 0)),
        "show": node("PreviewAny", source=("ours", 2)),
    }
    assert "blocks" in refusal(prompt)


def test_a_folder_without_pictures(server, refusal):
    (server.base / "input" / "empty").mkdir()
    assert "No valid images found in input" in refusal(training("empty", steps=2))


def test_a_picture_of_one_pixel_to_criticise(refusal):
    image = {"image": node("EmptyImage", width=1, height=1, batch_size=1, color=0)}
    assert "images" in refusal(image | shown("BottegaCritique", images=("image", 0)))


def test_cancel_stops_the_training_and_the_server_goes_on(one_picture, server):
    async def session():
        async with connect(server.address) as client:
            async def cancel_once_it_trains(kind, data):
                if kind == "progress_state" and data["nodes"].get("train", {}).get("value", 0) >= 3:
                    await client.interrupt()
            await client.run(training(one_picture, steps=1000), on_event=cancel_once_it_trains)

    with pytest.raises(Failed) as error:
        asyncio.run(asyncio.wait_for(session(), 120))
    assert error.value.event == "execution_interrupted"
    assert run(server.address, MODELS | picture(("model", 0), "after_cancel"))["save"]["images"]
