//! The process `web`: `scripts.start`, else `server.js`.

use std::path::Path;

use crate::package::Package;

/// Whether something of Node runs after the build.
pub(crate) fn is_launched(app: &Path, package: &Package) -> bool {
    package.script("start").is_some() || ["server.js", "Procfile"].iter().any(|file| app.join(file).is_file())
}

/// The argument vector. A start script that only names a file is run without npm between it and the signals.
pub(crate) fn process(app: &Path, package: &Package) -> Option<Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
    let Some(script) = package.script("start") else {
        return app.join("server.js").is_file().then(|| words(&["node", "server.js"]));
    };
    let lonely = package.script("prestart").is_none() && package.script("poststart").is_none();
    let parts: Vec<&str> = script.split_whitespace().collect();
    let plain =
        script.chars().all(|character| character.is_ascii_alphanumeric() || " ./_-=:@,".contains(character));
    if lonely && plain && parts.len() > 1 && parts[0] == "node" {
        return Some(words(&parts));
    }
    Some(words(&["npm", "start"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argv(package: &str) -> Option<String> {
        let package = serde_json::from_str(package).unwrap();
        process(Path::new("/nowhere"), &package).map(|argv| argv.join(" "))
    }

    #[test]
    fn a_plain_start_script_is_run_itself_and_others_by_npm() {
        for (scripts, expected) in [
            (r#""start": "node  src/server.js --fast""#, "node src/server.js --fast"),
            (r#""start": "next start""#, "npm start"),
            (r#""start": "node server.js | tee log""#, "npm start"),
            (r#""start": "NODE_ENV=production node server.js""#, "npm start"),
            (r#""start": "node server.js", "prestart": "node migrate.js""#, "npm start"),
        ] {
            assert_eq!(argv(&format!("{{ \"scripts\": {{ {scripts} }} }}")).as_deref(), Some(expected));
        }
        assert_eq!(argv("{}"), None);
    }
}
