//! The receive budget at work: what connections, calls and messages hold of it at the moment.
//!
//! **Invariant:** more than a share is never handed out, and nothing that was handed out outlives what it was for.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    limits::{Limits, Windows},
    permits::Crowd,
    shares::{Shares, TooSmall, most_extra, windows},
};

/// Extra windows below this are not worth a share of what is left, in bytes.
const LEAST_EXTRA_BYTES: u32 = 128 << 10;

/// The budget of a server.
#[derive(Debug)]
pub(super) struct Budget {
    listen: Side,
    devices: Side,
    known: Pool,
    unknown: Pool,
    device: Pool,
    ceiling: Windows,
}

/// What connections and calls of one crowd share.
#[derive(Debug)]
struct Side {
    windows: Arc<Semaphore>,
    calls: Arc<Semaphore>,
    /// What both had in the beginning.
    whole: [usize; 2],
}

/// Whether a connection has delivered a message, and not stalled in one since. Messages of those that have are gathered apart
/// from the others: a crowd that only begins messages is in its own way, and nobody else's. So are devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Known,
    Unknown,
    Device,
}

/// Room for messages.
#[derive(Debug)]
struct Pool {
    /// Permits are bytes.
    share: Arc<Semaphore>,
    /// All of them.
    bytes: usize,
    /// One message at a time may be gathered beyond the share: of many half-received messages that fill it, one can always be
    /// completed, so the share is never stuck.
    lane: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A connection's part of the budget. Given back when dropped.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) windows: Windows,
    _extra: Option<OwnedSemaphorePermit>,
}

/// Permission to hold bytes of messages.
#[derive(Debug)]
pub(super) enum Room {
    /// Of the share.
    Share(OwnedSemaphorePermit),
    /// For the rest of one message, whatever its size.
    Lane(OwnedSemaphorePermit),
}

impl Budget {
    /// The budget of `limits`, whole.
    pub(super) fn new(limits: &Limits) -> Result<Self, TooSmall> {
        let shares = Shares::of(limits)?;
        let lane = limits.max_message_bytes as u64 + u64::from(limits.windows.frame);
        let bytes = |share: u64| {
            let share = usize::try_from(share).unwrap_or(usize::MAX);
            Arc::new(Semaphore::new(share.min(Semaphore::MAX_PERMITS)))
        };
        let pool = |share: u64| {
            let share = bytes(share.saturating_sub(lane));
            Pool {
                bytes: share.available_permits(),
                share,
                lane: Arc::new(Semaphore::new(1)),
                waiting: AtomicUsize::new(0),
            }
        };
        // A client's first message is seldom a large one: it creates a launch, or looks at one.
        let unknown = shares.messages / 4;
        // Set apart from the others' where there are any, so that what devices hold is never missing elsewhere.
        let part = |whole: u64, parts: u64| if limits.devices { whole / parts } else { 0 };
        let device = part(shares.messages, 4);
        let side = |windows: u64, calls: u64| {
            let (windows, calls) = (bytes(windows), bytes(calls));
            Side {
                whole: [windows.available_permits(), calls.available_permits()],
                windows,
                calls,
            }
        };
        let (windows, calls) = (part(shares.windows, 2), part(shares.calls, 2));
        Ok(Self {
            listen: side(shares.windows - windows, shares.calls - calls),
            devices: side(windows, calls),
            known: pool(shares.messages - unknown - device),
            unknown: pool(unknown),
            device: pool(device),
            ceiling: limits.windows,
        })
    }

    /// A new connection's part: half of what is left for windows, up to the most that serves a purpose. So windows shrink with
    /// the number of connections. Those of a connection stay as they are: hyper 1 has no way to change them later.
    pub(super) fn connection(&self, crowd: Crowd) -> Grant {
        let all = &self.side(crowd).windows;
        let left = u32::try_from(all.available_permits()).unwrap_or(u32::MAX);
        let extra = (left / 2).min(most_extra(self.ceiling));
        let taken =
            (extra >= LEAST_EXTRA_BYTES).then(|| Arc::clone(all).try_acquire_many_owned(extra));
        // Not all of it is there if another connection was faster; then this one does with the least.
        let taken = taken.and_then(Result::ok);
        let extra = if taken.is_some() { extra } else { 0 };
        Grant {
            windows: windows(extra, self.ceiling),
            _extra: taken,
        }
    }

    /// Room for a call that costs `bytes`; none if too many calls are going on.
    pub(super) fn call(&self, crowd: Crowd, bytes: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.side(crowd).calls)
            .try_acquire_many_owned(bytes)
            .ok()
    }

    /// Room for `bytes` of a message, if there is some at once.
    pub(super) fn try_room(&self, standing: Standing, bytes: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pool(standing).share)
            .try_acquire_many_owned(bytes)
            .ok()
    }

    /// Waits for room for `bytes` of a message, in order of asking. None only if the budget is closed, which it never is.
    pub(super) async fn room(self: Arc<Self>, standing: Standing, bytes: u32) -> Option<Room> {
        let pool = self.pool(standing);
        let _waiting = Waiting::new(&pool.waiting);
        tokio::select! {
            biased;
            share = Arc::clone(&pool.share).acquire_many_owned(bytes) => share.ok().map(Room::Share),
            lane = Arc::clone(&pool.lane).acquire_owned() => lane.ok().map(Room::Lane),
        }
    }

    /// Bytes of each part, and how many of them are in use.
    pub(super) fn use_of_parts(&self) -> [(&'static str, u64, u64); 7] {
        let [windows, calls] = self.listen.whole;
        let [device_windows, device_calls] = self.devices.whole;
        [
            ("windows", windows, &self.listen.windows),
            ("calls", calls, &self.listen.calls),
            ("messages_known", self.known.bytes, &self.known.share),
            ("messages_unknown", self.unknown.bytes, &self.unknown.share),
            ("device_windows", device_windows, &self.devices.windows),
            ("device_calls", device_calls, &self.devices.calls),
            ("device_messages", self.device.bytes, &self.device.share),
        ]
        .map(|(part, all, left)| {
            let used = all.saturating_sub(left.available_permits());
            (part, all as u64, used as u64)
        })
    }

    /// Whether some message waits for room. Then peers that stall are waited for less.
    pub(super) fn is_short(&self, standing: Standing) -> bool {
        self.pool(standing).waiting.load(Ordering::Relaxed) > 0
    }

    fn side(&self, crowd: Crowd) -> &Side {
        match crowd {
            Crowd::Listen => &self.listen,
            Crowd::Devices => &self.devices,
        }
    }

    fn pool(&self, standing: Standing) -> &Pool {
        match standing {
            Standing::Known => &self.known,
            Standing::Unknown => &self.unknown,
            Standing::Device => &self.device,
        }
    }
}

/// Counts somebody who waits, until dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    fn budget() -> Arc<Budget> {
        Arc::new(Budget::new(&Limits::default()).expect("suffices"))
    }

    #[test]
    fn windows_shrink_with_the_connections_and_come_back() {
        let budget = budget();
        let all = budget.listen.windows.available_permits();
        let grants: Vec<_> = (0..1000)
            .map(|_| budget.connection(Crowd::Listen))
            .collect();
        let windows: Vec<_> = grants.iter().map(|grant| grant.windows).collect();
        assert!(windows.is_sorted_by(|a, b| a.connection >= b.connection));
        assert!(windows[0].connection > 16 << 20, "{:?}", windows[0]);
        assert_eq!(windows[999].connection, 65_535);
        let extra: u64 = windows.iter().map(|w| u64::from(most_extra(*w))).sum();
        assert!(extra <= all as u64);
        drop(grants);
        assert_eq!(budget.listen.windows.available_permits(), all);
        assert_eq!(budget.connection(Crowd::Listen).windows, windows[0]);
    }

    #[test]
    fn devices_take_nothing_from_the_others() {
        let limits = Limits {
            devices: true,
            ..Limits::default()
        };
        let budget = Arc::new(Budget::new(&limits).expect("suffices"));
        let before = budget.connection(Crowd::Listen).windows;
        let mut calls = Vec::new();
        while let Some(call) = budget.call(Crowd::Devices, 8 << 10) {
            calls.push(call);
        }
        let mut rooms = Vec::new();
        while let Some(room) = budget.try_room(Standing::Device, 64 << 10) {
            rooms.push(room);
        }
        let _grants: Vec<_> = (0..100)
            .map(|_| budget.connection(Crowd::Devices))
            .collect();
        assert!(calls.len() > 100 && rooms.len() > 10);
        assert_eq!(budget.connection(Crowd::Listen).windows, before);
        assert!(budget.call(Crowd::Listen, 8 << 10).is_some());
        for standing in [Standing::Known, Standing::Unknown] {
            assert!(budget.try_room(standing, 64 << 10).is_some());
        }
        let none = Budget::new(&Limits::default()).expect("suffices");
        assert!(
            none.call(Crowd::Devices, 1).is_none(),
            "nothing is set apart"
        );
    }

    #[tokio::test]
    async fn of_those_that_wait_one_goes_on_without_room() {
        let budget = budget();
        let all = budget.known.share.available_permits();
        let all = u32::try_from(all).expect("fits");
        let everything = budget.try_room(Standing::Known, all).expect("is free");
        assert!(!budget.is_short(Standing::Known));
        let first = Arc::clone(&budget).room(Standing::Known, 1).await;
        assert!(matches!(first, Some(Room::Lane(_))));
        let mut second = pin!(Arc::clone(&budget).room(Standing::Known, 1));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut cx).is_pending());
        assert!(budget.is_short(Standing::Known));
        // Others are not in their way.
        assert!(!budget.is_short(Standing::Unknown));
        assert!(budget.try_room(Standing::Unknown, 1).is_some());
        drop(everything);
        assert!(matches!(second.await, Some(Room::Share(_))));
        assert!(!budget.is_short(Standing::Known));
        drop(first);
    }
}
