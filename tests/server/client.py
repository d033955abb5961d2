"""A client of a running ComfyUI: queues prompts over HTTP and follows them on the websocket, as the page does."""
import asyncio
import json
import uuid
from contextlib import asynccontextmanager

import aiohttp
from comfy_cli.workflow_to_api import convert_ui_to_api

ENDS = ("execution_success", "execution_error", "execution_interrupted")


class Refused(Exception):
    """The server did not accept the prompt; the message is what the page would show."""


class Failed(Exception):
    """A node failed, or the run was cancelled; `event` says which."""

    def __init__(self, event: str, data: dict):
        super().__init__(data.get("exception_message", event))
        self.event, self.data = event, data


class Client:
    def __init__(self, http: aiohttp.ClientSession):
        self.http, self.id = http, uuid.uuid4().hex

    async def get(self, path: str):
        async with self.http.get(path) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def to_prompt(self, workflow: dict) -> dict:
        """The API-format prompt of a workflow as the page saves it."""
        return convert_ui_to_api(workflow, await self.get("/object_info"))

    async def interrupt(self):
        """What the page's Cancel button sends."""
        async with self.http.post("/interrupt", json={}) as answer:
            answer.raise_for_status()

    async def run(self, prompt: dict, workflow: dict | None = None, on_event=None) -> dict:
        """Queues a prompt and waits for its end; returns {node id: what the node shows}.

        `on_event(kind, data)` may be a coroutine function; it sees every message of this prompt. A workflow given
        beside the prompt is saved into the pictures, as the page does it.
        """
        async with self.http.ws_connect(f"/ws?clientId={self.id}", max_msg_size=0) as socket:
            prompt_id = await self._queue(prompt, workflow)
            async for kind, data in messages(socket, prompt_id):
                if on_event:
                    await on_event(kind, data)
                if kind in ENDS:
                    end, reason = kind, data
                if kind == "executing" and data["node"] is None:  # only now is the history written
                    break
        if end != "execution_success":
            raise Failed(end, reason)
        return (await self.get(f"/history/{prompt_id}"))[prompt_id]["outputs"]

    async def _queue(self, prompt, workflow) -> str:
        extra = {"extra_pnginfo": {"workflow": workflow}} if workflow else {}
        request = {"prompt": prompt, "client_id": self.id, "extra_data": extra}
        async with self.http.post("/prompt", json=request) as answer:
            body = await answer.json()
        if answer.status != 200 or body.get("node_errors"):
            raise Refused("\n".join(sentences(body)))
        return body["prompt_id"]


@asynccontextmanager
async def connect(address: str):
    async with aiohttp.ClientSession(address) as http:
        yield Client(http)


async def messages(socket, prompt_id: str):
    """Every JSON message that concerns one prompt (or none at all); previews are binary and left out."""
    async for message in socket:
        if message.type == aiohttp.WSMsgType.TEXT:
            content = json.loads(message.data)
            if content["data"].get("prompt_id") in (None, prompt_id):
                yield content["type"], content["data"]


def sentences(refusal: dict) -> list[str]:
    """One line for each complaint of the server, as the page shows them."""
    found = [f"{node['class_type']}: {error['message']}: {error['details']}"
             for node in (refusal.get("node_errors") or {}).values() for error in node["errors"]]
    return found or [f"{refusal['error']['message']} {refusal['error']['details']}"]


def run(address: str, prompt: dict, workflow: dict | None = None, on_event=None) -> dict:
    """`Client.run` for code that is not asynchronous."""
    async def session():
        async with connect(address) as client:
            return await client.run(prompt, workflow, on_event)
    return asyncio.run(session())
