import json
from pathlib import Path

from harness.terraform.redact import REDACTED, Redactor, credentials


def test_secrets_are_replaced_wherever_they_stand() -> None:
    assert Redactor(["hunter22"])("a hunter22 and xhunter22y") == f"a {REDACTED} and x{REDACTED}y"


def test_every_string_and_number_inside_of_a_value_is_secret() -> None:
    redact = Redactor([{"a": ["first-secret", {"b": 123456}]}])
    assert redact("first-secret 123456") == f"{REDACTED} {REDACTED}"


def test_a_short_secret_is_replaced_where_it_stands_alone_only() -> None:
    assert Redactor(["abc"])("abc abcd 'abc'") == f"{REDACTED} abcd '{REDACTED}'"


def test_a_secret_is_found_in_json_as_well() -> None:
    secret = 'pa"ss\\word<&>'
    text = json.dumps({"detail": json.dumps({"value": secret})})
    assert "pa" not in Redactor([secret])(text)
    go_style = '"pa\\"ss\\\\word\\u003c\\u0026\\u003e"'
    assert "word" not in Redactor([secret])(go_style)


def test_the_longer_of_two_secrets_goes_first() -> None:
    assert Redactor(["secret", "secret-long"])("secret-long") == REDACTED


def test_true_false_and_nothing_are_no_secrets() -> None:
    assert Redactor([True, None, "", " "])("true null  x") == "true null  x"


def test_a_log_file_is_cleaned(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("token=hunter22\n")
    Redactor(["hunter22"]).clean_file(log)
    assert log.read_text() == f"token={REDACTED}\n"


def test_real_credentials_are_secret_and_the_local_clouds_are_not() -> None:
    environment = {"AWS_SECRET_ACCESS_KEY": "k" * 40, "AWS_SESSION_TOKEN": "t" * 40, "AWS_ACCESS_KEY_ID": "test"}
    assert list(credentials(environment)) == ["k" * 40, "t" * 40]
