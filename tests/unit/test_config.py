"""Configuration: the example equals the code, precedence, clear errors."""

from pathlib import Path

import pytest
import yaml

from waterz_spool import config
from waterz_spool.errors import UsageError

ROOT = Path(__file__).parents[2]


def test_the_example_lists_every_key_and_equals_the_defaults():
    text = (ROOT / "config.example.yaml").read_text()
    assert text == config.to_yaml(config.Config(), comments=True)
    assert config.check(yaml.safe_load(text), where="example") == config.Config()


def test_command_line_beats_file(tmp_path, monkeypatch):
    monkeypatch.delenv("WATERZ_CONFIG", raising=False)
    file = tmp_path / "c.yaml"
    file.write_text("plan: {segment_s: 4, context_frames: 7}\n")
    loaded = config.load(file, overrides={"plan": {"segment_s": 2, "min_segment_frames": None}})
    assert (loaded.plan.segment_s, loaded.plan.context_frames, loaded.plan.min_segment_frames) == (2, 7, 10)


def test_the_environment_names_the_file(tmp_path, monkeypatch):
    file = tmp_path / "c.yaml"
    file.write_text("encode: {crf: 20}\n")
    monkeypatch.setenv("WATERZ_CONFIG", str(file))
    assert config.load().encode.crf == 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("plann: {}", "did you mean plan?"),
        ("plan: {segment: 3}", "did you mean plan.segment_s?"),
        ("plan: {segment_s: long}", "segment_s"),
        ("plan: {segment_s: 0}", ">= 0.2"),
        ("plan: 3", "must hold keys"),
        ("- 3", "must hold sections"),
        ("plan: [", "not valid YAML"),
        ("restore: {engine: magic}", "magic"),
        ("!!python/object/apply:os.system [x]", "not valid YAML"),
    ],
)
def test_bad_files_get_one_clear_error(tmp_path, text, message):
    file = tmp_path / "c.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=None) as caught:
        config.load(file)
    assert message in str(caught.value)
    assert caught.value.exit_code == 2
    assert caught.value.where == str(file)


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="cannot read"):
        config.load(tmp_path / "none.yaml")
