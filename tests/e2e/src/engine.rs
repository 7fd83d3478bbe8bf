//! What one installation has in the container engine.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use bollard::{
    API_DEFAULT_VERSION, Docker,
    models::{ContainerInspectResponse, EndpointSettings, VolumeCreateRequest},
    query_parameters::{
        InspectContainerOptions, ListContainersOptions, ListImagesOptions, ListNetworksOptions,
        ListVolumesOptions, RemoveContainerOptions, RemoveImageOptions, RemoveVolumeOptions,
    },
};
use paastech_labels::image_prefix;

/// A service of an installation under docker-compose.
#[derive(Debug)]
pub(crate) struct Service {
    id: String,
    pub(crate) name: String,
    pub(crate) state: String,
    /// Its health check has failed for a while.
    pub(crate) is_ill: bool,
}

/// The engine, seen by one installation.
pub(crate) struct Engine {
    docker: Docker,
    instance: String,
}

impl Engine {
    /// The engine as nobody's yet.
    pub(crate) async fn connect(socket: &Path) -> Result<Self> {
        let path = socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&path, 120, API_DEFAULT_VERSION)?;
        let docker = docker
            .negotiate_version()
            .await
            .with_context(|| format!("no engine answers on {path}: `cargo xtask engine` installs one"))?;
        Ok(Self { docker, instance: String::new() })
    }

    /// As this installation sees it.
    pub(crate) fn seen_by(self, instance: &str) -> Self {
        Self { instance: instance.to_owned(), ..self }
    }

    fn labelled(&self, more: &[String]) -> HashMap<String, Vec<String>> {
        let mut labels = vec![format!("paastech.instance={}", self.instance)];
        labels.extend_from_slice(more);
        HashMap::from([("label".to_owned(), labels)])
    }

    /// The ids of a project's containers, running or not.
    pub(crate) async fn containers_of(&self, project: &str) -> Result<Vec<String>> {
        self.containers(&[format!("paastech.project={project}")]).await
    }

    async fn containers(&self, more: &[String]) -> Result<Vec<String>> {
        let filters = Some(self.labelled(more));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let found = self.docker.list_containers(Some(options)).await?;
        Ok(found.into_iter().filter_map(|container| container.id).collect())
    }

    /// The address of a project's only app.
    pub(crate) async fn address_of(&self, project: &str) -> Option<String> {
        self.network_of(project).await?.ip_address.filter(|address| !address.is_empty())
    }

    /// This host's address as a project's only app sees it.
    pub(crate) async fn gateway_of(&self, project: &str) -> Option<String> {
        self.network_of(project).await?.gateway.filter(|address| !address.is_empty())
    }

    /// The names by digest of what a project's only app was made from.
    pub(crate) async fn image_of(&self, project: &str) -> Option<Vec<String>> {
        let id = self.containers_of(project).await.ok()?.pop()?;
        let found = self.docker.inspect_container(&id, None::<InspectContainerOptions>).await.ok()?;
        self.docker.inspect_image(&found.image?).await.ok()?.repo_digests
    }

    async fn network_of(&self, project: &str) -> Option<EndpointSettings> {
        let id = self.containers_of(project).await.ok()?.pop()?;
        let found = self.docker.inspect_container(&id, None::<InspectContainerOptions>).await.ok()?;
        found.network_settings?.networks?.into_values().next()
    }

    async fn volumes(&self, more: &[String]) -> Result<Vec<String>> {
        let options = ListVolumesOptions { filters: Some(self.labelled(more)) };
        let found = self.docker.list_volumes(Some(options)).await?;
        Ok(found.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect())
    }

    async fn networks(&self) -> Result<Vec<String>> {
        let options = ListNetworksOptions { filters: Some(self.labelled(&[])) };
        let found = self.docker.list_networks(Some(options)).await?;
        Ok(found.into_iter().filter_map(|network| network.id).collect())
    }

    /// Those of all networks, whoever has them, such as `10.187.1.0/28`.
    pub(crate) async fn subnets(&self) -> Result<Vec<String>> {
        let found = self.docker.list_networks(None).await?;
        let all = found.into_iter().filter_map(|network| network.ipam?.config).flatten();
        Ok(all.filter_map(|config| config.subnet).collect())
    }

    /// Images are known by their names: one image may be that of several installations.
    async fn images(&self, project: &str) -> Result<Vec<String>> {
        let prefix = image_prefix(&self.instance);
        let reference = format!("{prefix}/{project}");
        let filters = Some(HashMap::from([("reference".to_owned(), vec![reference])]));
        let options = ListImagesOptions { all: true, filters, ..ListImagesOptions::default() };
        let found = self.docker.list_images(Some(options)).await?;
        let names = found.into_iter().flat_map(|image| image.repo_tags);
        Ok(names.filter(|name| name.starts_with(&format!("{prefix}/"))).collect())
    }

    /// Everything of one project, by name.
    pub(crate) async fn objects_of(&self, project: &str) -> Result<Vec<String>> {
        let label = [format!("paastech.project={project}")];
        let mut all = self.containers(&label).await?;
        all.extend(self.volumes(&label).await?);
        all.extend(self.images(project).await?);
        Ok(all)
    }

    /// The services of an installation under docker-compose.
    pub(crate) async fn services(&self, name: &str) -> Result<Vec<Service>> {
        let label = format!("com.docker.compose.project={name}");
        let filters = Some(HashMap::from([("label".to_owned(), vec![label])]));
        let options = ListContainersOptions { all: true, filters, ..ListContainersOptions::default() };
        let found = self.docker.list_containers(Some(options)).await?;
        Ok(found
            .into_iter()
            .map(|container| Service {
                id: container.id.unwrap_or_default(),
                name: container
                    .labels
                    .and_then(|mut labels| labels.remove("com.docker.compose.service"))
                    .unwrap_or_default(),
                state: container.state.map(|state| state.to_string()).unwrap_or_default(),
                is_ill: container.status.is_some_and(|status| status.ends_with("(unhealthy)")),
            })
            .collect())
    }

    /// The addresses of an installation's services, each with its service, and of this host on their networks.
    pub(crate) async fn addresses(&self, installation: &str) -> Result<BTreeMap<String, String>> {
        let mut all = BTreeMap::new();
        for (name, found) in self.inspect(installation).await? {
            let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
            for network in networks.into_values() {
                all.extend(network.ip_address.map(|address| (address, name.clone())));
                all.extend(network.gateway.map(|address| (address, "host".to_owned())));
            }
        }
        all.remove("");
        Ok(all)
    }

    /// An installation's services by name, as the engine has them.
    pub(crate) async fn inspect(
        &self,
        installation: &str,
    ) -> Result<Vec<(String, ContainerInspectResponse)>> {
        let mut all = Vec::new();
        for Service { id, name, .. } in self.services(installation).await? {
            all.push((name, self.docker.inspect_container(&id, None::<InspectContainerOptions>).await?));
        }
        Ok(all)
    }

    async fn service(&self, installation: &str, name: &str) -> Result<Service> {
        let mut services = self.services(installation).await?.into_iter();
        services.find(|service| service.name == name).with_context(|| format!("there is no service {name}"))
    }

    /// Kills a service.
    pub(crate) async fn kill(&self, installation: &str, name: &str) -> Result<()> {
        let id = self.service(installation, name).await?.id;
        Ok(self.docker.kill_container(&id, None).await?)
    }

    /// Starts a killed service again.
    pub(crate) async fn start(&self, installation: &str, name: &str) -> Result<()> {
        let id = self.service(installation, name).await?.id;
        Ok(self.docker.start_container(&id, None).await?)
    }

    /// Makes a volume; where its files are on this host.
    pub(crate) async fn make_volume(&self, name: &str) -> Result<PathBuf> {
        let request = VolumeCreateRequest { name: Some(name.to_owned()), ..VolumeCreateRequest::default() };
        Ok(self.docker.create_volume(request).await?.mountpoint.into())
    }

    /// Where a volume's files are on this host.
    pub(crate) async fn volume(&self, name: &str) -> Result<PathBuf> {
        Ok(self.docker.inspect_volume(name).await?.mountpoint.into())
    }

    /// What a project's builds have.
    pub(crate) async fn builds_of(&self, project: &str) -> Result<Vec<String>> {
        let labels = [format!("paastech.project={project}"), "paastech.kind=build".to_owned()];
        let mut all = self.containers(&labels).await?;
        all.extend(self.volumes(&labels).await?);
        Ok(all)
    }

    /// Removes everything of the installation.
    pub(crate) async fn clean(&self) -> Result<()> {
        for id in self.containers(&[]).await? {
            let options =
                RemoveContainerOptions { force: true, v: true, ..RemoveContainerOptions::default() };
            self.docker.remove_container(&id, Some(options)).await?;
        }
        for name in self.volumes(&[]).await? {
            let options = RemoveVolumeOptions { force: true };
            self.docker.remove_volume(&name, Some(options)).await?;
        }
        for id in self.networks().await? {
            self.docker.remove_network(&id).await?;
        }
        for name in self.images("*").await? {
            let options = RemoveImageOptions { force: true, ..RemoveImageOptions::default() };
            self.docker.remove_image(&name, Some(options), None).await?;
        }
        Ok(())
    }
}
