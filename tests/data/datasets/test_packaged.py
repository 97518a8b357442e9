"""The test set of the package: as it was released, freely licensed, and quick to open."""

from collections import Counter

from soundspot.benchmark.licenses import combine_licenses, describe_problem
from soundspot.benchmark.verify import verify_checksums
from soundspot.data.datasets.packaged import OPEN_INTERACTIVE
from soundspot.data.datasets.registry import is_test_set, open_dataset
from soundspot.types import Audio

CHECKSUM = "71529b5edeb11a6d5aecf6c36e9ab02e791ddf456a2182e2c26bb11f3851af00"


def test_it_is_what_was_released() -> None:
    assert verify_checksums(OPEN_INTERACTIVE) == CHECKSUM
    assert sum(path.stat().st_size for path in OPEN_INTERACTIVE.rglob("*") if path.is_file()) < 12e6


def test_each_image_has_two_sounds_and_each_sound_is_used_once() -> None:
    data = open_dataset("open-interactive")
    assert len(data) == 128
    assert set(Counter(map(data.group, range(128))).values()) == {2}
    assert len(set(map(data.audio_id, range(128)))) == 128
    for index in range(0, 128, 16):
        mask = data.ground_truth(index).mask
        assert mask is not None
        assert data.read_image(index).size == mask.shape[::-1] == (320, 320)
        audio = data.read_audio(index)
        assert isinstance(audio, Audio)
        assert not audio.is_silent
    assert is_test_set("open-interactive")


def test_the_reader_of_is3_reads_it_too() -> None:
    catalog, is3 = open_dataset("open-interactive"), open_dataset("is3", OPEN_INTERACTIVE, ground_truth="masks")
    assert len(is3) == len(catalog)
    for index in (0, 77):
        assert is3.category(index) == catalog.category(index).replace("_", "-")
        masks = [data.ground_truth(index).mask for data in (is3, catalog)]
        assert masks[0] is not None
        assert masks[1] is not None
        assert (masks[0] == masks[1]).all()


def test_every_license_allows_to_hand_it_on() -> None:
    from soundspot.benchmark.attribution import read_attributions

    for file, source in read_attributions(OPEN_INTERACTIVE).items():
        assert describe_problem(source.license, source.author) == "", file
        assert "GPL" not in source.license
        assert combine_licenses([source.license])
    notice = (OPEN_INTERACTIVE / "NOTICE").read_text(encoding="utf-8")
    assert "GPL" not in notice
    assert "see origin" not in notice
