"""Models as ONNX, for onnxruntime and for browsers (extra `export`).

from soundspot.export import OnnxLocalizer, export_model
export_model(soundspot.load("best.safetensors"), "model.onnx")
OnnxLocalizer.load("model.onnx").locate("dog.jpg", "bark.wav").save("out.png")
"""

from soundspot.export.session import OnnxLocalizer as OnnxLocalizer
from soundspot.export.write import export_model as export_model
