//! Running one claimed operation: heartbeat, steps, records, undo.

use std::time::Duration;

use paastech_db::{DbError, Tx};
use paastech_runtime::{Shutdown, trace::Trace};
use tracing::Instrument as _;

use super::{
    Engine, build, delete, deploy, halt,
    step::{Context, Next, Stop},
    submit::Started,
};
use crate::{
    metrics::{self, METRICS},
    store::{
        operation::{self, Claim, End, Kind, Progress, Reason, Row},
        operation_event,
    },
};

const HEARTBEAT: Duration = Duration::from_secs(5);
/// Without a confirmed heartbeat for this long the holder stops by itself, before the lease ends.
const GIVE_UP: Duration = Duration::from_secs(10);
/// What a claim may wait for a trace: little of its lease, which none of its heartbeats has confirmed.
const TRACE_TIME: Duration = Duration::from_secs(1);
/// Claims of one step that ended in a panic or a kill.
const MAX_ATTEMPTS: i64 = 5;
/// Failures in a row that a neighbour does not explain.
const MAX_DEFECTS: u32 = 5;
/// Tries of one committed step before it makes way for an operation that waits.
const PATIENCE: u32 = 3;
/// How long after its deadline an operation may still be undone.
const UNDO_MS: i64 = 600_000;
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Runs the operation to its end, or until the claim is lost or the process stops.
pub(crate) async fn operation(engine: &Engine, row: Row, shutdown: &Shutdown) {
    let trace = trace_of(engine, &row).await;
    let span = trace.begin(tracing::info_span!(
        "operation", operation.id = row.id, project.id = row.project_id, kind = row.kind, trace.id = %trace
    ));
    let work = trace.scope(async {
        let claim = match row.id() {
            Ok(id) => Claim { id, holder: engine.holder.to_string(), fence: row.fence },
            Err(error) => return tracing::error!(%error, "an operation cannot be run"),
        };
        let (started, kind) = (tokio::time::Instant::now(), row.kind.clone());
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
            Ok(end) => {
                metrics::count_end(&kind, end);
                tracing::info!(end = end.name(), duration_ms, "operation ended");
            }
            Err(Stop::Lost) => tracing::info!(duration_ms, "operation left to the next holder"),
            Err(stop) => tracing::warn!(?stop, duration_ms, "operation left to be tried again"),
        }
    });
    work.instrument(span).await;
}

/// The trace in which it was asked for; a new one when that is not known at once: nobody keeps the claim meanwhile.
pub(crate) async fn trace_of(engine: &Engine, row: &Row) -> Trace {
    let look = async {
        let mut tx = engine.db.read().await?;
        operation_event::start_data(&mut tx, row.id()?).await
    };
    let data = tokio::time::timeout(TRACE_TIME, look).await.ok().and_then(Result::ok).flatten();
    data.and_then(|data| Started::parse(&data)).unwrap_or_else(Trace::random)
}

/// Returns when the claim cannot be held any longer.
pub(crate) async fn keep_claim(engine: &Engine, claim: &Claim) {
    let mut confirmed = tokio::time::Instant::now();
    loop {
        tokio::time::sleep(HEARTBEAT).await;
        let asked = tokio::time::Instant::now();
        // A database that does not answer must not keep this one working after its lease.
        match tokio::time::timeout_at(confirmed + GIVE_UP, heartbeat(engine, claim)).await {
            Ok(Ok(true)) => confirmed = asked,
            Ok(Err(_)) if confirmed.elapsed() < GIVE_UP => {}
            Ok(_) | Err(_) => return,
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
pub(crate) async fn let_go(engine: &Engine, claim: &Claim) {
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
    let (mut pause, mut defects, mut tries) = (FIRST_PAUSE, 0, 0);
    let mut began = tokio::time::Instant::now();
    loop {
        let outcome = if context.row.state == "undoing" {
            undo(&mut context).await
        } else {
            match checked_step(&mut context).await {
                Ok(next) => Ok(next),
                Err(Stop::Lost) => Err(Stop::Lost),
                Err(stop) if makes_way(&context, tries).await => Ok(unfinished(&mut context, stop)),
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
            }
        };
        if outcome.is_ok() {
            let row = &context.row;
            let took = METRICS.step_durations.with([row.kind.clone(), row.step.clone()]);
            took.observe(began.elapsed().as_secs_f64());
            began = tokio::time::Instant::now();
        }
        match outcome {
            Ok(Next::Done) => {
                let finished = finish(&mut context).await?;
                return Ok(finished);
            }
            Ok(Next::Go(step)) => {
                record(&mut context, "running", step, "ok").await?;
                (pause, defects, tries) = (FIRST_PAUSE, 0, 0);
            }
            Ok(Next::Recorded(step)) => {
                went(&mut context, "running", step);
                (pause, defects, tries) = (FIRST_PAUSE, 0, 0);
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
                tries += 1;
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

/// Whether a committed operation that cannot finish is to leave the lane: somebody asked for its end, or another one
/// waits, whose own drain removes what this one leaves. A deletion stays.
async fn makes_way(context: &Context<'_>, tries: u32) -> bool {
    if !is_committed(context) || context.row.kind == Kind::Delete.name() {
        return false;
    }
    let look = async {
        let mut tx = context.engine.db.read().await?;
        let row = operation::get(&mut tx, context.claim.id).await?;
        let lane = operation::list_open(&mut tx, context.project, context.row.kind()?.lane()).await?;
        let waits = lane.iter().any(|other| other.state == "queued");
        let asked = row.is_some_and(|row| row.cancel_requested != 0);
        Ok::<_, DbError>(asked || (waits && tries >= PATIENCE))
    };
    look.await.unwrap_or(false)
}

/// The end of a committed operation that could not finish: what it committed stays.
fn unfinished(context: &mut Context<'_>, stop: Stop) -> Next {
    context.row.error_code = Some("unfinished".to_owned());
    context.row.error_text = Some(stop.text());
    Next::Done
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
    record(context, "undoing", &step, "error").await?;
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
        Err(Stop::Lost) => Err(Stop::Lost),
        // An undo that cannot be done blocks nothing else for ever.
        Err(stop) if context.engine.clock.now_ms() > context.row.deadline_at + UNDO_MS => {
            context.row.error_code = Some("quarantined".to_owned());
            context.row.error_text = Some(stop.text());
            Ok(Next::Done)
        }
        Err(stop) => Err(Stop::Retry(stop.text())),
    }
}

async fn record(context: &mut Context<'_>, state: &str, step: &str, phase: &str) -> Result<(), Stop> {
    let mut tx = context.engine.db.begin().await?;
    record_in(&mut tx, context, state, (step, phase)).await?;
    tx.commit().await.map_err(DbError::from)?;
    went(context, state, step);
    Ok(())
}

/// Writes the step that comes next, and how the one at hand ended, into the caller's transaction.
pub(crate) async fn record_in(
    tx: &mut Tx,
    context: &Context<'_>,
    state: &str,
    (step, phase): (&str, &str),
) -> Result<(), Stop> {
    let next = Progress { state, step, step_data: "{}", release_id: context.release.as_deref() };
    if !operation::advance(tx, &context.claim, next).await? {
        return Err(Stop::Lost);
    }
    let now = context.engine.clock.now_ms();
    operation_event::append(tx, context.claim.id, &context.row.step, phase, now, "{}").await?;
    Ok(())
}

fn went(context: &mut Context<'_>, state: &str, step: &str) {
    context.said.clear();
    step.clone_into(&mut context.row.step);
    state.clone_into(&mut context.row.state);
    context.engine.changed.notify_waiters();
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
    // With the release that its last step made, if it made one.
    record_in(&mut tx, context, &context.row.state, (&context.row.step, "end")).await?;
    if !operation::finish(&mut tx, &context.claim, end, reason.as_ref(), now).await? {
        return Err(Stop::Lost);
    }
    tx.commit().await.map_err(DbError::from)?;
    context.engine.changed.notify_waiters();
    Ok(end)
}
