//! Status, logs, stats and the list, and the answer when the engine is not there.

use futures_util::StreamExt as _;
use paastech_proto::pomegranate as proto;
use tonic::Code;

use crate::world::{client, get, in_world};

#[test]
fn logs_carry_stream_and_time_and_can_be_followed() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        let logs = proto::LogsRequest {
            project_id: world.project.to_string(),
            follow: true,
            ..proto::LogsRequest::default()
        };
        let mut lines = world.client.logs(logs.clone()).await.expect("logs").into_inner();
        let line = lines.next().await.expect("a line").expect("no error");
        assert_eq!((line.stream.as_str(), line.text.as_str()), ("stdout", "listening on 0.0.0.0:80"));
        assert_eq!(line.container, world.status().await[0].name);
        assert!(line.at_ms > 1_600_000_000_000);
        let later = proto::LogsRequest { since_ms: line.at_ms + 1, follow: false, ..logs };
        let lines = world.client.logs(later).await.expect("logs").into_inner();
        assert_eq!(lines.count().await, 0);
    });
}

#[test]
fn the_last_line_is_told_even_without_its_end() {
    in_world(|mut world| async move {
        let image = world.image(&["unfinished"], "").await;
        let request = world.release(&image, 1);
        assert!(!world.start(&request, 5).await.ready);
        let logs = proto::LogsRequest { project_id: world.project.to_string(), ..Default::default() };
        let lines = world.client.logs(logs).await.expect("logs").into_inner();
        let texts: Vec<String> = lines.map(|line| line.expect("no error").text).collect().await;
        assert_eq!(texts, ["a line", "and half a"]);
    });
}

#[test]
fn stats_tell_memory_and_its_limit() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 1);
        assert!(world.start(&request, 20).await.ready);
        let stats = proto::StatsRequest { project_id: world.project.to_string() };
        let stats = world.client.stats(stats).await.expect("stats").into_inner().containers.remove(0);
        assert_eq!(stats.memory_limit_bytes, 512 << 20);
        assert!(stats.memory_bytes > 0 && stats.pids >= 2, "{stats:?}");
        assert_eq!(stats.container, world.status().await[0].name);
    });
}

#[test]
fn the_list_holds_containers_and_images() {
    in_world(|mut world| async move {
        let image = world.image(&["serve"], "").await;
        let request = world.release(&image, 3);
        assert!(world.start(&request, 20).await.ready);
        let list = world.client.list(proto::ListRequest {}).await.expect("lists").into_inner();
        assert_eq!(list.containers.len(), 1);
        let container = &list.containers[0];
        assert_eq!((container.release_seq, container.ordinal, container.process.as_str()), (3, 1, "web"));
        assert_eq!(container.image_id, image.id);
        assert!(container.started_at_ms > 0);
        let expected = proto::HeldImage {
            project_id: world.project.to_string(),
            reference: image.reference,
            id: image.id,
        };
        assert_eq!(list.images, [expected]);
    });
}

#[test]
fn containers_do_not_reach_each_other() {
    in_world(|mut world| async move {
        let found = {
            let image = world.image(&["serve"], "").await;
            let request = world.release(&image, 1);
            assert!(world.start(&request, 20).await.ready);
            let container = world.status().await.remove(0);
            let address = world.address(&container.id).await;
            assert!(get(&format!("{address}:80"), "/").await.is_some(), "the host does");
            let found = world.docker.inspect_container(&container.id, None).await.expect("there");
            let network = found.host_config.and_then(|host| host.network_mode).expect("a network");
            world.docker.inspect_network(&network, None).await.expect("there")
        };
        let options = found.options.expect("options");
        assert_eq!(options["com.docker.network.bridge.enable_icc"], "false");
        assert!(options["com.docker.network.bridge.name"].starts_with("pt-"));
    });
}

#[test]
fn without_an_engine_calls_are_unavailable() {
    in_world(|world| async move {
        let mut config = world.config.clone();
        config.socket = "/nonexistent/docker.sock".into();
        let mut client = client(config).await;
        let status = proto::StatusRequest { project_id: world.project.to_string() };
        let error = client.status(status).await.expect_err("no engine");
        assert_eq!(error.code(), Code::Unavailable);
        assert_eq!(error.message(), "the container engine does not answer");
    });
}
