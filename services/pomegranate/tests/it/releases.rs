//! Releases: started, awaited, let in, stopped, removed.

use paastech_proto::pomegranate as proto;
use tonic::Code;

use crate::world::{World, eventually, get, in_world};

#[test]
fn a_scratch_image_is_served_only_once_its_gate_is_open() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "EXPOSE 8080").await;
        assert_eq!(image.port, 8080);
        let mut request = world.release(&image, 1);
        let greeting = proto::Variable { name: "GREETING".to_owned(), value: "hello".to_owned() };
        request.variables = vec![greeting];
        request.health_path = "/up".to_owned();
        let awaited = world.start(&request, 20).await;
        assert!(awaited.ready, "{}", awaited.reason);
        let container = world.status().await.remove(0);
        assert_eq!((container.state.as_str(), container.health.as_str()), ("running", "starting"));

        world.open_gate(&request).await;
        let container = world.status().await.remove(0);
        assert_eq!(container.health, "healthy");
        let address = world.address(&container.id).await;
        let body = get(&format!("{address}:8080"), "/").await.expect("an answer");
        assert_eq!(body.trim(), "caps=00000000000004cb nnp=1 seccomp=2 greeting=hello");
    });
}

#[test]
fn a_user_other_than_root_has_no_capability() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "USER 10001").await;
        let request = world.release(&image, 1);
        let awaited = world.start(&request, 20).await;
        assert!(awaited.ready, "{}", awaited.reason);
        let id = world.status_id().await;
        let address = world.address(&id).await;
        let body = get(&format!("{address}:80"), "/").await.expect("an answer");
        assert!(body.starts_with("caps=0000000000000000 nnp=1"), "{body}");
    });
}

#[test]
fn an_app_that_restarts_is_healthy_again_by_itself() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        world.open_gate(&request).await;
        let id = world.status_id().await;
        let address = world.address(&id).await;
        assert_eq!(get(&format!("{address}:80"), "/crash").await, None);
        let docker = world.docker.clone();
        eventually("restarted and healthy", || async {
            let found = docker.inspect_container(&id, None).await.expect("there");
            let health = found.state.and_then(|state| state.health).and_then(|health| health.status);
            found.restart_count == Some(1) && health.is_some_and(|health| health.to_string() == "healthy")
        })
        .await;
    });
}

#[test]
fn an_app_that_ended_before_its_gate_opened_is_started_again() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        end(&mut world).await;
        world.open_gate(&request).await;
        assert_eq!(world.status().await[0].health, "healthy");
    });
}

#[test]
fn an_app_that_keeps_ending_once_its_gate_is_open_is_told_so() {
    in_world(|mut world| async move {
        let image = world.image(&["serve-once"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        end(&mut world).await;
        for _ in 0..2 {
            let opened = world.try_gate(&request).await;
            assert_eq!(opened.reason, "exited with code 4");
            assert!(opened.last_lines.iter().any(|line| line.text == "not again"), "{:?}", opened.last_lines);
        }
    });
}

#[test]
fn an_app_whose_health_check_is_killed_is_healthy_again_by_itself() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        world.open_gate(&request).await;
        let id = world.status_id().await;
        let docker = world.docker.clone();
        let state = || async {
            let found = docker.inspect_container(&id, None).await.expect("there");
            let health = found.state.and_then(|state| state.health).expect("a health check");
            let status = health.status.map(|status| status.to_string());
            (status.unwrap_or_default(), health.log.unwrap_or_default())
        };
        for _ in 0..2 {
            let (_, before) = state().await;
            // The run that made it healthy has ended; the one that holds is killed.
            eventually("a check holds and is killed", || async { kill_health_check(&id) }).await;
            eventually("the engine has learnt of it", || async { state().await.1 != before }).await;
            eventually("healthy again", || async { state().await.0 == "healthy" }).await;
        }
    });
}

#[test]
fn each_way_not_to_answer_has_its_reason() {
    in_world(|mut world| async move {
        for (behaviour, expected) in [
            (&["never"][..], "nothing listens on port 80"),
            (&["loopback"], "the app listens on 127.0.0.1:80 only: listen on 0.0.0.0"),
            (
                &["other-port"],
                "nothing listens on port 80, but something does on port 9999: listen on $PORT, or EXPOSE 9999",
            ),
            (&["exit", "3"], "exited with code 3"),
            (&["exit", "0"], "exited with code 0"),
        ] {
            let image = world.image(behaviour, "").await;
            let request = world.release(&image, 1);
            let awaited = world.start(&request, 2).await;
            assert!(!awaited.ready);
            assert_eq!(awaited.reason, expected);
            if behaviour[0] == "exit" {
                let lines: Vec<&str> = awaited.last_lines.iter().map(|line| line.text.as_str()).collect();
                assert!(lines.contains(&"about to exit") && lines.contains(&"for a reason"), "{lines:?}");
            }
        }
    });
}

#[test]
fn a_failing_health_path_is_named() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let mut request = world.release(&image, 1);
        request.health_path = "/bad".to_owned();
        let awaited = world.start(&request, 2).await;
        assert_eq!(awaited.reason, "GET /bad answered 500, wanted 2xx or 3xx");
    });
}

#[test]
fn an_app_that_eats_its_memory_is_told_so() {
    in_world(|mut world| async move {
        let image = world.image(&["eat"], "").await;
        let mut request = world.release(&image, 1);
        request.limits = Some(proto::Limits { memory_bytes: 32 << 20, ..proto::Limits::default() });
        let awaited = world.start(&request, 20).await;
        assert_eq!(awaited.reason, "out of memory (limit 32 MiB)");
    });
}

#[test]
fn an_image_that_cannot_start_says_why() {
    in_world(|mut world| async move {
        let (lines, result) = world.build("FROM scratch\nCOPY app /app\nCMD [\"/nope\"]\n").await;
        let image = result.image.unwrap_or_else(|| panic!("{} {lines:#?}", result.message));
        let request = world.release(&image, 1);
        let awaited = world.start(&request, 5).await;
        assert_eq!(awaited.reason, "exited with code 127 (the command was not found)");

        let image = world.image(&["serve"], "USER nosuch").await;
        let request = world.release(&image, 2);
        let awaited = world.start(&request, 5).await;
        assert!(awaited.reason.starts_with("it could not be started"), "{}", awaited.reason);
        assert!(awaited.reason.contains("nosuch"), "{}", awaited.reason);
    });
}

#[test]
fn starting_again_finds_its_own_work() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let mut request = world.release(&image, 1);
        request.replicas = 2;
        assert!(world.start(&request, 20).await.ready);
        let before: Vec<String> = world.status().await.into_iter().map(|c| c.id).collect();
        assert_eq!(before.len(), 2);
        world.client.start_release(request.clone()).await.expect("again");
        let after: Vec<String> = world.status().await.into_iter().map(|c| c.id).collect();
        assert_eq!(before, after);

        request.variables = vec![proto::Variable { name: "A".to_owned(), value: "b".to_owned() }];
        world.client.start_release(request).await.expect("with another configuration");
        let replaced: Vec<String> = world.status().await.into_iter().map(|c| c.id).collect();
        assert!(replaced.iter().all(|id| !before.contains(id)), "made from something else: replaced");
    });
}

#[test]
fn a_stopped_release_waits_for_its_gate_when_it_starts_again() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        world.open_gate(&request).await;
        let stop = proto::StopReleaseRequest {
            scope: world.scope(1),
            release_id: request.release_id.clone(),
            grace_seconds: 1,
        };
        for _ in 0..2 {
            world.client.stop_release(stop.clone()).await.expect("stops");
        }
        let container = world.status().await.remove(0);
        assert_eq!(container.state, "exited");
        let found = world.docker.inspect_container(&container.id, None).await.expect("there");
        let policy = found.host_config.and_then(|host| host.restart_policy).and_then(|policy| policy.name);
        assert_eq!(policy.map(|name| name.to_string()).as_deref(), Some("no"));

        assert!(world.start(&request, 20).await.ready);
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        assert_eq!(world.status().await[0].health, "starting", "the gate is shut again");
        world.open_gate(&request).await;
        assert_eq!(world.status().await[0].health, "healthy");
    });
}

#[test]
fn removing_leaves_nothing_and_may_be_repeated() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let first = world.release(&image, 1);
        assert!(world.start(&first, 20).await.ready);
        let second = world.release(&image, 2);
        assert!(world.start(&second, 20).await.ready);
        let remove = proto::RemoveReleaseRequest {
            scope: world.scope(2),
            release_id: first.release_id.clone(),
            grace_seconds: 1,
            drain_seconds: 0,
        };
        for _ in 0..2 {
            world.client.remove_release(remove.clone()).await.expect("removes");
        }
        assert_eq!(world.status().await.len(), 1, "the other release stays");
        for _ in 0..2 {
            let remove = proto::RemoveProjectRequest { scope: world.scope(2), ..Default::default() };
            world.client.remove_project(remove).await.expect("removes");
        }
        assert!(world.status().await.is_empty());
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert!(list.images.is_empty() && list.containers.is_empty());
        let gone = proto::AwaitReleaseRequest {
            project_id: world.project.to_string(),
            release_id: second.release_id,
            timeout_seconds: 1,
        };
        assert_eq!(world.client.await_release(gone).await.expect_err("gone").code(), Code::NotFound);
    });
}

#[test]
fn pruning_leaves_the_image_of_a_running_release_for_the_next_time() {
    in_world(|mut world| async move {
        let running = world.image(&["serve"], "ENV RUNNING=1").await;
        let other = world.image(&["serve"], "ENV RUNNING=0").await;
        let request = world.release(&running, 1);
        assert!(world.start(&request, 20).await.ready);
        let prune = proto::PruneImagesRequest { scope: world.scope(1), ..Default::default() };
        world.client.prune_images(prune.clone()).await.expect("what is in use is no failure");
        world.docker.inspect_image(&running.reference).await.expect("it is in use");
        world.docker.inspect_image(&other.reference).await.expect_err("nothing uses it");

        let remove = proto::RemoveReleaseRequest {
            scope: world.scope(1),
            release_id: request.release_id,
            ..Default::default()
        };
        world.client.remove_release(remove).await.expect("removed");
        world.client.prune_images(prune).await.expect("pruned");
        world.docker.inspect_image(&running.reference).await.expect_err("removed the next time");
    });
}

#[test]
fn malformed_requests_are_refused_by_field() {
    in_world(|mut world| async move {
        let image = proto::Image { reference: "absent".to_owned(), ..proto::Image::default() };
        let good = world.release(&image, 1);
        let missing = world.client.start_release(good.clone()).await.expect_err("no such image");
        assert_eq!(missing.code(), Code::NotFound);
        type Change = fn(&mut proto::StartReleaseRequest);
        let changes: [(&str, Change); 8] = [
            ("release_id", |r| r.release_id = "../x".to_owned()),
            ("release_seq", |r| r.release_seq = 0),
            ("hosts", |r| r.hosts = vec!["x`) || Host(`y".to_owned()]),
            ("health_path", |r| r.health_path = "/a b".to_owned()),
            ("port", |r| r.port = 65536),
            ("replicas", |r| r.replicas = 1000),
            ("variables", |r| {
                r.variables = vec![proto::Variable { name: "PATH".to_owned(), ..Default::default() }]
            }),
            ("scope", |r| r.scope = None),
        ];
        for (field, change) in changes {
            let mut bad = good.clone();
            change(&mut bad);
            let error = world.client.start_release(bad).await.expect_err(field);
            assert_eq!(error.code(), Code::InvalidArgument, "{field}");
            assert!(error.message().starts_with(field), "{field}: {}", error.message());
        }
    });
}

/// Makes the app of the project's only container end.
async fn end(world: &mut World) {
    let id = world.status_id().await;
    let address = world.address(&id).await;
    assert_eq!(get(&format!("{address}:80"), "/crash").await, None);
    let docker = world.docker.clone();
    eventually("it has ended", || async {
        let found = docker.inspect_container(&id, None).await.expect("there");
        found.state.and_then(|state| state.running) == Some(false)
    })
    .await;
}

/// Kills the held probe of this container, as one of the host's processes.
fn kill_health_check(container: &str) -> bool {
    use rustix::process::{Pid, Signal, kill_process};
    let held = |pid: &i32| {
        let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
        read("cmdline").starts_with(b"/.paastech/probe/probe\0held\0")
            && String::from_utf8_lossy(&read("cgroup")).contains(container)
    };
    let entries = std::fs::read_dir("/proc").expect("proc");
    let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.find(held).and_then(Pid::from_raw).is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok())
}

impl World {
    /// The engine's id of the project's only container.
    async fn status_id(&mut self) -> String {
        let containers = self.status().await;
        assert_eq!(containers.len(), 1);
        containers.into_iter().next().expect("one").id
    }
}
