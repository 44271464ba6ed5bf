"""Real data sets as arrays: one loader a file, and a small real sample that ships with the library."""

from recsim_lab.datasets.base import Ratings
from recsim_lab.datasets.files import DataFileError, dataset_path
from recsim_lab.datasets.movielens import load_movielens, load_sample

__all__ = ["DataFileError", "Ratings", "dataset_path", "load_movielens", "load_sample"]
