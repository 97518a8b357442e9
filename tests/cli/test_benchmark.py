"""`soundspot benchmark`: from nothing to a verified release by commands alone."""

import re
from pathlib import Path

from soundspot.data.datasets.registry import open_dataset
from soundspot.scenes import open_scenes, write_catalog


def test_a_benchmark_of_six_images_by_commands_alone(soundspot, tmp_path: Path) -> None:
    scenes = open_scenes("scenes-single", length=36, size=64, seconds=0.5, categories=3, object_size=(0.5, 0.8))
    catalog = write_catalog(scenes, tmp_path / "catalog")
    (tmp_path / "names.txt").write_text("\n".join(scenes.categories) + "\n")
    project = tmp_path / "set"

    def run(*words: object) -> str:
        answer = soundspot("benchmark", *words)
        assert answer.code == 0, answer.err
        return answer.out

    assert "3 categories, 3 pairs, 6 images, each category in 4 to 4" in run(
        "plan", project, "--categories", tmp_path / "names.txt", "--images-per-pair", 2
    )
    stated = ("--license", "CC0 1.0")
    assert "6 images added, 0 missing" in run("images", project, "--cutouts", catalog, "--size", 96, *stated)
    stems = sorted(path.stem for path in (project / "images").iterdir())
    for name, last in (("ann", "keep"), ("bob", "drop")):
        rows = [f"{stem},keep,\n" for stem in stems[:-1]] + [f"{stems[-1]},{last},looks unnatural\n"]
        (tmp_path / f"{name}.csv").write_text("image,choice,reason\n" + "".join(rows))
        out = run("select", project, "--annotator", name, "--decisions", tmp_path / f"{name}.csv")
    assert "ann and bob: 83 % of 6 equal, kappa 0.00" in out
    assert f"5 kept, 0 dropped, 1 to resolve\n  {stems[-1]}.jpg" in out
    (tmp_path / "final.csv").write_text(f"image,choice\n{stems[-1]},keep\n")
    out = run("select", project, "--annotator", "carol", "--decisions", tmp_path / "final.csv", "--resolve")
    assert "6 kept, 0 dropped, 0 to resolve" in out
    assert "12 things got a sound" in run("audio", project, catalog, *stated)
    assert f"{tmp_path / 'task'}: 6 images" in run("annotate", project, "--export", tmp_path / "task")
    out = run("annotate", project, "--masks", tmp_path / "task" / "annotations.xml", "--annotator", "ann")
    assert "12 masks by ann" in out
    assert "ann and composition: mean IoU 1.000 of 12" in out
    out = run("release", project, tmp_path / "released", "--audio-format", "flac")
    assert "6 images, 12 things that sound" in out
    checksum = re.search(r"checksum (\w{64})", out)
    assert checksum is not None
    assert f"checksum {checksum[1]}" in run("verify", tmp_path / "released", "--checksum", checksum[1])
    data = open_dataset("is3", tmp_path / "released", ground_truth="masks")
    assert len(data) == 12
    assert "3 categories, 3 pairs, 6 images" in run("plan", project)


def test_mistakes_are_named(soundspot, tmp_path: Path) -> None:
    assert "expected a project" in soundspot("benchmark", "select", tmp_path).err
    soundspot("benchmark", "plan", tmp_path / "set", "--categories", "dog", "cat")
    assert "takes one of --folder, --cutouts and --generator" in soundspot("benchmark", "images", tmp_path / "set").err
    (tmp_path / "a.csv").write_text("image,choice\n")
    answer = soundspot("benchmark", "select", tmp_path / "set", "--decisions", tmp_path / "a.csv")
    assert "give --annotator NAME" in answer.err
    assert "cannot read SHA256SUMS" in soundspot("benchmark", "verify", tmp_path / "set").err
    answer = soundspot("benchmark", "plan", tmp_path / "set", "--categories", "dog", "cow")
    assert answer.code == 0  # nothing was done yet
