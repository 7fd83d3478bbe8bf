//! Labels of what is ours but carries no traffic: networks, volumes, containers that only hold a volume.

use std::{collections::BTreeMap, str::FromStr};

use paastech_types::{BuildId, ProjectId, ReleaseId};

use crate::{LabelError, LabelKey, names};

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ObjectKind {
    /// A container of a release: [`crate::RouteLabels`].
    App,
    /// The bridge that apps are on.
    Network,
    /// The volume with the probe.
    Probe,
    /// A release's gate volume.
    Gate,
    /// A container that is never started and only gives access to a volume.
    Holder,
    /// The bridge that builds are on.
    BuildNetwork,
    /// A container or volume of one build.
    Build,
    /// A volume with what one build of a project leaves for the next.
    Cache,
}

impl ObjectKind {
    const ALL: [Self; 8] = [
        Self::App,
        Self::Network,
        Self::Probe,
        Self::Gate,
        Self::Holder,
        Self::BuildNetwork,
        Self::Build,
        Self::Cache,
    ];

    /// The label's value.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Network => "network",
            Self::Probe => "probe",
            Self::Gate => "gate",
            Self::Holder => "holder",
            Self::BuildNetwork => "build-network",
            Self::Build => "build",
            Self::Cache => "cache",
        }
    }
}

/// What the labels of such an object say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectLabels {
    /// The installation.
    pub instance: String,
    /// What it is for.
    pub kind: ObjectKind,
    /// Whose it is, when it is one project's.
    pub project: Option<ProjectId>,
    /// The release it belongs to.
    pub release: Option<ReleaseId>,
    /// The build it belongs to.
    pub build: Option<BuildId>,
}

impl ObjectLabels {
    /// The labels of something that all projects share.
    pub fn shared(instance: impl Into<String>, kind: ObjectKind) -> Self {
        Self { instance: instance.into(), kind, project: None, release: None, build: None }
    }

    /// The labels, signed.
    #[must_use]
    pub fn to_labels(&self, key: &LabelKey) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::new();
        let mut put = |name: &str, value: String| labels.insert(name.to_owned(), value);
        put(names::INSTANCE, self.instance.clone());
        put(names::KIND, self.kind.name().to_owned());
        if let Some(project) = self.project {
            put(names::PROJECT, project.to_string());
        }
        if let Some(release) = self.release {
            put(names::RELEASE, release.to_string());
        }
        if let Some(build) = self.build {
            put(names::BUILD, build.to_string());
        }
        key.sign(&mut labels);
        labels
    }

    /// Reads labels back; they count only when they are this installation's and signed with this key.
    ///
    /// # Errors
    /// Foreign, forged or malformed labels.
    pub fn verify<'a>(
        labels: impl IntoIterator<Item = (&'a String, &'a String)>,
        key: &LabelKey,
        instance: &str,
    ) -> Result<Self, LabelError> {
        let labels = owned(labels, key, instance)?;
        Ok(Self {
            instance: instance.to_owned(),
            kind: kind(&labels)?,
            project: optional(&labels, names::PROJECT)?,
            release: optional(&labels, names::RELEASE)?,
            build: optional(&labels, names::BUILD)?,
        })
    }
}

/// Our labels among these, when they are of this installation and the signature holds.
pub(crate) fn owned<'a>(
    labels: impl IntoIterator<Item = (&'a String, &'a String)>,
    key: &LabelKey,
    instance: &str,
) -> Result<BTreeMap<String, String>, LabelError> {
    let labels: BTreeMap<String, String> =
        labels.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    if labels.get(names::INSTANCE).is_none_or(|found| found != instance) {
        return Err(LabelError::Foreign);
    }
    key.verify(&labels)?;
    Ok(labels)
}

pub(crate) fn kind(labels: &BTreeMap<String, String>) -> Result<ObjectKind, LabelError> {
    let text = labels.get(names::KIND).ok_or(LabelError::Malformed(names::KIND))?;
    let found = ObjectKind::ALL.into_iter().find(|kind| kind.name() == text);
    found.ok_or(LabelError::Malformed(names::KIND))
}

pub(crate) fn required<T: FromStr>(
    labels: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<T, LabelError> {
    optional(labels, name)?.ok_or(LabelError::Malformed(name))
}

fn optional<T: FromStr>(
    labels: &BTreeMap<String, String>,
    name: &'static str,
) -> Result<Option<T>, LabelError> {
    labels.get(name).map(|text| text.parse().map_err(|_| LabelError::Malformed(name))).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_reads_back() {
        let key = LabelKey::new([1; 32]);
        let gate = ObjectLabels {
            project: Some(ProjectId::new()),
            release: Some(ReleaseId::new()),
            ..ObjectLabels::shared("i1", ObjectKind::Gate)
        };
        assert_eq!(ObjectLabels::verify(&gate.to_labels(&key), &key, "i1"), Ok(gate));
    }

    #[test]
    fn another_installation_or_key_does_not_count() {
        let key = LabelKey::new([1; 32]);
        let labels = ObjectLabels::shared("i1", ObjectKind::Probe).to_labels(&key);
        assert_eq!(ObjectLabels::verify(&labels, &key, "i2"), Err(LabelError::Foreign));
        assert_eq!(ObjectLabels::verify(&labels, &LabelKey::new([2; 32]), "i1"), Err(LabelError::Forged));
    }
}
