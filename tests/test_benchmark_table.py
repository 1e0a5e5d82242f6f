"""The table of docs/benchmarks.md says what the kept results say."""

import json

import pytest

from benchmarks import table


def test_the_document_has_the_table_of_the_kept_results():
    assert table.written() == table.table(table.records()), "run python -m benchmarks --table"


def test_the_document_explains_every_row_that_misses_a_bound():
    explained = table.DOCS.read_text("utf-8").partition("### Missed")[2].partition("\n## ")[0]
    missed = {
        row["row"]
        for row in table.records()
        if any(figure["verdict"] == "missed" for figure in row["figures"])
    }
    assert {name for name in missed if f"`{name}`" not in explained} == set()


def test_figures_are_judged_and_bounds_have_their_direction():
    lines = table.table([_record(_figure(8.0, least=7, aim=12), _figure(None, least=7))])
    assert "| `training_step` | a ratio | 8 × | ≥ 7 | ≥ 12 | met |" in lines
    assert "|  | a ratio | nan × | ≥ 7 |  | **missed** |" in lines
    assert "Of 2 figures 0 reach the aim, 1 more what is asked at least, 1 miss it." in lines
    assert "busy" not in lines


def test_figures_without_a_bound_are_left_out_and_busy_machines_told():
    row = {**_record(_figure(1.0), _figure(13.0, aim=12)), "wall_over_cpu_time": 2.0}
    lines = table.table([row]).splitlines()
    assert lines[-1] == "| `training_step` (busy machine) | a ratio | 13 × |  | ≥ 12 | aim met |"
    assert lines[-2].startswith("|---")


def test_rows_that_could_not_be_measured_are_named():
    row = {**_record(), "unavailable": "no browser"}
    assert "Not available: `training_step`: no browser." in table.table([row])


def test_only_the_inside_of_the_marks_is_written(tmp_path):
    (tmp_path / "training_step.json").write_text(json.dumps(_record(_figure(8.0, least=7))))
    docs = tmp_path / "docs.md"
    docs.write_text(f"before\n{table.BEGIN}old\n{table.END}\nafter\n")
    table.write(docs, tmp_path)
    text = docs.read_text("utf-8")
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert table.written(docs) == table.table(table.records(tmp_path))


def test_a_document_without_marks_is_refused(tmp_path):
    docs = tmp_path / "docs.md"
    docs.write_text("nothing\n")
    with pytest.raises(ValueError, match="<!-- results -->"):
        table.write(docs, tmp_path)


def _figure(value, **bounds):
    figure = {"label": "a ratio", "value": value, "unit": "×", "better": "higher", "verdict": ""}
    return {**figure, "least": None, "aim": None, **bounds}


def _record(*figures):
    machine = {"device_name": "CPU", "cores": 2, "date": "2026-01-01", "versions": {"torch": "2"}}
    return {
        "row": "training_step",
        "figures": list(figures),
        "unavailable": "",
        "wall_over_cpu_time": 1.0,
        "machine": machine,
    }
