"""The developer's door: what it refuses, in one sentence, and what it leaves behind."""
import io
import re
import shutil
import socket
import subprocess
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import folder_paths
import pytest

from devtools import bundle, commands, host, machine, packages, places, server, setting_up, side_by_side
from devtools.terminal import SetupError

PACK = Path(__file__).resolve().parents[2]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """What dev.py makes lies in a temporary place."""
    monkeypatch.setattr(places, "WORKSHOP", tmp_path)
    monkeypatch.setattr(places, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(places, "STAMP", tmp_path / "packages.txt")


def refusal(call, *arguments):
    with pytest.raises(SetupError) as error:
        call(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


def archive(path, *members):
    """A tar.gz of (name, content); content None makes a symbolic link to /etc/passwd."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content or b""))
    return path


@pytest.mark.parametrize("version", [(3, 9), (3, 14), (2, 7)])
def test_another_python_is_refused_with_its_version(version):
    assert "got {}.{}".format(*version) in refusal(machine.check_python, version)


@pytest.mark.parametrize("version", [(3, 10), (3, 13, 5)])
def test_supported_pythons_pass(version):
    machine.check_python(version)


def test_a_full_disk_is_named_before_anything_is_downloaded(tmp_path):
    assert "GB free" in refusal(machine.check_disk, tmp_path, 10 ** 9)


def test_a_port_that_was_asked_for_and_is_taken_is_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert "--port" in refusal(server.choose_port, other.getsockname()[1])


def test_without_a_wish_a_free_port_is_taken_instead_of_the_usual_one(monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setattr(server, "DEFAULT_PORT", other.getsockname()[1])
        assert server.port_is_free(server.choose_port(None))


def test_an_archive_with_another_hash_is_not_unpacked(tmp_path):
    path = archive(tmp_path / "host.tar.gz", ("host/vendor/ComfyUI/main.py", b"x"))
    assert "SHA-256" in refusal(host.check_hash, path, "0" * 64)


def test_only_the_vendored_tree_is_unpacked(tmp_path):
    path = archive(tmp_path / "host.tar.gz", ("host/setup.py", b"no"), ("host/vendor/ComfyUI/comfy/sd.py", b"yes"))
    host.unpack_host(path, tmp_path / "ComfyUI")
    assert list((tmp_path / "ComfyUI").rglob("*.py")) == [tmp_path / "ComfyUI" / "comfy" / "sd.py"]


@pytest.mark.parametrize("name, content", [("host/vendor/ComfyUI/../../../evil.py", b"x"),
                                           ("host/vendor/ComfyUI/link.py", None),
                                           ("host/vendor/ComfyUI/..\\evil.py", b"x")])
def test_an_archive_that_leaves_its_folder_is_refused_and_the_old_tree_stays(tmp_path, name, content):
    target = tmp_path / "deep" / "down" / "ComfyUI"
    target.mkdir(parents=True)
    (target / "main.py").write_text("old", encoding="utf-8")
    path = archive(tmp_path / "host.tar.gz", ("host/vendor/ComfyUI/main.py", b"new"), (name, content))
    assert name in refusal(host.unpack_host, path, target).replace("\\\\", "\\")
    assert (target / "main.py").read_text(encoding="utf-8") == "old"
    assert not list(tmp_path.rglob("evil.py"))


def test_a_half_unpacked_tree_of_an_interrupted_run_is_replaced(tmp_path):
    leftover = tmp_path / "ComfyUI.unfinished" / "half.py"
    leftover.parent.mkdir()
    leftover.write_text("half", encoding="utf-8")
    host.unpack_host(archive(tmp_path / "host.tar.gz", ("h/vendor/ComfyUI/main.py", b"whole")), tmp_path / "ComfyUI")
    assert [p.name for p in (tmp_path / "ComfyUI").iterdir()] == ["main.py"]
    assert not leftover.parent.exists()


def test_a_virtual_environment_of_someone_else_is_not_touched(elsewhere):
    (places.VENV / "bin").mkdir(parents=True)
    assert "was not made by dev.py" in refusal(packages.make_venv)
    assert (places.VENV / "bin").exists()


def test_a_virtual_environment_of_an_interrupted_setup_is_made_again(elsewhere, monkeypatch):
    made = []
    answer = SimpleNamespace(returncode=0)
    monkeypatch.setattr(packages.subprocess, "run", lambda command, **_: made.append(command) or answer)
    (places.VENV / "half").mkdir(parents=True)
    places.STAMP.write_text(packages.UNFINISHED, encoding="utf-8")
    packages.make_venv()
    assert made == [[sys.executable, "-m", "venv", str(places.VENV)]] and not places.VENV.exists()


RUNNING = "{}.{}.{}".format(*sys.version_info)


@pytest.mark.parametrize("made, told", [("3.9.18", "is of Python 3.9 "), (RUNNING, "")])
def test_a_virtual_environment_of_another_python_is_kept_and_named(elsewhere, capsys, made, told):
    Path(places.venv_python()).parent.mkdir(parents=True)
    Path(places.venv_python()).touch()
    (places.VENV / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {made}\n", encoding="utf-8")
    places.STAMP.write_text("finished", encoding="utf-8")
    packages.make_venv()
    said = capsys.readouterr().out
    assert told in said and bool(told) == bool(said)


def make_host(path, version):
    (path / "main.py").touch()
    (path / "requirements.txt").touch()
    (path / "comfyui_version.py").write_text(f'__version__ = "{version}"\n', encoding="utf-8")
    return path


def test_a_folder_that_is_no_host_is_refused_by_name(tmp_path):
    assert refusal(host.check_host, tmp_path).startswith("COMFYUI_PATH")


def test_a_host_that_is_too_old_is_refused_with_its_version(tmp_path):
    assert "too old" in (text := refusal(host.check_host, make_host(tmp_path, "0.29.9"))) and "0.29.9" in text


@pytest.mark.parametrize("version", ["0.30.0", "0.31.2", "1.0.0"])
def test_a_new_host_is_accepted(tmp_path, version):
    assert host.check_host(make_host(tmp_path, version)) == tmp_path


def test_the_pack_the_setup_and_the_registry_name_the_same_oldest_host(pack):
    told = re.search(r'requires-comfyui = ">=(.+)"', (PACK / "pyproject.toml").read_text(encoding="utf-8")).group(1)
    assert pack.nodes.shared.host_version.OLDEST_HOST == host.OLDEST_HOST == tuple(map(int, told.split(".")))


def test_the_pack_is_linked_into_the_base_directory_once(tmp_path):
    setting_up.link_pack(tmp_path)
    setting_up.link_pack(tmp_path)
    assert (tmp_path / "custom_nodes" / "bottega" / "dev.py").samefile(PACK / "dev.py")


def test_a_link_to_another_checkout_is_replaced(tmp_path):
    link = tmp_path / "custom_nodes" / "bottega"
    link.parent.mkdir()
    link.symlink_to(tmp_path, target_is_directory=True)
    setting_up.link_pack(tmp_path)
    assert (link / "dev.py").samefile(PACK / "dev.py")


def test_every_pin_is_exact_and_names_no_index():
    pins = packages.read_pins()
    alone = [*pins["lone packages"], *pins["newest front end"], pins["host"]["source"]]
    for line in [*packages.pinned_packages(pins), *alone]:
        assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*( ; .+)?", line), line
    assert "://" not in places.PINS.read_text(encoding="utf-8")


def test_every_requirement_of_the_host_is_pinned():
    text = (Path(folder_paths.__file__).parent / "requirements.txt").read_text(encoding="utf-8")
    asked = {re.split(r"[=<>~; ]", line)[0].lower() for line in text.splitlines() if line and not line.startswith("#")}
    assert asked <= {line.split("==")[0] for line in packages.pinned_packages(packages.read_pins())}


def test_the_whole_suite_runs_every_folder_of_tests_and_fails_where_one_does(monkeypatch, tmp_path):
    statuses = {"lora": 1, "starter": side_by_side.NO_TEST}
    monkeypatch.setattr(side_by_side.subprocess, "run", lambda command, **options: SimpleNamespace(
        returncode=statuses.get(Path(command[3]).name, 0), stdout=b""))
    ran = side_by_side.folders()
    assert set(ran) == {path.relative_to(PACK / "tests").parts[0] for path in (PACK / "tests").rglob("test_*.py")}
    assert side_by_side.run_all(tmp_path, []) == 1
    statuses["lora"] = 0
    assert side_by_side.run_all(tmp_path, []) == 0


def test_benchmarks_run_by_name_and_all_of_them_without_one():
    scripts, options = commands.chosen_benchmarks(["loading", "--rounds", "2"])
    assert [script.name for script in scripts] == ["bench_loading.py"] and options == ["--rounds", "2"]
    everything, _ = commands.chosen_benchmarks([])
    assert len(everything) > 5 and set(everything) == set((PACK / "tests" / "benchmarks").glob("bench_*.py"))


def test_every_measured_figure_names_a_command_that_there_is():
    rows = re.findall(r"^\| .+ \| .+ \| (.+) \|$", (PACK / "MEASURED.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = {row: re.findall("`([^`]+)`", row) for row in rows if row != "again with" and "by hand" not in row}
    assert all(named.values()), [row for row, found in named.items() if not found]
    told = [command.split() for found in named.values() for command in found]
    known = {path.stem.removeprefix("bench_") for path in commands.chosen_benchmarks([])[0]}
    assert len(rows) > 20 and {words[1] for words in told if words[0] == "bench"} <= known
    files = [word for words in told for word in words if "/" in word]
    assert files and not [file for file in files if not (PACK / file).exists()]


def test_without_any_package_it_can_say_what_it_does(tmp_path):
    shutil.copy(PACK / "dev.py", tmp_path)
    shutil.copytree(PACK / "devtools", tmp_path / "devtools")
    asked = [sys.executable, "-S", "-E", str(tmp_path / "dev.py"), "--help"]
    said = subprocess.run(asked, capture_output=True, text=True)
    assert said.returncode == 0 and "python dev.py bundle-gpu" in said.stdout, said.stderr
    assert {"dev.py", "devtools"} <= set(bundle.BUNDLED)    # it is what a machine without a network gets


def test_arguments_after_test_reach_pytest_as_they_are():
    _, rest = commands.read_arguments("", ["test", "-k", "one or two", "--lf", "tests/host", "-h"])
    assert rest == ["-k", "one or two", "--lf", "tests/host", "-h"]
