"""One definition of what is secret: what is hidden, what stays, and what is put back."""

import dataclasses
import importlib.metadata
import subprocess
import sys

import pytest

from samerun import config, redaction
from samerun.config.schema import GROUPS
from samerun.config.sweep import Sweep
from samerun.redaction import redact, redact_mapping, redact_override

ADDRESSES = {
    "http://alice:hunter2@h": "http://alice:***@h",
    "http://alice:hun@ter2@h": "http://alice:***@h",
    "http://alice:hun/ter2@h:5000/x": "http://alice:***@h:5000/x",
    "http://alice:hun:ter2@h": "http://alice:***@h",
    "http://alice:hun ter2@h": "http://alice:***@h",
    "http://alice:12 ter2@h": "http://alice:***@h",
    "postgresql://alice:12/34@h/db": "postgresql://alice:***@h/db",
    "http://:hunter2@h": "http://:***@h",
    "http://hunter2@h": "http://***@h",
    "http://hunter2:@h": "http://***@h",
    "https://hun@ter2@h/a": "https://***@h/a",
    "postgresql://alice@h/db": "postgresql://alice@h/db",
    "postgresql://alice@h/db?password=hunter2": "postgresql://alice@h/db?password=***",
    "postgresql://h/db?user=a&sslpassword=hunter2&sslmode=on": (
        "postgresql://h/db?user=a&sslpassword=***&sslmode=on"
    ),
    "http://h/?token=hunter2&x=1": "http://h/?token=***&x=1",
    "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Dsa%3BPWD%3Dhunter2%3BDATABASE%3Dd": (
        "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BUID%3Dsa%3BPWD%3D***%3BDATABASE%3Dd"
    ),
    "mssql+pyodbc:///?odbc_connect=PWD%3D%7Bhun%3Bter2%7D%3BA%3D1": (
        "mssql+pyodbc:///?odbc_connect=PWD%3D***%3BA%3D1"
    ),
    "host=h user=alice password=hunter2 dbname=d": "host=h user=alice password=*** dbname=d",
    "host=h password='hun ter2' dbname=d": "host=h password=*** dbname=d",
    "Server=h;Uid=sa;Pwd={hun;ter2};": "Server=h;Uid=sa;Pwd=***;",
    "Authorization: Bearer abc.def": "Authorization: '***'",
    "sent Authorization: Basic YWxpY2U6aHVudGVyMg==": "sent Authorization: Basic ***",
    "the header Bearer 0123456789abcdef was sent": "the header Bearer *** was sent",
    "api_key: hunter2": "api_key: '***'",
    '{"api_token": "hun ter2", "x": 1}': '{"api_token": "***", "x": 1}',
}


@pytest.mark.parametrize(("text", "safe"), ADDRESSES.items())
def test_a_secret_is_hidden_wherever_it_stands_in_an_address_or_a_header(text, safe):
    assert redact(text) == safe
    assert redact(safe) == safe


@pytest.mark.parametrize("text", [text for text in ADDRESSES if "://" in text])
def test_an_address_is_hidden_in_a_sentence_as_well(text):
    sentence = redact(f"tracking.uri: received '{text}', but it does not answer")
    assert "ter2" not in sentence
    assert "hun" not in sentence
    assert sentence.endswith("it does not answer")


@pytest.mark.parametrize(
    "text",
    [
        "http://h:5000/#/experiments/1/runs/2",
        "http://127.0.0.1:5000 does not answer; ask bob@example.org",
        "https://files.example.org:443/data@v2.csv",
        "The store needs its password: set MLFLOW_TRACKING_URI to the complete address.",
        "sqlite:////tmp/mlflow.db",
        "model.max_tokens=12 dataset.token_pattern=[a-z]+ evaluation.sample_tokens=5",
        "num_tokens: 12\npad_token: <pad>\ntokens: 3",
        "it is a basic assumption of linear-regression that",
        "api_key: ${oc.env:API_KEY}",
        "a@b.example and c@d.example",
        "-python-jwt==4.1.0\n+python-jwt==4.2.0rc1",
        f"detect-secrets=={importlib.metadata.version('detect-secrets')}",
        f'{{"detect-secrets": "{importlib.metadata.version("detect-secrets")}"}}',
    ],
)
def test_what_is_no_secret_stays(text):
    assert redact(text) == text


@pytest.mark.parametrize("text", ["jwt==hunter2", "password==1.0+hunter2", '{"jwt": "1.2.3"}'])
def test_what_only_resembles_a_pinned_package_is_hidden(text):
    assert "***" in redact(text)


TOKENS = [
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1" * 18,
    "github_pat_" + "11AAAAAAA0" * 4,
    "glpat-" + "x1" * 10,
    "xoxb-" + "123456789012-abcdefABCDEF",
    "hf_" + "aB" * 17,
    "sk-proj-" + "aB3" * 12,
    "eyJhbGciOiJIUzI1NiJ9" + ".eyJzdWIiOiIxMjM0In0.abc-_123",
]


@pytest.mark.parametrize("token", TOKENS)
def test_a_token_of_well_known_form_is_hidden_anywhere(token):
    assert redact(f"note: used {token}, it worked") == "note: used ***, it worked"


def test_a_private_key_is_hidden_to_its_end_or_to_the_end_of_the_text():
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----"
    assert "c2VjcmV0" not in redact(f"before {key} after")
    assert redact(f"before {key} after").endswith(" after")
    assert "c2VjcmV0" not in redact(key[:50])


@pytest.mark.parametrize(
    "key",
    [
        "api_token",
        "MY_TOKEN",
        "token",
        "hfToken",
        "tracking.tags.api_token",
        "client_secret",
        "db_password",
        "PASSWD",
        "api_key",
        "apiKey",
        "APIKEY",
        "aws_access_key_id",
        "private_key",
        "credentials",
        "auth_tokens",
        "pwd",
        "tags.secret.inner",
        "wandb-api-key",
    ],
)
def test_a_name_that_suggests_a_secret_is_known(key):
    assert redaction.is_secret_key(key)


@pytest.mark.parametrize(
    "key",
    [
        "num_tokens",
        "sample_tokens",
        "max_tokens",
        "token_pattern",
        "cls_token",
        "pad_token",
        "token_ids",
        "tokenizer",
        "tokens",
        "key",
        "keys",
        "path",
        "keyboard",
        "pass_through",
        "monkey",
        "log_loss_per_token",
        "bypass",
    ],
)
def test_a_setting_of_a_model_is_no_secret(key):
    assert not redaction.is_secret_key(key)


def _keys(kind, prefix=""):
    for field in dataclasses.fields(kind):
        yield prefix + field.name
        if dataclasses.is_dataclass(field.type):
            yield from _keys(field.type, f"{prefix}{field.name}.")


def test_no_key_of_any_group_is_taken_for_a_secret():
    kinds = [config.Config, Sweep, *(kind for group in GROUPS.values() for kind in group)]
    keys = {key for kind in kinds for key in _keys(kind)}
    assert len(keys) > 100
    assert not [key for key in keys if redaction.is_secret_key(key)]


OVERRIDES = {
    "+tracking.tags.api_token=hunter2": "+tracking.tags.api_token=***",
    "+tracking.tags.api_token='hun ter2'": "+tracking.tags.api_token=***",
    "++dataset.params={api_key: hunter2, size: 3}": "++dataset.params={api_key: ***, size: 3}",
    "tracking.uri=http://alice:hun@ter2@h": "tracking.uri=http://alice:***@h",
    "model.params.max_tokens=12": "model.params.max_tokens=12",
    "model=mlp": "model=mlp",
    "--multirun": "--multirun",
}


@pytest.mark.parametrize(("word", "safe"), OVERRIDES.items())
def test_an_override_with_a_secret_keeps_its_name(word, safe):
    assert redact_override(word) == safe


def test_nested_values_are_hidden_by_their_names_and_by_their_form():
    plain = {
        "tags": {"api_token": "hunter2", "team": "blue", "pin_password": 1234},
        "overrides": ["+tracking.tags.api_token=two words", "seed=1"],
        "credentials": {"user": "alice"},
        "seed": 1,
        "empty_token": None,
    }
    safe = redact_mapping(plain)
    assert safe == {
        "tags": {"api_token": "***", "team": "blue", "pin_password": "***"},
        "overrides": ["+tracking.tags.api_token=***", "seed=1"],
        "credentials": "***",
        "seed": 1,
        "empty_token": None,
    }
    assert redaction.hidden_keys(safe) == ["tags.api_token", "tags.pin_password", "credentials"]


def test_a_secret_of_the_environment_is_hidden_under_any_name(monkeypatch, tmp_path):
    monkeypatch.setenv("MY_TOKEN", "env-S3cret")
    monkeypatch.setenv("SOME_CREDENTIALS", str(tmp_path))
    monkeypatch.setenv("SECRET_NAME", "baseline")
    assert redact("it is env-S3cret.") == "it is ***."
    assert redact(f"baseline in {tmp_path}") == f"baseline in {tmp_path}"


def test_a_value_met_under_a_secret_name_is_hidden_in_later_messages():
    redact_mapping({"api_key": "met-once-1"})
    assert redact("ValueError: met-once-1 is not known") == "ValueError: *** is not known"


@pytest.mark.parametrize("address", [text for text in ADDRESSES if "://" in text])
def test_an_address_is_recognized_by_what_was_written_down(address):
    assert redaction.is_redacted_form(redact(address), address)
    assert not redaction.is_redacted_form(redact(address), "http://bob:other@elsewhere")


def test_an_address_that_version_0_1_0_wrote_down_is_recognized():
    assert redaction.is_redacted_form("http://alice:***@ter2@h", "http://alice:hun@ter2@h")
    assert redaction.is_redacted_form("http://alice:***@h/", "http://alice:hunter2@h")


def test_log_records_and_tracebacks_of_a_process_hold_no_secrets_and_no_control_characters():
    program = """
import logging, sys
from samerun.redaction import guard_output
guard_output()
logging.warning("%s of %s", "http://alice:planted@h", "a\x1b[2Jb")
try:
    raise ValueError("password=planted")
except ValueError:
    logging.exception("it failed")
print("Error executing job with overrides: ['x.api_key=planted']", file=sys.stderr)
raise RuntimeError("postgresql://alice:planted@h")
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "planted" not in answer.stderr.replace('"http://alice:planted@h"', "")
    assert "http://alice:***@h of a�[2Jb" in answer.stderr
    assert "['x.api_key=***']" in answer.stderr
    assert "RuntimeError: postgresql://alice:***@h" in answer.stderr
    assert answer.returncode == 1
