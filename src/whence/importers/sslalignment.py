"""kaistmm/SSLalignment (commit e7ae3c55): the released alignment models, `ours_*.pth.tar`.

The published class holds three stems in *each* encoder (`conv1` for pictures, `conv1_a` for spectrograms, `conv1_flow`,
never used) and a classifier; what its forward does not use is dropped by name here. Projection heads are not in the
release, and names that nothing knows are refused rather than ignored.
"""

from collections.abc import Mapping

from torch import Tensor

from whence.methods import create
from whence.methods.base import Method
from whence.models.encoders import load_exactly

_UNUSED = ("imgnet.conv1_a.", "imgnet.conv1_flow.", "imgnet.fc.", "audnet.conv1.", "audnet.conv1_flow.", "audnet.fc.")
_PARTS = (("imgnet.", "image_encoder."), ("audnet.conv1_a.", "audio_encoder.conv1."), ("audnet.", "audio_encoder."))


def alignment(state: Mapping[str, Tensor], what: str) -> Method:
    """The alignment method without projections: its embeddings are pooled features."""
    ours = {}
    for name, value in state.items():
        if name.startswith(_UNUSED):
            continue
        prefix, mine = next(((theirs, mine) for theirs, mine in _PARTS if name.startswith(theirs)), ("", ""))
        ours[mine + name.removeprefix(prefix)] = value
    method = create("alignment", projection_width=0)
    load_exactly(method, ours, what=what)
    return method
