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
