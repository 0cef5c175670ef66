//! A launch that takes pages.

use super::{
    Launch, Ordering, Reason, Refusal, Snapshot, State, StopFlag, books::Books, finish::unmeasured,
};
use crate::{
    platform::{Memory, Platform},
    protocol,
    vcpu::{Rules, VcpuState},
};

/// CREATED or STAGING: the platform, and what is known to be installed.
#[derive(Debug)]
pub struct Open {
    pub(super) platform: Box<dyn Platform>,
    pub(super) books: Books,
}

impl Open {
    /// A launch with nothing installed, on a platform that has these regions, with `vcpus` vCPUs as the architecture resets them.
    ///
    /// `key` is random and this launch's own: it keys the hashes of pages whose contents are nobody's business. A chunk of
    /// `chunk_pages` (at least 1) is installed without looking up.
    #[must_use]
    pub fn new(
        platform: Box<dyn Platform>,
        memory: Memory<()>,
        key: [u8; 32],
        stop: StopFlag,
        chunk_pages: u64,
        ordering: Ordering,
        vcpus: u32,
    ) -> Self {
        let books = Books::new(
            platform.kind(),
            memory,
            key,
            stop,
            chunk_pages,
            ordering,
            vcpus,
            platform.save_area_features(),
        );
        Self { platform, books }
    }

    /// The launch as it is now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.books.snapshot(if self.books.ledger.is_empty() {
            State::Created
        } else {
            State::Staging
        })
    }

    pub(super) fn settle(mut self) -> Launch {
        match self.books.settle() {
            Ok(()) => Launch::Open(self),
            Err(died) => self.ended(unmeasured(died)).0,
        }
    }

    /// Sets how a vCPU begins.
    ///
    /// # Errors
    /// `MalformedRequest` without a state or for a vCPU that the launch does not have, `InvalidVcpuState`, and what the platform says.
    /// Nothing changed then.
    pub(super) fn set_vcpu(&mut self, vcpu: &protocol::Vcpu) -> Result<(), Refusal> {
        let Self { platform, books } = self;
        let count = books.vcpus.len();
        let index = usize::try_from(vcpu.index).unwrap_or(usize::MAX);
        let Some(kept) = books.vcpus.get_mut(index) else {
            let message = format!(
                "vCPU {} does not exist: the launch has {count}, counted from 0",
                vcpu.index
            );
            return Err(Refusal {
                field: "index".to_owned(),
                ..Refusal::new(Reason::MalformedRequest, message)
            });
        };
        let rules = Rules {
            cpu: platform.cpu(),
            memory: &books.memory,
        };
        let state = VcpuState::new(vcpu, &rules)?;
        state.suits(books.kind)?;
        platform.set_vcpu(vcpu.index, &state)?;
        if let Some(measure) = &mut books.measure {
            measure.set_vcpu(index, &state);
        }
        *kept = state;
        Ok(())
    }
}
