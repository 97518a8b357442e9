"""Parameters of the augmentation of images, as recipes have them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Augmentation:
    """Parameters of the augmentation of images; the defaults are SimCLR's (Chen et al., ICML 2020) but for the crop.

    Attributes:
        scale: minimum and maximum area of a crop, as a fraction of the image. SimCLR's minimum is 0.08, for images of a
            single object; here the source must stay in view.
        ratio: minimum and maximum aspect ratio (width / height) of a crop.
        flip: probability of a horizontal flip.
        color: strength of brightness, contrast, saturation (0.8 x) and hue (0.2 x) jitter; 0: none.
        color_p, gray_p, blur_p: probabilities of jitter, of grayscale, of Gaussian blur.
        blur: minimum and maximum standard deviation of the blur, as fractions of the image's side.
    """

    scale: tuple[float, float] = (0.3, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    color: float = 0.5
    color_p: float = 0.8
    gray_p: float = 0.2
    blur_p: float = 0.5
    blur: tuple[float, float] = (0.0005, 0.01)


STRONG = Augmentation()
WEAK = Augmentation(scale=(0.8, 1.0), ratio=(1.0, 1.0), color=0.0, gray_p=0.0, blur_p=0.0)
"""A crop and a flip, as the field's loaders apply to training images (246 pixels, crop of 224, mirror)."""
