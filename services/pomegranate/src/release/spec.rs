//! What a release's containers are made of: the checked request, and the engine's description with hardened defaults.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, ImageConfig, ImageInspect,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};
use paastech_labels::{HostName, RouteLabels, reserved};
use paastech_proto::pomegranate::StartReleaseRequest;
use paastech_types::{ProjectId, ReleaseId, VariableName};

use crate::{
    config::LimitsConfig,
    engine::Engine,
    error::Error,
    request,
    volume::{self, GATE_PATH, PROBE_PATH},
};

/// What an image that runs as root may still do; any other user gets nothing.
const ROOT_CAPABILITIES: [&str; 6] =
    ["CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "NET_BIND_SERVICE"];
const MIB: u64 = 1 << 20;
/// Enough for a server, and below what an engine without CAP_SYS_RESOURCE may hand out.
const OPEN_FILES: i64 = 16_384;
const MAX_REPLICAS: u32 = 16;
const MAX_VARIABLES_BYTES: usize = 128 << 10;
/// Between two runs of the held probe; the engine starts the first one this long after the container.
const HEALTH_INTERVAL_NS: i64 = 250_000_000;
const HEALTH_TIMEOUT_NS: i64 = 24 * 3600 * 1_000_000_000;

/// A checked `StartRelease`.
pub(crate) struct ReleaseSpec {
    /// The project.
    pub(crate) project: ProjectId,
    /// The release.
    pub(crate) release: ReleaseId,
    seq: i64,
    /// What the containers are created from.
    pub(crate) image_reference: String,
    /// Opens the project's repository to pull.
    pub(crate) registry_token: String,
    process: String,
    command: Vec<String>,
    variables: Vec<(VariableName, String)>,
    port: u16,
    health_path: String,
    /// How many containers.
    pub(crate) replicas: u32,
    memory_bytes: u64,
    cpu_millis: u32,
    pids: u32,
    hosts: Vec<HostName>,
}

impl ReleaseSpec {
    /// Checks every field.
    pub(crate) fn parse(request: StartReleaseRequest, defaults: &LimitsConfig) -> Result<Self, Error> {
        let scope = request::scope(request.scope.clone())?;
        let limits = request.limits.unwrap_or_default();
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let memory_bytes = match limits.memory_bytes {
            0 => u64::from(defaults.memory_mib) * MIB,
            given => given,
        };
        ensure(memory_bytes >= 8 * MIB, "limits.memory_bytes: at least 8 MiB")?;
        ensure(request.release_seq >= 1, "release_seq: from 1")?;
        ensure(request.replicas <= MAX_REPLICAS, "replicas: at most 16")?;
        let reference = &request.image_reference;
        ensure(
            (1..=512).contains(&reference.len()) && reference.bytes().all(|b| b.is_ascii_graphic()),
            "image_reference: 1 to 512 printable characters",
        )?;
        ensure(
            (1..=63).contains(&request.process.len())
                && request.process.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
            "process: 1 to 63 lower-case letters, digits and hyphens",
        )?;
        ensure(request.command.iter().all(|word| !word.contains('\0')), "command: no NUL")?;
        let path = &request.health_path;
        ensure(
            path.is_empty()
                || (path.starts_with('/') && path.len() <= 512 && path.bytes().all(|b| b.is_ascii_graphic())),
            "health_path: begins with / and holds printable characters only, at most 512",
        )?;
        let hosts = request.hosts.iter().map(|host| {
            host.parse::<HostName>().map_err(|why| Error::Invalid(format!("hosts: {host:?} {why}")))
        });
        Ok(Self {
            project: scope.project,
            release: request::id(&request.release_id, "release_id")?,
            seq: request.release_seq,
            process: request.process.clone(),
            variables: variables(&request)?,
            port: u16::try_from(request.port)
                .map_err(|_| Error::Invalid("port: at most 65535".to_owned()))?,
            replicas: or(request.replicas, 1),
            memory_bytes,
            cpu_millis: or(limits.cpu_millis, defaults.cpu_millis),
            pids: or(limits.pids, defaults.pids),
            hosts: hosts.collect::<Result<_, _>>()?,
            image_reference: request.image_reference,
            registry_token: request.registry_token,
            command: request.command,
            health_path: request.health_path,
        })
    }

    /// The port the app must listen on: the given one, else the image's single exposed one, else 80.
    pub(crate) fn port(&self, image: &ImageInspect) -> u16 {
        match self.port {
            0 => image.config.as_ref().map_or(80, exposed_port),
            given => given,
        }
    }

    /// The labels of the release's `ordinal`-th container.
    pub(crate) fn labels(&self, engine: &Engine, image: &ImageInspect, ordinal: u32) -> RouteLabels {
        RouteLabels {
            instance: engine.instance.clone(),
            project: self.project,
            release: self.release,
            seq: self.seq,
            process: self.process.clone(),
            ordinal,
            hosts: self.hosts.clone(),
            port: self.port(image),
            network: engine.network(),
            spec_hash: engine.key.digest(&self.canonical(engine, image)),
        }
    }

    /// What the engine is asked to create, whole.
    pub(crate) fn body(&self, engine: &Engine, image: &ImageInspect, ordinal: u32) -> ContainerCreateBody {
        let labels = self.labels(engine, image, ordinal).to_labels(&engine.key);
        ContainerCreateBody { labels: Some(labels.into_iter().collect()), ..self.unlabelled(engine, image) }
    }

    /// The same description always gives the same bytes: nothing in it is a map with more than one key.
    fn canonical(&self, engine: &Engine, image: &ImageInspect) -> Vec<u8> {
        let mut body = self.unlabelled(engine, image);
        if let Some(host) = &mut body.host_config {
            host.log_config = None;
        }
        serde_json::to_vec(&body).expect("a description of strings and numbers is JSON")
    }

    fn unlabelled(&self, engine: &Engine, image: &ImageInspect) -> ContainerCreateBody {
        let port = self.port(image);
        let mut env = vec![format!("PORT={port}")];
        env.extend(self.variables.iter().map(|(name, value)| format!("{name}={value}")));
        let mut test = vec!["CMD".to_owned(), PROBE_PATH.to_owned(), "held".to_owned()];
        test.extend(["--gate".to_owned(), GATE_PATH.to_owned()]);
        test.extend(self.check_arguments(port));
        let own_command = !self.command.is_empty();
        ContainerCreateBody {
            // By id: a tag may move between the check and the creation.
            image: image.id.clone(),
            env: Some(env),
            entrypoint: own_command.then(|| self.command.clone()),
            cmd: own_command.then(Vec::new),
            healthcheck: Some(HealthConfig {
                test: Some(test),
                interval: Some(HEALTH_INTERVAL_NS),
                timeout: Some(HEALTH_TIMEOUT_NS),
                retries: Some(1),
                ..HealthConfig::default()
            }),
            host_config: Some(self.host_config(engine, image)),
            ..ContainerCreateBody::default()
        }
    }

    fn host_config(&self, engine: &Engine, image: &ImageInspect) -> HostConfig {
        let memory = i64::try_from(self.memory_bytes).ok();
        let limit = |name: &str, value| ResourcesUlimits {
            name: Some(name.to_owned()),
            soft: Some(value),
            hard: Some(value),
        };
        let log = [("max-size", "10m"), ("max-file", "3")];
        HostConfig {
            network_mode: Some(engine.network()),
            mounts: Some(volume::mounts(engine, self.project, self.release)),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: is_root(image).then(|| ROOT_CAPABILITIES.map(str::to_owned).into()),
            security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
            privileged: Some(false),
            ipc_mode: Some("private".to_owned()),
            memory,
            memory_swap: memory,
            nano_cpus: Some(i64::from(self.cpu_millis) * 1_000_000),
            cpu_shares: Some(i64::from(self.cpu_millis).clamp(2, 1024)),
            pids_limit: Some(i64::from(self.pids)),
            oom_score_adj: Some(500),
            ulimits: Some(vec![limit("nofile", OPEN_FILES), limit("core", 0)]),
            shm_size: Some(64 << 20),
            init: Some(true),
            log_config: Some(HostConfigLogConfig {
                typ: Some("local".to_owned()),
                config: Some(log.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            }),
            // Until the gate opens an exit is final, so that it can be seen and told; then `always`.
            restart_policy: Some(restart(RestartPolicyNameEnum::NO)),
            ..HostConfig::default()
        }
    }

    /// The probe's arguments for this app.
    pub(crate) fn check_arguments(&self, port: u16) -> Vec<String> {
        let mut arguments = vec!["--port".to_owned(), port.to_string()];
        if !self.health_path.is_empty() {
            arguments.extend(["--path".to_owned(), self.health_path.clone()]);
        }
        arguments
    }
}

/// A restart policy.
pub(crate) fn restart(name: RestartPolicyNameEnum) -> RestartPolicy {
    RestartPolicy { name: Some(name), maximum_retry_count: None }
}

/// The port of the image's single `EXPOSE … /tcp`, else 80.
pub(crate) fn exposed_port(config: &ImageConfig) -> u16 {
    let exposed = config.exposed_ports.as_deref().unwrap_or_default();
    let ports: Vec<u16> =
        exposed.iter().filter_map(|port| port.strip_suffix("/tcp").unwrap_or(port).parse().ok()).collect();
    match ports.as_slice() {
        [single] => *single,
        _ => 80,
    }
}

/// Why an image may not run here, if it may not.
pub(crate) fn refusal(image: &ImageInspect, require_non_root: bool) -> Option<String> {
    let labels: HashMap<String, String> =
        image.config.as_ref().and_then(|config| config.labels.clone()).unwrap_or_default();
    let mut keys: Vec<&str> = labels.keys().map(String::as_str).collect();
    keys.sort_unstable();
    if let Some(label) = reserved(keys) {
        return Some(format!(
            "the image has the label \"{label}\": labels that begin with traefik., paastech. or com.docker. \
             are reserved for the platform"
        ));
    }
    let numeric_user = user(image).split(':').next().is_some_and(|user| user.parse::<u32>().is_ok());
    (require_non_root && (is_root(image) || !numeric_user))
        .then(|| "the image runs as root or as a named user: set a numeric USER other than 0".to_owned())
}

fn user(image: &ImageInspect) -> &str {
    image.config.as_ref().and_then(|config| config.user.as_deref()).unwrap_or_default()
}

fn is_root(image: &ImageInspect) -> bool {
    matches!(user(image).split(':').next(), None | Some("" | "root"))
        || user(image).split(':').next().is_some_and(|user| user.parse() == Ok(0_u32))
}

fn variables(request: &StartReleaseRequest) -> Result<Vec<(VariableName, String)>, Error> {
    let mut seen = BTreeSet::new();
    let mut bytes = 0;
    let mut variables = Vec::new();
    for variable in &request.variables {
        let name: VariableName = variable
            .name
            .parse()
            .map_err(|why| Error::Invalid(format!("variables: {:?} {why}", variable.name)))?;
        ensure(!variable.value.contains('\0'), "variables: no NUL in a value")?;
        bytes += variable.name.len() + variable.value.len() + 2;
        ensure(bytes <= MAX_VARIABLES_BYTES, "variables: at most 128 KiB together")?;
        ensure(seen.insert(name.clone()), "variables: each name once")?;
        variables.push((name, variable.value.clone()));
    }
    Ok(variables)
}

fn ensure(holds: bool, why: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(Error::Invalid(why.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(config: ImageConfig) -> ImageInspect {
        ImageInspect { config: Some(config), ..ImageInspect::default() }
    }

    fn with_user(user: &str) -> ImageInspect {
        image(ImageConfig { user: Some(user.to_owned()), ..ImageConfig::default() })
    }

    #[test]
    fn a_single_exposed_tcp_port_is_the_port() {
        let port = |ports: &[&str]| {
            let ports = ports.iter().map(|port| (*port).to_owned()).collect();
            exposed_port(&ImageConfig { exposed_ports: Some(ports), ..ImageConfig::default() })
        };
        assert_eq!(port(&["3000/tcp"]), 3000);
        assert_eq!(port(&["3000/tcp", "53/udp"]), 3000);
        assert_eq!(port(&["3000/tcp", "3001/tcp"]), 80);
        assert_eq!(port(&["53/udp"]), 80);
        assert_eq!(port(&[]), 80);
    }

    #[test]
    fn root_has_several_names() {
        for user in ["", "root", "0", "0:1000", "root:root", "00"] {
            assert!(is_root(&with_user(user)), "{user:?}");
        }
        for user in ["1", "app", "10001:0"] {
            assert!(!is_root(&with_user(user)), "{user:?}");
        }
    }

    #[test]
    fn an_operator_may_require_a_numeric_user_other_than_root() {
        for (user, refused) in [("", true), ("0", true), ("app", true), ("10001", false), ("10001:0", false)]
        {
            assert_eq!(refusal(&with_user(user), true).is_some(), refused, "{user:?}");
            assert_eq!(refusal(&with_user(user), false), None, "{user:?}");
        }
    }

    #[test]
    fn a_reserved_label_is_named() {
        let labels = [("maintainer", "x"), ("TRAEFIK.enable", "true")];
        let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let why = refusal(&image(ImageConfig { labels: Some(labels), ..ImageConfig::default() }), false);
        assert!(why.is_some_and(|why| why.contains("\"TRAEFIK.enable\"")));
    }
}
