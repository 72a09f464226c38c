"""Where AG News is to be had.

Digests: of ``test.csv`` computed on the official rows, whose MD5 is the one that torchtext publishes; of ``train.csv``
as the Hugging Face hub's first ``ag_news`` published it for the same address.
"""

from __future__ import annotations

from bench.sources import DataSet, Download, File

_REPOSITORY = "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/master/data/ag_news_csv"
_TRAIN = "76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e"
_TEST = "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699"

AG_NEWS = DataSet(
    folder="ag_news_csv",
    title="AG News in the layout of Zhang, Zhao & LeCun 2015: 120,000 and 7,600 articles",
    licence="Non-commercial use, as the collectors of AG's corpus ask; no licence text comes with it.",
    home="http://groups.di.unipi.it/~gulli/AG_corpus_of_news_articles.html",
    downloads=(
        Download(f"{_REPOSITORY}/train.csv", (File("train.csv", sha256=_TRAIN),), 29_470_338, sha256=_TRAIN),
        Download(f"{_REPOSITORY}/test.csv", (File("test.csv", sha256=_TEST),), 1_857_427, sha256=_TEST),
    ),
    note="The authors' own copy lies on Google Drive, which asks questions first; torchtext reads this one.",
)
