//! Builders and apps that mean harm: a buildpack of two bash scripts, in a builder made from ours.

use std::time::Duration;

use bollard::{
    Docker, body_full,
    models::{ContainerConfig, ContainerCreateBody},
    query_parameters::{
        CommitContainerOptions, CreateContainerOptions, RemoveContainerOptions, RemoveImageOptions,
        UploadToContainerOptions,
    },
};
use paastech_proto::pomegranate::{self as proto, BuildOutcome, BuildResult, start_build_request::Method};

use crate::world::{World, in_world_with};

const OURS: &str = "paastech/builder:12";
const METADATA: &str = r#"{"buildpacks":[{"id":"test/hostile","version":"0.1.0"}],
    "images":[{"image":"paastech/run:12"}],"lifecycle":{"apis":{"platform":{"supported":["0.12"]}}}}"#;

/// A builder whose only buildpack detects and builds so; the image goes with it.
struct Builder {
    docker: Docker,
    image: String,
}

impl Builder {
    async fn make(docker: &Docker, image: &str, detect: &str, build: &str) -> Self {
        let descriptor = "api = \"0.10\"\n[buildpack]\nid = \"test/hostile\"\nversion = \"0.1.0\"\n";
        let order = "[[order]]\n[[order.group]]\nid = \"test/hostile\"\nversion = \"0.1.0\"\n";
        let dir = "cnb/buildpacks/test_hostile/0.1.0";
        let mut tar = tar::Builder::new(Vec::new());
        for (name, text) in [
            ("cnb/order.toml".to_owned(), order.to_owned()),
            (format!("{dir}/buildpack.toml"), descriptor.to_owned()),
            (format!("{dir}/bin/detect"), format!("#!/bin/bash\n{detect}\n")),
            (format!("{dir}/bin/build"), format!("#!/bin/bash\n{build}\n")),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o755);
            tar.append_data(&mut header, name, text.as_bytes()).expect("appends");
        }
        let body = ContainerCreateBody { image: Some(OURS.to_owned()), ..ContainerCreateBody::default() };
        let id = docker
            .create_container(None::<CreateContainerOptions>, body)
            .await
            .expect("these tests need our builder: cargo xtask builder")
            .id;
        let options = UploadToContainerOptions { path: "/".to_owned(), ..Default::default() };
        let tar = tar.into_inner().expect("a tar");
        docker.upload_to_container(&id, Some(options), body_full(tar.into())).await.expect("uploads");
        let options = CommitContainerOptions {
            container: Some(id.clone()),
            repo: Some(image.to_owned()),
            tag: Some("1".to_owned()),
            ..Default::default()
        };
        let labels = [("io.buildpacks.builder.metadata".to_owned(), METADATA.to_owned())];
        let config = ContainerConfig { labels: Some(labels.into()), ..ContainerConfig::default() };
        docker.commit_container(options, config).await.expect("commits");
        docker.remove_container(&id, None::<RemoveContainerOptions>).await.expect("removes");
        Self { docker: docker.clone(), image: format!("{image}:1") }
    }

    async fn remove(self) {
        self.docker.remove_image(&self.image, None::<RemoveImageOptions>, None).await.expect("removes");
    }
}

/// Builds an app by such a buildpack, with these limits; what was logged and how it ended.
fn build(
    detect: &'static str,
    script: &'static str,
    limit: impl FnOnce(&mut pomegranate::BuildpackConfig),
    check: impl FnOnce(String, BuildResult),
) {
    let image = format!("pt-hostile/{}", uuid::Uuid::new_v4().simple());
    let name = format!("{image}:1");
    in_world_with(
        |config| {
            config.build.buildpacks.builder = name;
            limit(&mut config.build.buildpacks);
        },
        async |mut world: World| {
            let builder = Builder::make(&world.docker, &image, detect, script).await;
            let mut request = world.upload(&[("app.txt", b"hello".to_vec())], 30).await;
            request.method = Some(Method::Source(proto::SourceBuild::default()));
            world.client.start_build(request.clone()).await.expect("the build starts");
            let (lines, result) = world.follow(request.build_id.parse().expect("an id")).await;
            let text: Vec<String> = lines.into_iter().map(|line| line.text).collect();
            builder.remove().await;
            check(text.join("\n"), result);
        },
    );
}

const WEB: &str =
    "echo '[[processes]]\ntype = \"web\"\ncommand = [\"true\"]' > \"$CNB_LAYERS_DIR/launch.toml\"";
/// What a process can say of its own confinement.
const LOOK: &str = "grep -E '^(Uid|CapEff|CapPrm|CapBnd|NoNewPrivs)' /proc/self/status\n\
    echo routes: $(tail -n +2 /proc/net/route | wc -l)\n\
    for dir in /meta /platform; do touch $dir/x 2>/dev/null && echo \"$dir is writable\"; done\n\
    ls -d /gate /var/run/docker.sock /cache /launch-cache 2>/dev/null\n\
    env | grep -iE 'docker|token|secret'";

fn is_confined(text: &str) {
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Uid:\t1000\t1000"), "{text}");
    for harm in ["is writable", "/gate", "docker.sock", "/cache", "DOCKER", "SECRET"] {
        assert!(!text.contains(harm), "{harm}: {text}");
    }
}

#[test]
fn detect_runs_without_a_network_or_any_power() {
    let detect = Box::leak(format!("{LOOK}\nexit 1").into_boxed_str());
    build(
        detect,
        "true",
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            is_confined(&text);
            assert!(text.contains("routes: 0"), "{text}");
        },
    );
}

#[test]
fn build_runs_with_egress_and_without_any_power() {
    let script = Box::leak(format!("{LOOK}\n{WEB}").into_boxed_str());
    build(
        "true",
        script,
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {text}", result.message);
            is_confined(&text);
            assert!(!text.contains("routes: 0"), "{text}");
        },
    );
}

#[test]
fn a_build_cannot_change_what_the_trusted_phases_rely_on() {
    let script = "echo '[run-image]\nreference = \"debian\"' > /layers/analyzed.toml\n\
        echo '[[group]]\nid = \"../../etc\"\nversion = \"0\"' > /layers/group.toml\n\
        echo x > /meta/analyzed.toml; echo x > /meta/group.toml\n\
        ln -s /etc \"$CNB_LAYERS_DIR/sly\"; echo '[types]\nlaunch = true' > \"$CNB_LAYERS_DIR/sly.toml\"";
    let script = Box::leak(format!("{script}\n{WEB}").into_boxed_str());
    build(
        "true",
        script,
        |_| {},
        |text, result| {
            // Whatever becomes of the sly layer: no foreign base, and no file of the host's.
            if result.outcome() == BuildOutcome::Succeeded {
                let image = result.image.expect("an image");
                assert_eq!(image.buildpacks[0].id, "test/hostile", "{text}");
            }
        },
    );
}

#[test]
fn a_label_for_the_router_is_refused() {
    let script = "echo '[[labels]]\nkey = \"traefik.enable\"\nvalue = \"true\"' > \"$CNB_LAYERS_DIR/launch.toml\"\n\
        echo '[[processes]]\ntype = \"web\"\ncommand = [\"true\"]' >> \"$CNB_LAYERS_DIR/launch.toml\"";
    build(
        "true",
        script,
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            assert!(result.message.contains("traefik.enable"), "{}", result.message);
        },
    );
}

#[test]
fn an_app_without_a_web_process_is_refused() {
    build(
        "true",
        "true",
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            assert!(result.message.contains("Procfile"), "{}", result.message);
        },
    );
}

#[test]
fn a_failing_build_shows_its_output_and_its_code() {
    build(
        "true",
        "echo no such package; exit 7",
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            assert!(text.contains("no such package") && result.message.contains("51"), "{text}");
        },
    );
}

#[test]
fn a_build_that_eats_its_memory_is_told_so() {
    let script = "python3 -c 'x = bytearray(200 << 20); print(len(x))'";
    build(
        "true",
        script,
        |limits| limits.memory_mib = 128,
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            assert!(
                result.message.contains("128 MiB") || result.message.contains("exit code 51"),
                "{} {text}",
                result.message
            );
        },
    );
}

#[test]
fn a_build_that_fills_the_disk_is_ended() {
    let script =
        "for i in 1 2 3 4 5 6; do dd if=/dev/zero of=/layers/f$i bs=1M count=40 status=none; done; sleep 60";
    build(
        "true",
        script,
        |limits| limits.disk_mib = 100,
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            assert!(result.message.contains("100 MiB"), "{} {text}", result.message);
        },
    );
}

#[test]
fn a_fork_bomb_ends_with_its_build() {
    let script = "f() { f | f & }; f; sleep 100";
    build(
        "true",
        script,
        |limits| limits.pids = 64,
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::TimedOut, "{}", result.message);
            assert!(text.contains("Resource temporarily unavailable"), "it met its limit");
        },
    );
}

#[test]
fn a_build_that_hangs_and_ignores_signals_is_cancelled_for_real() {
    let image = format!("pt-hostile/{}", uuid::Uuid::new_v4().simple());
    let name = format!("{image}:1");
    in_world_with(
        |config| config.build.buildpacks.builder = name,
        async |mut world: World| {
            let script = "trap '' TERM INT; while true; do sleep 1; done";
            let builder = Builder::make(&world.docker, &image, "true", script).await;
            let mut request = world.upload(&[("app.txt", b"hello".to_vec())], 60).await;
            request.method = Some(Method::Source(proto::SourceBuild::default()));
            world.client.start_build(request.clone()).await.expect("the build starts");
            tokio::time::sleep(Duration::from_secs(4)).await;
            let cancel =
                proto::CancelBuildRequest { scope: world.scope(1), build_id: request.build_id.clone() };
            world.client.cancel_build(cancel).await.expect("cancelled");
            let (_, result) = world.follow(request.build_id.parse().expect("an id")).await;
            builder.remove().await;
            assert_eq!(result.outcome(), BuildOutcome::Cancelled);
        },
    );
}
