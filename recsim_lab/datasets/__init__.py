"""Real data sets as arrays: one loader a file, and a small real sample that ships with the library."""

from recsim_lab.datasets.base import Ratings
from recsim_lab.datasets.coat import Coat, load_coat
from recsim_lab.datasets.files import DataFileError, dataset_path
from recsim_lab.datasets.frappe import Frappe, load_frappe
from recsim_lab.datasets.letor import LabelledQueries, Mq2008, load_mq2008
from recsim_lab.datasets.movielens import load_movielens, load_sample
from recsim_lab.datasets.ncf import HeldOutAmongNegatives, load_ncf
from recsim_lab.datasets.open_bandit import Impressions, OpenBandit, load_open_bandit
from recsim_lab.datasets.sequences import LeaveTwoOut, Sequences, load_lastfm_negatives, load_sequences

__all__ = [
    "Coat",
    "DataFileError",
    "Frappe",
    "HeldOutAmongNegatives",
    "Impressions",
    "LabelledQueries",
    "LeaveTwoOut",
    "Mq2008",
    "OpenBandit",
    "Ratings",
    "Sequences",
    "dataset_path",
    "load_coat",
    "load_frappe",
    "load_lastfm_negatives",
    "load_movielens",
    "load_mq2008",
    "load_ncf",
    "load_open_bandit",
    "load_sample",
    "load_sequences",
]
