"""Where Multi30k is to be had: the repository of those who made it.

They state no digests. Those below are of the files' content, computed on a copy of the release; the repository's own
compression, and so the exact size, is not known.
"""

from __future__ import annotations

from bench.sources import DataSet, Download, File

_REPOSITORY = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
_CONTENT = {
    "train.de": (637_044, "2c2b73fd2b548fbcde3a875e0a78d6ee94d498bfdee6bd3eae3945779e9ddf72"),
    "train.en": (568_929, "460a15fbd157e34a7a9957ee388c1ca247fe47af3ef25fb50442af6c274e0fc6"),
    "val.de": (24_681, "660e09eb7e1da2f856ea13ee5ad3cf6d36b3d5b0b733c857e94c5747a3dfc660"),
    "val.en": (21_650, "1f2a23d992769b5b3d209b0a10dd0b77c08cceb1f20dfb97ed0aafa49d107227"),
    "test_2016_flickr.de": (22_890, "4be6b5b3236b79c25475c6bb829800a7ce559e9ba7a1f6c2394fe4d40be46d16"),
    "test_2016_flickr.en": (21_077, "399a4382932c1aadd3ceb9bef1008d388a64c76d4ae4e9d4728c6f4301cac182"),
}

MULTI30K = DataSet(
    folder="multi30k",
    title="Multi30k task 1, German and English (Elliott et al. 2016): 29,000, 1,014 and 1,000 pairs",
    licence="CC BY-NC-SA 4.0 for the translations; the English captions are Flickr30k's, for research and teaching.",
    home="https://github.com/multi30k/dataset",
    downloads=tuple(
        Download(f"{_REPOSITORY}/{name}.gz", (File(name, suffix=".gz", sha256=digest),), size, exact=False)
        for name, (size, digest) in _CONTENT.items()
    ),
)
