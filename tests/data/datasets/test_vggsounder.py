"""VGGSounder's table, from its wheel, its folder or a file, and the clips of VGG-SS that it describes."""

import zipfile
from pathlib import Path

import pytest

from soundspot.data.datasets.registry import open_dataset
from soundspot.data.datasets.vggsounder import CSV_FILE, clip_attributes, read_vggsounder
from soundspot.errors import DataError, RecipeError
from trees import VGGSS, write_json

ELK, DRUM = (entry["file"] for entry in VGGSS)
TABLE = f"""video_id,label,modality,background_music,static_image,voice_over
{ELK},elk bugling,AV,False,False,True
{ELK},"wind noise, heavy",A,False,False,True
{DRUM},people crowd,V,True,False,False
"""


def put_table(folder: Path, kind: str) -> Path:
    if kind == "wheel":
        path = folder / "vggsounder-1.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as wheel:
            wheel.writestr(f"vggsounder/data/{CSV_FILE}", TABLE)
        return path
    (folder / CSV_FILE).write_text(TABLE)
    return folder if kind == "folder" else folder / CSV_FILE


@pytest.mark.parametrize("kind", ["wheel", "folder", "file"])
def test_the_table_is_read_wherever_it_lies(tmp_path: Path, kind: str) -> None:
    clips = read_vggsounder(put_table(tmp_path, kind))
    no = {"background_music": "no", "static_image": "no"}
    assert clip_attributes(clips, ELK, "wind noise, heavy") == {"modality": "A", **no, "voice_over": "yes"}
    assert clip_attributes(clips, DRUM, "playing timbales")["modality"] == "not labeled"
    assert clip_attributes(clips, DRUM, "playing timbales")["background_music"] == "yes"
    assert set(clip_attributes(clips, "another_000001", "dog").values()) == {"unknown"}


@pytest.mark.parametrize("content", ["video_id,label\na,b\n", TABLE.replace("True", "maybe"), ""])
def test_another_table_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.csv").write_text(content)
    with pytest.raises(DataError, match="pip download vggsounder --no-deps"):
        read_vggsounder(tmp_path / "other.csv")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (f"{ELK},elk bugling", "line 5: found nothing as modality, expected A or V or AV. Fetch"),
        (f"{ELK},elk bugling,AV,False,False", "line 5: found nothing as voice_over, expected True or False. Fetch"),
        (f"{ELK},elk bugling,VA,False,False,True", "line 5: found 'VA' as modality"),
    ],
)
def test_a_short_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "cut.csv").write_text(f"{TABLE}{row}\n")
    with pytest.raises(DataError, match=message):
        read_vggsounder(tmp_path / "cut.csv")


def test_clips_are_selected_by_what_is_heard_and_visible(tmp_path: Path) -> None:
    write_json(tmp_path / "vggss.json", VGGSS)
    (tmp_path / "list.txt").write_text(f"{ELK}\n{DRUM}\n")
    options = {"list": tmp_path / "list.txt", "missing": "ignore", "vggsounder": put_table(tmp_path, "wheel")}
    data = open_dataset("vggss", tmp_path, **options)
    assert [data.attributes(i)["modality"] for i in range(2)] == ["AV", "not labeled"]
    visible = open_dataset("vggss", tmp_path, **options, where={"modality": "AV", "voice_over": "yes"})
    assert [visible.id(i) for i in range(len(visible))] == [ELK]
    with pytest.raises(RecipeError, match=r"found 'voice', expected .*Did you mean 'voice_over'"):
        open_dataset("vggss", tmp_path, **options, where={"voice": "no"})
    with pytest.raises(RecipeError, match=r"found 'VA', expected 'AV' or 'not labeled'"):
        open_dataset("vggss", tmp_path, **options, where={"modality": "VA"})
