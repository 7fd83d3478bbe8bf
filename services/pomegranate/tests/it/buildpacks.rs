//! Sources without a Dockerfile, through the real lifecycle, builder and engine.

use paastech_proto::pomegranate::{BuildOutcome, BuildResult};
use paastech_types::BuildId;

use crate::world::{World, in_world};

/// Builds a source as it says itself.
async fn build(world: &mut World, files: &[(&str, &str)]) -> (Vec<String>, BuildResult) {
    let build = start(world, files).await;
    let (lines, result) = world.follow(build).await;
    (lines.into_iter().map(|line| line.text).collect(), result)
}

async fn start(world: &mut World, files: &[(&str, &str)]) -> BuildId {
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, text)| (*name, (*text).into())).collect();
    let request = world.upload(&files, 0).await;
    world.client.start_build(request.clone()).await.expect("the build starts");
    request.build_id.parse().expect("an id")
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
