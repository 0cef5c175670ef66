//! A progress bar on standard error, for people at a terminal.
//!
//! **Invariant:** draws nothing where nobody watches.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stagepages_client::stage::Progress;

use crate::output::Output;

const TEMPLATE: &str = "{bar:40} {pos}/{len} pages, {per_sec}, {eta} to go {msg}";

/// The bar of one source.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for `pages` pages.
    pub(crate) fn new(output: Output, pages: u64) -> Self {
        let target = if output.is_watched() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        // The template is a constant; were it wrong, indicatif's own would do as well.
        let style = ProgressStyle::with_template(TEMPLATE)
            .unwrap_or_else(|_wrong| ProgressStyle::default_bar());
        Self(ProgressBar::with_draw_target(Some(pages), target).with_style(style))
    }

    /// Shows how far it has come.
    pub(crate) fn show(&self, progress: Progress) {
        if progress.identical > 0 {
            self.0
                .set_message(format!("({} already there)", progress.identical));
        }
        self.0.set_position(progress.installed + progress.identical);
    }

    /// Takes the bar away; the report says it all.
    pub(crate) fn close(&self) {
        self.0.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
    }
}
