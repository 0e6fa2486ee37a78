"""A plan of a model in this process: what it will cost is known without its weights, and what it lacks shows then."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import pytest

import vlm_models
from command_line import vdistill
from hub_server import HubServer
from vdistill.label.outlook import spoken

QUERIES = (
    "a gift for a baker\na gift for a nurse\nsomething red\nsomething blue\na lamp for reading\na chair by the sea\n"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return vlm_models.qwen2_vl(tmp_path_factory.mktemp("models") / "Tiny-VL")


@pytest.fixture
def without_weights(model, tmp_path):
    copy = shutil.copytree(model, tmp_path / "Tiny-VL")
    (copy / "model.safetensors").unlink()
    return copy


@pytest.fixture
def place(catalog, tmp_path):
    (tmp_path / "queries.txt").write_text(QUERIES)
    return tmp_path


def label(place, teacher, *more, env=None):
    return vdistill("label", "catalog", "--teacher", teacher, "--queries", "queries.txt", "--budget", 30,
                    "--images-per-call", 4, "--json", *more, cwd=place, env=env)  # fmt: skip


def test_a_plan_needs_no_weights_and_knows_tokens_and_time(place, without_weights, model):
    plan = label(place, without_weights, "--dry-run")
    assert plan.code == 0, plan.err
    assert "holds no weights" in plan.err
    assert "take about" in plan.err
    assert "on this " in plan.err
    assert plan.json["seconds"] > 0
    tokens = plan.json["tokens"] / plan.json["calls"]
    done = label(place, model)
    assert done.code == 0, done.err
    assert done.json["tokens"] / done.json["calls"] == pytest.approx(tokens, rel=0.05)


def test_a_folder_without_weights_is_refused_where_more_than_a_plan_is_wanted(place, without_weights):
    done = label(place, without_weights)
    assert done.code == 1
    assert "holds no weights" in done.err
    assert not (place / ".vdistill" / "vdistill.db").exists()


def test_a_plan_for_a_model_that_cannot_be_had_is_an_estimate_and_says_so(place):
    plan = label(place, "owner/Nowhere-VL-2B", "--dry-run")
    assert plan.code == 0, plan.err
    assert "owner/Nowhere-VL-2B: the hub cannot be reached" in plan.err
    assert "estimates" in plan.err
    assert plan.json["tokens"] > 1000 * plan.json["calls"]
    assert plan.json["seconds"] > 0  # by the size in its name
    done = label(place, "owner/Nowhere-VL-2B")
    assert done.code == 1
    assert "error: cannot get the teacher owner/Nowhere-VL-2B" in done.err


def test_a_run_that_will_take_long_here_says_so_before_it_begins(place, model, monkeypatch):
    from vdistill.label.teachers import vlm_cost

    monkeypatch.setattr(vlm_cost, "speed", lambda device, dtype: 1e4)  # a machine of 1950
    done = label(place, model)
    assert done.code == 0, done.err
    lines = done.err.splitlines()
    long = next(number for number, line in enumerate(lines) if "calls take about" in line)
    assert "with --endpoint URL a server answers them" in lines[long]
    assert long < next(number for number, line in enumerate(lines) if "loading Tiny-VL" in line)


@pytest.mark.parametrize("dry", [["--dry-run"], []], ids=["dry run", "run"])
@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_pixtral_names_the_package_that_it_needs_before_anything_is_planned(place, tmp_path, dry):
    folder = tmp_path / "pixtral-12b"  # a LLaVA by its configuration, whose files name another processor
    vlm_models.llava(folder)
    (folder / "processor_config.json").unlink()
    (folder / "preprocessor_config.json").write_text(
        json.dumps({"processor_class": "PixtralProcessor", "image_processor_type": "PixtralImageProcessor"})
    )
    done = label(place, folder, *dry)
    assert done.code == 1
    assert "needs the package torchvision" in done.err
    assert "hint: pip install torchvision" in done.err
    assert len(done.err.splitlines()) == 2


@pytest.mark.skipif(importlib.util.find_spec("num2words") is not None, reason="num2words is installed")
def test_smolvlm_names_the_package_that_it_needs_before_anything_is_planned(place, tmp_path):
    done = label(place, vlm_models.smolvlm_without_weights(tmp_path / "smolvlm"), "--dry-run")
    assert done.code == 1
    assert "needs the package num2words" in done.err


def test_thinking_is_for_models_that_think(place, model):
    done = label(place, model, "--think", "low")
    assert done.code == 1
    assert "does not think" in done.err


def test_a_time_is_given_in_the_unit_that_suits():
    assert [spoken(seconds) for seconds in (0.2, 59, 3000, 7000, 9 * 86400)] == [
        "1 second", "59 seconds", "50 minutes", "2 hours", "9 days",
    ]  # fmt: skip


@pytest.fixture
def online(tmp_path):
    """The program in a process of its own, whose hub is at a URL, with an empty cache."""

    def run(place, url, *arguments):
        env = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
        env |= {"HF_HOME": str(tmp_path / "hub cache"), "HF_ENDPOINT": url, "HF_HUB_DISABLE_TELEMETRY": "1"}
        command = [sys.executable, "-m", "vdistill", "label", "catalog", "--queries", "queries.txt", "--budget", "30",
                   "--json", *arguments]  # fmt: skip
        return subprocess.run(command, cwd=place, env=env, capture_output=True, text=True, timeout=240, check=False)

    return run


@pytest.mark.slow
def test_a_plan_downloads_no_weights_and_says_how_large_they_are(place, without_weights, online):
    with HubServer("owner/Tiny-2B", without_weights, {"model.safetensors": 4_400_000_000}) as hub:
        plan = online(place, hub.url, "--teacher", "owner/Tiny-2B", "--dry-run")
    assert plan.returncode == 0, plan.stderr
    assert "owner/Tiny-2B: 4.4 GB of weights will be downloaded first" in plan.stderr
    assert not any(path.endswith(".safetensors") for path in hub.asked)
    again = online(place, "http://127.0.0.1:9", "--teacher", "owner/Tiny-2B", "--dry-run")  # from the cache
    assert json.loads(again.stdout)["tokens"] == json.loads(plan.stdout)["tokens"]
    assert "estimates" not in again.stderr


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_one_line_at_once(place, online):
    done = online(place, "http://127.0.0.1:9", "--teacher", "qwen2-vl")
    assert done.returncode == 1
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["error", "hint"]
    assert "the hub cannot be reached" in done.stderr
