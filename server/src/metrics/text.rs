//! The two text formats that Prometheus reads.
//!
//! prometheus-client writes OpenMetrics 1.0. The older format (text 0.0.4) is made of that: it has the samples' name in what it says of a counter, and neither
//! units nor an end. promtool reads only this one.
//!
//! **Invariant:** both have the same samples.

use std::fmt;

use http::{HeaderMap, header};
use prometheus_client::{encoding::text, registry::Registry};

/// A text format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus text 0.0.4.
    Prometheus,
}

impl Format {
    /// What somebody with these headers takes: OpenMetrics only who names it.
    #[must_use]
    pub fn accepted(headers: &HeaderMap) -> Self {
        let named = headers.get_all(header::ACCEPT).iter().any(|accept| {
            accept
                .to_str()
                .is_ok_and(|accept| accept.contains("application/openmetrics-text"))
        });
        if named {
            Self::OpenMetrics
        } else {
            Self::Prometheus
        }
    }

    /// Its content type.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Writes a registry.
    pub(super) fn write(self, registry: &Registry) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, registry)?;
        Ok(match self {
            Self::OpenMetrics => out,
            Self::Prometheus => older(&out),
        })
    }
}

/// Text 0.0.4 of OpenMetrics.
fn older(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        // What is said of a counter begins with help; its type is behind that.
        let suffix = |line: &str| {
            let is_counter = line.starts_with("# TYPE ") && line.ends_with(" counter");
            if is_counter { "_total" } else { "" }
        };
        let (word, rest, suffix) = if let Some(help) = line.strip_prefix("# HELP ") {
            let next = lines.peek().copied().unwrap_or_default();
            ("# HELP ", help, suffix(next))
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            ("# TYPE ", kind, suffix(line))
        } else {
            if !line.starts_with('#') {
                out.push_str(line);
                out.push('\n');
            }
            continue;
        };
        let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        for part in [word, name, suffix, " ", rest, "\n"] {
            out.push_str(part);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use prometheus_client::metrics::{counter::Counter, gauge::Gauge};

    use super::*;

    #[test]
    fn a_counter_is_called_by_its_samples_in_the_older_format() {
        let mut registry = Registry::with_prefix("p");
        let counter: Counter = Counter::default();
        counter.inc();
        registry.register("c", "How many", counter);
        registry.register("g", "How much", Gauge::<i64>::default());
        let expected = "# HELP p_c_total How many.\n# TYPE p_c_total counter\np_c_total 1\n# HELP p_g How much.\n# TYPE p_g gauge\np_g 0\n";
        assert_eq!(Format::Prometheus.write(&registry).unwrap(), expected);
        let new = Format::OpenMetrics.write(&registry).unwrap();
        assert!(new.starts_with("# HELP p_c How many.\n# TYPE p_c counter\np_c_total 1\n"));
        assert!(new.ends_with("# EOF\n"));
    }

    #[test]
    fn open_metrics_is_for_who_names_it() {
        let mut headers = HeaderMap::new();
        assert_eq!(Format::accepted(&headers), Format::Prometheus);
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(Format::accepted(&headers), Format::Prometheus);
        let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1";
        headers.insert(header::ACCEPT, HeaderValue::from_static(prometheus));
        assert_eq!(Format::accepted(&headers), Format::OpenMetrics);
    }
}
