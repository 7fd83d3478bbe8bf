//! The program as an operator starts it.

use std::{
    fs,
    process::{Command, Output},
};

fn check_config(text: &str) -> Output {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("paastechd.toml");
    fs::write(&file, text).expect("written");
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_paastechd"));
    command.arg("--check-config").arg("--config").arg(file).output().expect("it starts")
}

#[test]
fn the_merged_configuration_is_printed_without_its_secrets() {
    let output = check_config("domain = \"example.org\"\n[api]\ndatabase = \"postgres://u:hunter2@h/d\"\n");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    assert!(text.contains("domain = \"example.org\""), "{text}");
    assert!(text.contains("[redacted]") && !text.contains("hunter2"), "{text}");
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let output = check_config("[api]\nlisen = \"127.0.0.1:1\"\n");
    let text = String::from_utf8(output.stderr).expect("text");
    assert!(!output.status.success());
    assert!(text.contains("lisen"), "{text}");
}
