"""The command line is read as its help says; what it writes is whole."""

import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from clips import write_video
from schemas import check_output
from soundspot.cli.main import COMMANDS, GROUPS, load_command, parse_command
from soundspot.config.load import list_recipe_keys
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.lists import bundled_ids
from soundspot.data.datasets.registry import open_dataset
from trees import framed


@pytest.mark.parametrize("command", [*COMMANDS, *GROUPS], ids=lambda name: name or "all")
def test_every_command_explains_itself(soundspot, command) -> None:
    answer = soundspot(*command.split(), "--help")
    assert answer.code == 0
    assert answer.out.startswith(f"usage: soundspot {command}".rstrip())
    assert "--config" not in answer.out
    if command in COMMANDS:
        assert answer.out.splitlines()[-1].startswith(f"  soundspot {command}")


def test_help_lists_every_command_with_a_line(soundspot) -> None:
    for group in GROUPS:
        lines = [line.split(maxsplit=1) for line in soundspot(*group.split(), "--help").out.splitlines()]
        listed = {words[0] for words in lines if len(words) == 2}
        prefix = f"{group} ".lstrip()
        assert {name.removeprefix(prefix).split()[0] for name in COMMANDS if name.startswith(prefix)} <= listed


def test_no_help_imports_torch() -> None:
    code = """
import contextlib, io, sys
from soundspot.cli.main import COMMANDS, main
with contextlib.redirect_stdout(io.StringIO()):
    for command in ["", *COMMANDS, "train ezvsl/debug", "datasets vggss scenes"]:
        with contextlib.suppress(SystemExit):
            main([*command.split(), *["--help"] * (command[:9] != "datasets ")])
        assert "torch" not in sys.modules, command
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_a_help_has_plain_types_and_no_second_spelling(soundspot, command) -> None:
    text = soundspot(*command.split(), "--help").out.partition("\nexample:")[0]
    assert not re.search(r"Optional|Sequence|Union|Literal|typing|<class|default: null|--\w+_|--[\w-]+\+", text), text


def test_the_help_of_a_large_command_has_groups(soundspot) -> None:
    text = soundspot("locate", "--help").out
    assert "usage: soundspot locate IMAGE [AUDIO ...] [options]\n" in text
    for title, flag in (
        ("images:", "--boxes"),
        ("videos:", "--timeline PATH"),
        ("events of videos:", "--onset TEXT"),
        ("output:", "-o, --output PATH"),
    ):
        assert flag in text.partition(f"\n{title}\n")[2].partition("\n\n")[0]


def test_a_data_set_lists_its_options(soundspot) -> None:
    answer = soundspot("datasets", "scenes")
    assert answer.code == 0
    assert "  distractors: [0, 2]  (two whole numbers)\n      least and largest number of silent" in answer.out
    assert "  flow: null  (text or a path)\n" in answer.out
    assert "'scenes'" in soundspot("datasets", "scnes").err


@pytest.mark.parametrize("recipe", ["ezvsl/debug", "sspl_pcm/debug"])
def test_the_help_of_a_recipe_lists_its_keys_and_values(soundspot, recipe) -> None:
    answer = soundspot("train", recipe, "--help")
    assert answer.code == 0
    listed = re.findall(r"^  --([a-z_.0-9]+): (.+)  \(.+\)\n {6}\S", answer.out, re.MULTILINE)
    keys = {key for key in list_recipe_keys() if "." in key}
    groups = {"data.options", "views.augmentation", "validation.data"}
    assert keys - groups - {key for key in keys if key.startswith("validation.data")} <= dict(listed).keys()
    assert dict(listed)["method.name"] == recipe.partition("/")[0]
    assert "data.options.length" in dict(listed)
    assert "method.width" in dict(listed)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("locate", "`soundspot locate`: IMAGE is missing: an image"),
        ("evaluate --seed 3", "`soundspot evaluate`: DATA is missing: name of the data set"),
        ("data to-shards catalog", "`soundspot data to-shards`: OUTPUT is missing: folder of the shards"),
        ("evaluate x --batch-size few", "--batch-size: found 'few', expected a whole number."),
        ("evaluate x --options [1]", "--options: found '[1]', expected a mapping."),
        ("evaluate catalog .", "found '.' beyond its arguments, expected an option before it. Give it as --root ."),
        ("search query x.wav", "found 'x.wav' beyond its arguments, expected an option before it. There are: --audio,"),
        ("evaluate x --sed 1", "unknown option --sed. Did you mean '--seed'?"),
    ],
)
def test_a_mistake_in_arguments_is_named_in_one_message(soundspot, words, message) -> None:
    answer = soundspot(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("evaluate", "scenes", "x" * 300), ("train", "x" * 300), ("data", "check", "x" * 300)]
)
def test_a_name_that_is_too_long_for_a_file_is_named(soundspot, words) -> None:
    answer = soundspot(*words)
    assert (answer.code, answer.out, answer.written) == (2, "", frozenset())
    assert re.fullmatch(r"soundspot: [/\w]*x+: File name too long; expected a path to open. Check it\n", answer.err)


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("evaluate x --options.length 3 --options.list 4655", {"options": {"length": 3, "list": 4655}}),
        ("evaluate x --options {a: 1} --threshold 1e-1", {"options": {"a": 1}, "threshold": 0.1}),
        ("locate a --mask-threshold half --output=o", {"mask_threshold": "half", "output": Path("o"), "audio": []}),
        ("locate a --mask_threshold 0.25 --alpha 1", {"mask_threshold": 0.25, "alpha": 1.0}),
        ("data to-shards x y --rate null --retry", {"rate": None, "retry": True}),
    ],
)
def test_words_become_values_of_the_type_of_an_option(words, options) -> None:
    name = next(name for name in COMMANDS if words.startswith(f"{name} "))
    _, values = parse_command(name, shlex.split(words.removeprefix(name).replace("{a: 1}", "'{a: 1}'")))
    assert {key: values[key] for key in options} == options
    assert "refine" not in values


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lcoate", "a", "b"), "unknown command 'lcoate'. Did you mean 'locate'?"),
        (("evalaute",), "unknown command 'evalaute'. Did you mean 'evaluate'?"),
        (("xyz",), "unknown command 'xyz'. There are: adapt, app, benchmark, calibrate, check-results,"),
        (("data", "chekc"), "unknown command of `soundspot data` 'chekc'. Did you mean 'check'?"),
        (("models", "fecth", "aisfx"), "unknown command of `soundspot models` 'fecth'. Did you mean 'fetch'?"),
        (("models", "fetch", "aisfxx"), "no weights of 'aisfxx' can be fetched. Did you mean 'aisfx'?"),
        (
            ("checkpoint", "inspcet", "a.pth"),
            "unknown command of `soundspot checkpoint` 'inspcet'. Did you mean 'inspect'?",
        ),
        (
            ("data", "xyz"),
            "unknown command of `soundspot data` 'xyz'. There are: check, extract, flow, index-shards, scenes, "
            "to-shards.",
        ),
        (("mine", "a"), "`soundspot mine` is now `soundspot neighbors mine`."),
        (("data", "pack", "a"), "`soundspot data pack` is now `soundspot data to-shards`."),
        (("data", "flow", "a", "--how", "dis"), "`soundspot data flow`: --how is now --algorithm."),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_word_that_is_no_command_or_has_another_name(soundspot, words, message) -> None:
    answer = soundspot(*words)
    assert answer.code == 2
    assert answer.err.startswith(f"soundspot: {message}")
    assert not answer.out


@pytest.mark.parametrize("words", [(), ("data",), ("checkpoint",)], ids=lambda words: " ".join(words) or "nothing")
def test_a_command_that_is_left_out_is_asked_for(soundspot, words) -> None:
    answer = soundspot(*words)
    assert answer.code == 2
    assert "check" in answer.out


@pytest.mark.parametrize("order", ["a b -o t.md --names x y", "-o t.md a --names x y --overwrite b"])
def test_words_and_options_may_come_in_any_order(order: str) -> None:
    _, options = parse_command("compare", order.split())
    assert [str(path) for path in options["reports"]] == ["a", "b"]
    assert options["names"] == ["x", "y"]


def test_a_list_is_given_at_once_or_word_by_word() -> None:
    for flags in (["--train-list", "a", "b"], ["--train-list", "a", "--train_list=b"]):
        _, options = parse_command("data check", ["folder", *flags])
        assert [str(path) for path in options["train_list"]] == ["a", "b"]


@pytest.mark.parametrize("command", ["models", "methods", "datasets", "protocols"])
def test_lists_have_a_name_and_a_line_each(soundspot, command) -> None:
    answer = soundspot(command)
    assert answer.code == 0
    assert all(len(line.split(maxsplit=1)) == 2 for line in answer.out.splitlines() if line)


def test_a_file_of_weights_says_what_it_is(soundspot, checkpoint, tmp_path) -> None:
    """0: something here can use it; 1: nothing can; 2: it is no file of weights."""
    answer = soundspot("checkpoint", "inspect", checkpoint)
    assert answer.code == 0, answer.err
    assert answer.out.startswith(f"{checkpoint}: a checkpoint of soundspot")
    told = json.loads(soundspot("checkpoint", "inspect", checkpoint, "--json").out)
    check_output(told, "inspection")
    assert (told["kind"], told["methods"], told["is_usable"]) == ("checkpoint", ["alignment"], True)
    torch.save({"state_dict": {"module.conv1.weight": torch.zeros(64, 3, 7, 7)}}, tmp_path / "part.pth")
    answer = soundspot("checkpoint", "inspect", tmp_path / "part.pth")
    assert answer.code == 1, answer.err
    assert "nearest: resnet18, with 1 names and shapes in common" in answer.out
    assert "under `state_dict`, with `module.` before each name" in answer.out
    (tmp_path / "note.pth").write_text("no weights")
    answer = soundspot("checkpoint", "inspect", tmp_path / "note.pth")
    assert answer.code == 2
    assert answer.err.startswith(f"soundspot: {tmp_path / 'note.pth'}: cannot be opened as weights")
    assert not answer.out


def test_scenes_become_a_catalogue(soundspot, tmp_path) -> None:
    write = ("data", "scenes", "scenes-interactive", tmp_path / "scenes", "--length", 3, "--size", 48, "--seconds", 0.5)
    answer = soundspot(*write, "--options", json.dumps({"num_objects": 3}), "--seed", 5)
    assert answer.code == 0, answer.err
    assert "9 samples of scenes-interactive" in answer.out
    assert len(Catalog(tmp_path / "scenes", "test")) == 9
    again = soundspot(*write)
    assert again.code == 2
    assert not again.written
    assert "--overwrite" in again.err
    assert soundspot(*write, "--overwrite").code == 0, "a flag needs no word"
    assert len(Catalog(tmp_path / "scenes", "test")) == 6


def test_a_check_tells_what_a_catalogue_holds(soundspot, catalogue) -> None:
    answer = soundspot("data", "check", catalogue)
    assert answer.code == 0
    head, *rows, total, _, verdict = answer.out.splitlines()
    assert head.split() == ["category", "images", "train", "audio", "train"]
    assert total.split() == ["all", "8", "8"]
    assert sum(int(row.split()[-1]) for row in rows) == 8
    assert verdict == "no problems found"


def test_a_check_answers_by_its_exit_code_and_in_json(soundspot, tmp_path) -> None:
    """0: nothing worse than a note; 1: warnings; 2: errors, such as clips to train on that are scored."""
    clean, twice, leaky = (tmp_path / f"{name}.txt" for name in ("clean", "twice", "leaky"))
    clean.write_text("AAAAAAAAAAa_000001")
    twice.write_text("AAAAAAAAAAa_000001\nAAAAAAAAAAa_000001\n")
    leaky.write_text(f"{bundled_ids('vggss')[0]}\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    for lists, code in (([clean], 0), ([clean, twice], 1), ([clean, leaky], 2)):
        flags = [flag for path in lists for flag in ("--train-list", path)]
        answer = soundspot("data", "check", empty, *flags)
        assert answer.code == code, answer.err
        assert not answer.written
        assert all(path.name in answer.out for path in lists)
        told = json.loads(soundspot("data", "check", empty, *flags, "--json").out)
        check_output(told, "data-check")
        assert [row["file"] for row in told["tables"]["lists"]] == [path.name for path in lists]
        assert ((told["errors"] > 0) * 2 or told["warnings"] > 0) == code
    assert "Leave them out by `exclude: [vggss]`" in answer.out
    assert "found 1 error" in answer.err


def test_a_check_of_a_data_set_by_name(soundspot, tmp_path) -> None:
    framed(tmp_path / "is3", "is3")
    answer = soundspot(
        "data", "check", tmp_path / "is3", "--data", "is3", "--options", '{"ground_truth": "masks"}', "--read-files"
    )
    assert answer.code == 0, answer.err
    assert [row.split()[:3] for row in answer.out.splitlines()[1:2]] == [["is3/masks", "2", "1"]]
    answer = soundspot("data", "check", tmp_path / "is3", "--data", "is4")
    assert answer.code == 2
    assert "unknown data set 'is4'. Did you mean 'is3'?" in answer.err


def test_videos_become_shards(soundspot, tmp_path) -> None:
    for n in range(2):
        write_video(tmp_path / "in" / f"{n}.mp4", seconds=0.6)
    (tmp_path / "in" / "words.mp4").write_text("no video")
    answer = soundspot("data", "extract", tmp_path / "in", tmp_path / "out", "--seconds", 0.5, "--workers", 0)
    assert answer.code == 0
    assert "out: 2 samples" in answer.out.replace("\n", "")
    assert "1 left out: unreadable" in answer.out
    assert len(open_dataset("shards", tmp_path / "out")) == 2
    assert soundspot("data", "extract", tmp_path / "in", tmp_path / "out", "--max-side", 8).code == 2


@pytest.mark.parametrize("dashes", [(), ("--",)], ids=["without", "with"])
def test_names_of_files_may_begin_with_a_dash(
    soundspot, checkpoint, picture, sound, tmp_path, monkeypatch, dashes
) -> None:
    monkeypatch.chdir(tmp_path)
    for file, name in zip((picture, sound), ("-photo.jpg", "-bark.wav"), strict=True):
        shutil.copy(file, tmp_path / name)
    options = ("--model", checkpoint, "--output", "-out.png", "--mask", "-mask.png")
    answer = soundspot("locate", *options, *dashes, "-photo.jpg", "-bark.wav")
    assert answer.code == 0, answer.err
    assert {path.name for path in answer.written} == {"-out.png", "-mask.png"}
    assert soundspot("locate", "-photo.jpg", "-bark.wav", *options).code == 2  # they are there: no file is an option
    assert soundspot("locate", "-typo.jpg", "-bark.wav", *options).code == 2


def paths_of(command: str) -> Iterator[tuple[str, bool]]:
    """The parameters of a command that take one path, and whether each is an option."""
    for name, parameter in inspect.signature(load_command(command)).parameters.items():
        if "Path" in str(parameter.annotation) and "list" not in str(parameter.annotation):
            yield name, parameter.default is not parameter.empty


@pytest.mark.parametrize("command", [name for name in COMMANDS if [*paths_of(name)]])
def test_every_path_of_every_command_may_begin_with_a_dash(command: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-there").mkdir()
    parameters = inspect.signature(load_command(command)).parameters
    required = {name for name, p in parameters.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD}
    required -= {"overrides"}
    paths = dict(paths_of(command))
    for name, is_option in paths.items():
        words = ["-there" if other in paths else "word" for other in parameters if other in required]
        if is_option:
            words += [f"--{name.rstrip('_')}", "-new.png"]
        _, options = parse_command(command, words)
        assert options[name] == Path("-new.png" if is_option else "-there"), words


def test_weights_are_fetched_from_a_file(soundspot, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SOUNDSPOT_CACHE", str(tmp_path / "cache"))
    missing = tmp_path / "none.whl"
    answer = soundspot("models", "fetch", "aisfx", "--from", missing)
    assert answer.code == 2
    assert answer.err.startswith(f"soundspot: {missing}: cannot be read")
    assert soundspot("models", "fetch", "--help").out.startswith("usage: soundspot models fetch NAME [options]\n")


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A file of somebody's that registers a data set; forgotten after the test."""
    from soundspot.data.datasets import registry

    monkeypatch.setattr(registry, "_DATASETS", registry._DATASETS.copy())
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"own_{tmp_path.name.replace('-', '_')}"
    file = tmp_path / f"{name}.py"
    file.write_text(
        "from soundspot.data.datasets.registry import register_dataset\n"
        "@register_dataset('birds', 'a set of mine')\n"
        "def birds(root, wings: int = 2):\n"
        '    """Open.\n\n    Args:\n        root: folder.\n        wings: how many.\n    """\n'
    )
    return file


@pytest.mark.parametrize(
    "order", ["--import {} datasets birds", "datasets birds --import={}", "datasets --import {} birds"]
)
def test_a_module_of_ones_own_is_imported_first(soundspot, own, order) -> None:
    answer = soundspot(*order.format(own).split())
    assert answer.code == 0, answer.err
    assert answer.out.startswith("birds: a set of mine")
    assert "wings: 2  (a whole number)\n      how many." in answer.out


def test_only_the_command_line_imports(soundspot, own, tmp_path, monkeypatch) -> None:
    (tmp_path / "recipe.yaml").write_text(f"import: {own}\nmethod: {{name: alignment}}\n")
    assert "unknown key 'import'" in soundspot("train", tmp_path / "recipe.yaml").err
    assert own.stem not in sys.modules
    monkeypatch.chdir(tmp_path)
    assert soundspot("datasets", "--import", own.stem).code == 0
    assert own.stem in sys.modules


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("datasets --import", "--import: no module is named"),
        ("datasets --import none.py", "--import none.py: found no such file"),
        ("datasets --import no_such_module", "found no module 'no_such_module'"),
        ("datasets --import {}/json.py", "json.py: another module is named 'json'"),
    ],
)
def test_a_module_that_cannot_be_imported_is_named(soundspot, tmp_path, monkeypatch, words, message) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "json.py").touch()
    answer = soundspot(*words.format(tmp_path).split())
    assert (answer.code, answer.out) == (2, "")
    assert message in answer.err


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_a_shell_completes_commands_and_options(soundspot) -> None:
    lines = (
        "soundspot loc",
        "soundspot data ch",
        "soundspot locate a.png --time",
        "soundspot models f",
        "soundspot x y",
    )
    asks = "".join(
        f'COMP_WORDS=({line}); COMP_CWORD={line.count(" ")}; _soundspot; echo "${{COMPREPLY[*]}}"\n' for line in lines
    )
    script = soundspot("completion").out + asks
    done = subprocess.run(["bash"], input=script, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:-1] == ["locate", "check", "--timeline", "fetch", ""]
