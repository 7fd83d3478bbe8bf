//! Builders and apps that mean harm: a buildpack of two bash scripts, in a builder made from ours.

use std::collections::HashMap;

use bollard::{
    Docker, body_full,
    models::{ContainerConfig, ContainerCreateBody, HostConfig, Mount, MountType},
    query_parameters::{
        CommitContainerOptions, CreateContainerOptions, DownloadFromContainerOptions, ListContainersOptions,
        ListVolumesOptions, RemoveContainerOptions, UploadToContainerOptions,
    },
};
use futures_util::TryStreamExt as _;
use paastech_labels::names;
use paastech_proto::pomegranate::{
    self as proto, BuildOutcome, BuildResult, StartBuildRequest, follow_build_response::Event,
};
use pomegranate::BuildpackConfig;
use tonic::Code;

use crate::world::{World, eventually, in_world_with, repository};

const OURS: &str = "paastech/builder:12";
const METADATA: &str = r#"{"buildpacks":[{"id":"test/hostile","version":"0.1.0"}],
    "images":[{"image":"paastech/run:12"}],"lifecycle":{"apis":{"platform":{"supported":["0.12"]}}}}"#;

/// Makes a builder whose only buildpack detects and builds so; it goes with its installation.
async fn make_builder(docker: &Docker, image: &str, detect: &str, build: &str) {
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
    let (repo, tag) = image.split_once(':').expect("a tag");
    let options = CommitContainerOptions {
        container: Some(id.clone()),
        repo: Some(repo.to_owned()),
        tag: Some(tag.to_owned()),
        ..Default::default()
    };
    let labels = [("io.buildpacks.builder.metadata".to_owned(), METADATA.to_owned())];
    let config = ContainerConfig { labels: Some(labels.into()), ..ContainerConfig::default() };
    docker.commit_container(options, config).await.expect("commits");
    docker.remove_container(&id, None::<RemoveContainerOptions>).await.expect("removes");
}

/// An installation whose builder detects and builds so, with these limits.
fn with_builder(
    (detect, script): (&str, &str),
    limit: impl FnOnce(&mut BuildpackConfig),
    test: impl AsyncFnOnce(World),
) {
    in_world_with(
        |config| {
            config.build.buildpacks.builder = format!("{}builder:1", repository(&config.instance));
            limit(&mut config.build.buildpacks);
        },
        async |world: World| {
            make_builder(&world.docker, &world.config.build.buildpacks.builder, detect, script).await;
            test(world).await;
        },
    );
}

/// Builds an app by such a buildpack, with these limits; what was logged and how it ended.
fn build(
    detect: &str,
    script: &str,
    limit: impl FnOnce(&mut BuildpackConfig),
    check: impl FnOnce(String, BuildResult),
) {
    with_builder((detect, script), limit, async |mut world| {
        let (text, result) = build_in(&mut world).await;
        check(text, result);
    });
}

/// Builds an app in an installation; what was logged and how it ended.
async fn build_in(world: &mut World) -> (String, BuildResult) {
    let request = start_in(world).await;
    let (lines, result) = world.follow(request.build_id.parse().expect("an id")).await;
    let text: Vec<String> = lines.into_iter().map(|line| line.text).collect();
    (text.join("\n"), result)
}

async fn start_in(world: &mut World) -> StartBuildRequest {
    let request = world.upload(&[("app.txt", b"hello".to_vec())], 30).await;
    world.client.start_build(request.clone()).await.expect("the build starts");
    request
}

const WEB: &str =
    "echo '[[processes]]\ntype = \"web\"\ncommand = [\"true\"]' > \"$CNB_LAYERS_DIR/launch.toml\"";
/// What a process can say of its own confinement.
const LOOK: &str = "grep -E '^(Uid|CapEff|CapPrm|CapBnd|NoNewPrivs)' /proc/self/status\n\
    echo routes: $(tail -n +2 /proc/net/route | wc -l)\n\
    for dir in /meta /platform; do touch $dir/x 2>/dev/null && echo \"$dir is writable\"; done\n\
    awk '$2 != \"/\" && $2 !~ /^\\/(proc|sys|dev)(\\/|$)/ {print \"mount\", $2, substr($4, 1, 2)}' /proc/self/mounts\n\
    ls -d /gate /var/run/docker.sock /cache /launch-cache 2>/dev/null\n\
    env | grep -iE 'docker|token|secret'";

fn is_confined(text: &str, output: &str) {
    for line in ["CapEff:\t0000000000000000", "CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("Uid:\t1000\t1000"), "{text}");
    let mut mounts: Vec<&str> = text.lines().filter_map(|line| line.trim().strip_prefix("mount ")).collect();
    // The engine's own: names, and the program that reaps.
    mounts.retain(|mount| !mount.starts_with("/etc/") && !mount.ends_with("docker-init ro"));
    mounts.sort_unstable();
    let mut expected = [output, "/meta ro", "/platform ro", "/tmp rw", "/workspace rw"];
    expected.sort_unstable();
    assert_eq!(mounts, expected);
    for harm in ["is writable", "/gate", "docker.sock", "/cache", "DOCKER", "SECRET"] {
        assert!(!text.contains(harm), "{harm}: {text}");
    }
}

#[test]
fn detect_runs_without_a_network_or_any_power() {
    build(
        &format!("{LOOK}\nexit 1"),
        "true",
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            is_confined(&text, "/detected rw");
            assert!(text.contains("routes: 0"), "{text}");
        },
    );
}

#[test]
fn build_runs_with_egress_and_without_any_power() {
    build(
        "true",
        &format!("{LOOK}\n{WEB}"),
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {text}", result.message);
            is_confined(&text, "/layers rw");
            assert!(!text.contains("routes: 0"), "{text}");
        },
    );
}

#[test]
fn a_build_cannot_change_what_the_trusted_phases_rely_on() {
    let script = "echo '[run-image]\nreference = \"debian\"' > /layers/analyzed.toml\n\
        echo '[[group]]\nid = \"../../etc\"\nversion = \"0\"' > /layers/group.toml\n\
        for file in analyzed group plan; do echo x > /meta/$file.toml || echo \"$file is kept\"; done";
    build(
        "true",
        &format!("{script}\n{WEB}"),
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {text}", result.message);
            assert_eq!(text.matches("is kept").count(), 3, "{text}");
            // Its base was checked against the run image.
            let image = result.image.expect("an image");
            let used: Vec<&str> = image.buildpacks.iter().map(|pack| pack.id.as_str()).collect();
            assert_eq!(used, ["test/hostile"]);
        },
    );
}

#[test]
fn what_detect_leaves_in_the_layers_starts_no_app() {
    let detect = "for layers in /layers /detected; do\n\
        mkdir -p $layers/config $layers/test_hostile/sly\n\
        echo '[[processes]]\ntype = \"web\"\ncommand = [\"sly\"]' > $layers/config/metadata.toml\n\
        cp $layers/config/metadata.toml $layers/test_hostile/launch.toml\n\
        echo '[types]\nlaunch = true' > $layers/test_hostile/sly.toml\ndone\nexit 0";
    build(
        detect,
        "true",
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{text}");
            assert!(result.message.contains("Procfile"), "{} {text}", result.message);
        },
    );
}

#[test]
fn a_layer_that_is_a_link_and_a_set_uid_file_gain_nothing() {
    let script = "ln -s /etc \"$CNB_LAYERS_DIR/sly\"\n\
        mkdir \"$CNB_LAYERS_DIR/su\"\n\
        cp /bin/true \"$CNB_LAYERS_DIR/su/su\"\n\
        chmod 6755 \"$CNB_LAYERS_DIR/su/su\"\n\
        for layer in sly su; do echo '[types]\nlaunch = true' > \"$CNB_LAYERS_DIR/$layer.toml\"; done";
    with_builder(
        ("true", &format!("{script}\n{WEB}")),
        |_| {},
        async |mut world| {
            let (text, result) = build_in(&mut world).await;
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {text}", result.message);
            let image = result.image.expect("an image").reference;
            let [sly, su] =
                files(&world.docker, &image, ["/layers/test_hostile/sly", "/layers/test_hostile/su/su"])
                    .await;
            assert_eq!(sly.entry_type(), tar::EntryType::Symlink, "not the files it leads to");
            assert_eq!((su.uid().ok(), su.gid().ok()), (Some(1000), Some(1000)), "the app's own user");
        },
    );
}

/// The headers of files of an image.
async fn files<const N: usize>(docker: &Docker, image: &str, paths: [&str; N]) -> [tar::Header; N] {
    let body = ContainerCreateBody { image: Some(image.to_owned()), ..ContainerCreateBody::default() };
    let id = docker.create_container(None::<CreateContainerOptions>, body).await.expect("creates").id;
    let mut headers = Vec::new();
    for path in paths {
        let options = DownloadFromContainerOptions { path: path.to_owned() };
        let chunks = docker.download_from_container(&id, Some(options)).try_collect::<Vec<_>>().await;
        let tar = chunks.unwrap_or_else(|error| panic!("{path}: {error}")).concat();
        let mut archive = tar::Archive::new(&tar[..]);
        headers
            .push(archive.entries().expect("a tar").next().expect("a file").expect("whole").header().clone());
    }
    docker.remove_container(&id, None::<RemoveContainerOptions>).await.expect("removes");
    headers.try_into().unwrap_or_else(|_| unreachable!("one for each path"))
}

#[test]
fn a_20_mb_line_and_escapes_do_no_harm() {
    let script = "head -c 20000000 /dev/zero | tr '\\0' x; echo\n\
        printf '\\033]0;title\\007\\033[2J\\033[31mred\\033[0m\\n'";
    build(
        "true",
        &format!("{script}\n{WEB}"),
        |_| {},
        |text, result| {
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{}", result.message);
            assert!(text.lines().all(|line| line.len() <= 1024));
            assert!(text.contains("red\n") && !text.contains(['\u{1b}', '\u{7}']), "what came after it");
        },
    );
}

#[test]
fn a_build_whose_engine_went_away_is_lost_and_can_be_started_again() {
    with_builder(
        ("true", &format!("echo here; sleep 7\n{WEB}")),
        |_| {},
        async |mut world| {
            let cable = world.through_cable().await;
            let request = start_in(&mut world).await;
            let follow = proto::FollowBuildRequest {
                project_id: world.project.to_string(),
                build_id: request.build_id.clone(),
                from_seq: 0,
            };
            let mut following =
                world.client.follow_build(follow.clone()).await.expect("followed").into_inner();
            while let Some(event) = following.message().await.expect("no error") {
                match event.event.expect("an event") {
                    Event::Line(line) if line.text.ends_with("here") => cable.cut(),
                    Event::Line(_) => {}
                    Event::Result(result) => panic!("it has a result: {result:?}"),
                }
            }
            let error = world.client.follow_build(follow).await.expect_err("lost");
            assert_eq!(error.code(), Code::NotFound);
            world.client.start_build(request.clone()).await.expect("the source is still there");
            let (lines, result) = world.follow(request.build_id.parse().expect("an id")).await;
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
            leaves_nothing(&world).await;
        },
    );
}

/// No container or volume of a build is left.
async fn leaves_nothing(world: &World) {
    eventually("nothing of the build is left", || async {
        let build = |labels: &HashMap<String, String>| {
            labels.get(names::INSTANCE) == Some(&world.config.instance)
                && labels.get(names::KIND).is_some_and(|kind| kind == "build")
        };
        let all = ListContainersOptions { all: true, ..ListContainersOptions::default() };
        let containers = world.docker.list_containers(Some(all)).await.expect("lists");
        let volumes = world.docker.list_volumes(None::<ListVolumesOptions>).await.expect("lists").volumes;
        !containers.into_iter().filter_map(|one| one.labels).any(|labels| build(&labels))
            && !volumes.unwrap_or_default().iter().any(|volume| build(&volume.labels))
    })
    .await;
}

/// Adds a layer of so many MiB that is kept for the next build.
fn caching(mib: u32) -> String {
    let layer = "\"$CNB_LAYERS_DIR/kept\"";
    format!(
        "test -f {layer}/file && echo found it\nmkdir -p {layer}\n\
         head -c {mib}M /dev/zero > {layer}/file\necho '[types]\ncache = true' > {layer}.toml\n{WEB}"
    )
}

#[test]
fn a_cache_beyond_its_size_is_emptied() {
    with_builder(
        ("true", &caching(30)),
        |limits| limits.cache_mib = 20,
        async |mut world| {
            let (text, result) = build_in(&mut world).await;
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{}", result.message);
            assert!(text.contains("MiB and may have 20: it is emptied"), "{text}");
            let (text, _) = build_in(&mut world).await;
            assert!(!text.contains("found it") && !text.contains("Restored"), "{text}");
        },
    );
}

#[test]
fn a_cache_that_cannot_be_restored_is_done_without() {
    with_builder(
        ("true", &caching(1)),
        |_| {},
        async |mut world| {
            let (text, _) = build_in(&mut world).await;
            assert!(!text.contains("found it"), "{text}");
            let (text, _) = build_in(&mut world).await;
            assert!(
                text.contains("Restored from cache: test/hostile:kept") && text.contains("found it"),
                "{text}"
            );
            spoil(&world).await;
            let (text, result) = build_in(&mut world).await;
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {text}", result.message);
            assert!(text.contains("The cache could not be restored") && !text.contains("found it"), "{text}");
            let (text, _) = build_in(&mut world).await;
            assert!(text.contains("found it"), "the next one has a cache again: {text}");
        },
    );
}

#[test]
fn a_cache_is_cleared_when_asked_and_goes_with_its_project() {
    with_builder(
        ("true", &caching(1)),
        |_| {},
        async |mut world| {
            build_in(&mut world).await;
            let clear = proto::ClearCacheRequest { scope: world.scope(1) };
            world.client.clear_cache(clear).await.expect("cleared");
            let (text, _) = build_in(&mut world).await;
            assert!(!text.contains("found it") && !text.contains("Restored"), "{text}");
            let (text, _) = build_in(&mut world).await;
            assert!(text.contains("found it"), "the next one has a cache again: {text}");
            let remove = proto::RemoveProjectRequest { scope: world.scope(1), ..Default::default() };
            world.client.remove_project(remove).await.expect("removed");
            let volumes = world.docker.list_volumes(None::<ListVolumesOptions>).await.expect("lists").volumes;
            let project = world.project.to_string();
            let left =
                volumes.unwrap_or_default().into_iter().filter(|volume| volume.name.contains(&project));
            assert_eq!(left.map(|volume| volume.name).collect::<Vec<_>>(), Vec::<String>::new());
        },
    );
}

/// Makes a link to itself of what says what the cache holds. The lifecycle takes what it cannot parse for an empty
/// cache, and fails at what it cannot open.
async fn spoil(world: &World) {
    let name = "io.buildpacks.lifecycle.cache.metadata";
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, format!("cache/committed/{name}"), name).expect("appends");
    let mount = Mount {
        typ: Some(MountType::VOLUME),
        source: Some(format!("pt-{}-cache", world.project)),
        target: Some("/cache".to_owned()),
        ..Mount::default()
    };
    let body = ContainerCreateBody {
        image: Some(OURS.to_owned()),
        host_config: Some(HostConfig { mounts: Some(vec![mount]), ..HostConfig::default() }),
        ..ContainerCreateBody::default()
    };
    let id = world.docker.create_container(None::<CreateContainerOptions>, body).await.expect("creates").id;
    let options = UploadToContainerOptions { path: "/".to_owned(), ..Default::default() };
    let tar = body_full(tar.into_inner().expect("a tar").into());
    world.docker.upload_to_container(&id, Some(options), tar).await.expect("uploads");
    world.docker.remove_container(&id, None::<RemoveContainerOptions>).await.expect("removes");
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
    let script = "trap '' TERM INT; echo deaf; while true; do sleep 1; done";
    with_builder(
        ("true", script),
        |_| {},
        async |mut world| {
            let request = start_in(&mut world).await;
            let build = request.build_id.parse().expect("an id");
            world.says(build, "deaf").await;
            let cancel = proto::CancelBuildRequest { scope: world.scope(1), build_id: request.build_id };
            world.client.cancel_build(cancel).await.expect("cancelled");
            let (_, result) = world.follow(build).await;
            assert_eq!(result.outcome(), BuildOutcome::Cancelled);
            leaves_nothing(&world).await;
        },
    );
}
