//! Connections that have not begun to speak HTTP/2: in the middle of a handshake, or silent.
//!
//! They cost a client nothing, so there may be any number of them. A bounded number of places is for them; who comes when all are taken
//! drives out the oldest one of whoever has most, and who has a whole share already its own oldest one. So a crowd from one place stands in its own way only, and from many places it would
//! have to come faster than an honest client's handshake, the whole number of places in a few milliseconds, again and again.
//!
//! Connections for pages have such places for their whole life.
//!
//! **Invariant:** there are never more than as many as there are places, nor more of one source than a share, and a newcomer always gets one.

use std::{
    collections::{HashMap, VecDeque},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::CancellationToken;

use crate::auth::DeviceId;

/// Where a connection comes from, as far as it counts together with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A user of this machine, by uid.
    User(u32),
    /// A device, whoever holds its socket.
    Device(DeviceId),
    /// A host; of IPv6 the network of 64 bits, any address of which one host may take (RFC 4291, 2.5.1).
    Host(IpAddr),
}

/// The places.
#[derive(Debug)]
pub(super) struct HalfOpen {
    places: usize,
    share: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// Oldest first.
    taken: VecDeque<Taken>,
}

#[derive(Debug)]
struct Taken {
    number: u64,
    source: Source,
    driven_out: CancellationToken,
}

/// A place. Free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    of: Arc<HalfOpen>,
    driven_out: CancellationToken,
}

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        Self::Host(match address.ip().to_canonical() {
            IpAddr::V4(ip) => IpAddr::V4(ip),
            IpAddr::V6(ip) => {
                let network = ip.to_bits() & (u128::MAX << 64);
                IpAddr::V6(Ipv6Addr::from_bits(network))
            }
        })
    }
}

impl HalfOpen {
    /// So many places; of these, so many for one source.
    pub(super) fn new(places: usize, share: usize) -> Self {
        Self {
            places,
            share,
            state: Mutex::default(),
        }
    }

    /// A place for a connection from `source`, and whether another connection lost its own for it.
    pub(super) fn enter(self: &Arc<Self>, source: Source) -> (Place, bool) {
        let driven_out = CancellationToken::new();
        let mut state = self.state();
        let full = state.taken.len() >= self.places;
        let victim = state.beyond(self.share, source);
        let victim = victim.or_else(|| state.victim().filter(|_| full));
        if let Some(index) = victim {
            state
                .taken
                .remove(index)
                .inspect(|it| it.driven_out.cancel());
        }
        let number = state.next;
        state.next += 1;
        state.taken.push_back(Taken {
            number,
            source,
            driven_out: driven_out.clone(),
        });
        drop(state);
        let place = Place {
            number,
            of: Arc::clone(self),
            driven_out,
        };
        (place, victim.is_some())
    }

    /// How many places are taken.
    pub(super) fn taken(&self) -> usize {
        self.state().taken.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The oldest of this source, if one more is too many.
    fn beyond(&self, share: usize, source: Source) -> Option<usize> {
        let own = |taken: &&Taken| taken.source == source;
        let crowded = self.taken.iter().filter(own).count() >= share;
        let oldest = self.taken.iter().position(|taken| own(&taken));
        oldest.filter(|_| crowded)
    }

    /// The oldest of whoever has most; of several such, of who has the oldest.
    fn victim(&self) -> Option<usize> {
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for taken in &self.taken {
            *counts.entry(taken.source).or_default() += 1;
        }
        let most = counts.values().max()?;
        self.taken
            .iter()
            .position(|taken| counts.get(&taken.source) == Some(most))
    }
}

impl Place {
    /// Returns when somebody else got the place.
    pub(super) async fn driven_out(&self) {
        self.driven_out.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut state = self.of.state();
        state.taken.retain(|taken| taken.number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(last: u8) -> Source {
        SocketAddr::from(([192, 0, 2, last], 1)).into()
    }

    fn is_out(place: &Place) -> bool {
        place.driven_out.is_cancelled()
    }

    #[test]
    fn a_crowd_drives_out_its_own_oldest_and_nobody_else() {
        let places = Arc::new(HalfOpen::new(4, 4));
        let (honest, _) = places.enter(host(1));
        let crowd: Vec<_> = (0..100).map(|_| places.enter(host(2)).0).collect();
        assert!(!is_out(&honest));
        assert_eq!(crowd.iter().filter(|it| !is_out(it)).count(), 3);
        assert!(crowd[97..].iter().all(|it| !is_out(it)));
        let (user, crowded) = places.enter(Source::User(0));
        assert!(crowded && is_out(&crowd[97]) && !is_out(&user) && !is_out(&honest));
        drop(crowd);
        assert_eq!(places.state().taken.len(), 2);
        assert!(!places.enter(host(3)).1);
    }

    #[test]
    fn of_equals_the_oldest_goes() {
        let places = Arc::new(HalfOpen::new(3, 3));
        let all: Vec<_> = (1..=6).map(|last| places.enter(host(last)).0).collect();
        assert!(all[..3].iter().all(is_out) && !all[3..].iter().any(is_out));
    }

    #[test]
    fn nobody_has_more_than_a_share_while_there_is_room() {
        let places = Arc::new(HalfOpen::new(8, 2));
        let greedy: Vec<_> = (0..5).map(|_| places.enter(host(1))).collect();
        let driven: Vec<_> = greedy.iter().map(|(_, crowded)| *crowded).collect();
        assert_eq!(driven, [false, false, true, true, true]);
        assert_eq!(greedy.iter().filter(|(place, _)| !is_out(place)).count(), 2);
        assert!(!places.enter(host(2)).1);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let at = |text: &str| Source::from(SocketAddr::new(text.parse().expect("an address"), 1));
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:1"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
