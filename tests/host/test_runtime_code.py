"""What the code that users run may not do, and which way its imports may point; read from the syntax, not run."""
import ast
import re
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACK = Path(__file__).resolve().parents[2]
FILES = sorted([PACK / "__init__.py", *(PACK / "nodes").rglob("*.py"), *(PACK / "kernels").rglob("*.py")])
FILES = [file for file in FILES if "benchmarks" not in file.parts]
TRITON = PACK / "kernels" / "triton"
ALLOWED = {     # who may start processes of the pack, and who asks a typed address whether it answers
    PACK / "nodes" / "shared" / "spawning.py": {"multiprocessing", "multiprocessing.connection"},
    PACK / "nodes" / "critique" / "gallery" / "ray_engine.py": {"socket"}}

MODULES = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests", "aiohttp", "httpx", "websockets",
           "huggingface_hub", "subprocess", "multiprocessing", "pty", "pickle", "cPickle", "dill", "shelve", "marshal"}
CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "os.execv", "os.spawnv", "torch.load",
         "torch.hub.load", "np.load", "numpy.load"}


def imports(tree):
    """(module, level) of every import; level counts the leading dots."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [node.module] if node.module else [alias.name for alias in node.names]
            yield from ((name, node.level) for name in names)


def forbidden(tree):
    found = [name for name, level in imports(tree) if level == 0 and name.split(".")[0] in MODULES]
    calls = (ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call))
    return found + [name for name in calls if name in CALLS]


def absolute_imports_of(file, at_the_top=False):
    """Dotted paths below the pack that a file imports relatively, such as `nodes.lora.file.lora_files`."""
    package = file.relative_to(PACK).parts[:-1]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for name, level in imports(top_level(tree) if at_the_top else tree):
        if level:
            yield ".".join([*package[:len(package) - level + 1], name])


def module_name(file):
    """`nodes.lora.file.lora_files`; a package goes by its folder."""
    parts = file.relative_to(PACK).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_imported_by(file):
    """The modules of the pack that a file imports, those of `from . import x` by their own names."""
    package, found = file.relative_to(PACK).parts[:-1], set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*package[:len(package) - node.level + 1], *filter(None, [node.module])])
            found |= {name if (name := f"{base}.{alias.name}") in MODULE_NAMES else base for alias in node.names}
    return {name for name in found if not name.startswith("kernels.triton")}


def foreign_libraries(tree):
    """Libraries imported when the module is, beside the standard library, the host and what every host installs."""
    known = sys.stdlib_module_names | {"torch", "numpy", "PIL", "safetensors", "comfy", "comfy_api", "comfy_extras",
                                       "comfy_execution", "folder_paths", "latent_preview", "node_helpers"}
    return {name.split(".")[0] for name, level in imports(top_level(tree)) if level == 0} - known


def top_level(tree):
    """What runs when a module is imported, as far as imports go."""
    return ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])


def relative_name(file):
    return str(file.relative_to(PACK))


MODULE_NAMES = {module_name(file) for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=relative_name)
def test_no_network_no_processes_no_pickle_no_eval(file):
    found = set(forbidden(ast.parse(file.read_text(encoding="utf-8"))))
    assert found == ALLOWED.get(file, set())


def test_every_promise_of_the_security_page_names_tests_that_there_are():
    named = re.findall(r"`(tests/[^`]*)`", (PACK / "SECURITY.md").read_text(encoding="utf-8"))
    assert len(named) > 5 and not [name for name in named if not (PACK / name).exists()]


@pytest.mark.parametrize("code", ["import subprocess", "from urllib.request import urlopen", "eval('1')",
                                  "def f():\n    import pickle", "torch.load(path)", "import os\nos.system('ls')"])
def test_the_check_above_sees_what_it_should(code):
    assert forbidden(ast.parse(code))


@pytest.mark.parametrize("file", FILES, ids=relative_name)
def test_importing_the_pack_loads_no_library_of_its_own(file):
    allowed = {"triton"} if file.parent == TRITON else set()
    assert foreign_libraries(ast.parse(file.read_text(encoding="utf-8"))) <= allowed


def test_the_triton_forms_are_not_imported_with_the_pack(pack):
    others = [file for file in FILES if file.parent != TRITON]
    names = [name for file in others for name in absolute_imports_of(file, at_the_top=True)]
    assert not [name for name in names if name.startswith("kernels.triton")]
    assert not [name for name in sys.modules if name.startswith(f"{pack.__name__}.kernels.triton")]


@pytest.mark.parametrize("file", [f for f in FILES if "kernels" in f.relative_to(PACK).parts], ids=relative_name)
def test_kernels_know_nothing_of_the_host(file):
    named = {name.split(".")[0] for name, _ in imports(ast.parse(file.read_text(encoding="utf-8")))}
    assert not named & {"comfy", "comfy_api", "folder_paths", "nodes"}


ARROWS = {"kernels": set(), "shared": set(), "charts": {"shared"}, "lora": {"shared", "charts"},
          "critique": {"shared", "charts"}, "training": {"shared", "lora", "charts"},
          "studio": {"shared", "lora", "training", "critique", "charts"}}


@pytest.mark.parametrize("room", ARROWS)
def test_imports_between_rooms_run_one_way(room):
    own = PACK / room if room == "kernels" else PACK / "nodes" / room
    names = [name.split(".") for file in FILES if own in file.parents for name in absolute_imports_of(file)]
    assert {name[1] for name in names if name[0] == "nodes"} - {room} <= ARROWS[room]
    own_modules = [name for name in names if name[:2] == ["nodes", room] or name[0] == room]
    assert own_modules or room == "shared", "no import was read"


def test_imports_run_in_no_circle():
    graph = {module_name(file): modules_imported_by(file) for file in FILES}
    list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert "nodes.lora.block_weights.block_language" in graph["nodes.lora.block_weights.weights"]


@pytest.mark.parametrize("room", sorted(set(ARROWS) - {"kernels", "shared"}))
def test_folders_of_a_room_know_each_other_in_no_circle(room):
    def part(name):                     # a folder of the room, or a file that lies in none
        return name.split(".")[2] if name.startswith(f"nodes.{room}.") else None

    graph = {}
    for file in FILES:
        if own := part(module_name(file)):
            graph.setdefault(own, set()).update(set(map(part, modules_imported_by(file))) - {own, None})
    list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert "nodes" in graph


@pytest.mark.parametrize("file", FILES, ids=relative_name)
def test_no_feature_imports_the_nodes_of_another(file):
    parts = [name.split(".") for name in absolute_imports_of(file) if name.startswith("nodes.")]
    faces = [room for _, room, *rest in parts if rest[:1] == ["nodes"] and room not in file.relative_to(PACK).parts]
    assert not faces or file == PACK / "nodes" / "__init__.py"
