//! The certificates between services are renewed by a timer of systemd's, in a container that has their folder alone.

use anyhow::Result;

use super::{images, settings::Settings};
use crate::systemd;

const WANTED_BY: Option<&str> = Some("timers.target");

/// Writes the timer, and has it run.
pub(super) async fn keep(settings: &Settings) -> Result<()> {
    let [service, timer] = names(settings.name());
    systemd::keep(&service, &service_text(settings), None)?;
    systemd::keep(&timer, TIMER, WANTED_BY)?;
    systemd::start(&timer).await
}

/// Removes it.
pub(super) fn forget(name: &str) {
    let [service, timer] = names(name);
    systemd::forget(&timer, WANTED_BY);
    systemd::forget(&service, None);
}

fn names(installation: &str) -> [String; 2] {
    ["service", "timer"].map(|kind| format!("{installation}-certs.{kind}"))
}

/// A host that was off then is seen to when it is on.
const TIMER: &str = "[Unit]
Description=Renew the certificates between PaaSTech's services

[Timer]
OnCalendar=weekly
Persistent=true
RandomizedDelaySec=1h

[Install]
WantedBy=timers.target
";

fn service_text(settings: &Settings) -> String {
    // The folder is root's; the files keep their owners.
    format!(
        "[Unit]\nDescription=Renew the certificates between PaaSTech's services\nAfter=docker.service\n\n\
         [Service]\nType=oneshot\nExecStart=/usr/bin/docker run --rm --network none --read-only --user 0:0 \
         --cap-drop ALL --cap-add CHOWN --cap-add DAC_OVERRIDE --security-opt no-new-privileges \
         --volume {}/certs:/certs --entrypoint paastech-admin {}/api:{} certs --dir /certs\n",
        settings.dir.display(),
        images::REPOSITORY,
        settings.tag(),
    )
}
