//! How figures are printed: one line each, `figure NAME VALUE`, and a sentence for people behind them.
//!
//! **Invariant:** a value is printed with its unit in its name, unless it is a ratio.

use crate::scale::Scale;

/// What a figure is to reach.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// More is better.
    AtLeast(f64),
    /// Less is better.
    AtMost(f64),
}

impl Target {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn shown(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {bound}"),
            Self::AtMost(bound) => format!("at most {bound}"),
        }
    }

    fn bound(self) -> f64 {
        match self {
            Self::AtLeast(bound) | Self::AtMost(bound) => bound,
        }
    }
}

/// One line for machines.
pub(crate) fn figure(name: &str, value: f64) {
    println!("figure {name} {}", digits(value));
}

/// A figure that has a target, and what `how` says of its making.
pub(crate) fn judged(scale: Scale, name: &str, value: f64, target: Target, how: &str) {
    figure(name, value);
    figure(&format!("{name}.target"), target.bound());
    let verdict = match (scale.smoke, target.met(value)) {
        (true, _) => "a smoke test, so not judged",
        (false, true) => "met",
        (false, false) => "MISSED",
    };
    println!(
        "# {name}: {}, to be {}: {verdict} ({how})",
        digits(value),
        target.shown()
    );
}

/// A figure that is not there, and why.
pub(crate) fn absent(name: &str, why: &str) {
    println!("# {name}: not measured here: {why}");
}

/// Four digits that count, or all before the point.
fn digits(value: f64) -> String {
    let whole = value.abs().max(f64::MIN_POSITIVE).log10().floor();
    let places = (3.0 - whole).clamp(0.0, 9.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and 9"
    )]
    let places = places as usize;
    format!("{value:.places$}")
}
