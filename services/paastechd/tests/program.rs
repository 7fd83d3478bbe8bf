//! The program as an operator starts it.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
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

#[test]
fn a_section_keeps_what_it_sets_and_has_the_rest_from_what_is_shared() {
    let output = check_config(
        "data_dir = \"/srv/paas\"\ndomain = \"example.org\"\n[ssh]\nstate_dir = \"/srv/ssh\"\n\
         [api]\ndata_dir = \"/srv/api\"\n[edge]\nlisten = \"127.0.0.1:8443\"\n",
    );
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success(), "{text}");
    let config: toml::Table = text.parse().expect("TOML");
    for (section, key, value) in [
        ("ssh", "state_dir", "/srv/ssh"),
        ("ssh", "repositories", "/srv/paas/repositories"),
        ("git_controller", "root", "/srv/paas/repositories"),
        ("pomegranate", "state_dir", "/srv/paas/pomegranate"),
        ("api", "data_dir", "/srv/api"),
        ("api", "admin_socket", "/srv/paas/admin.sock"),
        ("api", "domain", "example.org"),
    ] {
        assert_eq!(config[section][key].as_str(), Some(value), "{section}.{key}");
    }
    assert_eq!(config["api"]["app_port"].as_integer(), Some(8443));
}

#[test]
fn a_key_that_would_change_nothing_is_refused_by_name() {
    for (text, key) in [
        ("[ssh.log]\nfilter = \"debug\"\n", "ssh.log"),
        ("[api.log]\nformat = \"json\"\n", "api.log"),
        ("[pomegranate]\ninstance = \"x\"\n", "pomegranate.instance"),
        ("[ssh]\nrepositories = \"/elsewhere\"\n", "ssh.repositories"),
        ("[edge.metrics]\nlisten = \"127.0.0.1:9464\"\n", "edge.metrics"),
        ("[metrics]\nlisten = \"localhost\"\n", "metrics.listen"),
        ("[api.tracing]\notlp = \"http://127.0.0.1:4318/v1/traces\"\n", "api.tracing"),
        ("[tracing]\notlp = \"https://127.0.0.1:4318/v1/traces\"\n", "tracing.otlp"),
        ("[log]\nfilter = \"paastech_api=loud\"\n", "log.filter"),
    ] {
        let output = check_config(text);
        let said = String::from_utf8(output.stderr).expect("text");
        assert!(!output.status.success() && said.contains(key), "{text}: {said}");
    }
}

#[test]
fn where_nothing_has_been_started_looking_and_copying_make_nothing() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, data) = (dir.path().join("paastechd.toml"), dir.path().join("data"));
    fs::create_dir(&data).expect("made");
    let to = dir.path().join("backup.tar");
    for database in ["", "[api]\ndatabase = \"postgres://u:hunter2@127.0.0.1:1/d\"\n"] {
        fs::write(&file, format!("data_dir = \"{}\"\n{database}", data.display())).expect("written");
        for words in [vec!["doctor"], vec!["backup", "--to", to.to_str().expect("text")]] {
            #[expect(clippy::disallowed_methods, reason = "the program under test")]
            let mut command = Command::new(env!("CARGO_BIN_EXE_paastechd"));
            let output = command.arg("admin").args(&words).arg("--config").arg(&file).output();
            let output = output.expect("it starts");
            let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("text");
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("there is no installation in"), "{words:?}: {said}");
            assert_eq!(fs::read_dir(&data).expect("a folder").count(), 0, "{words:?}");
        }
    }
}

#[test]
fn a_broken_key_of_labels_is_named_and_not_taken_for_none() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let (file, data) = (dir.path().join("paastechd.toml"), dir.path().join("data"));
    let secrets = data.join("secrets");
    fs::create_dir_all(&secrets).expect("made");
    fs::write(data.join("paastech.db"), "").expect("written");
    fs::write(secrets.join("label-hmac"), "nonsense").expect("written");
    fs::set_permissions(secrets.join("label-hmac"), fs::Permissions::from_mode(0o400)).expect("set");
    fs::write(&file, format!("data_dir = \"{}\"\n", data.display())).expect("written");
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_paastechd"));
    let output = command.args(["admin", "doctor"]).arg("--config").arg(&file).output().expect("it starts");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("pomegranate: secrets/label-hmac: not what this program writes"), "{said}");
}
