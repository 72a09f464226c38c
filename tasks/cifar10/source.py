"""Where CIFAR-10 is to be had: the authors' page, which states the archive's MD5 (c32a1d4ab5d03f1284b67883e8d87530).

SHA-256 of the archive and of its members as TensorFlow Datasets and others publish them.
"""

from __future__ import annotations

from bench.sources import DataSet, Download, File

_MEMBERS = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}

CIFAR10 = DataSet(
    folder="cifar-10-batches-bin",
    title="CIFAR-10, binary version (Krizhevsky 2009): 50,000 and 10,000 pictures",
    licence="None stated by the source; its page asks to cite the technical report.",
    home="https://www.cs.toronto.edu/~kriz/cifar.html",
    downloads=(
        Download(
            "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
            tuple(File(name, f"cifar-10-batches-bin/{name}", digest) for name, digest in _MEMBERS.items()),
            170_052_171,
            sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            unpacked=200_000_000,
        ),
    ),
)
