"""ELAN: well-formed XML whose references hold, and tiers in which nothing overlaps."""

import xml.etree.ElementTree as ET

from made_events import event, table
from soundspot.inference.events.event import EventTable
from soundspot.inference.events.exports.elan import format_elan


def read(text: str) -> dict[str, list[tuple[int, int, str]]]:
    root = ET.fromstring(text.encode())
    slots = {slot.get("TIME_SLOT_ID"): int(slot.get("TIME_VALUE", "")) for slot in root.iter("TIME_SLOT")}
    assert [*slots.values()] == sorted(slots.values())
    return {
        tier.get("TIER_ID", ""): [
            (slots[a.get("TIME_SLOT_REF1")], slots[a.get("TIME_SLOT_REF2")], a.findtext("ANNOTATION_VALUE", ""))
            for a in tier.iter("ALIGNABLE_ANNOTATION")
        ]
        for tier in root.iter("TIER")
    }


def overlapping() -> EventTable:
    return table(event(0.5, 2.0, "dog"), event(1.0, 3.0, "dog"), event(2.0, 4.0, "dog"), event(0.0, 5.0, "a & <b>\x00"))


def test_events_that_overlap_have_tiers_of_their_own() -> None:
    tiers = read(format_elan(overlapping()))
    assert tiers == {
        "a & <b>": [(0, 5000, "a & <b> 0.90")],
        "dog": [(500, 2000, "dog 0.90"), (2000, 4000, "dog 0.90")],
        "dog (2)": [(1000, 3000, "dog 0.90")],
    }


def test_a_label_that_is_the_name_of_a_further_tier_collides_with_none() -> None:
    tiers = read(format_elan(table(event(0.0, 2.0, "dog"), event(0.5, 2.5, "dog (2)"), event(1.0, 3.0, "dog"))))
    assert [*tiers] == ["dog", "dog (2)", "dog (3)"]


def test_the_video_is_named_by_a_quoted_address() -> None:
    root = ET.fromstring(format_elan(table()).encode())
    media = root.find("HEADER/MEDIA_DESCRIPTOR")
    assert media is not None
    assert media.get("RELATIVE_MEDIA_URL") == "./clip.mp4"
    assert str(media.get("MEDIA_URL")).startswith("file:///")
    assert media.get("MIME_TYPE") == "video/mp4"
    assert not [*root.iter("TIER")]
