"""Where MS MARCO's passage ranking data and TREC's judgments on it are to be had.

MD5 of the large archive as Microsoft's page and Anserini's guide state it; sizes and the other MD5s as ir_datasets
publishes them. Of the archive's members no digest is known: they are recorded on the first download.
"""

from __future__ import annotations

from bench.sources import DataSet, Download, File
from tasks.msmarco import COLLECTION, DATASET

_MICROSOFT = "https://msmarco.z22.web.core.windows.net/msmarcoranking"
_AZURE = {"X-Ms-Version": "2019-12-12"}
"""Without it this server takes no ranges, and a download could not be resumed."""
_QRELS_2019 = "8a1f10d550732e4cd91d7fc49846a3784de4040972f583e69285a88f3c5fee92"

MSMARCO = DataSet(
    folder=DATASET,
    title="MS MARCO passage ranking: 8,841,823 passages, train and dev queries; TREC Deep Learning 2019 and 2020",
    licence="Microsoft's terms: non-commercial research. TREC's judgments are works of the U.S. government (NIST).",
    home="https://microsoft.github.io/msmarco/",
    downloads=(
        Download(
            f"{_MICROSOFT}/collectionandqueries.tar.gz",
            tuple(
                File(name, name)
                for name in (
                    COLLECTION,
                    "queries.train.tsv",
                    "qrels.train.tsv",
                    "queries.dev.small.tsv",
                    "qrels.dev.small.tsv",
                )
            ),
            1_057_717_952,
            md5="31644046b18952c1386cd4564ba2ae69",
            unpacked=4_000_000_000,
            headers=_AZURE,
        ),
        Download(
            f"{_MICROSOFT}/msmarco-test2019-queries.tsv.gz",
            (File("msmarco-test2019-queries.tsv", suffix=".gz"),),
            4_276,
            md5="eda71eccbe4d251af83150abe065368c",
            headers=_AZURE,
        ),
        Download(
            "https://trec.nist.gov/data/deep/2019qrels-pass.txt",
            (File("2019qrels-pass.txt", sha256=_QRELS_2019),),
            187_092,
            sha256=_QRELS_2019,
            md5="2f4be390198da108f6845c822e5ada14",
        ),
        Download(
            f"{_MICROSOFT}/msmarco-test2020-queries.tsv.gz",
            (File("msmarco-test2020-queries.tsv", suffix=".gz"),),
            4_131,
            md5="00a406fb0d14ed3752d70d1e4eb98600",
            headers=_AZURE,
        ),
        Download(
            "https://trec.nist.gov/data/deep/2020qrels-pass.txt",
            (File("2020qrels-pass.txt"),),
            218_617,
            md5="0355ccee7509ac0463e8278186cdd8d1",
        ),
    ),
    note="Run files are no part of a release: where none is there, BM25 is computed on the collection.",
)
