//! Django projects: found by `manage.py`.

use std::{fs, path::Path};

use libcnb::Env;
use paastech_buildpack_steps::{Failure, Tool, step};

use crate::install::Venv;

/// The package of the settings, such as `site` for `site.settings`, which also holds `wsgi.py`.
pub(crate) fn package(app: &Path) -> Option<String> {
    let manage = fs::read_to_string(app.join("manage.py")).ok()?;
    let (_, rest) = manage.split_once("DJANGO_SETTINGS_MODULE")?;
    let quoted = rest.split(['"', '\'']).nth(2)?;
    let mut package = quoted.split(".settings").next()?;
    while !app.join(package.replace('.', "/")).join("wsgi.py").is_file() {
        package = package.rsplit_once('.')?.0;
    }
    Some(package.to_owned())
}

/// `manage.py collectstatic`, for those who asked for it.
pub(crate) fn collect_static(app: &Path, venv: &Venv, env: &Env) -> Result<(), Failure> {
    if !app.join("manage.py").is_file() {
        return Err(Failure::Refused(
            "BP_COLLECTSTATIC is set, and the app has no manage.py at its root. Unset it.".to_owned(),
        ));
    }
    step("Collecting Django's static files");
    Tool::new("manage.py collectstatic", venv.program("python"), env)
        .args(["manage.py", "collectstatic", "--noinput"])
        .current_dir(app)
        .advice(
            "Its output above says why: often STATIC_ROOT, or a setting that a build has no variable for.",
        )
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_the_one_whose_settings_manage_py_names() {
        for settings in ["shop.settings", "shop.settings.production"] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("shop")).unwrap();
            fs::write(dir.path().join("shop/wsgi.py"), "").unwrap();
            let manage = format!("    os.environ.setdefault('DJANGO_SETTINGS_MODULE', '{settings}')\n");
            fs::write(dir.path().join("manage.py"), manage).unwrap();
            assert_eq!(package(dir.path()).as_deref(), Some("shop"));
        }
    }
}
