"""Where the sets of BEIR are to be had: the authors' server, whose page states the MD5 of each archive.

Sizes as ir_datasets publishes them. SHA-256 of SciFact's archive as several who fetched it publish it.
"""

from __future__ import annotations

from collections.abc import Mapping

from bench.sources import DataSet, Download, File
from tasks.beir import CORPUS, QUERIES, TEST, TRAIN

_SERVER = "https://public.ukp.informatik.tu-darmstadt.de/thakur/BEIR/datasets"
_EXPANDED = 12
"""How many times larger than its archive a set is at most; about four times is usual."""
_ARCHIVES = {
    "arguana": (3_773_617, "8ad3e3c2a5867cdced806d6503f29b99"),
    "climate-fever": (1_228_666_652, "8b66f0a9126c521bae2bde127b4dc99d"),
    "dbpedia-entity": (639_285_131, "c2a39eb420a3164af735795df012ac2c"),
    "fever": (1_236_988_269, "5a818580227bfb4b35bb6fa46d9b6c03"),
    "fiqa": (17_948_027, "17918ed23cd04fb15047f73e6c3bd9d9"),
    "hotpotqa": (654_025_350, "f412724f78b0d91183a0e86805e16114"),
    "nfcorpus": (2_448_432, "a89dba18a62ef92f7d323ec890a0d38d"),
    "nq": (498_307_926, "d4d3d2e48787a744b6f6e691ff534307"),
    "quora": (15_853_968, "18fb154900ba42a600f84b839c173167"),
    "scidocs": (142_471_588, "38121350fc3a4d2f48850f6aff52e4a9"),
    "scifact": (2_816_079, "5f7d1de60b170fc8027bb7898e2efca1"),
    "trec-covid": (73_876_720, "ce62140cb23feb9becf6270d0d1fe6d1"),
    "webis-touche2020": (227_132_363, "46f650ba5a527fc69e0a6521c5a23563"),
}
_SHA256 = {"scifact": "536e14446a0ba56ed1398ab1055f39fe852686ecad24a6306c80c490fa8e0165"}
_LICENCES = {"scifact": "CC BY 4.0 (claims), ODC-By 1.0 (abstracts)."}
_UNSTATED = "That of the set's authors: BEIR gives none of its own, see its page."
_TRAINED = ("scifact", "nfcorpus", "fiqa", "fever", "hotpotqa")
"""Those whose release has judged train queries; of the others it is taken where it is there."""


def beir_sets(settings: Mapping[str, Mapping[str, str]]) -> tuple[DataSet, ...]:
    """All sets; ``settings``: by name, the settings under which the task stands on it."""
    return tuple(
        DataSet(
            folder=f"beir/{name}",
            title=f"{name} as BEIR released it (Thakur et al. 2021)",
            licence=_LICENCES.get(name, _UNSTATED),
            home="https://github.com/beir-cellar/beir",
            downloads=(
                Download(
                    f"{_SERVER}/{name}.zip",
                    (
                        *(File(file, f"{name}/{file}") for file in (CORPUS, QUERIES, TEST)),
                        File(TRAIN, f"{name}/{TRAIN}", optional=name not in _TRAINED),
                    ),
                    size,
                    sha256=_SHA256.get(name, ""),
                    md5=md5,
                    unpacked=_EXPANDED * size,
                ),
            ),
            settings=settings.get(name, {}),
        )
        for name, (size, md5) in _ARCHIVES.items()
    )
