//! Two sides of one figure, run alternately, so that a machine that grows slower or faster does so to both.
//!
//! **Invariant:** the ratio is the median of the pairs' own ratios, so that no run is compared with one of another time.

use crate::{
    clock::median,
    report::{Target, figure, judged},
    scale::Scale,
};

/// What both sides took, pair by pair: seconds, or any other unit that they share.
#[derive(Debug)]
pub(crate) struct Pairs {
    product: Vec<f64>,
    baseline: Vec<f64>,
    scale: Scale,
}

/// Runs both sides in turn, once to warm up and then as often as `scale` says. Each returns what it took.
pub(crate) fn alternate(
    scale: Scale,
    mut product: impl FnMut() -> f64,
    mut baseline: impl FnMut() -> f64,
) -> Pairs {
    rounds(scale, || (product(), baseline()))
}

/// The same, of rounds that take both sides at once: what the product took, and the baseline.
pub(crate) fn rounds(scale: Scale, mut round: impl FnMut() -> (f64, f64)) -> Pairs {
    round();
    let (product, baseline) = (0..scale.pairs).map(|_| round()).unzip();
    Pairs {
        product,
        baseline,
        scale,
    }
}

/// One side alone, run as [`alternate`] would: what it took, the median.
pub(crate) fn alone(scale: Scale, mut side: impl FnMut() -> f64) -> f64 {
    side();
    let took: Vec<_> = (0..scale.pairs).map(|_| side()).collect();
    median(&took)
}

impl Pairs {
    /// Reports how many times as fast the product is, for so many bytes on each side.
    pub(crate) fn speed(&self, name: &str, bytes: u64, target: Target) {
        let ratios = self.ratios(|product, baseline| baseline / product);
        for (side, took) in self.sides() {
            figure(&format!("{name}.{side}_seconds"), took);
            figure(&format!("{name}.{side}_gb_per_s"), gb_per_s(bytes, took));
        }
        self.judge(name, &ratios, target);
    }

    /// Reports how many times as long the product takes.
    pub(crate) fn time(&self, name: &str, target: Target) {
        let ratios = self.ratios(|product, baseline| product / baseline);
        for (side, took) in self.sides() {
            figure(&format!("{name}.{side}_seconds"), took);
        }
        self.judge(name, &ratios, target);
    }

    fn judge(&self, name: &str, ratios: &[f64], target: Target) {
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let how = format!("median of {} pairs, {least:.3} to {most:.3}", ratios.len());
        judged(self.scale, name, median(ratios), target, &how);
    }

    fn ratios(&self, of: impl Fn(f64, f64) -> f64) -> Vec<f64> {
        let pairs = self.product.iter().zip(&self.baseline);
        pairs
            .map(|(product, baseline)| of(*product, *baseline))
            .collect()
    }

    fn sides(&self) -> [(&'static str, f64); 2] {
        [
            ("product", median(&self.product)),
            ("baseline", median(&self.baseline)),
        ]
    }
}

/// 10^9 bytes in a second.
pub(crate) fn gb_per_s(bytes: u64, seconds: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a figure of four digits")]
    let bytes = bytes as f64;
    bytes / seconds / 1e9
}
