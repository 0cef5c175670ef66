//! `KVM_TDX_INIT_MEM_REGION` (`tdx_vcpu_init_mem_region()`, `arch/x86/kvm/vmx/tdx.c`).
//!
//! **Invariant:** once the region is found valid it is written back, on success and on error: it says what is left, from the page that
//! failed on.

use super::install::Install;
use super::{Command, Tdx};
use crate::cx::Cx;
use crate::memory::PAGE;
use crate::populate::{Request, populate};
use crate::strict;
use crate::vm::Common;
use crate::wire::Fields;
use crate::{Answer, Effect, Errno};

/// `KVM_TDX_MEASURE_MEMORY_REGION`.
pub(super) const MEASURE: u32 = 1;

/// struct kvm_tdx_init_mem_region {source_addr u64@0, gpa u64@8, nr_pages u64@16}.
#[derive(Clone, Copy, Debug)]
struct Region {
    source: u64,
    gpa: u64,
    pages: u64,
}

/// Installs pages one after the other, until one fails.
pub(super) fn init_mem_region(
    cx: &mut Cx<'_>,
    vm: &mut Common,
    td: &mut Tdx,
    index: u32,
    command: Command,
) -> Answer<()> {
    if !td.vcpus.contains(&index) {
        return Err(Errno::EINVAL);
    }
    let region = Region::read(cx, command)?;
    region.be_strict(cx, vm);
    if !region.is_valid(td.private_end) {
        return Err(Errno::EINVAL);
    }
    cx.note.pages_done = Some(0);
    let (done, answer) = install(cx, vm, td, region, command.flags & MEASURE != 0);
    let left = region.without(done);
    let faults = command.effect == Some(Effect::CopyBackFault);
    if faults || cx.world.write(command.data, &left.bytes()).is_err() {
        return Err(Errno::EFAULT);
    }
    answer
}

/// How many pages were installed, and what stopped it.
fn install(
    cx: &mut Cx<'_>,
    vm: &mut Common,
    td: &mut Tdx,
    region: Region,
    measures: bool,
) -> (u64, Answer<()>) {
    let Common { memory, dead, .. } = vm;
    let mut install = Install {
        mrtd: &mut td.mrtd,
        premapped: &mut td.premapped,
        vm_is_dead: dead,
        measures,
    };
    for done in 0..region.pages {
        let page = region.without(done);
        // A source of NULL is one like any other until 6.19; from 7.0 it means "none" (kernel.md section 3.3).
        let has_source = page.source != 0 || !cx.profile().populate_pins_source();
        let request = Request {
            gfn: page.gpa / PAGE,
            pages: 1,
            source: Some(page.source).filter(|_| has_source),
            writes_back: false,
            begins_call: done == 0,
        };
        match populate(cx, memory, request, &mut install) {
            Ok(1) => cx.note.pages_done = Some(done + 1),
            // Where the memslot ends the next frame has none.
            Ok(_) => return (done, Err(Errno::EINVAL)),
            Err(errno) => {
                cx.note.pages_done = Some(done);
                return (done, Err(errno));
            }
        }
    }
    (region.pages, Ok(()))
}

impl Region {
    fn read(cx: &mut Cx<'_>, command: Command) -> Answer<Self> {
        let fields = Fields(cx.read::<24>(command.data)?);
        let (source, gpa, pages) = (fields.u64(0), fields.u64(8), fields.u64(16));
        cx.note.uaddr = Some(source);
        cx.note.gfn = Some(gpa / PAGE);
        cx.note.pages = Some(pages);
        cx.note.detail = Some(format!("measure={}", command.flags & MEASURE != 0));
        Ok(Self { source, gpa, pages })
    }

    fn is_valid(&self, private_end: u64) -> bool {
        let bytes = self.pages.checked_mul(PAGE);
        let end = bytes.and_then(|bytes| self.gpa.checked_add(bytes));
        self.source.is_multiple_of(PAGE)
            && self.gpa.is_multiple_of(PAGE)
            && self.pages > 0
            && end.is_some_and(|end| end <= private_end)
    }

    /// What a correct launch host never asks for (kernel.md sections 1.4, 3.3 and 10).
    fn be_strict(&self, cx: &Cx<'_>, vm: &mut Common) {
        cx.require(self.pages != 0, "a region of no pages");
        strict::blocked_signals(cx);
        strict::sound_source(cx, self.source, self.pages.saturating_mul(PAGE));
        strict::new_pages(cx, &vm.memory, self.gpa / PAGE, self.pages);
        strict::descriptor(cx, &mut vm.memory, self.gpa / PAGE);
    }

    /// What is left of it after so many pages.
    fn without(self, pages: u64) -> Self {
        Self {
            source: self.source + pages * PAGE,
            gpa: self.gpa + pages * PAGE,
            pages: self.pages - pages,
        }
    }

    fn bytes(self) -> [u8; 24] {
        let mut fields = Fields([0; 24]);
        for (at, value) in [(0, self.source), (8, self.gpa), (16, self.pages)] {
            fields.put(at, &value.to_le_bytes());
        }
        fields.0
    }
}
