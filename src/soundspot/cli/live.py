"""`soundspot locate CHECKPOINT --live`: where the sounds before a camera come from, on a page of this machine."""

from typing import Literal

from typing_extensions import Unpack

from soundspot.cli.shared_options import RefinementOptions


def live(
    checkpoint: str,
    live: bool = False,
    camera: str = "0",
    microphone: str = "default",
    smooth: float = 0.3,
    port: int = 8765,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    **refinement: Unpack[RefinementOptions],
) -> None:
    """Show where the sounds in front of a camera come from, as they are heard. Ctrl-C ends it.

    Pictures that the machine has no time for are dropped; the page and the last line say how many.

    Args:
        checkpoint: a .safetensors file that `soundspot train` wrote.
        live: what brought you here.
        camera: its number, or a video that is played in its own time in its place, with its sound.
        microphone: its name (ALSA's on Linux) or number (macOS).
        smooth: seconds over which maps are averaged.
        port: of the page; 0 takes one that is free.
        device: `auto`, `cpu`, `cuda`...
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the machine has it.

    Examples:
        soundspot locate runs/demo/best.safetensors --live
    """
    from soundspot.cli.locate_video import open_localizer
    from soundspot.inference.live import locate_live, open_capture
    from soundspot.inference.livepage import MjpegServer
    from soundspot.inference.video.overlay import draw_frame
    from soundspot.inference.video.smoothing import RunningRange

    localizer = open_localizer(checkpoint, device, precision, refinement)
    heat, told = RunningRange(), "no picture came"
    with MjpegServer(port) as page:
        print(f"open {page.url} in a browser; Ctrl-C ends it", flush=True)
        try:
            for now in locate_live(localizer, *open_capture(camera, microphone), smooth):
                rate = now.num_located / max(now.frame.time, 1e-3)
                told = (
                    f"{rate:.1f} pictures/s, {1000 * now.latency:.0f} ms behind, "
                    f"{now.num_dropped} of {now.num_located + now.num_dropped} pictures dropped"
                )
                page.update(draw_frame(now.frame, heat, 0.6), told)
        except KeyboardInterrupt:
            pass
    print(told)
