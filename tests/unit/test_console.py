"""What is printed can be typed again: square brackets are no markup."""

import io

from rich.console import Console

from samerun import config, console


def test_a_command_with_a_list_is_printed_whole():
    out = Console(file=io.StringIO(), width=200)
    command = "samerun train 'training.metrics=[accuracy,perplexity]'"
    console.show_lines([("again", command)], out)
    assert command in out.file.getvalue()


def test_a_list_of_words_in_the_config_is_shown():
    out = Console(file=io.StringIO(), width=200)
    console.show_config(config.compose(["training.metrics=[accuracy]"]).config, out)
    assert "metrics=['accuracy']" in out.file.getvalue()


def test_a_note_is_wrapped_between_words_in_a_terminal_and_a_command_is_not():
    note, command = "the best value tends to be optimistic", "samerun train model=mlp seed=1"
    shown = {}
    for is_terminal in (True, False):
        file = io.StringIO()
        out = Console(file=file, width=30, force_terminal=is_terminal, color_system=None)
        console.show_lines([("note", note), ("command", command)], out)
        shown[is_terminal] = file.getvalue().splitlines()
    assert shown[False] == [f"note     {note}", f"command  {command}"]
    *first, last = shown[True]
    assert last == shown[False][1]
    assert len(first) == 2
    assert max(map(len, first)) <= 30
    assert "".join(line[8:] for line in first).split() == note.split()
