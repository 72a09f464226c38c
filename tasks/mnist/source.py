"""Where MNIST is to be had.

The digests of the archives are those that TensorFlow Datasets and others publish; those of the content were computed on
files whose MD5 is the published one.
"""

from __future__ import annotations

from bench.sources import DataSet, Download, File

_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist"


def _download(name: str, size: int, archive: str, content: str) -> Download:
    return Download(f"{_MIRROR}/{name}.gz", (File(name, suffix=".gz", sha256=content),), size, sha256=archive)


MNIST = DataSet(
    folder="mnist",
    title="MNIST handwritten digits (LeCun, Cortes & Burges): 60,000 and 10,000 pictures",
    licence="None stated by the source.",
    home="http://yann.lecun.com/exdb/mnist/",
    downloads=(
        _download(
            "train-images-idx3-ubyte",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        ),
        _download(
            "train-labels-idx1-ubyte",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        ),
        _download(
            "t10k-images-idx3-ubyte",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        ),
        _download(
            "t10k-labels-idx1-ubyte",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        ),
    ),
    note="The authors' page answers no longer to all; this mirror, PyTorch's, has the same bytes.",
)
