"""Help says everything: summaries in one line, examples that parse, every default; one spelling of time; near words."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from waterz_spool.__main__ import main
from waterz_spool.cli import _GROUPS, commands
from waterz_spool.cli.options import COMMON, unknown
from waterz_spool.duration import seconds_of, text_of
from waterz_spool.errors import UsageError
from waterz_spool.spool import Spool

UNSET = {"--mask", "--tracks", "--weights"}  # where they are not given there is none, which needs no word


def every(command=commands, words=()):
    """All commands that can be called, with their words."""
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from every(command.get_command(None, name), (*words, name))
    else:
        yield words, command


ALL = dict(every())


def said(capfd, *arguments, code):
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code == code
    return capfd.readouterr()


def test_the_list_of_verbs_is_grouped_and_uncut():
    lines = CliRunner().invoke(commands, ["--help"], terminal_width=80).output.splitlines()
    assert max(map(len, lines)) <= 80
    for heading, verbs in _GROUPS.items():
        assert f"{heading}:" in lines
        for verb, (_, summary) in verbs.items():
            assert any(line.split() == [verb, *summary.split()] for line in lines), verb


@pytest.mark.parametrize("verb", [verb for verbs in _GROUPS.values() for verb in verbs])
def test_a_summary_is_the_first_sentence_of_the_help(verb):
    summary = next(verbs[verb][1] for verbs in _GROUPS.values() if verb in verbs)
    assert commands.get_command(None, verb).help.split("\n\n")[0].replace("\n", " ") == summary


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_has_examples_that_parse(words):
    own = [line for line in ALL[words].examples if line.startswith("waterz-spool ")]
    assert own, "no example"
    assert any(shlex.split(line)[1 : 1 + len(words)] == list(words) for line in own) or words == ("config", "init")
    for line in own:
        arguments = shlex.split(line.split(" && ")[0].split(" > ")[0].split(" >> ")[0])[1:]
        context = commands.make_context("waterz-spool", arguments, resilient_parsing=False)
        while isinstance(context.command, click.Group):
            name, command, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
            context = command.make_context(name, rest, parent=context)


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_option_shows_its_default(words):
    for option in ALL[words].params:
        if not isinstance(option, click.Option) or option.is_flag or option.required:
            continue
        repeatable = option.multiple and "epeatable" in option.help
        assert "[default: " in option.help or repeatable or set(option.opts) & UNSET, option.opts


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_common_options_stand_on_both_sides_and_come_last(words):
    common = {name for option in ALL[words].params if getattr(option, "part", "") == COMMON for name in option.opts}
    assert common == {"--spool", "--config", "--json", "-q", "--quiet", "-v", "--verbose"}
    assert common <= {name for option in commands.params for name in option.opts}
    text = CliRunner().invoke(commands, [*words, "--help"], terminal_width=80).output
    assert text.index(f"{COMMON}:") > text.index("Examples:") and max(map(len, text.splitlines())) <= 90


def test_options_after_the_verb_beat_those_before(tmp_path, capfd):
    for name, engine in (("a", "membrane"), ("b", "propagate")):
        (tmp_path / name).write_text(f"restore: {{engine: {engine}}}\n")
    out, _ = said(capfd, "--config", str(tmp_path / "a"), "config", "show", "--config", str(tmp_path / "b"), code=0)
    assert 'engine: "propagate"' in out


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("12.5", 12.5), ("1:30", 90), ("90:00", 5400), ("1:02:03.5", 3723.5), ("1h30m", 5400),
        ("45s", 45), ("7d", 604800), ("2w", 1209600), ("1.5h", 5400), (" 1M ", 60), ("0", 0),
    ],
)  # fmt: skip
def test_a_length_of_time_has_one_spelling(text, seconds):
    assert seconds_of(text) == seconds
    assert seconds_of(text_of(seconds)) == seconds


@pytest.mark.parametrize("text", ["", "h", "1x", "-3", "1:", "inf", "nan", "1m1h", "1 h"])
def test_what_is_no_length_of_time_is_refused_by_its_option(text, tmp_path, capfd):
    with pytest.raises(UsageError):
        seconds_of(text)
    if text.strip("-") == text:
        _, err = said(capfd, "--spool", str(tmp_path), "clean", "--older", text, code=2)
        assert "not a length of time" in err and f"where: --older-than {text}" in err and "1h30m" in err


@pytest.mark.parametrize("option", ["worker --idle-timeout", "worker --time-limit", "slurm scale --target",
                                    "slurm scale --poll", "clean --older", "run --from", "run --segment-s",
                                    "wait --timeout"])  # fmt: skip
def test_every_option_of_time_takes_every_spelling(option):
    *words, name = option.split()
    (found,) = [each for each in ALL[tuple(words)].params if name in each.opts]
    assert found.type.convert("1h30m", found, None) == 5400


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["stauts"], "did you mean status?"),
        (["slurm", "upp"], "did you mean up?"),
        (["config", "chekc"], "did you mean check?"),
        (["run", "v.mp4", "--bx", "1,2,3,4"], "did you mean --box?"),
        (["run", "v.mp4", "--out", "x"], "did you mean --output?"),
        (["--jsno", "status"], "did you mean --json?"),
    ],
)
def test_a_word_that_is_nearly_right_is_named(arguments, near, capfd):
    _, err = said(capfd, *arguments, code=2)
    assert near in err and err.startswith("error: no such ") and len(err.splitlines()) == 3


@pytest.mark.parametrize("arguments", [["run", "v.mp4", "--preview"], ["frobnicate"]])
def test_a_word_that_is_not_alike_suggests_nothing(arguments, capfd):
    _, err = said(capfd, *arguments, code=2)
    assert "did you mean" not in err and "--help" in err


def test_a_forgotten_pair_of_dashes_is_named(capfd):
    _, err = said(capfd, "submit", "v.mp4", "--slurm", "2", "--partition=gpu", code=2)
    assert "options of sbatch go after --" in err
    _, err = said(capfd, "slurm", "up", "2", "--gres=gpu:1", code=2)
    assert "options of sbatch go after --" in err


def test_an_option_may_be_unlike_all(capfd):
    context = click.Context(commands, info_name="waterz-spool")
    assert unknown("option", "--zzz", [], context).todo == "waterz-spool --help lists them all"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_and_knows_jobs(shell, tmp_path, capfd):
    out, _ = said(capfd, "completion", shell, code=0)
    assert "_WATERZ_SPOOL_COMPLETE" in out
    source = tmp_path / "v"
    source.write_bytes(b"v")
    Spool.create(tmp_path / "spool").submit(b"{}", source=source, job_id="20260101-talk-00000000")
    line = f"waterz-spool --spool {tmp_path}/spool explain 2026"
    typed = {
        "COMP_WORDS": line,
        "COMP_CWORD": "4" if shell != "fish" else "2026",
        "_WATERZ_SPOOL_COMPLETE": f"{shell}_complete",
    }
    done = subprocess.run(
        [sys.executable, "-c", "from waterz_spool.__main__ import main; main()"],
        env={**os.environ, **typed}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "20260101-talk-00000000" in done.stdout, done.stderr


def test_a_configuration_is_begun_once(tmp_path, capfd):
    path = tmp_path / "waterz.yaml"
    said(capfd, "config", "init", str(path), code=0)
    said(capfd, "config", "check", str(path), code=0)
    _, err = said(capfd, "config", "init", str(path), code=2)
    assert "exists already" in err


def test_help_imports_no_command():
    code = (
        "import sys\nfrom waterz_spool.__main__ import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('waterz_spool.cli.')], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr.strip() == "['waterz_spool.cli.options', 'waterz_spool.cli.context']"


@pytest.mark.parametrize("arguments", [("-q", "status"), ("status", "-v")])
def test_quiet_and_verbose_stand_anywhere(arguments, tmp_path, capfd):
    Spool.create(tmp_path / "spool")
    said(capfd, "--spool", str(tmp_path / "spool"), *arguments, code=0)
