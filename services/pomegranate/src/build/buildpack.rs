//! Builds without a Dockerfile: the phases of the Cloud Native Buildpacks lifecycle, each in a container of its own.
//!
//! Tenant code runs in detect and build alone: not as root, without a capability, a credential or the engine, and in
//! detect without a network. Analyze, restore and export are upstream's programs from our image, and see of the
//! engine only what the build's gate lets through.

pub(crate) mod builder;
mod exit;
mod group;
mod images;
mod phase;
mod source;
mod stop;
mod verify;
pub(crate) mod workspace;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use bollard::query_parameters::ListImagesOptions;
use paastech_engine_gate::{Build as GateBuild, Gate};
use paastech_proto::pomegranate::Image;
use rand::Rng as _;
use tokio::time::Instant;

pub(crate) use self::stop::Stop;
use self::{
    builder::Builder,
    group::Group,
    phase::{Exit, Phase, Trust},
    source::{Files, Owner},
    workspace::{Volume, Workspace},
};
use crate::{
    build::{log::Log, plan::Buildpacks, registry::Order},
    config::BuildpackConfig,
    engine::Engine,
    error::Error,
};

/// The image's certificates, which may hold the host's own, and the variables by which tools find them.
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
const CERTIFICATES: [&str; 4] = ["SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "PIP_CERT", "CARGO_HTTP_CAINFO"];
/// What the buildpacks' own lines are indented by.
const INDENT: &str = "       ";
const DETECT_LIMIT: Duration = Duration::from_secs(60);
/// The trusted phases copy bytes; the build's own limit holds as well.
const TRUSTED_LIMIT: Duration = Duration::from_secs(900);
/// Lines of a quiet phase that are kept for when it fails.
const KEPT_LINES: usize = 40;

/// What a build with buildpacks works with.
pub(crate) struct Site<'a> {
    pub(crate) engine: &'a Arc<Engine>,
    pub(crate) config: &'a BuildpackConfig,
    /// The folder of engine gates.
    pub(crate) gates: &'a Path,
    pub(crate) order: &'a Order,
    /// What the image is to be called.
    pub(crate) reference: &'a str,
    pub(crate) log: &'a Log,
}

/// Builds; whatever the end, nothing of the build but its image and its caches is left.
pub(crate) async fn build(site: &Site<'_>, wanted: &Buildpacks) -> Result<Image, Stop> {
    let builder = builder::find(site.engine, site.config, wanted.builder.as_deref()).await?;
    let order_toml = order_toml(&builder, &wanted.buildpacks)?;
    let from = builder.image.clone();
    site.log.say(&format!("-----> Building with {from}"));
    let lifecycle = &site.config.lifecycle;
    images::ensure(site.engine, lifecycle).await?;
    let workspace = Workspace::create(site.engine, site.order.project, site.order.id, lifecycle).await?;
    let mut run = Run { site, builder, workspace, started: Instant::now(), spent: Vec::new() };
    run.prepare(wanted, order_toml.as_deref()).await?;
    run.phases(order_toml.is_some()).await
}

/// The order that names exactly these, if any are named.
fn order_toml(builder: &Builder, wanted: &[String]) -> Result<Option<String>, Stop> {
    let picked: Vec<_> = wanted.iter().map(|name| builder.pick(name)).collect::<Result<_, _>>()?;
    let member = |pack: &builder::Buildpack| {
        format!("  [[order.group]]\n  id = \"{}\"\n  version = \"{}\"\n", pack.id, pack.version)
    };
    let members: String = picked.iter().map(member).collect();
    Ok((!picked.is_empty()).then(|| format!("[[order]]\n{members}")))
}

struct Run<'a> {
    site: &'a Site<'a>,
    builder: Builder,
    workspace: Workspace,
    started: Instant,
    /// What each phase has taken.
    spent: Vec<(&'static str, Duration)>,
}

impl Run<'_> {
    fn owner(&self) -> Owner {
        Owner { uid: self.builder.uid, gid: self.builder.gid }
    }

    async fn prepare(&self, wanted: &Buildpacks, order: Option<&str>) -> Result<(), Stop> {
        let owner = self.owner();
        let (_, source) = &self.site.order.source;
        self.workspace.put_app(source, &wanted.path, owner).await?;
        let mut files = Files::new(owner);
        for dir in [
            "detected",
            "layers",
            "meta",
            "meta/build-config",
            "meta/build-config/env",
            "platform",
            "platform/env",
        ] {
            files.dir(dir)?;
        }
        let certificates = CERTIFICATES.map(|name| (name, CA_BUNDLE));
        let operators = self.site.config.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in certificates.into_iter().chain(operators) {
            files.file(&format!("meta/build-config/env/{name}"), value.as_bytes())?;
        }
        for (name, value) in self.site.order.env.iter().chain(&wanted.env) {
            files.file(&format!("platform/env/{name}"), value.as_bytes())?;
        }
        if let Some(order) = order {
            files.file("meta/order.toml", order.as_bytes())?;
        }
        self.workspace.put(files.finish()?).await?;
        Ok(self.workspace.own_caches(owner).await?)
    }

    async fn phases(&mut self, has_order: bool) -> Result<Image, Stop> {
        let run_image = images::ensure(self.site.engine, &self.builder.run_image).await?;
        let previous = self.previous().await?;
        let gate = GateFolder::open(self.site, &self.builder, &run_image, previous.as_ref())?;
        self.analyze(&gate, previous.as_ref()).await?;
        let group = self.detect(has_order).await?;
        self.restore(&gate).await?;
        self.compile().await?;
        self.has_web().await?;
        self.export(&gate).await?;
        drop(gate);
        self.cap_caches().await?;
        let image = self.site.engine.image(self.site.reference).await?;
        let image = image.ok_or_else(|| Stop::Ours(Error::NotFound("exported image")))?;
        let verified = verify::check(&image, &run_image)?;
        tracing::info!(build.id = %self.site.order.id, buildpacks = group.names(), "image exported");
        Ok(Image {
            id: image.id.clone().unwrap_or_default(),
            reference: self.site.reference.to_owned(),
            size_bytes: image.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
            processes: verified.processes,
            port: u32::from(image.config.as_ref().map_or(80, crate::release::spec::exposed_port)),
            buildpacks: verified.buildpacks,
            builder: self.builder.image.clone(),
            ..Image::default()
        })
    }

    async fn analyze(&mut self, gate: &GateFolder, previous: Option<&(String, String)>) -> Result<(), Stop> {
        let mut arguments = arguments("/layers", &["-daemon", "-launch-cache", "/launch-cache"]);
        arguments.extend(["-run-image".to_owned(), self.builder.run_image.clone()]);
        if let Some((reference, _)) = previous {
            arguments.extend(["-previous-image".to_owned(), reference.clone()]);
        }
        arguments.push(self.site.reference.to_owned());
        let volumes = vec![(Volume::Layers, false), (Volume::Meta, false), (Volume::LaunchCache, false)];
        let analyzer = self.trusted("analyzer", arguments, volumes, gate);
        self.quietly(&analyzer).await?;
        Ok(())
    }

    async fn detect(&mut self, has_order: bool) -> Result<Group, Stop> {
        let mut arguments = arguments("/detected", &["-app", "/workspace", "-platform", "/platform"]);
        arguments
            .extend(["-group", "/detected/group.toml", "-plan", "/detected/plan.toml"].map(str::to_owned));
        arguments.extend(["-build-config", "/meta/build-config"].map(str::to_owned));
        if has_order {
            arguments.extend(["-order", "/meta/order.toml"].map(str::to_owned));
        }
        let phase = self.tenants("detector", arguments, Volume::Detected, None, DETECT_LIMIT);
        self.quietly(&phase).await?;
        let group = self.workspace.read("/detected/group.toml").await?;
        let group = Group::parse(&group.unwrap_or_default(), &self.builder.buildpacks)?;
        let plan = self.workspace.read("/detected/plan.toml").await?.unwrap_or_default();
        let mut files = Files::new(Owner { uid: 0, gid: 0 });
        files.file("meta/group.toml", group.to_toml().as_bytes())?;
        files.file("meta/plan.toml", &plan)?;
        self.workspace.put(files.finish()?).await?;
        self.site.log.say(&format!("-----> Detected {}", group.names()));
        Ok(group)
    }

    /// A cache that cannot be restored is not worth a failed build: once more without it.
    async fn restore(&mut self, gate: &GateFolder) -> Result<(), Stop> {
        let arguments =
            arguments("/layers", &["-daemon", "-cache-dir", "/cache", "-group", "/meta/group.toml"]);
        let volumes = vec![(Volume::Layers, false), (Volume::Meta, false), (Volume::Cache, false)];
        let restorer = self.trusted("restorer", arguments, volumes, gate);
        let lines = match self.quietly(&restorer).await {
            Err(Stop::Ours(Error::Broken(why))) => {
                tracing::warn!(why, build.id = %self.site.order.id, "a cache could not be restored");
                self.site.log.say(" !     The cache could not be restored: building without it");
                self.workspace.reset_caches(self.owner()).await?;
                self.quietly(&restorer).await?
            }
            outcome => outcome?,
        };
        let restored: Vec<&str> = lines.iter().filter_map(|line| restored_layer(line)).collect();
        if !restored.is_empty() {
            self.site.log.say(&format!("-----> Restored from cache: {}", restored.join(", ")));
        }
        Ok(())
    }

    /// Caches beyond what they may take are emptied: which part of them the next build would miss least, nobody knows.
    async fn cap_caches(&mut self) -> Result<(), Stop> {
        let limit_mib = self.site.config.cache_mib;
        let bytes = self.workspace.cache_bytes().await?;
        if bytes > limit_mib << 20 {
            self.site.log.say(&format!(
                " !     The cache has {} MiB and may have {limit_mib}: it is emptied, and the next build begins anew",
                bytes >> 20
            ));
            self.workspace.reset_caches(self.owner()).await?;
        }
        Ok(())
    }

    async fn compile(&mut self) -> Result<(), Stop> {
        let mut arguments = arguments("/layers", &["-app", "/workspace", "-platform", "/platform"]);
        arguments.extend(["-group", "/meta/group.toml", "-plan", "/meta/plan.toml"].map(str::to_owned));
        arguments.extend(["-build-config", "/meta/build-config"].map(str::to_owned));
        let network = self.site.engine.ensure_build_network().await?;
        let phase =
            self.tenants("builder", arguments, Volume::Layers, Some(network), self.site.order.timeout);
        self.site.log.say("-----> Building");
        let log = self.site.log;
        self.run(&phase, |line| log.push(format!("{INDENT}{line}"))).await
    }

    /// Without it nothing could be started; the exporter says so less kindly.
    async fn has_web(&self) -> Result<(), Stop> {
        let metadata = self.workspace.read("/layers/config/metadata.toml").await?.unwrap_or_default();
        let parsed: toml::Table =
            std::str::from_utf8(&metadata).ok().and_then(|text| text.parse().ok()).unwrap_or_default();
        let processes = parsed.get("processes").and_then(toml::Value::as_array);
        let names: Vec<&str> =
            processes.into_iter().flatten().filter_map(|process| process.get("type")?.as_str()).collect();
        if names.contains(&"web") {
            return Ok(());
        }
        let known =
            if names.is_empty() { String::new() } else { format!(" (there is {})", names.join(", ")) };
        Err(Stop::failed(format!(
            "nothing says how to start the app{known}: add a Procfile with the line \"web: <command>\""
        )))
    }

    async fn export(&mut self, gate: &GateFolder) -> Result<(), Stop> {
        let mut arguments =
            arguments("/layers", &["-daemon", "-app", "/workspace", "-group", "/meta/group.toml"]);
        arguments.extend(["-report", "/layers/report.toml", "-process-type", "web"].map(str::to_owned));
        arguments.extend(["-cache-dir", "/cache", "-launch-cache", "/launch-cache"].map(str::to_owned));
        arguments.push(self.site.reference.to_owned());
        let volumes = vec![
            (Volume::App, false),
            (Volume::Layers, false),
            (Volume::Meta, true),
            (Volume::Cache, false),
            (Volume::LaunchCache, false),
        ];
        let exporter = self.trusted("exporter", arguments, volumes, gate);
        let lines = self.quietly(&exporter).await?;
        let count = |word: &str| lines.iter().filter(|line| line.contains(&format!("{word} layer"))).count();
        let (added, reused) = (count("Adding"), count("Reusing"));
        self.site.log.say(&format!("-----> Exported: {added} layers added, {reused} reused"));
        let phases: Vec<String> =
            self.spent.iter().map(|(name, spent)| format!("{name} {}", seconds(*spent))).collect();
        let all = seconds(self.started.elapsed());
        self.site.log.say(&format!("-----> All of it took {all}: {}", phases.join(", ")));
        Ok(())
    }

    fn env(&self) -> Vec<String> {
        vec![
            format!("CNB_PLATFORM_API={}", self.builder.platform_api),
            format!("CNB_USER_ID={}", self.builder.uid),
            format!("CNB_GROUP_ID={}", self.builder.gid),
        ]
    }

    fn trusted(
        &self,
        name: &'static str,
        arguments: Vec<String>,
        volumes: Vec<(Volume, bool)>,
        gate: &GateFolder,
    ) -> Phase {
        let trust = Trust::Ours { gate: gate.dir.clone() };
        let image = self.site.config.lifecycle.clone();
        Phase { name, image, arguments, env: self.env(), volumes, trust, limit: TRUSTED_LIMIT }
    }

    fn tenants(
        &self,
        name: &'static str,
        arguments: Vec<String>,
        output: Volume,
        network: Option<String>,
        limit: Duration,
    ) -> Phase {
        let user = format!("{}:{}", self.builder.uid, self.builder.gid);
        let volumes =
            vec![(Volume::App, false), (output, false), (Volume::Meta, true), (Volume::Platform, true)];
        let trust = Trust::Tenant { user, network };
        Phase { name, image: self.builder.image.clone(), arguments, env: self.env(), volumes, trust, limit }
    }

    async fn run(&mut self, phase: &Phase, told: impl FnMut(String)) -> Result<(), Stop> {
        let started = Instant::now();
        let exit: Exit = phase::run(self.site.engine, &self.workspace, self.site.config, phase, told).await?;
        let spent = started.elapsed();
        self.spent.push((phase.name, spent));
        let duration_ms = spent.as_millis();
        tracing::info!(build.id = %self.site.order.id, phase = phase.name, ?exit, duration_ms, "phase ended");
        exit::check(phase.name, &exit, self.site.config.memory_mib)
    }

    /// Runs a phase whose lines are of interest only when it fails; returns them otherwise.
    async fn quietly(&mut self, phase: &Phase) -> Result<Vec<String>, Stop> {
        let mut lines = Vec::new();
        let end = self.run(phase, |line| lines.push(line)).await;
        if end.is_err() {
            for line in &lines[lines.len().saturating_sub(KEPT_LINES)..] {
                self.site.log.push(format!("{INDENT}{line}"));
            }
        }
        end.map(|()| lines)
    }

    /// The project's last image that buildpacks made: its reference and id.
    async fn previous(&self) -> Result<Option<(String, String)>, Stop> {
        let repository = self.site.engine.repository(self.site.order.project);
        let options = ListImagesOptions {
            filters: Some([("reference".to_owned(), vec![repository.clone()])].into()),
            ..ListImagesOptions::default()
        };
        let images = self.site.engine.docker().await?.list_images(Some(options)).await?;
        let newest = images
            .into_iter()
            .filter(|image| image.labels.contains_key(images::LIFECYCLE_METADATA))
            .max_by_key(|image| image.created);
        Ok(newest.and_then(|image| {
            let reference = image.repo_tags.into_iter().find(|tag| tag.starts_with(&repository))?;
            Some((reference, image.id))
        }))
    }
}

/// Flags that every phase takes, then these.
fn arguments(layers: &str, more: &[&str]) -> Vec<String> {
    let common = ["-no-color", "-layers", layers, "-analyzed", "/meta/analyzed.toml"];
    common.iter().chain(more).map(|&word| word.to_owned()).collect()
}

fn seconds(spent: Duration) -> String {
    format!("{:.1} s", spent.as_secs_f64())
}

/// `Restoring data for "paastech/python:venv" from cache`.
fn restored_layer(line: &str) -> Option<&str> {
    line.strip_prefix("Restoring data for \"")?.split_once('"').map(|(layer, _)| layer)
}

/// The folder of a build's gate, short enough for a socket's path; it goes with the gate.
struct GateFolder {
    dir: PathBuf,
    gate: Option<Gate>,
}

impl GateFolder {
    fn open(
        site: &Site<'_>,
        builder: &Builder,
        run_image: &bollard::models::ImageInspect,
        previous: Option<&(String, String)>,
    ) -> Result<Self, Stop> {
        let mut name = [0_u8; 6];
        rand::rng().fill_bytes(&mut name);
        let dir = site.gates.join(hex::encode(name));
        std::fs::create_dir_all(&dir)?;
        let mut readable = vec![builder.run_image.clone()];
        readable.extend(run_image.id.clone());
        readable.extend(previous.iter().flat_map(|(reference, id)| [reference.clone(), id.clone()]));
        let build = GateBuild {
            target: site.reference.to_owned(),
            readable,
            image_bytes: site.config.disk_mib << 20,
        };
        let mut folder = Self { dir, gate: None };
        folder.gate = Some(Gate::open(&folder.dir.join("s"), site.engine.socket(), &build)?);
        Ok(folder)
    }
}

impl Drop for GateFolder {
    fn drop(&mut self) {
        drop(self.gate.take());
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            tracing::warn!(%error, "a gate's folder cannot be removed");
        }
    }
}
