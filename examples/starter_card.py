"""The card of the starter: docs/models/starter.md from docs/models/starter.json, and what its file holds of it."""

import json
from pathlib import Path
from typing import Any

from soundspot.config.checkpoint import describe_checkpoint, read_header
from soundspot.config.named_models import NAMED_MODELS

DOCS = Path(__file__).resolve().parent.parent / "docs" / "models"
FACTS, PAGE = DOCS / "starter.json", DOCS / "starter.md"
SOURCES = NAMED_MODELS["starter"].with_name("starter-sources.csv")  # goes with the weights
LICENSE = "Apache-2.0 (heads); encoders: Apache-2.0 (EfficientNet-Lite0), CC BY 4.0 (aiSFX)"
METHOD = "nowhere"  # and the name of its row among scores
SUMMARY = "frozen EfficientNet-Lite0 and aiSFX, heads trained on free photographs and recordings, with masks"


def header_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """What `soundspot models` prints: summary, license and, once measured, scores."""
    scores = {}
    for name, part in facts.get("shipped", {}).items():
        if name in ("realset", "realset2"):
            scores[f"{name} ciou_adaptive"] = part["whole"]["rows"][METHOD]["ciou_adaptive"][0]
            scores[f"{name} interactive iiou_adaptive"] = part["interactive"]["rows"][METHOD]["iiou_adaptive"][0]
            scores[f"{name} presence AUROC"] = part["whole"]["auroc"]["offscreen"]
    return {"summary": SUMMARY, "license": LICENSE} | ({"scores": scores} if scores else {})


def percent(value: float | None) -> str:
    """`87.3`, or a dash where there is none."""
    return "–" if value is None or value != value else f"{100 * value:.1f}"


def interval(values: list[float] | None) -> str:
    """`87.3 (83.0, 91.2)`."""
    return "–" if values is None else f"{percent(values[0])} ({percent(values[1])}, {percent(values[2])})"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def where_table(part: dict[str, Any], keys: list[str]) -> str:
    """The model beside rows that never hear the sound."""
    rows = []
    for name, values in part["rows"].items():
        if any(key in values for key in keys):
            label = "**starter**" if name == METHOD else name
            rows.append([label, *(interval(values.get(key)) for key in keys)])
    return table(["", *keys], rows)


def spread(parts: list[float]) -> str:
    """Mean and standard deviation of several trainings."""
    mean = sum(parts) / len(parts)
    deviation = (sum((x - mean) ** 2 for x in parts) / max(1, len(parts) - 1)) ** 0.5
    return f"{percent(mean)} ± {percent(deviation)}"


def write() -> None:
    """Write the page from the facts."""
    facts = json.loads(FACTS.read_text(encoding="utf-8"))
    header = read_header(NAMED_MODELS["starter"])
    shipped, names = facts["shipped"], header["retained"]
    calibration, digest = header["calibration"], describe_checkpoint(NAMED_MODELS["starter"])["sha256"]
    lines = [
        "# The starter",
        "",
        "<!-- written by examples/starter_card.py from starter.json: `make starter` -->",
        "",
        "What `soundspot.load()` opens and every command uses when no model is named.",
        "",
        f"- **Method** `{METHOD}` ({SUMMARY}); recipe `nowhere/starter`, front end "
        f"{header['front_end']['image']['size']} pixels and {header['front_end']['audio']['seconds']:g} s; "
        f"videos at {header['video_size']} pixels.",
        f"- **License of the weights** {LICENSE}. Names of authors: NOTICE.",
        f"- **Files** starter.safetensors, SHA-256 `{digest}`; "
        f"encoders.safetensors, SHA-256 `{header['bundle']['sha256']}`.",
        f"- **Knows** {len(names)} categories: {', '.join(names)}.",
        f"- **Threshold** {header['threshold']:.4f}: 95th percentile of peaks of held-out images with silence, noise "
        f"and others' sounds, as they are and after AAC, MP3 and Opus ({calibration['dataset']}); codecs move a peak "
        f"by up to {calibration['codec_spread']:.3f} in 95 of 100 cases.",
        "- **Supervision** categories pair images with sounds, masks and boxes teach extents; not self-supervised. "
        "Half of the masks are GrabCut's, automatic and unchecked (examples/starter_masks.py); no score is of them.",
        "- **Sources** every file with its license and attribution: starter-sources.csv beside the weights; NOTICE.",
        "",
        "## What it does not know",
        "",
        "Everything else; speech and music as such (`person` was learned from spoken digits, crying and sneezing). Of "
        "sounds that it never learned it may say present or absent by resemblance.",
        "",
    ]
    if unknown := facts.get("unknown"):
        rows = []
        for name, part in unknown.items():
            if name != "categories":
                told = part["told_present"]
                rows.append(
                    [
                        name,
                        str(part["n"]),
                        percent(told["own"]),
                        percent(told.get("offscreen")),
                        percent(told.get("silence")),
                    ]
                )
        lines += [
            f"A model trained alike without {' and '.join(unknown['categories'])}, asked with test images of these: "
            "share told present.",
            "",
            table(["test images", "n", "own sounds", "others' sounds", "silence"], rows),
            "",
        ]
    lines += [
        "Its training pictures are mostly of one large thing; many photographs are of Caltech 101, a collection under "
        "CC BY 4.0 whose single pictures nobody cleared (`rights: collection`), the clock photographs of realset come "
        "from a web image search, drawings are emoji and clip art, some recordings were synthesized or have 8 bits: "
        "starter-sources.csv has it by file.",
        "Telephones are mobile phones of about 2003 and ringtones, clocks mostly wrist watches, tubas euphoniums, dogs "
        "mostly dalmatians; boat, motorcycle and truck have a few recordings, accordion, tuba and most piano, trumpet "
        "and guitar one synthesized sound font.",
        "",
        "## Scores",
        "",
        "Test splits, percent with 95 % intervals, protocol `corrected`, measured with the file above; nothing was "
        "chosen on them. Rows below the first never hear the sample's own sound.",
        "",
    ]
    for name in ("realset2", "realset"):
        part = shipped[name]
        lines += [f"**{name}**, {part['whole']['n']} images with their own and others' sounds", ""]
        lines += [where_table(part["whole"], ["ciou_adaptive", "recall_a2i_category@1"]), ""]
        if len(part["styles"]) > 1:
            rows = [
                [style, str(x["n"]), percent(x["ciou_adaptive"]), percent(x["auroc"]["offscreen"])]
                for style, x in part["styles"].items()
            ]
            lines += [table(["style", "n", "ciou_adaptive", "AUROC own / another's"], rows), ""]
        lines += [f"**{name}**, {part['interactive']['n']} sounds in composed pictures of two test objects", ""]
        lines += [where_table(part["interactive"], ["ciou_adaptive", "iiou_adaptive"]), ""]
    lines += ["### Whether", "", "AUROC of peaks, and the share told present at the threshold.", ""]
    rows = []
    for name in ("realset2", "realset"):
        for kind, label in (("whole", ""), ("interactive", ", composed")):
            x = shipped[name][kind]
            rows.append([name + label, *whether_cells(x)])
    for codec, x in facts.get("codecs", {}).items():
        rows.append([f"realset2 through {codec}", *whether_cells(x)])
    head = [
        "",
        "AUROC another's",
        "silence",
        "noise",
        "own told present",
        "another's",
        "silence",
        "noise",
        "all absent",
    ]
    lines += [table(head, rows), ""]
    if video := facts.get("video"):
        rows = [
            [
                name,
                percent(video[name]["rows"][METHOD]["ciou_adaptive"][0]),
                *whether_cells(video[name])[:1],
                *whether_cells(video[name])[3:5],
            ]
            for name in ("realset2", "realset")
        ]
        lines += [f"At {video['size']} pixels, the size for videos:", ""]
        lines += [
            table(["", "ciou_adaptive", "AUROC another's", "own told present", "another's told present"], rows),
            "",
        ]
    if clip := facts.get("clip"):
        inside = clip["in_box"]
        lines += [
            f"{clip['clips']} composed clips of 60 s, test objects that move and take turns, {clip['frames']} frames: "
            f"the peak lies in the box of what sounds in {percent(inside['peak'])} % of the frames (the center "
            f"{percent(inside['centered box'])}, the peak of saliency {percent(inside['saliency'])}; the box covers "
            f"{percent(clip['box_area'])} % of the picture); told absent in {percent(clip['told_absent'])} % of those "
            "in which nothing visible sounds.",
            "",
        ]
    if seeds := facts.get("seeds"):
        rows = []
        for name in ("realset2", "realset"):
            for label, get in (
                ("ciou_adaptive", lambda x: x["whole"]["rows"][METHOD]["ciou_adaptive"][0]),
                ("the same with another's sound", lambda x: x["whole"]["rows"]["swapped audio"]["ciou_adaptive"][0]),
                ("AUROC own / another's", lambda x: x["whole"]["auroc"]["offscreen"]),
                ("composed: ciou_adaptive", lambda x: x["interactive"]["rows"][METHOD]["ciou_adaptive"][0]),
                ("composed: iiou_adaptive", lambda x: x["interactive"]["rows"][METHOD]["iiou_adaptive"][0]),
                ("told present, own", lambda x: x["whole"]["told_present"]["own"]),
                ("told present, absent", lambda x: x["whole"]["told_present"]["absent"]),
            ):
                rows.append(
                    [f"{name} {label}", percent(get(shipped[name])), spread([get(x[name]) for x in seeds.values()])]
                )
        lines += ["### Other seeds", "", f"{len(seeds)} trainings that differ in the seed alone.", ""]
        lines += [table(["", "shipped", "mean ± standard deviation"], rows), ""]
    PAGE.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    print(f"written: {PAGE}")


def whether_cells(part: dict[str, Any]) -> list[str]:
    """AUROC against each negative, and shares told present."""
    kinds = ("offscreen", "silence", "noise")
    told = part["told_present"]
    return [
        *(percent(part["auroc"].get(kind)) for kind in kinds),
        *(percent(told.get(key)) for key in ("own", *kinds, "absent")),
    ]
