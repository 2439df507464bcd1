"""Pictures that are too large to be held whole: a TIFF read by region, predicted and written as it goes."""

from segmodels.prediction.large.picture import LargePicture, is_large
from segmodels.prediction.large.predict import FORMS, predict_large

__all__ = ["FORMS", "LargePicture", "is_large", "predict_large"]
