"""What the page asks the server about LoRA files: read-only routes for the editor of block weights."""
import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import folder_paths

from .block_weights import presets, vectors
from .file.architecture_detection import architectures, path
from .file.lora_files import file_version
from .inspection.editor_overview import overview

REMEMBERED = 64


class OverviewCache:
    """The overviews of the files asked for last, by (path, time, size), worked out one at a time beside the server."""

    def __init__(self):
        self.known: OrderedDict[tuple, dict] = OrderedDict()
        self.worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="bottega_overview")

    async def of(self, version: tuple) -> dict:
        return await asyncio.get_running_loop().run_in_executor(self.worker, self._look, version)

    def _look(self, version: tuple) -> dict:
        if version not in self.known:
            self.known[version] = overview(version[0])
        self.known.move_to_end(version)
        while len(self.known) > REMEMBERED:
            self.known.popitem(last=False)
        return self.known[version]


def add_routes() -> None:
    """GET /bottega/lora?name=, /bottega/architectures and /bottega/presets. Does nothing without a server."""
    import server
    instance = getattr(server.PromptServer, "instance", None)
    if not hasattr(instance, "routes"):
        return
    overviews, json_response = OverviewCache(), server.web.json_response

    @instance.routes.get("/bottega/lora")
    async def lora(request):
        body, status, tag = await answer(request.query.get("name", ""), request.headers.get("If-None-Match"), overviews)
        headers = {"ETag": tag} if tag else {}
        return server.web.Response(status=304, headers=headers) if body is None else json_response(
            body, status=status, headers=headers)

    @instance.routes.get("/bottega/architectures")
    async def list_architectures(request):
        return json_response({name: [{"block": alias, "path": path(alias, entry)} for alias in entry.blocks]
                              for name, entry in architectures().items()})

    @instance.routes.get("/bottega/presets")
    async def list_presets(request):
        try:
            return json_response({"families": presets.by_family(), "layouts": vectors.plain_layouts()})
        except (OSError, ValueError) as error:
            return json_response({"error": str(error)}, status=422)


async def answer(name: str, known: str | None, overviews: OverviewCache) -> tuple[dict | None, int, str]:
    """(body, status, ETag) for one file that the host lists; without a body if the ETag, which the file's
    modification changes, is the known one."""
    if not name:
        return {"error": "name: expected the name of a LoRA file, got nothing"}, 400, ""
    file = folder_paths.get_full_path("loras", name) if name in folder_paths.get_filename_list("loras") else None
    if file is None:
        return {"error": f"name: there is no {name[:200]!r} in the loras folders"}, 404, ""
    try:
        version = file_version(file)
        tag = f'"{abs(hash(version)):x}"'
        return (None, 304, tag) if known == tag else ({"lora": name, **await overviews.of(version)}, 200, tag)
    except Exception as error:  # whatever a damaged file does to its readers is this file's answer
        said = str(error)
        for path in (file, repr(file)[1:-1]):  # the system's errors quote it, which doubles the \ of Windows
            said = said.replace(path, name)
        return {"error": said}, 422, ""
