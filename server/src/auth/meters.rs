//! How many calls tenants have under way, and how often they call.
//!
//! Rates are token buckets: as many calls at once as a second allows, and then one for each that leaks. Bounds are asked for at each call, so a policy that is read
//! again holds from the next call on.
//!
//! **Invariant:** a call that was let in counts until it has ended, and no longer; one that was refused does not.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    quota::{Bounds, Resource, exceeded},
    tenant::Tenant,
};
use crate::rpc::status::ApiError;

/// The longest that a caller is told to wait. Where nothing is ever allowed, it need not ask often.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Calls of all tenants.
#[derive(Debug, Default)]
pub struct Meters {
    /// As many as the policy has ever named.
    tenants: Mutex<HashMap<Tenant, Arc<Meter>>>,
    all: Arc<Meter>,
}

/// Calls of one tenant, or of all.
#[derive(Debug, Default)]
struct Meter {
    under_way: AtomicU64,
    bucket: Mutex<Option<Bucket>>,
}

/// Calls that may be made at once, and when that was looked at.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

/// What is seen of calls at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Busy {
    /// Calls under way.
    pub streams: u64,
    /// Of the calls that a second allows, those that are taken; none where nothing is bounded.
    pub calls: f64,
}

/// A call under way. It counts until dropped.
#[derive(Debug)]
pub struct UnderWay(Arc<Meter>, Arc<Meter>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::AcqRel);
        self.1.under_way.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Meters {
    /// Counts a call that begins now.
    ///
    /// # Errors
    /// QUOTA_EXCEEDED.
    pub fn enter(&self, bounds: &Bounds) -> Result<UnderWay, ApiError> {
        let own = Arc::clone(self.tenants().entry(bounds.tenant.clone()).or_default());
        let all = Arc::clone(&self.all);
        let used = own.under_way.fetch_add(1, Ordering::AcqRel);
        let used_by_all = all.under_way.fetch_add(1, Ordering::AcqRel);
        // Gives both back, if one is refused.
        let call = UnderWay(own, all);
        bounds.check_own(Resource::Streams, bounds.own.streams, used, 1)?;
        Bounds::check_total(Resource::Streams, bounds.total.streams, used_by_all, 1)?;
        let rates = [
            (
                format!("tenant.{}", bounds.tenant),
                bounds.own.calls_per_second,
                &call.0,
            ),
            ("total".to_owned(), bounds.total.calls_per_second, &call.1),
        ];
        for (whose, most, meter) in rates {
            if let Some(most) = most
                && let Err(after) = meter.take(most)
            {
                let error = exceeded(&whose, Resource::CallsPerSecond, most, most, 1);
                return Err(error.retry_after(after.min(LONGEST_WAIT)));
            }
        }
        Ok(call)
    }

    /// Each tenant that has called, and how busy it is with what `most` calls of a second it may make.
    pub fn busy(&self, most: impl Fn(&Tenant) -> Option<u64>) -> Vec<(Tenant, Busy)> {
        let tenants: Vec<_> = self
            .tenants()
            .iter()
            .map(|(tenant, meter)| (tenant.clone(), Arc::clone(meter)))
            .collect();
        let busy = |(tenant, meter): (Tenant, Arc<Meter>)| {
            let most = most(&tenant);
            (tenant, meter.look(most))
        };
        tenants.into_iter().map(busy).collect()
    }

    /// The same of all tenants together.
    pub fn all_busy(&self, most: Option<u64>) -> Busy {
        self.all.look(most)
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<Tenant, Arc<Meter>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meter {
    /// Takes one of the `most` calls of a second; how long until there is one, if there is none.
    fn take(&self, most: u64) -> Result<(), Duration> {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let rate = rate(most);
        let tokens = bucket.map_or(rate, |before| before.tokens_at(now, rate));
        let left = if tokens < 1.0 { tokens } else { tokens - 1.0 };
        *bucket = Some(Bucket {
            tokens: left,
            at: now,
        });
        if tokens >= 1.0 {
            return Ok(());
        }
        let after = Duration::try_from_secs_f64((1.0 - tokens) / rate);
        Err(after.unwrap_or(Duration::MAX))
    }

    fn look(&self, most: Option<u64>) -> Busy {
        let bucket = *self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = most.zip(bucket).map(|(most, bucket)| {
            let rate = rate(most);
            rate - bucket.tokens_at(Instant::now(), rate)
        });
        Busy {
            streams: self.under_way.load(Ordering::Acquire),
            calls: taken.unwrap_or_default(),
        }
    }
}

impl Bucket {
    /// What is in it by now, where so many come in a second.
    fn tokens_at(self, now: Instant, rate: f64) -> f64 {
        let leaked = now.duration_since(self.at).as_secs_f64() * rate;
        (self.tokens + leaked).min(rate)
    }
}

/// Calls of a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate, not a count: beyond 2^53 nobody counts"
)]
fn rate(most: u64) -> f64 {
    most as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::quota::{Quota, Total},
        rpc::reason::Reason,
    };

    fn bounds(tenant: &str, own: Quota, total: Total) -> Bounds {
        Bounds {
            tenant: tenant.parse().unwrap(),
            own,
            total,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_count_until_they_end_for_their_tenant_and_for_all() {
        let meters = Meters::default();
        let own = Quota {
            streams: Some(2),
            ..Quota::default()
        };
        let total = Total {
            streams: Some(3),
            ..Total::default()
        };
        let (blue, red) = (bounds("blue", own, total), bounds("red", own, total));
        let first = meters.enter(&blue).unwrap();
        let _second = meters.enter(&blue).unwrap();
        let error = meters.enter(&blue).unwrap_err();
        assert!(error.to_string().contains("tenant.blue.streams"), "{error}");
        let _third = meters.enter(&red).unwrap();
        let error = meters.enter(&red).unwrap_err();
        assert!(error.to_string().contains("total.streams is 3"), "{error}");
        drop(first);
        let _fourth = meters.enter(&red).unwrap();
        meters.enter(&blue).unwrap_err();
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_allows_so_many_calls_and_no_more() {
        let meters = Meters::default();
        let own = Quota {
            calls_per_second: Some(4),
            ..Quota::default()
        };
        let blue = bounds("blue", own, Total::default());
        let calls = |wanted: usize| (0..wanted).filter(|_| meters.enter(&blue).is_ok()).count();
        assert_eq!(calls(10), 4);
        let taken = || {
            let busy = meters.busy(|_| own.calls_per_second);
            busy.iter().map(|(_, busy)| busy.calls).sum::<f64>()
        };
        assert!((taken() - 4.0).abs() < 1e-9, "{}", taken());
        tokio::time::advance(Duration::from_millis(500)).await;
        assert!((taken() - 2.0).abs() < 1e-9, "{}", taken());
        assert_eq!(calls(10), 2);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(calls(10), 4);
        let error = meters.enter(&blue).unwrap_err();
        assert_eq!(error.reason(), Reason::QuotaExceeded);
        assert!(
            error
                .to_string()
                .contains("tenant.blue.calls_per_second is 4"),
            "{error}"
        );
        // Others are not held up, and zero is none at all.
        meters.enter(&bounds("red", own, Total::default())).unwrap();
        let none = Quota {
            calls_per_second: Some(0),
            ..Quota::default()
        };
        meters
            .enter(&bounds("grey", none, Total::default()))
            .unwrap_err();
    }
}
