//! Builds.

use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use paastech_proto::pomegranate::{
    self as proto, BuildOutcome, follow_build_response, put_source_request::Part,
};
use paastech_types::{BuildId, ProjectId};
use tonic::Code;

use crate::world::{World, app, client, in_world, in_world_with};

const WITH_APP: &str = "FROM scratch\nCOPY app /app\n";

#[test]
fn an_image_is_built_and_another_from_it_without_a_registry() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "EXPOSE 3000/tcp").await;
        assert!(image.id.starts_with("sha256:") && image.size_bytes > 100_000);
        assert_eq!((image.port, image.processes[0].name.as_str()), (3000, "web"));
        let dockerfile =
            format!("# syntax=docker/dockerfile:1\nFROM {}\nRUN [\"/app\", \"uid\"]\n", image.reference);
        let (lines, result) = world.build(&dockerfile).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
        assert!(lines.iter().any(|line| line.starts_with("       caps ")), "{lines:#?}");
        assert!(lines.iter().any(|line| line.starts_with("-----> [2/2] RUN")), "{lines:#?}");
    });
}

#[test]
fn a_build_that_fails_names_the_step_and_the_code() {
    in_world(|mut world| async move {
        let (lines, result) = world.build(&format!("{WITH_APP}RUN [\"/app\", \"exit\", \"3\"]\n")).await;
        assert_eq!(result.outcome(), BuildOutcome::Failed);
        assert!(result.message.ends_with("exited with code 3"), "{}", result.message);
        assert!(result.message.contains("RUN"), "{}", result.message);
        assert!(lines.contains(&"       about to exit".to_owned()), "{lines:#?}");
        assert!(lines.last().expect("lines").starts_with(" !     the step"), "{lines:#?}");

        let (_, result) = world.build("FORM scratch\n").await;
        assert_eq!(result.outcome(), BuildOutcome::Failed);
        assert!(result.message.contains("FORM"), "{}", result.message);

        let (_, result) = world.build("FROM scratch\nCOPY absent /x\n").await;
        assert_eq!(result.outcome(), BuildOutcome::Failed);
        assert!(result.message.contains("absent"), "{}", result.message);
    });
}

#[test]
fn a_dockerfile_that_is_asked_for_and_absent_is_named() {
    in_world(|mut world| async move {
        let build = world.start_build(&[("paastech.yaml", b"build: dockerfile\n".to_vec())], 0).await;
        let (_, result) = world.follow(build).await;
        assert_eq!(result.outcome(), BuildOutcome::Failed);
        assert_eq!(
            result.message,
            "no Dockerfile at the root of the repository: add one that builds your app"
        );
    });
}

#[test]
fn reserved_labels_foreign_frontends_and_missing_commands_are_refused() {
    in_world(|mut world| async move {
        for (dockerfile, word) in [
            (format!("{WITH_APP}LABEL Traefik.enable=true\nCMD [\"/app\"]\n"), "Traefik.enable"),
            (format!("{WITH_APP}LABEL paastech.instance=x\nCMD [\"/app\"]\n"), "paastech.instance"),
            (format!("{WITH_APP}LABEL com.docker.x=y\nCMD [\"/app\"]\n"), "com.docker.x"),
            (format!("# syntax=evil/frontend\n{WITH_APP}"), "evil/frontend"),
            (format!("{WITH_APP}ADD http://127.0.0.1:1/x /x\nCMD [\"/app\"]\n"), "line 3: ADD cannot fetch"),
            (WITH_APP.to_owned(), "no command"),
        ] {
            let (_, result) = world.build(&dockerfile).await;
            assert_eq!(result.outcome(), BuildOutcome::Failed, "{dockerfile}");
            assert!(result.message.contains(word), "{}", result.message);
        }
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert!(list.images.is_empty(), "what is refused is removed");
    });
}

#[test]
fn a_build_that_hangs_ends_at_its_time_limit() {
    in_world(|mut world| async move {
        let dockerfile = format!("{WITH_APP}RUN [\"/app\", \"never\", \"{}\"]\n", world.project);
        let files = [("Dockerfile", dockerfile.into_bytes()), ("app", app())];
        let build = world.start_build(&files, 3).await;
        let (_, result) = world.follow(build).await;
        assert_eq!(result.outcome(), BuildOutcome::TimedOut);
        assert_eq!(result.message, "the build took longer than 3 seconds");
        no_process_left(&world.project.to_string()).await;
    });
}

#[test]
fn a_cancelled_build_is_really_over() {
    in_world(|mut world| async move {
        let dockerfile = format!("{WITH_APP}RUN [\"/app\", \"never\", \"{}\"]\n", world.project);
        let files = [("Dockerfile", dockerfile.into_bytes()), ("app", app())];
        let build = world.start_build(&files, 0).await;
        let marker = world.project.to_string();
        crate::world::eventually("the step runs", || async { processes(&marker) > 0 }).await;
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert_eq!(list.build_ids, [build.to_string()]);
        let cancel = proto::CancelBuildRequest { scope: world.scope(1), build_id: build.to_string() };
        for _ in 0..2 {
            world.client.cancel_build(cancel.clone()).await.expect("cancels");
        }
        let (_, result) = world.follow(build).await;
        assert_eq!(result.outcome(), BuildOutcome::Cancelled);
        no_process_left(&marker).await;
    });
}

#[test]
fn the_image_of_a_build_that_was_cancelled_too_late_is_removed() {
    in_world(|mut world| async move {
        for process in ["the same", "another"] {
            let dockerfile = format!("{WITH_APP}CMD [\"/app\"]\n").into_bytes();
            let build = world.start_build(&[("Dockerfile", dockerfile), ("app", app())], 0).await;
            let (lines, result) = world.follow(build).await;
            let image = result.image.unwrap_or_else(|| panic!("{} {lines:#?}", result.message));
            if process == "another" {
                world.client = client(world.config.clone()).await;
            }
            let stranger = Some(proto::Scope { project_id: ProjectId::new().to_string(), fence: 1 });
            for (scope, stays) in [(stranger, true), (world.scope(1), false), (world.scope(1), false)] {
                let cancel = proto::CancelBuildRequest { scope, build_id: build.to_string() };
                world.client.cancel_build(cancel).await.expect("cancels");
                let found = world.docker.inspect_image(&image.reference).await;
                assert_eq!(found.is_ok(), stays, "{process} process");
            }
        }
    });
}

#[test]
fn builds_leave_no_connection_to_the_engine() {
    in_world(|mut world| async move {
        let cable = world.through_cable().await;
        world.image(&["serve"], "").await;
        let (_, result) = world.build(&format!("{WITH_APP}RUN [\"/app\", \"exit\", \"3\"]\n")).await;
        assert_eq!(result.outcome(), BuildOutcome::Failed);
        crate::world::eventually("no connection is open", || async { cable.open() == 0 }).await;
    });
}

#[test]
fn a_build_whose_engine_went_away_is_lost_and_can_be_started_again() {
    in_world(|mut world| async move {
        let cable = world.through_cable().await;
        let dockerfile =
            format!("{WITH_APP}RUN [\"/app\", \"pause\", \"{}\"]\nCMD [\"/app\"]\n", world.project);
        let files = [("Dockerfile", dockerfile.into_bytes()), ("app", app())];
        let request = world.upload(&files, 0).await;
        world.client.start_build(request.clone()).await.expect("starts");
        let follow = proto::FollowBuildRequest {
            project_id: world.project.to_string(),
            build_id: request.build_id.clone(),
            from_seq: 0,
        };
        let following = world.client.follow_build(follow.clone()).await.expect("followed").into_inner();
        let marker = world.project.to_string();
        crate::world::eventually("the step runs", || async { processes(&marker) > 0 }).await;
        cable.cut();
        let events: Vec<_> = following.collect().await;
        assert!(
            events.iter().all(|event| matches!(
                event.as_ref().expect("no error").event,
                Some(follow_build_response::Event::Line(_))
            )),
            "it has no result: {events:?}"
        );
        let error = world.client.follow_build(follow).await.expect_err("lost");
        assert_eq!(error.code(), Code::NotFound);
        world.client.start_build(request.clone()).await.expect("the source is still there");
        let (lines, result) = world.follow(request.build_id.parse().expect("an id")).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert_eq!(list.images.len(), 1, "nothing is left of the run before");
    });
}

#[test]
fn who_waits_for_a_turn_knows_the_place_in_the_queue() {
    in_world_with(
        |config| config.build.concurrency = 1,
        |mut world| async move {
            let step = |mode: &str| {
                let run = format!("RUN [\"/app\", \"{mode}\", \"{}\"]\n", world.project);
                let run = if mode.is_empty() { String::new() } else { run };
                format!("{WITH_APP}{run}CMD [\"/app\"]\n").into_bytes()
            };
            let (slow, quick) = (step("pause"), step(""));
            let first = world.start_build(&[("Dockerfile", slow), ("app", app())], 0).await;
            let files = [("Dockerfile", quick), ("app", app())];
            let second = world.start_build(&files, 0).await;
            let third = world.start_build(&files, 0).await;
            world.says(second, "place 1 in the queue").await;
            world.says(third, "place 2 in the queue").await;
            let cancel = proto::CancelBuildRequest { scope: world.scope(1), build_id: first.to_string() };
            world.client.cancel_build(cancel).await.expect("cancels");
            for build in [second, third] {
                let (lines, result) = world.follow(build).await;
                assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
            }
        },
    );
}

#[test]
fn a_build_waits_for_an_engine_that_starts_again() {
    in_world(|mut world| async move {
        let socket = world.config.state_dir.join("engine.sock");
        world.config.socket.clone_from(&socket);
        world.client = client(world.config.clone()).await;
        let dockerfile = format!("{WITH_APP}CMD [\"/app\"]\n").into_bytes();
        let files = [("Dockerfile", dockerfile), ("app", app())];
        let cancelled = world.start_build(&files, 0).await;
        let build = world.start_build(&files, 0).await;
        let cancel = proto::CancelBuildRequest { scope: world.scope(1), build_id: cancelled.to_string() };
        world.client.cancel_build(cancel).await.expect("cancels");
        let (_, result) = world.follow(cancelled).await;
        assert_eq!(result.outcome(), BuildOutcome::Cancelled);
        let _cable = crate::cable::Cable::lay(&socket);
        let (lines, result) = world.follow(build).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
        assert!(
            lines.iter().any(|line| line.text == "-----> Waiting for the container engine"),
            "{lines:#?}"
        );
    });
}

#[test]
fn an_image_that_could_not_run_here_fails_its_build() {
    in_world_with(
        |config| config.require_non_root = true,
        |mut world| async move {
            let (_, result) = world.build(&format!("{WITH_APP}CMD [\"/app\"]\n")).await;
            assert_eq!(result.outcome(), BuildOutcome::Failed);
            assert!(result.message.contains("runs as root"), "{}", result.message);
            world.image(&["serve"], "USER 10001").await;
        },
    );
}

#[test]
fn a_flood_is_cut_and_says_so() {
    in_world(|mut world| async move {
        let start = Instant::now();
        let (lines, result) = world.build(&flood(&world)).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{}", result.message);
        let bytes: usize = lines.iter().map(String::len).sum();
        assert!(bytes <= 10 << 20, "{bytes}");
        let cut = lines.iter().filter(|line| line.contains("the rest is not kept")).count();
        // The engine's BuildKit has a limit of its own, and says so itself.
        let engine_cut = lines.iter().filter(|line| line.contains("output clipped")).count();
        assert!(cut + engine_cut >= 1, "{:?}", lines.last());
        assert!(start.elapsed() < Duration::from_secs(120));
    });
}

#[test]
fn our_own_log_limit_is_told_once() {
    in_world_with(
        |config| config.build.log_bytes = 64 << 10,
        |mut world| async move {
            let (lines, result) = world.build(&flood(&world)).await;
            assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{}", result.message);
            assert_eq!(lines.iter().filter(|line| line.contains("longer than 64 KiB")).count(), 1);
            assert!(lines.last().expect("lines").contains("Built an image"), "{:?}", lines.last());
        },
    );
}

#[test]
fn a_20_mb_line_and_escapes_do_no_harm() {
    in_world(|mut world| async move {
        let dockerfile =
            format!("{WITH_APP}RUN [\"/app\", \"escapes\"]\nRUN [\"/app\", \"long-line\"]\nCMD [\"/app\"]\n");
        let (lines, result) = world.build(&dockerfile).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{}", result.message);
        assert!(lines.iter().all(|line| line.len() <= 1024));
        assert!(lines.contains(&"       \u{1b}[31mred\u{1b}[0m plain".to_owned()), "{:?}", &lines[..6]);
        for percent in ["10%", "20%", "30%"] {
            assert!(lines.contains(&format!("       {percent}")), "{percent}");
        }
        assert!(lines.iter().any(|line| line.contains("yyyy") && line.ends_with("[…]")), "it is cut");
    });
}

#[test]
fn unknown_sources_and_builds_are_not_found() {
    in_world(|mut world| async move {
        let absent = paastech_types::BuildId::new().to_string();
        let follow = proto::FollowBuildRequest {
            project_id: world.project.to_string(),
            build_id: absent.clone(),
            from_seq: 0,
        };
        let error = world.client.follow_build(follow).await.expect_err("unknown");
        assert_eq!(error.code(), Code::NotFound);
        let cancel = proto::CancelBuildRequest { scope: world.scope(1), build_id: absent.clone() };
        world.client.cancel_build(cancel).await.expect("an unknown one is over");
        let start = proto::StartBuildRequest {
            scope: world.scope(1),
            build_id: absent.clone(),
            source_id: absent,
            ..proto::StartBuildRequest::default()
        };
        let error = world.client.start_build(start).await.expect_err("no source");
        assert_eq!(error.code(), Code::NotFound);
    });
}

/// A step of its own: BuildKit runs equal steps of several builds once, and tells the output to one of them.
fn flood(world: &World) -> String {
    format!("{WITH_APP}RUN [\"/app\", \"flood\", \"{}\"]\nCMD [\"/app\"]\n", world.project)
}

/// Processes on this machine that have this word among their arguments: a build's steps are such.
fn processes(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").expect("proc");
    entries
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.starts_with(b"/app") && String::from_utf8_lossy(line).contains(word))
        .count()
}

async fn no_process_left(word: &str) {
    crate::world::eventually("the step's process is gone", || async { processes(word) == 0 }).await;
}

#[test]
fn a_source_without_its_end_is_not_kept() {
    in_world(|mut world| async move {
        let source = uuid::Uuid::now_v7().to_string();
        let header = proto::SourceHeader { scope: world.scope(1), source_id: source.clone() };
        let parts = [Part::Header(header), Part::Chunk(vec![0; 1024])];
        let parts = parts.map(|part| proto::PutSourceRequest { part: Some(part) });
        let cut = world.client.put_source(futures_util::stream::iter(parts)).await.expect_err("cut off");
        assert_eq!(cut.code(), Code::Unavailable);
        let start = proto::StartBuildRequest {
            scope: world.scope(1),
            build_id: BuildId::new().to_string(),
            source_id: source,
            ..Default::default()
        };
        let absent = world.client.start_build(start).await.expect_err("there is none");
        assert_eq!(absent.code(), Code::NotFound);
    });
}
