//! What a build leaves: an image that may run here.

use bollard::models::ImageInspect;
use paastech_proto::pomegranate::{Image, Process};

use crate::release::spec::exposed_port;

/// The image as the api wants to know it. A Dockerfile has one process: `web`, the image's own command.
pub(crate) fn describe(image: &ImageInspect, reference: &str) -> Image {
    Image {
        id: image.id.clone().unwrap_or_default(),
        reference: reference.to_owned(),
        size_bytes: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        processes: vec![Process { name: "web".to_owned(), ..Process::default() }],
        port: u32::from(image.config.as_ref().map_or(80, exposed_port)),
        ..Image::default()
    }
}

/// Why the image could never be started, if so.
pub(crate) fn without_command(image: &ImageInspect) -> Option<String> {
    let config = image.config.as_ref();
    let empty = |words: Option<&Vec<String>>| words.is_none_or(Vec::is_empty);
    (empty(config.and_then(|c| c.cmd.as_ref())) && empty(config.and_then(|c| c.entrypoint.as_ref())))
        .then(|| "the image has no command: end the Dockerfile with CMD or ENTRYPOINT".to_owned())
}
