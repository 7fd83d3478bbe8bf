//! Tenants' code is alone.

use crate::Platform;

pub(super) async fn apps_reach_neither_each_other_nor_the_engine(platform: &Platform) {
    let developer = platform.developer().await;
    let (victim, _theirs) = developer.live(platform, "victim").await;
    let address = platform.engine.address_of(&victim.id).await.expect("an app has an address");
    let other = platform.developer().await;
    let (project, _repository) = other.live(platform, "curious").await;
    let dial = async |target: &str| {
        project.site.get(&format!("/dial/{target}")).await.expect("the proxy answers").body
    };
    assert_eq!(dial(&format!("{address}:8080")).await, "unreachable");
    assert_eq!(dial("127.0.0.1:8080").await, "connected", "the question itself works");
    assert_eq!(project.site.get("/exists/var/run/docker.sock").await.expect("it answers").body, "no");
}
