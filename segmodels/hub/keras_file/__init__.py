"""Import of models that Keras saved, without running anything that is in them."""

from segmodels.hub.keras_file.imported import default_folder, import_keras
from segmodels.hub.keras_file.labels import named_classes

__all__ = ["default_folder", "import_keras", "named_classes"]
