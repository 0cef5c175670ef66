//! Progress bars on standard error, for people at a terminal.
//!
//! **Invariant:** draws nothing where nobody watches.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use stagepages_client::stage::Progress;

use crate::output::Output;

const TEMPLATE: &str = "{bar:40} {pos}/{len} pages, {per_sec}, {eta} to go {msg}";
const BYTES_TEMPLATE: &str = "{msg} {bar:40} {bytes}/{total_bytes}, {bytes_per_sec}, {eta} to go";

/// The bar of one source.
#[derive(Debug)]
pub(crate) struct Bar(ProgressBar);

impl Bar {
    /// A bar for `pages` pages.
    pub(crate) fn new(output: Output, pages: u64) -> Self {
        Self(bar(output, pages, TEMPLATE))
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

/// The bar of bytes that are read or sent.
#[derive(Debug)]
pub(crate) struct BytesBar(ProgressBar);

impl BytesBar {
    /// A bar for `bytes` bytes, of which `what` is done.
    pub(crate) fn new(output: Output, what: &'static str, bytes: u64) -> Self {
        let bar = bar(output, bytes, BYTES_TEMPLATE);
        bar.set_message(what);
        Self(bar)
    }

    /// Shows how far it has come.
    pub(crate) fn show(&self, bytes: u64) {
        self.0.set_position(bytes);
    }

    /// Takes the bar away.
    pub(crate) fn close(&self) {
        self.0.finish_and_clear();
    }
}

fn bar(output: Output, length: u64, template: &str) -> ProgressBar {
    let target = if output.is_watched() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    // The template is a constant; were it wrong, indicatif's own would do as well.
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_wrong| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(length), target).with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_some() {
        ProgressStyle::with_template(TEMPLATE).unwrap();
        ProgressStyle::with_template(BYTES_TEMPLATE).unwrap();
    }
}
