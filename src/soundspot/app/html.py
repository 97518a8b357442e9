"""Pieces of the page in HTML: the verdict, messages, the head. Every name and number is escaped on its way in."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from soundspot.app.service import MapFigure
from soundspot.inference.render import encode_data_uri
from soundspot.inference.result import LocalizationMap
from soundspot.inference.video.save import VideoSummary

NO_THRESHOLD = (
    "No threshold was fitted for this model, so it does not say whether the source is in the picture: "
    "give one below, or fit it with `soundspot calibrate`."
)

THRESHOLD_CLEARED = "The threshold was cleared, so it is not said whether the source is in the picture: give one below."


def render_card(kind: str, title: str, *lines: str) -> Markup:
    """A box with a heading and lines of words; `kind` is its colour: `in`, `out`, `unknown`, `wrong`, `hint`."""
    told = Markup("").join(Markup("<p>{}</p>").format(_code(line)) for line in lines)
    role = Markup(' role="alert"') if kind == "wrong" else Markup("")
    return Markup('<div class="card {}"{}><h3>{}</h3>{}</div>').format(kind, role, title, told)


def render_verdict(name: str, found: LocalizationMap, regions: int, unknown: str = NO_THRESHOLD) -> Markup:
    """What a map says of its sound: in the picture or not, how sure, and what a reader should know.

    Args:
        unknown: why it does not say, where the map has no threshold.
    """
    kind, title = {
        True: ("in", "In the picture"),
        False: ("out", "Not in the picture"),
        None: ("unknown", "In the picture? Not known"),
    }[found.present]
    numbers: list[tuple[str, str]] = [("peak", f"{found.peak:.3f}"), ("confidence", f"{found.confidence:.3f}")]
    if found.threshold is not None:
        numbers.append(("counts from", f"{found.threshold:.3f}"))
    numbers.append(("regions", str(regions)))
    facts = Markup("").join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*pair) for pair in numbers)
    notes = [unknown] if found.present is None else []
    told = Markup("").join(Markup("<p>{}</p>").format(_code(line)) for line in (*notes, *found.notes))
    return Markup('<div class="card {}" data-verdict="{}"><h3>{}</h3><p class="of">{}</p>{}<dl>{}</dl>{}</div>').format(
        kind, kind, title, name, render_gauge(found), facts, told
    )


def render_gauge(found: LocalizationMap) -> Markup:
    """The peak on a scale, with a mark where a source counts as present."""
    at = [found.peak] if found.threshold is None else [found.peak, found.threshold]
    low, high = min(0.0, *at), max(1.0, *at)
    place = [f"{100 * (value - low) / (high - low):.1f}" for value in at]
    mark = Markup('<i class="mark" style="left:{}%"></i>').format(place[1]) if len(place) > 1 else ""
    return Markup('<div class="gauge" aria-hidden="true"><i class="peak" style="left:{}%"></i>{}</div>').format(
        place[0], mark
    )


def render_figures(drawn: Sequence[MapFigure]) -> Markup:
    """Pictures with what they show, as many beside each other as there is room for; each can be saved."""
    return Markup('<div class="figures">{}</div>').format(Markup("").join(map(_figure, drawn)))


def _figure(drawn: MapFigure) -> Markup:
    swatch = Markup('<span class="swatch"><i style="background:rgb{}"></i>{}</span>')
    legend = Markup(" ").join(swatch.format(colour, name) for name, colour in drawn.colors.items())
    width, height = drawn.image.size
    return Markup(
        '<figure style="--ratio:{ratio:.4f}"><img src="{uri}" alt="Map of {title} over the picture"><figcaption>'
        '<span>{legend}</span><a href="{uri}" download="soundspot.webp">Save</a></figcaption></figure>'
    ).format(
        uri=encode_data_uri(drawn.image, 88, 2), title=drawn.title, ratio=width / height, legend=legend or drawn.title
    )


def render_video_summary(found: VideoSummary) -> Markup:
    """What came of a video."""
    lines = [f"{found.num_frames} pictures in {found.seconds:.1f} s."]
    if found.num_absent is None:
        return render_card("unknown", "In the picture? Not known", *lines, NO_THRESHOLD, *found.notes)
    share = 1 - found.num_absent / max(1, found.num_frames)
    lines.append(f"The source is in {100 * share:.0f} % of the pictures; in {found.num_absent} of them it is not.")
    return render_card(
        "in" if share >= 0.5 else "out",
        "Mostly in the picture" if share >= 0.5 else "Mostly not in the picture",
        *lines,
        *found.notes,
    )


def render_errors(lines: Sequence[str]) -> Markup:
    """What went wrong, if anything did."""
    return render_card("wrong", "Not everything could be used", *lines) if lines else Markup("")


def render_header(model: str, notes: Sequence[str]) -> Markup:
    """The top of the page: what it is, and of which model."""
    told = Markup("").join(Markup("<p class='note'>{}</p>").format(_code(note)) for note in notes)
    return Markup(
        '<div class="band"></div><div class="head"><h1>soundspot</h1>'
        "<p>Where in the picture does the sound come from?</p><span>{}</span></div>{}"
    ).format(model, told)


def _code(text: str) -> Markup:
    """Escaped, with `words in backticks` as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # a backtick that is never closed
        return escape(text)
    return Markup("").join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))
