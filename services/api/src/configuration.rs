//! Changing a project's variables: every change is a new version with all of them, so that a release keeps its own.

use std::collections::BTreeMap;

use paastech_db::Tx;
use paastech_runtime::Secret;
use paastech_types::AccountId;

use crate::{
    error::Error,
    secrets::Vault,
    store::{Flag, configuration, project, variable},
};

/// A variable, opened.
pub(crate) struct Setting {
    pub(crate) secret: bool,
    pub(crate) value: Secret,
    pub(crate) build: bool,
}

impl Setting {
    fn is(&self, other: &Self) -> bool {
        self.secret == other.secret
            && self.build == other.build
            && self.value.expose() == other.value.expose()
    }
}

/// What is set, and what is unset (None), by name.
pub(crate) type Change = BTreeMap<String, Option<Setting>>;

/// Applies a change to the project's current variables: a new version, or the old one when nothing differs.
pub(crate) async fn apply(
    tx: &mut Tx,
    vault: &Vault,
    project: &project::Row,
    change: Change,
    (account, now): (AccountId, i64),
) -> Result<i64, Error> {
    let (key, old) = (vault.data_key(project)?, project.configuration_version);
    let mut settings: BTreeMap<String, (Setting, i64)> = BTreeMap::new();
    for row in variable::list(tx, project.id, old).await? {
        let secret = row.kind == "secret";
        let value = if secret { key.open(&row.value, old, &row.name)? } else { Secret::new(row.value) };
        settings.insert(row.name, (Setting { secret, value, build: row.build.0 }, row.set_at));
    }
    if !update(&mut settings, change, now) {
        return Ok(old);
    }
    let version = configuration::latest(tx, project.id).await? + 1;
    configuration::insert(tx, project.id, version, account, now).await?;
    for (name, (setting, set_at)) in settings {
        // Sealed anew: a sealed value opens in its own place only.
        let (kind, value) = if setting.secret {
            ("secret", key.seal(&setting.value, version, &name)?)
        } else {
            ("plain", setting.value.expose().to_owned())
        };
        let row = variable::Row { name, kind: kind.to_owned(), value, build: Flag(setting.build), set_at };
        variable::insert(tx, project.id, version, &row).await?;
    }
    project::set_configuration(tx, project.id, version, now).await?;
    Ok(version)
}

/// Whether anything differs.
fn update(settings: &mut BTreeMap<String, (Setting, i64)>, change: Change, now: i64) -> bool {
    let mut differs = false;
    for (name, setting) in change {
        differs |= match setting {
            None => settings.remove(&name).is_some(),
            Some(new) if settings.get(&name).is_some_and(|(old, _)| old.is(&new)) => false,
            Some(new) => {
                settings.insert(name, (new, now));
                true
            }
        };
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(value: &str) -> Setting {
        Setting { secret: false, value: Secret::new(value), build: false }
    }

    #[test]
    fn setting_what_is_set_already_changes_nothing() {
        let mut settings = BTreeMap::from([("A".to_owned(), (plain("1"), 5))]);
        let same = Change::from([("A".to_owned(), Some(plain("1"))), ("B".to_owned(), None)]);
        assert!(!update(&mut settings, same, 6));
        assert_eq!(settings["A"].1, 5);
        let secret = Setting { secret: true, ..plain("1") };
        assert!(update(&mut settings, Change::from([("A".to_owned(), Some(secret))]), 6));
        assert!(update(&mut settings, Change::from([("A".to_owned(), None)]), 7));
        assert!(settings.is_empty());
    }
}
