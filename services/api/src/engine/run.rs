//! Running one claimed operation: heartbeat, steps, records, undo.

use std::time::Duration;

use paastech_db::DbError;
use paastech_runtime::{Shutdown, trace::TraceId};
use tracing::Instrument as _;

use super::{
    Engine, build, delete, deploy, halt,
    step::{Context, Next, Stop},
};
use crate::store::{
    operation::{self, Claim, End, Kind, Progress, Reason, Row},
    operation_event,
};

const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a confirmed heartbeat for this long the holder stops by itself, before the lease ends.
const GIVE_UP: Duration = Duration::from_secs(10);
/// Claims of one step that ended in a panic or a kill.
const MAX_ATTEMPTS: i64 = 5;
/// Failures in a row that a neighbour does not explain.
const MAX_DEFECTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Runs the operation to its end, or until the claim is lost or the process stops.
pub(crate) async fn operation(engine: &Engine, row: Row, shutdown: &Shutdown) {
    let span =
        tracing::info_span!("operation", operation.id = row.id, project.id = row.project_id, kind = row.kind);
    let work = TraceId::random().scope(async {
        let claim = match row.id() {
            Ok(id) => Claim { id, holder: engine.holder.to_string(), fence: row.fence },
            Err(error) => return tracing::error!(%error, "an operation cannot be run"),
        };
        let started = tokio::time::Instant::now();
        let outcome = tokio::select! {
            outcome = steps(engine, row, claim.clone()) => outcome,
            () = keep_claim(engine, &claim) => Err(Stop::Lost),
            () = shutdown.draining() => {
                let_go(engine, &claim).await;
                Err(Stop::Lost)
            }
        };
        let duration_ms = started.elapsed().as_millis();
        match outcome {
            Ok(end) => tracing::info!(end = end.name(), duration_ms, "operation ended"),
            Err(Stop::Lost) => tracing::info!(duration_ms, "operation left to the next holder"),
            Err(stop) => tracing::warn!(?stop, duration_ms, "operation left to be tried again"),
        }
    });
    work.instrument(span).await;
}

/// Returns when the claim cannot be held any longer.
async fn keep_claim(engine: &Engine, claim: &Claim) {
    let mut confirmed = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        match heartbeat(engine, claim).await {
            Ok(true) => confirmed = tokio::time::Instant::now(),
            Ok(false) => return,
            Err(_) if confirmed.elapsed() < GIVE_UP => {}
            Err(_) => return,
        }
    }
}

async fn heartbeat(engine: &Engine, claim: &Claim) -> Result<bool, DbError> {
    let mut tx = engine.db.begin().await?;
    let held = operation::heartbeat(&mut tx, engine.db.backend(), claim, engine.clock.now_ms()).await?;
    tx.commit().await?;
    Ok(held)
}

/// On a clean stop the next process need not wait for the lease to run out.
async fn let_go(engine: &Engine, claim: &Claim) {
    let outcome = async {
        let mut tx = engine.db.begin().await?;
        if let Some(row) = operation::get(&mut tx, claim.id).await? {
            operation::release(&mut tx, claim, &row.state, &row.step, engine.clock.now_ms()).await?;
        }
        tx.commit().await?;
        Ok::<_, DbError>(())
    };
    if let Err(error) = outcome.await {
        tracing::warn!(%error, "a claim could not be let go; its lease runs out");
    }
}

async fn steps(engine: &Engine, row: Row, claim: Claim) -> Result<End, Stop> {
    let log = engine.logs.writer(claim.id).await?;
    let project = row.project_id()?;
    let release = row.release_id.clone();
    let mut context = Context { engine, row, project, claim, log, said: Vec::new(), release };
    if context.row.attempt > MAX_ATTEMPTS {
        let reason = Reason {
            code: "quarantined".to_owned(),
            text: format!("step {} was begun {MAX_ATTEMPTS} times and never ended", context.row.step),
        };
        return end(&mut context, End::Quarantined, Some(reason)).await;
    }
    let (mut pause, mut defects) = (FIRST_PAUSE, 0);
    loop {
        let outcome = if context.row.state == "undoing" {
            undo(&mut context).await
        } else {
            match checked_step(&mut context).await {
                Ok(next) => Ok(next),
                Err(Stop::Retry(text)) if engine.clock.now_ms() < context.row.deadline_at => {
                    Err(Stop::Retry(text))
                }
                Err(Stop::Retry(text)) => give_up(&mut context, "deadline", text, End::Failed).await,
                Err(Stop::Defect(text)) if defects < MAX_DEFECTS => {
                    defects += 1;
                    Err(Stop::Retry(text))
                }
                Err(Stop::Defect(text)) => give_up(&mut context, "internal", text, End::Failed).await,
                Err(Stop::Fail(reason)) => {
                    give_up(&mut context, &reason.code, reason.text, End::Failed).await
                }
                Err(Stop::Cancelled) => {
                    give_up(&mut context, "cancelled", "cancelled".to_owned(), End::Cancelled).await
                }
                Err(Stop::Lost) => Err(Stop::Lost),
            }
        };
        match outcome {
            Ok(Next::Done) => {
                let finished = finish(&mut context).await?;
                return Ok(finished);
            }
            Ok(Next::Go(step)) => {
                record(&mut context, "running", step).await?;
                (pause, defects) = (FIRST_PAUSE, 0);
            }
            Ok(Next::AwaitSource) => {
                await_source(&mut context).await?;
                return Err(Stop::Lost);
            }
            Err(Stop::Retry(text) | Stop::Defect(text)) => {
                tracing::warn!(step = context.row.step, reason = text, "a step is tried again");
                if pause > FIRST_PAUSE {
                    context.say(&format!("Waiting: {text}")).await?;
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(10));
            }
            Err(stop) => return Err(stop),
        }
    }
}

/// The step at hand, unless somebody asked for the end and there is still something to give up.
async fn checked_step(context: &mut Context<'_>) -> Result<Next, Stop> {
    if !is_committed(context) {
        context.check_cancelled().await?;
    }
    match context.row.kind()? {
        Kind::Build => build::step(context).await,
        Kind::Deploy => deploy::step(context).await,
        Kind::Stop | Kind::Start => halt::step(context).await,
        Kind::Delete => delete::step(context).await,
    }
}

/// After the commit point there is only forward.
fn is_committed(context: &Context<'_>) -> bool {
    let step = context.row.step.as_str();
    match context.row.kind.as_str() {
        "deploy" | "start" => deploy::COMMITTED.contains(&step),
        "stop" | "delete" => true,
        _ => false,
    }
}

/// From a failed step to undoing; a committed operation keeps trying its step instead.
async fn give_up(context: &mut Context<'_>, code: &str, text: String, end: End) -> Result<Next, Stop> {
    if is_committed(context) {
        if context.engine.clock.now_ms() < context.row.deadline_at {
            return Err(Stop::Retry(text));
        }
        // Past its deadline a committed operation ends as it is: what it committed serves.
        let reason = Reason { code: code.to_owned(), text };
        context.row.error_code = Some(reason.code);
        context.row.error_text = Some(reason.text);
        return Ok(Next::Done);
    }
    let code = if end == End::Cancelled { "cancelled" } else { code };
    let reason = Reason { code: code.to_owned(), text };
    let mut tx = context.engine.db.begin().await?;
    let held = operation::set_reason(&mut tx, &context.claim, &reason).await?;
    tx.commit().await.map_err(DbError::from)?;
    if !held {
        return Err(Stop::Lost);
    }
    context.row.error_code = Some(reason.code);
    context.row.error_text = Some(reason.text);
    let step = context.row.step.clone();
    record_as(context, "undoing", &step, "error").await?;
    undo(context).await
}

/// Takes back what the operation did before its commit point; idempotent.
async fn undo(context: &mut Context<'_>) -> Result<Next, Stop> {
    let undone = match context.row.kind()? {
        Kind::Build => build::undo(context).await,
        Kind::Deploy | Kind::Start => deploy::undo(context).await,
        Kind::Stop | Kind::Delete => Ok(()),
    };
    match undone {
        Ok(()) => Ok(Next::Done),
        // An undo that cannot be done blocks nothing else for ever.
        Err(Stop::Retry(text)) if context.engine.clock.now_ms() > context.row.deadline_at + 600_000 => {
            context.row.error_code = Some("quarantined".to_owned());
            context.row.error_text = Some(text);
            Ok(Next::Done)
        }
        Err(stop) => Err(stop),
    }
}

async fn record(context: &mut Context<'_>, state: &str, step: &str) -> Result<(), Stop> {
    record_as(context, state, step, "ok").await
}

async fn record_as(context: &mut Context<'_>, state: &str, step: &str, phase: &str) -> Result<(), Stop> {
    let now = context.engine.clock.now_ms();
    let next = Progress { state, step, step_data: "{}", release_id: context.release.as_deref() };
    let mut tx = context.engine.db.begin().await?;
    if !operation::advance(&mut tx, &context.claim, next).await? {
        return Err(Stop::Lost);
    }
    operation_event::append(&mut tx, context.claim.id, &context.row.step, phase, now, "{}").await?;
    tx.commit().await.map_err(DbError::from)?;
    context.said.clear();
    step.clone_into(&mut context.row.step);
    state.clone_into(&mut context.row.state);
    context.engine.changed.notify_waiters();
    Ok(())
}

async fn await_source(context: &mut Context<'_>) -> Result<(), Stop> {
    let mut tx = context.engine.db.begin().await?;
    operation::release(&mut tx, &context.claim, "queued", "source", i64::MAX).await?;
    tx.commit().await.map_err(DbError::from)?;
    context.engine.changed.notify_waiters();
    Ok(())
}

async fn finish(context: &mut Context<'_>) -> Result<End, Stop> {
    let reason = match (&context.row.error_code, &context.row.error_text) {
        (Some(code), Some(text)) => Some(Reason { code: code.clone(), text: text.clone() }),
        _ => None,
    };
    let last = match reason.as_ref().map(|reason| reason.code.as_str()) {
        None => End::Done,
        Some("cancelled") => End::Cancelled,
        Some("superseded") => End::Superseded,
        Some("quarantined") => End::Quarantined,
        Some(_) => End::Failed,
    };
    end(context, last, reason).await
}

async fn end(context: &mut Context<'_>, end: End, reason: Option<Reason>) -> Result<End, Stop> {
    context.log.sync().await?;
    let now = context.engine.clock.now_ms();
    let mut tx = context.engine.db.begin().await?;
    if !operation::finish(&mut tx, &context.claim, end, reason.as_ref(), now).await? {
        return Err(Stop::Lost);
    }
    operation_event::append(&mut tx, context.claim.id, &context.row.step, "end", now, "{}").await?;
    tx.commit().await.map_err(DbError::from)?;
    context.engine.logs.forget(context.claim.id);
    context.engine.changed.notify_waiters();
    Ok(end)
}
