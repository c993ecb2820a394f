"""The command line as a user meets it: JSON documents, exit codes, one clear line for every mistake."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from vbench.cli import COMMANDS, main
from vbench.store import Store


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict:
        return json.loads(self.out)


Vbench = Callable[..., Answer]


@pytest.fixture
def vbench(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Vbench:
    """Runs a command line in an empty working directory."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Answer:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return Answer(ended.value.code, captured.out, captured.err)

    return run


def test_count_prints_the_documented_keys_and_the_official_integers(vbench: Vbench) -> None:
    document = vbench("count", "timesformer_b", "--frames", "8", "--size", "224", "--json").document
    assert list(document) == [
        "name", "clip", "tokens", "params", "macs", "flops", "attention_macs", "mixing_extra_macs",
        "predicted_peak_bytes", "kernel", "precision", "mode",
    ]  # fmt: skip
    assert document["clip"] == {"batch": 1, "frames": 8, "height": 224, "width": 224}
    assert document["tokens"] == {"t": 8, "h": 14, "w": 14}
    assert (document["params"], document["macs"]) == (121_566_352, 195_830_280_192)
    assert document["flops"] == 2 * document["macs"]


def test_count_scales_with_the_batch_and_takes_height_and_width(vbench: Vbench) -> None:
    one, two = (
        vbench(
            "count", "video_swin_t", "--frames", "4", "--height", "64", "--width", "96", "--batch", b, "--json"
        ).document
        for b in "12"
    )
    assert two["macs"] == 2 * one["macs"]
    assert two["params"] == one["params"]
    assert one["clip"] == {"batch": 1, "frames": 4, "height": 64, "width": 96}


def test_count_of_a_pattern_takes_a_grid_of_tokens(vbench: Vbench) -> None:
    document = vbench("count", "joint", "--grids", "4x6x6", "--json").document
    assert document["attention_macs"] == 2 * (4 * 6 * 6) ** 2 * 768
    assert (document["clip"], document["tokens"]) == (None, {"t": 4, "h": 6, "w": 6})


@pytest.mark.parametrize("by", ["component", "operator", "module"])
def test_a_split_sums_to_the_whole_in_both_forms(vbench: Vbench, by: str) -> None:
    arguments = ("count", "timesformer_b", "--frames", "2", "--size", "32", "--by", by)
    document = vbench(*arguments, "--json").document
    assert sum(document["by"]["macs"].values()) == document["macs"]
    text = vbench(*arguments).out
    assert all(f"{macs:,}" in text for macs in list(document["by"]["macs"].values())[:3])


def test_list_is_the_catalog(vbench: Vbench) -> None:
    from vbench_models.catalog import ARCHITECTURES, PATTERNS

    entries = vbench("list", "--json").document
    assert {entry["name"] for entry in entries} >= {*ARCHITECTURES, *PATTERNS}
    assert all(set(entry) == {"name", "kind", "title", "family", "reference"} for entry in entries)
    patterns = vbench("list", "--kind", "pattern", "--json").document
    assert {entry["name"] for entry in patterns} == set(PATTERNS)


def test_show_gives_published_figures_with_their_source(vbench: Vbench) -> None:
    document = vbench("show", "timesformer_b", "--json").document
    assert document["default_clip"] == {"batch": 1, "frames": 8, "height": 224, "width": 224}
    assert any(row.get("metric") == 78.0 and "TimeSformer paper" in row["source"] for row in document["published"])
    assert "78.0" in vbench("show", "timesformer_b").out


MISTAKES = [
    (("count", "timesfomer_b"), "unknown model 'timesfomer_b'; did you mean 'timesformer_b'?"),
    (("count", "backbone:devided"), "unknown pattern 'devided'; did you mean 'divided'?"),
    (("count", "missing.py:build"), "no file 'missing.py'"),
    (("count", "no.such.package:build"), "no module 'no.such.package'"),
    (("count", "timesformer_b", "--precision", "fp23"), "unknown precision 'fp23'; did you mean 'fp32'?"),
    (("count", "timesformer_b", "--frames", "0"), "frames must be at least 1; got frames=0"),
    (("count", "timesformer_b", "--frames", "-8"), "frames must be at least 1; got frames=-8"),
    (("count", "timesformer_b", "--frames", "eight"), "Invalid value for '--frames': Input should be a valid integer"),
    (("count", "timesformer_b", "--batch", "0"), "batch must be at least 1; got batch=0"),
    (("count", "timesformer_b", "--size", "0"), "got '0'"),
    (("count", "timesformer_b", "--size", "225"), "height must be a multiple of 16, the tubelet's; got height=225"),
    (("count", "vivit_b_16x2", "--frames", "1"), "frames must be a multiple of 2, the tubelet's; got frames=1"),
    (("count", "c3d", "--frames", "32"), "c3d takes frames=16, height=112, width=112 only"),
    (("count", "i3d_r50", "--frames", "1"), "2 frames or more"),
    (("count", "joint", "--frames", "8"), "it takes --grids"),
    (("count", "joint", "--grids", "8x14"), "grids must be tokens"),
    (("count", "c3d", "--grids", "8x14x14"), "not --grids"),
    (("count", "c3d", "--by", "layer"), "unknown --by 'layer'"),
    (("sweep", "--models", "pcsa", "--modes", "train"), "mode 'train' does not go with pcsa: of segmentation it"),
    (
        ("sweep", "--models", "c3d", "--modes", "train", "--precisions", "int8"),
        "precision 'int8' does not go with mode 'train'; it takes fp32, tf32, bf16, fp16, bf16_pure",
    ),
    (("sweep", "--models", "c3d", "--checkpointing", "on"), "checkpointing 'on' does not go with mode 'infer'"),
    (("sweep", "--models", "c3d", "--checkpointing", "yes"), "checkpointing must be off or on; got 'yes'"),
    (("sweep", "--models", "c3d", "--accumulate", "4"), "accumulation '4' does not go with mode 'infer'; it takes 1"),
    (("sweep", "--models", "c3d", "--accumulate", "0"), "accumulate must be whole numbers of at least 1; got 0"),
    (("count",), "Missing argument"),
    (("count", "c3d", "--fram", "16"), "No such option"),
    (("list", "--kind", "patern"), "did you mean 'pattern'?"),
    (("show", "c3"), "did you mean 'c3d'?"),
    (("sweep",), "a sweep takes one of FILE.toml, --preset or --models"),
    (("sweep", "--preset", "quik"), "unknown preset 'quik'; did you mean 'quick'?"),
    (("sweep", "--preset", "quick", "--frames", "8"), "--frames goes with --models"),
    (("sweep", "missing.toml"), "cannot read missing.toml"),
    (("sweep", "--models", "timesformr_b"), "did you mean 'timesformer_b'?"),
    (("sweep", "--models", "c3d", "--devices", "cuda"), "device 'cuda' is not here"),
    (("sweep", "--models", "c3d", "--devices", "gpu"), "unknown device 'gpu'"),
    (("sweep", "--models", "c3d", "--precisions", "tf32"), "precision 'tf32' does not go with device 'cpu'"),
    (("sweep", "--models", "c3d", "--kernels", "cudnn"), "kernel 'cudnn' does not go with device 'cpu'"),
    (("sweep", "--models", "c3d", "--backends", "complie"), "unknown backend 'complie'; did you mean 'compile'?"),
    (
        ("sweep", "--models", "c3d", "--backends", "eager,onnx", "--precisions", "bf16"),
        "precision 'bf16' does not go with backend 'onnx'; it takes fp32",
    ),
    (("sweep", "--models", "c3d", "--frames", "8,a"), "--frames takes whole numbers"),
    (("sweep", "--models", "c3d", "--frames", "-16"), "frames must be whole numbers of at least 1; got -16"),
    (("sweep", "--models", "c3d", "--batch", "0"), "batch must be whole numbers of at least 1; got 0"),
    (("sweep", "--models", "c3d", "--budget", "10 minutes"), "malformed duration '10 minutes'"),
    (("sweep", "--models", "c3d", "--timeout", "-3s"), "malformed duration '-3s'"),
    (("sweep", "--models", "c3d", "--video", "missing.mp4"), "no video missing.mp4"),
    (("sweep", "--models", "timesformer_b", "--sizes", "225", "--frames", "2"), "height must be a multiple of 16"),
    (("certify", "divded"), "unknown model 'divded'; did you mean 'divided'?"),
    (("certify", "joint", "--claim", "T*H*"), "cannot parse the claim 'T*H*'"),
    (("certify", "joint", "--claim", "N**2"), "has symbols N; only T, H and W"),
    (("certify", "c3d", "--latency"), "--latency wants a pattern"),
    (("report", "nowhere"), "no records in nowhere"),
    (("guide", "--seconds", "10", "--records", "nowhere"), "no records"),
    (("guide", "--seconds", "-3"), "a video lasts more than 0 seconds; got -3"),
    (("guide", "--seconds", "3", "--frames", "8"), "got both"),
    (("guide", "--seconds", "3", "--max-latency", "2 parsecs"), "malformed duration '2 parsecs'"),
    (("guide", "--seconds", "3", "--device", "gpu"), "unknown device 'gpu'"),
    (("guide", "--seconds", "3", "--min-top1", "300"), "an accuracy in percent, as in 80; got 300"),
    (("check", "--baseline", "missing.json"), "cannot read missing.json"),
]


@pytest.mark.parametrize(("arguments", "says"), MISTAKES, ids=lambda value: " ".join(value)[:60])
def test_a_mistake_is_one_line_on_stderr_and_exit_code_2(
    vbench: Vbench, arguments: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    answer = vbench(*arguments)
    assert answer.code == 2
    assert says in answer.err
    lines = [line for line in answer.err.splitlines() if not line.startswith("[")]  # progress is no mistake
    assert len(lines) == 1
    assert "Traceback" not in answer.err


def test_a_broken_video_is_one_line(vbench: Vbench, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"this is no video" * 100)
    answer = vbench("sweep", "--models", "c3d", "--video", "broken.mp4")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "cannot decode broken.mp4" in answer.err


def test_an_unwritable_directory_is_one_line(vbench: Vbench, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = vbench("sweep", "--models", "core:space", "--grids", "1x2x2", "--out", "file/below")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert "cannot write to file/below" in answer.err


def test_an_unknown_toml_key_names_the_nearest(vbench: Vbench, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('[[block]]\nmodels = "c3d"\nprecision = "fp32"\n')
    answer = vbench("sweep", "mine.toml")
    assert answer.code == 2
    assert "unknown key in mine.toml, [[block]] 'precision'; did you mean 'precisions'?" in answer.err


def test_records_of_another_schema_are_refused(vbench: Vbench, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text('{"schema":99}\n')
    answer = vbench("report", str(tmp_path))
    assert answer.code == 2
    assert "schema version 99; this vbench reads version 1" in answer.err


def test_a_dry_run_lists_cells_and_writes_nothing(vbench: Vbench, tmp_path: Path) -> None:
    answer = vbench("sweep", "--models", "vivit_b_*", "--frames", "8,16", "--dry-run")
    assert answer.code == 0
    assert len(answer.out.splitlines()) == 4 * 2
    assert "vivit_b_16x2_fe/t16x224x224/b1/fp32/infer/eager/fused/cpu  measure" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_the_gpu_preset_can_be_listed_where_there_is_no_gpu(vbench: Vbench) -> None:
    answer = vbench("sweep", "--preset", "gpu", "--dry-run")
    assert answer.code == 0
    assert all(line.split()[0].endswith("/cuda") for line in answer.out.splitlines())


def test_a_sweep_makes_records_tables_and_a_page_and_says_where(
    vbench: Vbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vbench.proof.evidence.ARCHITECTURES", ("c3d",))  # the whole catalog is for `vbench check`
    monkeypatch.setattr("vbench.proof.evidence.clips_to_count", lambda _claims: [])
    axes = ("--models", "core:space,core:axial", "--grids", "1x2x2,2x2x2")
    answer = vbench("sweep", *axes, "--processes", "1", "--attempts", "1")
    assert answer.code == 0
    assert "report: reports/sweep/index.html" in answer.out
    assert "core:axial" in answer.out
    assert {record.status for record in Store(tmp_path / "reports" / "sweep").records()} == {"measured"}
    assert "4 measured in" in answer.err
    again = vbench("report", "reports/sweep")
    assert "reports/sweep/records.csv" in again.out
    assert vbench("tables", "--out", "tables").code == 0
    names = {path.name for path in (tmp_path / "tables" / "tables").iterdir()}
    assert {"K400-1.md", "K400-2.md", "mechanisms.md", "mechanisms.csv"} <= names


def test_certify_prints_the_documented_keys_and_judges_the_claim(vbench: Vbench) -> None:
    (document,) = vbench("certify", "space", "--claim", "T*H*W", "--json").document
    assert {
        "name", "units", "macs", "attention_macs", "lattice", "domain", "claimed", "verdict", "held_out_checked",
        "latency", "memory",
    } <= set(document)  # fmt: skip
    assert (document["verdict"], document["claimed"]) == ("under-states", "T*H*W")
    assert vbench("certify", "space", "--claim", "T*H*W", "--strict").code == 1


def test_certify_writes_a_page_for_each(vbench: Vbench, tmp_path: Path) -> None:
    assert vbench("certify", "space", "strided", "--out", "proofs").code == 0
    assert {path.name for path in (tmp_path / "proofs").iterdir()} == {"certificates.json", "space.md", "strided.md"}


def test_a_certificate_is_timed_when_no_other_is_being_counted(vbench: Vbench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting uses every core, and holds what starting a process to time needs."""
    from vbench import proof

    counting = []

    def certify_each(names: list[str], claim: str | None) -> Iterator[object]:
        counting.append(names)
        yield from (proof.certify(name, claim) for name in names)
        counting.clear()

    timed = []
    monkeypatch.setattr("vbench.proof.certification.footprint_of_cell", lambda *_, **__: SimpleNamespace(peak_bytes=1))
    monkeypatch.setattr(proof, "certify_each", certify_each)
    monkeypatch.setattr(proof, "with_latency", lambda proved, _: timed.append(bool(counting)) or proved)
    assert vbench("certify", "space", "strided", "--latency").code == 0
    assert timed == [False, False]


USERS_PATTERNS = """
import itertools, torch
from torch import nn
calls = itertools.count(1)

class Widening(nn.Module):
    def forward(self, x):
        return torch.cat((x, x), dim=-1)

class Moody(nn.Module):
    def forward(self, x):
        for _ in range(next(calls)):
            x = x @ x.new_empty(x.shape[-1], x.shape[-1])
        return x

class Odd(nn.Module):
    def forward(self, x):
        return torch.cdist(x, x)[..., :1].expand_as(x)

def build_pattern_widening(grid, dim, heads): return Widening()
def build_pattern_moody(grid, dim, heads): return Moody()
def build_pattern_odd(grid, dim, heads): return Odd()
"""


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("widening", "must map b t h w c to the same shape; (1, 8, 14, 14, 768) became (1, 8, 14, 14, 1536)"),
        ("moody", "does not count the same twice"),
        (
            "odd",
            "aten._cdist_forward has no cost: give it a formula with torch.utils.flop_counter.register_flop_formula",
        ),
        ("missing", "has no function 'build_pattern_missing'"),
    ],
)
def test_a_users_pattern_that_cannot_be_certified_says_why_in_one_line(
    vbench: Vbench, tmp_path: Path, name: str, says: str
) -> None:
    (tmp_path / "mine.py").write_text(USERS_PATTERNS)
    answer = vbench("certify", f"mine.py:build_pattern_{name}")
    assert (answer.code, len(answer.err.splitlines())) == (2, 1)
    assert says in answer.err


def test_check_sees_one_changed_figure_and_update_takes_it(
    vbench: Vbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"params": 10, "macs": 100, "attention_macs": 0, "predicted_peak_bytes": 1000}
    monkeypatch.setattr("vbench.gate.catalog_counts", lambda: {"tiny": figures})
    assert vbench("check", "--baseline", "base.json", "--update").code == 0
    assert vbench("check", "--baseline", "base.json", "--json").document == {"verdict": "same", "changed": []}
    monkeypatch.setattr("vbench.gate.catalog_counts", lambda: {"tiny": figures | {"macs": 101}})
    answer = vbench("check", "--baseline", "base.json")
    assert answer.code == 1
    assert "tiny: macs 100 -> 101 (+1)" in answer.out
    assert vbench("check", "--baseline", "base.json", "--update").code == 0
    assert vbench("check", "--baseline", "base.json").code == 0


def test_check_that_counts_nothing_has_no_answer(vbench: Vbench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vbench.gate.catalog_counts", dict)
    assert vbench("check", "--baseline", "base.json", "--update").code == 3


def test_check_against_a_revision_is_one_line_where_the_cells_or_the_revision_are_not_there(
    vbench: Vbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = {"params": 10, "macs": 100, "attention_macs": 0, "predicted_peak_bytes": 1000}
    monkeypatch.setattr("vbench.gate.catalog_counts", lambda: {"tiny": figures})
    assert vbench("check", "--baseline", "base.json", "--update").code == 0
    answer = vbench("check", "--baseline", "base.json", "--against", "HEAD", "--cells", "none.toml")
    assert (answer.code, answer.err.splitlines()) == (2, ["vbench: cannot read none.toml: no such file"])
    (tmp_path / "one.toml").write_text('[[block]]\nmodels = ["core:space"]\ngrids = "2x4x4"\n')
    timed = ("check", "--baseline", "base.json", "--cells", "one.toml", "--json", "--against", "no-such-revision")
    answer = vbench(*timed)
    assert answer.code == 3  # a gate that timed nothing has not passed
    (cell,) = answer.document["timed"]
    assert (cell["outcome"], "no-such-revision" in cell["reason"]) == ("not measured", True)


def test_env_describes_this_machine(vbench: Vbench) -> None:
    import torch

    document = vbench("env", "--json").document
    assert document["torch"] == torch.__version__
    assert document["cores"] >= 1
    assert document["memory_bytes"] > 2**30


@pytest.mark.parametrize("command", COMMANDS)
def test_help_fills_the_lines_of_a_terminal(vbench: Vbench, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setattr("typer.rich_utils.MAX_WIDTH", 80)
    answer = vbench(command, "--help")
    prose = [line.strip() for line in answer.out.partition("Usage:")[2].partition("╭")[0].splitlines()[1:]]
    assert any(prose), answer.err
    for line, following in itertools.pairwise(prose):
        first = following.partition(" ")[0]
        assert not (line and first) or len(f" {line} {first} ") > 80, f"{line!r} breaks before {first!r}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_while_the_command_line_is_imported_is_one_line(tmp_path: Path, number: signal.Signals) -> None:
    """The first thing that is imported after the package itself strikes."""
    (tmp_path / "typer.py").write_text(f"import os, time\nos.kill(os.getpid(), {int(number)})\ntime.sleep(60)\n")
    code = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    code += "from vbench.__main__ import main\nmain()"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, timeout=50
    )
    assert (done.returncode, done.stderr) == (130, "vbench: interrupted; the same command resumes\n")


def test_help_and_list_import_neither_torch_nor_pandas() -> None:
    heavy = "{'torch', 'pandas', 'scipy', 'matplotlib'}"
    code = "import sys\nfrom vbench.cli import main\ntry:\n    main(sys.argv[1:])\n"
    code += f"finally:\n    print(sorted({heavy} & set(sys.modules)))"
    for arguments in (["--help"], ["list"], ["sweep", "--preset", "quick", "--dry-run"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"
