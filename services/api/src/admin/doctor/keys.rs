//! Whether the keys that are here open what is sealed.

use anyhow::Result;
use paastech_runtime::{SecretFiles, secrets::parse_key};

use super::{Facts, Finding, Rows};
use crate::secrets;

const CHECK: &str = "keys";

pub(super) fn check(facts: &Facts<'_>) -> Option<Finding> {
    let rows = facts.database.as_ref().ok()?;
    Some(judge(rows, facts.installation.secrets()))
}

fn judge(rows: &Rows, files: Result<SecretFiles>) -> Finding {
    let mut keks = Vec::new();
    for name in ["kek", "kek-old"] {
        let text = files
            .as_ref()
            .map_err(ToString::to_string)
            .and_then(|files| files.get(name).map_err(|e| e.to_string()));
        match text {
            Ok(text) => keks.extend(text.and_then(|text| parse_key(&text))),
            Err(why) => {
                return Finding::error(CHECK, why, "give the folder of the secrets to the api's user alone");
            }
        }
    }
    let sealed = rows.data_keys.iter().filter(|(id, key)| secrets::unwrap(&keks, *id, key).is_err());
    let lost: Vec<String> = sealed
        .map(|(id, key)| format!("{id} (key {})", secrets::wrapped_by(key).unwrap_or_default()))
        .collect();
    if !lost.is_empty() {
        let next = "put the `kek` that sealed them back from a copy of the secrets' folder";
        return Finding::error(
            CHECK,
            format!("the secrets of these projects open with no key here: {}", lost.join(", ")),
            next,
        );
    }
    match keks.len() {
        2.. => Finding::warning(
            CHECK,
            "a rotation of the key was cut off",
            "run `rotate-secrets kek` again: it goes on",
        ),
        _ => Finding::ok(CHECK, format!("open the secrets of {} projects", rows.data_keys.len())),
    }
}
