//! Runs the scenarios of a shape: those that share an installation on one, the others each on its own.

use std::{
    pin::Pin,
    process::ExitCode,
    sync::{Arc, LazyLock},
};

use anyhow::Result;
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::process::geteuid;
use tokio::{
    runtime::{Handle, Runtime},
    signal::unix::{SignalKind, signal},
    sync::{OnceCell, watch},
};

use crate::{Platform, Setup, Shape, scenarios};

/// More than there are cores: a scenario mostly waits.
const THREADS: usize = 4;

/// Whether a signal came.
static INTERRUPTED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::Sender::new(false));

type Body = fn(Arc<Platform>) -> Pin<Box<dyn Future<Output = ()> + Send>>;

/// A test, and what it runs on.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) run: Body,
    pub(crate) shapes: &'static [Shape],
    /// An installation that it may harm; without one it shares the shape's.
    pub(crate) own: Option<Setup>,
}

/// The shape's shared installation, started by the first scenario that needs it; or why there is none.
type Shared = OnceCell<Result<Arc<Platform>, String>>;

/// Runs every scenario of a shape, as libtest would.
pub fn run(shape: Shape) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let runtime = Runtime::new().expect("threads can be started");
    runtime.block_on(async { listen().expect("signals can be listened for") });
    let mut all: Vec<Scenario> =
        scenarios::all().into_iter().filter(|found| found.shapes.contains(&shape)).collect();
    all.sort_by_key(|scenario| scenario.own.is_some());
    let common = Arc::<Shared>::default();
    let trials =
        all.into_iter().map(|scenario| trial(shape, scenario, common.clone(), runtime.handle().clone()));
    let conclusion = libtest_mimic::run(&arguments, trials.collect());
    let started = Arc::into_inner(common).and_then(Shared::into_inner).and_then(Result::ok);
    if let Some(Err(error)) = started.map(|platform| runtime.block_on(stop(platform))) {
        println!("test {shape}::everything_ends_and_nothing_is_left ... FAILED\n{error:#}");
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}

fn trial(shape: Shape, scenario: Scenario, common: Arc<Shared>, handle: Handle) -> Trial {
    let name = format!("{shape}::{}", scenario.name);
    Trial::ignorable_test(name, move || {
        if scenario.own.is_some_and(|setup| setup.disk_mib > 0 || setup.firewall) && !geteuid().is_root() {
            return Ok(Completion::ignored_with("only root can mount a small disk or load rules"));
        }
        if is_interrupted() {
            return Err(Failed::from("interrupted"));
        }
        handle.block_on(async {
            let outcome = match scenario.own {
                Some(setup) => on_its_own(shape, setup, scenario.run).await,
                None => shared(shape, &common, scenario.run).await,
            };
            outcome.map(|()| Completion::Completed).map_err(|error| Failed::from(format!("{error:#}")))
        })
    })
}

async fn shared(shape: Shape, common: &Shared, body: Body) -> Result<()> {
    let start = || async {
        let started = Platform::start(shape, Setup::PLAIN).await;
        started.map(Arc::new).map_err(|error| format!("{error:#}"))
    };
    match common.get_or_init(start).await {
        Ok(platform) => on(platform.clone(), body).await,
        Err(why) => anyhow::bail!("there is no installation to try: {why}"),
    }
}

async fn on_its_own(shape: Shape, setup: Setup, body: Body) -> Result<()> {
    let platform = Arc::new(Platform::start(shape, setup).await?);
    let outcome = on(platform.clone(), body).await;
    outcome.and(stop(platform).await)
}

/// Ctrl-C and SIGTERM end the scenarios, so that each installation is removed as after any failure.
fn listen() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        INTERRUPTED.send_replace(true);
    });
    Ok(())
}

pub(crate) fn is_interrupted() -> bool {
    *INTERRUPTED.borrow()
}

async fn interrupted() {
    INTERRUPTED
        .subscribe()
        .wait_for(|&interrupted| interrupted)
        .await
        .expect("it lives as long as the process");
}

/// A panic of the scenario is its failure, shown with what the programs logged.
async fn on(platform: Arc<Platform>, body: Body) -> Result<()> {
    let mut scenario = tokio::spawn(body(platform.clone()));
    let ended = tokio::select! {
        ended = &mut scenario => ended,
        () = interrupted() => {
            scenario.abort();
            drop(scenario.await);
            anyhow::bail!("interrupted");
        }
    };
    match ended {
        Ok(()) => platform.check().await,
        Err(panic) => {
            let panic = panic.into_panic();
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned()));
            anyhow::bail!("{}\n{}", text.unwrap_or_default(), platform.logs().await)
        }
    }
}

async fn stop(platform: Arc<Platform>) -> Result<()> {
    match Arc::into_inner(platform) {
        Some(platform) => platform.stop().await,
        None => anyhow::bail!("something still uses the installation"),
    }
}
