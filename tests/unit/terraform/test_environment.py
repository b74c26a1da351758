from harness.terraform.environment import inherited_variables, terraform_environment


def test_settings_that_change_what_a_command_does_are_left_out() -> None:
    inherited = {
        "TF_CLI_ARGS": "-target=x", "TF_CLI_ARGS_apply": "-lock=false", "TF_LOG": "TRACE", "TF_LOG_PATH": "/tmp/l",
        "TF_WORKSPACE": "prod", "TF_DATA_DIR": "/data", "TF_VAR_secret": "s", "TF_REATTACH_PROVIDERS": "{}",
        "TF_CLI_CONFIG_FILE": "/nowhere",
    }  # fmt: skip
    assert not {name for name in terraform_environment(inherited, {}) if name in inherited} - {"TF_DATA_DIR"}
    assert terraform_environment(inherited, {})["TF_DATA_DIR"] == ".terraform"


def test_the_rest_of_the_environment_stays() -> None:
    inherited = {"PATH": "/bin", "HTTPS_PROXY": "http://p", "TF_PLUGIN_CACHE_DIR": "/c", "TF_TOKEN_example_com": "t"}
    assert inherited.items() <= terraform_environment(inherited, {}).items()


def test_terraform_neither_asks_nor_calls_home() -> None:
    made = terraform_environment({}, {})
    assert (made["CHECKPOINT_DISABLE"], made["TF_IN_AUTOMATION"], made["TF_INPUT"]) == ("1", "1", "0")


def test_garbage_collection_is_off_unless_the_user_says_otherwise() -> None:
    assert terraform_environment({}, {})["GOGC"] == "off"
    assert terraform_environment({"GOGC": "50"}, {})["GOGC"] == "50"


def test_additions_win() -> None:
    assert terraform_environment({"AWS_REGION": "a"}, {"AWS_REGION": "b", "TF_WORKSPACE": "w"})["AWS_REGION"] == "b"


def test_variables_from_the_environment_are_kept_if_they_are_declared() -> None:
    inherited = {"TF_VAR_a": "1", "TF_VAR_other": "2"}
    assert inherited_variables(inherited, frozenset({"a", "b"})) == {"TF_VAR_a": "1"}
