"""`whence locate CHECKPOINT --live`: where the sounds before a camera come from, on a page of this machine."""

from typing import Literal

from typing_extensions import Unpack

from whence.cli.refining import Refining


def live(
    checkpoint: str,
    live: bool = False,
    camera: str = "0",
    microphone: str = "default",
    smooth: float = 0.3,
    port: int = 8765,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    **refinement: Unpack[Refining],
) -> None:
    """Show where the sounds in front of a camera come from, as they are heard. Ctrl-C ends it.

    Pictures that the machine has no time for are dropped; the page and the last line say how many.

    Args:
        checkpoint: a .safetensors file that `whence train` wrote.
        live: what brought you here.
        camera: its number, or a video that is played in its own time in its place, with its sound.
        microphone: its name (ALSA's on Linux) or number (macOS).
        smooth: seconds over which maps are averaged.
        port: of the page; 0 takes one that is free.
        device: `auto`, `cpu`, `cuda`...
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the machine has it.

    Examples:
        whence locate runs/demo/best.safetensors --live
    """
    from whence.cli.locate_video import open_localizer
    from whence.inference.live import locate_live, sources
    from whence.inference.livepage import LivePage
    from whence.inference.overlay import drawn
    from whence.inference.steady import Range

    localizer = open_localizer(checkpoint, device, precision, refinement)
    heat, told = Range(), "no picture came"
    with LivePage(port) as page:
        print(f"open {page.address} in a browser; Ctrl-C ends it", flush=True)
        try:
            for now in locate_live(localizer, *sources(camera, microphone), smooth):
                rate = now.shown / max(now.moment.time, 1e-3)
                told = (
                    f"{rate:.1f} pictures/s, {1000 * now.behind:.0f} ms behind, "
                    f"{now.dropped} of {now.shown + now.dropped} pictures dropped"
                )
                page.show(drawn(now.moment, heat, 0.6), told)
        except KeyboardInterrupt:
            pass
    print(told)
