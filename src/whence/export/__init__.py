"""Models as ONNX, for onnxruntime and for browsers (extra `export`).

from whence.export import OnnxLocalizer, export
export(whence.load("best.safetensors"), "model.onnx")
OnnxLocalizer.load("model.onnx").locate("dog.jpg", "bark.wav").save("out.png")
"""

from whence.export.session import OnnxLocalizer as OnnxLocalizer
from whence.export.write import export as export
