"""What the machine can do."""

import torch


def native_bf16() -> bool:
    """Whether this CPU multiplies in bf16 itself."""
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
