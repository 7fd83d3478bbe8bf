//! What the user sees of a long step: a spinner with the time on a terminal, plain lines elsewhere.

use std::{
    borrow::Cow,
    io::{IsTerminal, stderr},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

/// A step under way; dropped without `done` or `skip` it has failed.
pub(crate) struct Step {
    text: Cow<'static, str>,
    bar: ProgressBar,
    start: Instant,
    open: bool,
}

impl Step {
    /// Begins a step.
    pub(crate) fn new(text: impl Into<Cow<'static, str>>) -> Self {
        let text = text.into();
        let bar = ProgressBar::new_spinner();
        if stderr().is_terminal() {
            let style = ProgressStyle::with_template("{spinner:.cyan} {msg} {elapsed:.dim}");
            bar.set_style(style.expect("the template is a constant that parses"));
            bar.set_message(text.to_string());
            bar.enable_steady_tick(Duration::from_millis(120));
        } else {
            eprintln!("… {text}");
        }
        Self { text, bar, start: Instant::now(), open: true }
    }

    /// Says what the step is at.
    pub(crate) fn note(&self, note: &str) {
        self.bar.set_message(format!("{}: {note}", self.text));
    }

    /// Ends the step well.
    pub(crate) fn done(self, result: &str) {
        let spent = self.start.elapsed();
        self.close(
            "✓",
            &if result.is_empty() { duration(spent) } else { format!("{result} ({})", duration(spent)) },
        );
    }

    /// Ends a step that had nothing to do.
    pub(crate) fn skip(self, why: &str) {
        self.close("✓", why);
    }

    fn close(mut self, mark: &str, result: &str) {
        self.open = false;
        self.bar.finish_and_clear();
        eprintln!("{mark} {}: {result}", self.text);
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if self.open {
            self.bar.finish_and_clear();
            eprintln!("✗ {} ({})", self.text, duration(self.start.elapsed()));
        }
    }
}

/// A time for people: `0.4 s`, `12 s`, `3 min 05 s`.
pub(crate) fn duration(spent: Duration) -> String {
    match spent.as_secs() {
        0..10 => format!("{:.1} s", spent.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds} s"),
        seconds => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        let shown: Vec<String> =
            [400, 12_000, 185_000].into_iter().map(|ms| duration(Duration::from_millis(ms))).collect();
        assert_eq!(shown, ["0.4 s", "12 s", "3 min 05 s"]);
    }
}
