"""Benchmark files side by side."""

from __future__ import annotations

import json

import pytest

from bench.errors import StoreError
from reports.compare import speed
from reports.compare.findings import NOTE, PASSED, REGRESSION

HERE = {"cpu": {"brand_raw": "Toy CPU"}, "machine": "x86_64", "python_version": "3.11.9", "system": "Linux"}


def written(path, machine=HERE, **medians):
    entries = [{"fullname": name, "stats": {"median": median}} for name, median in medians.items()]
    path.write_text(json.dumps({"machine_info": machine, "benchmarks": entries}))
    return path


def judged(tmp_path, base, head, **options):
    found = speed.compare(written(tmp_path / "base.json", **base), written(tmp_path / "head.json", **head), **options)
    return {finding.subject: (finding.verdict, finding.said) for finding in found}


def test_the_ratio_of_medians_counts_beyond_a_wide_margin(tmp_path):
    found = judged(tmp_path, {"slow": 0.002, "even": 1.0, "fast": 1.0}, {"slow": 0.0032, "even": 1.4, "fast": 0.1})
    assert found["slow"] == (REGRESSION, "median 2 ms is now 3.2 ms, 1.60 times as long (margin 1.5)")
    assert (found["even"][0], found["fast"][0]) == (PASSED, PASSED)
    assert judged(tmp_path, {"even": 1.0}, {"even": 1.4}, margin=1.3)["even"][0] == REGRESSION


def test_a_missing_benchmark_is_a_regression_and_a_new_one_a_note(tmp_path):
    found = judged(tmp_path, {"gone": 1.0}, {"new": 1.0})
    assert {name: verdict for name, (verdict, _) in found.items()} == {"gone": REGRESSION, "new": NOTE}


def test_on_another_processor_nothing_is_judged(tmp_path):
    other = {**HERE, "cpu": {"brand_raw": "Other CPU"}}
    assert judged(tmp_path, {"slow": 1.0}, {"slow": 9.0, "machine": other})["slow"][0] == NOTE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is no JSON"),
        ("[]", "is no file of pytest-benchmark"),
        ('{"benchmarks": [{"fullname": "a"}]}', "without name or median"),
        ('{"benchmarks": [{"fullname": "a", "stats": {"median": 0}}]}', "the median of a is 0.0"),
    ],
)
def test_what_is_no_benchmark_file_is_one_line(tmp_path, text, said):
    (tmp_path / "bad.json").write_text(text)
    good = written(tmp_path / "good.json", a=1.0)
    with pytest.raises(StoreError, match=said):
        speed.compare(tmp_path / "bad.json", good)
