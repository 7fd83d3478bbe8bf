//! Sources without a Dockerfile, through the real lifecycle, builder and engine.

use paastech_proto::pomegranate::{
    self as proto, BuildOutcome, BuildResult, put_source_request::Part, start_build_request::Method,
};
use paastech_types::BuildId;

use crate::world::{World, in_world, tar_of};

/// Builds a source as it says itself.
async fn build(world: &mut World, files: &[(&str, &str)]) -> (Vec<String>, BuildResult) {
    let build = start(world, files).await;
    let (lines, result) = world.follow(build).await;
    (lines.into_iter().map(|line| line.text).collect(), result)
}

async fn start(world: &mut World, files: &[(&str, &str)]) -> BuildId {
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, text)| (*name, (*text).into())).collect();
    let (source, build) = (uuid::Uuid::now_v7(), BuildId::new());
    let header = proto::SourceHeader { scope: world.scope(1), source_id: source.to_string() };
    let mut messages = vec![proto::PutSourceRequest { part: Some(Part::Header(header)) }];
    messages.extend(
        tar_of(&files)
            .chunks(64 << 10)
            .map(|chunk| proto::PutSourceRequest { part: Some(Part::Chunk(chunk.to_vec())) }),
    );
    world.client.put_source(futures_util::stream::iter(messages)).await.expect("the source is taken");
    let request = proto::StartBuildRequest {
        scope: world.scope(1),
        build_id: build.to_string(),
        source_id: source.to_string(),
        method: Some(Method::Source(proto::SourceBuild::default())),
        ..Default::default()
    };
    world.client.start_build(request).await.expect("the build starts");
    build
}

#[test]
fn a_static_site_needs_no_dockerfile() {
    in_world(async |mut world| {
        let files = [("index.html", "<h1>hello</h1>"), ("paastech.yaml", "health: /\n")];
        let (lines, result) = build(&mut world, &files).await;
        assert_eq!(result.outcome(), BuildOutcome::Succeeded, "{} {lines:#?}", result.message);
        let image = result.image.expect("an image");
        let used: Vec<&str> = image.buildpacks.iter().map(|pack| pack.id.as_str()).collect();
        assert_eq!((used, image.health_path.as_str()), (vec!["paastech/static"], "/"));
        let request = world.release(&image, 1);
        let ready = world.start(&request, 20).await;
        assert!(ready.ready, "{ready:?}");
    });
}
