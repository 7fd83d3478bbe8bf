//! The process `web`: the app object that a server can serve, found as its authors usually name it.

use std::{fs, path::Path};

use paastech_buildpack_steps::Failure;

use crate::django;

/// Which servers the app installed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Servers {
    pub(crate) gunicorn: bool,
    pub(crate) uvicorn: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Web {
    Process { argv: Vec<String>, advice: Option<String> },
    Absent(String),
}

/// How a server speaks with the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    Wsgi,
    Asgi,
}

/// `module:object`, or `module:function()` for a factory.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    interface: Interface,
    module: String,
    object: String,
    factory: bool,
}

const WSGI: [&str; 2] = ["Flask", "APIFlask"];
const ASGI: [&str; 4] = ["FastAPI", "Starlette", "Quart", "Litestar"];
const FACTORIES: [&str; 2] = ["create_app", "make_app"];
const SCRIPTS: [&str; 2] = ["main.py", "app.py"];
const MODULES: [&str; 7] = ["wsgi", "asgi", "app", "main", "application", "server", "api"];

/// Looks for an object to serve, then for a script to run.
pub(crate) fn find(app: &Path, servers: &Servers, named: Option<&str>) -> Result<Web, Failure> {
    let target = match named {
        Some(name) => Some(parse(name, servers)?),
        None => django_target(app, servers).or_else(|| search(app, servers)),
    };
    let script = SCRIPTS.iter().find(|script| app.join(script).is_file());
    let Some(target) = target else {
        return Ok(match script {
            Some(script) => Web::Process { argv: words(&["python", script]), advice: None },
            None => Web::Absent("Add a Procfile, or name the app: BP_PYTHON_APP=module:object.".to_owned()),
        });
    };
    let server = match target.interface {
        Interface::Wsgi => "gunicorn",
        Interface::Asgi => "uvicorn",
    };
    Ok(match (served(&target, servers), script) {
        (Some(argv), _) => Web::Process { argv, advice: None },
        (None, Some(script)) => Web::Process {
            argv: words(&["python", script]),
            advice: Some(format!(
                "Add {server} to the packages, and it serves {}:{}. Until then {script} must listen on \
                 0.0.0.0 and $PORT itself.",
                target.module, target.object
            )),
        },
        (None, None) => Web::Absent(format!(
            "Add {server} to the packages: it serves {}:{}.",
            target.module, target.object
        )),
    })
}

/// gunicorn takes `$PORT` by itself; uvicorn is called as a function, for its command line does not.
fn served(target: &Target, servers: &Servers) -> Option<Vec<String>> {
    let Target { module, object, factory, .. } = target;
    let call = if *factory { "()" } else { "" };
    match target.interface {
        Interface::Wsgi if servers.gunicorn => {
            Some(words(&["gunicorn", &format!("{module}:{object}{call}")]))
        }
        Interface::Asgi if servers.uvicorn => {
            let factory = if *factory { ", factory=True" } else { "" };
            let program = format!(
                "import os, uvicorn; uvicorn.run('{module}:{object}', host='0.0.0.0', \
                 port=int(os.environ['PORT']){factory})"
            );
            Some(words(&["python", "-c", &program]))
        }
        _ => None,
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn parse(name: &str, servers: &Servers) -> Result<Target, Failure> {
    let is_path = |path: &str| path.split('.').all(is_identifier);
    let (factory, plain) = match name.strip_suffix("()") {
        Some(plain) => (true, plain),
        None => (false, name),
    };
    match plain.split_once(':') {
        Some((module, object)) if is_path(module) && is_path(object) => Ok(Target {
            interface: guess(servers),
            module: module.to_owned(),
            object: object.to_owned(),
            factory,
        }),
        _ => Err(Failure::Refused(format!(
            "BP_PYTHON_APP is `{name}`: write module:object, or module:function() for a factory."
        ))),
    }
}

fn django_target(app: &Path, servers: &Servers) -> Option<Target> {
    let package = django::package(app)?;
    let asynchronous =
        !servers.gunicorn && servers.uvicorn && app.join(package.replace('.', "/")).join("asgi.py").is_file();
    let (interface, file) = if asynchronous { (Interface::Asgi, "asgi") } else { (Interface::Wsgi, "wsgi") };
    Some(Target {
        interface,
        module: format!("{package}.{file}"),
        object: "application".to_owned(),
        factory: false,
    })
}

/// The modules at the root, then those of the packages there.
fn search(app: &Path, servers: &Servers) -> Option<Target> {
    let mut modules: Vec<(String, String)> =
        MODULES.iter().map(|module| (format!("{module}.py"), (*module).to_owned())).collect();
    for package in packages(app) {
        modules.push((format!("{package}/__init__.py"), package.clone()));
        modules.extend(
            MODULES.iter().map(|module| (format!("{package}/{module}.py"), format!("{package}.{module}"))),
        );
    }
    modules.into_iter().find_map(|(file, module)| {
        let text = fs::read_to_string(app.join(file)).ok()?;
        object_in(&text, &module, servers)
    })
}

fn packages(app: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(app) else { return Vec::new() };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok().filter(|entry| entry.path().is_dir())?.file_name().into_string().ok())
        .filter(|name| is_identifier(name) && name != "tests")
        .collect();
    names.sort_unstable();
    names
}

fn object_in(text: &str, module: &str, servers: &Servers) -> Option<Target> {
    let target = |interface, object: &str, factory| Target {
        interface,
        module: module.to_owned(),
        object: object.to_owned(),
        factory,
    };
    let mut factory = None;
    for line in text.lines() {
        if let Some((name, class)) = assignment(line) {
            let by_place = module.rsplit('.').next().unwrap_or_default();
            let conventional = matches!(name, "app" | "application");
            if WSGI.contains(&class) || (by_place == "wsgi" && conventional) {
                return Some(target(Interface::Wsgi, name, false));
            }
            if ASGI.contains(&class) || (by_place == "asgi" && conventional) {
                return Some(target(Interface::Asgi, name, false));
            }
            if FACTORIES.contains(&class) {
                return Some(target(guess(servers), name, false));
            }
        }
        let defined = line.strip_prefix("def ").and_then(|rest| rest.split('(').next());
        factory = factory.or(defined.filter(|name| FACTORIES.contains(name)));
        if let Some(name) = imported(line).filter(|_| module == "wsgi" || module == "asgi") {
            let interface = if module == "wsgi" { Interface::Wsgi } else { Interface::Asgi };
            return Some(target(interface, name, false));
        }
    }
    factory.map(|name| target(guess(servers), name, true))
}

fn guess(servers: &Servers) -> Interface {
    if servers.uvicorn && !servers.gunicorn { Interface::Asgi } else { Interface::Wsgi }
}

/// `name` and `Class` of a line `name: Type = package.Class(…)` at the margin.
fn assignment(line: &str) -> Option<(&str, &str)> {
    let (left, right) = line.split_once('=')?;
    let name = left.split(':').next()?.trim_end();
    let callee = right.split('(').next()?.trim();
    is_identifier(name).then(|| (name, callee.rsplit('.').next().unwrap_or(callee)))
}

/// `app` or `application` of a line `from x import app` at the margin.
fn imported(line: &str) -> Option<&str> {
    let (_, names) = line.strip_prefix("from ")?.split_once(" import ")?;
    let last = names.trim().rsplit([' ', ',']).next()?;
    matches!(last, "app" | "application").then_some(last)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && text.chars().all(|character| character.is_ascii_alphanumeric() || character == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUNICORN: Servers = Servers { gunicorn: true, uvicorn: false };
    const UVICORN: Servers = Servers { gunicorn: false, uvicorn: true };

    fn found(files: &[(&str, &str)], servers: Servers, named: Option<&str>) -> Web {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        find(dir.path(), &servers, named).unwrap()
    }

    fn argv(web: Web) -> String {
        match web {
            Web::Process { argv, .. } => argv.join(" "),
            Web::Absent(advice) => panic!("{advice}"),
        }
    }

    #[test]
    fn wsgi_apps_are_found_where_they_usually_are() {
        for (path, text, expected) in [
            ("app.py", "from flask import Flask\napp = Flask(__name__)\n", "app:app"),
            ("main.py", "server: flask.Flask = flask.Flask(__name__)", "main:server"),
            ("wsgi.py", "from shop import create_app\n\napplication = create_app()", "wsgi:application"),
            ("wsgi.py", "from shop import app\n", "wsgi:app"),
            (
                "shop/__init__.py",
                "def create_app(config=None):\n    app = Flask(__name__)",
                "shop:create_app()",
            ),
            ("shop/app.py", "app = Flask(__name__)", "shop.app:app"),
        ] {
            let expected = format!("gunicorn {expected}");
            assert_eq!(argv(found(&[(path, text)], GUNICORN, None)), expected, "{path}");
        }
    }

    #[test]
    fn asgi_apps_are_served_on_the_given_port() {
        let expected = "python -c import os, uvicorn; uvicorn.run('app.main:app', host='0.0.0.0', \
                        port=int(os.environ['PORT']))";
        let files = [("app/main.py", "app = FastAPI(title='x')"), ("main.py", "print()")];
        assert_eq!(argv(found(&files, UVICORN, None)), expected);
    }

    #[test]
    fn django_is_found_by_its_settings() {
        let files = [
            ("manage.py", "os.environ.setdefault(\"DJANGO_SETTINGS_MODULE\", \"shop.settings\")"),
            ("shop/wsgi.py", ""),
            ("shop/asgi.py", ""),
        ];
        assert_eq!(argv(found(&files, GUNICORN, None)), "gunicorn shop.wsgi:application");
        assert!(argv(found(&files, UVICORN, None)).contains("'shop.asgi:application'"));
    }

    #[test]
    fn without_a_server_the_script_runs_and_the_server_is_advised() {
        let Web::Process { argv, advice } =
            found(&[("app.py", "app = Flask(__name__)")], Servers::default(), None)
        else {
            panic!("a process");
        };
        assert_eq!(argv, ["python", "app.py"]);
        assert!(advice.unwrap().contains("Add gunicorn"));
        assert_eq!(self::argv(found(&[("main.py", "print()")], GUNICORN, None)), "python main.py");
    }

    #[test]
    fn the_app_can_be_named() {
        assert_eq!(argv(found(&[], GUNICORN, Some("a.b:make()"))), "gunicorn a.b:make()");
        let failure = parse("a; b", &GUNICORN).unwrap_err().to_string();
        assert!(failure.starts_with("BP_PYTHON_APP is `a; b`"), "{failure}");
    }

    #[test]
    fn nothing_to_serve_is_said() {
        assert!(matches!(found(&[("tool.py", "")], GUNICORN, None), Web::Absent(_)));
    }
}
