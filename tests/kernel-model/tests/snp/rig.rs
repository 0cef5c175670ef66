//! An SNP launch on a modelled machine.

use std::sync::Arc;

use stagepages_kernel_model::world::{FileId, World};
use stagepages_kernel_model::{Answer, Machine, Object, Script, Violations};

use crate::process::{BASE, Process};

pub(crate) const CREATE_VM: u64 = 0xae01;
pub(crate) const CREATE_VCPU: u64 = 0xae41;
pub(crate) const CREATE_GUEST_MEMFD: u64 = 0xc040_aed4;
pub(crate) const SET_REGION2: u64 = 0x40a0_ae49;
pub(crate) const SET_ATTRIBUTES: u64 = 0x4020_aed2;
pub(crate) const ENCRYPT_OP: u64 = 0xc008_aeba;

/// Where arguments and sources lie.
pub(crate) const ARGS: u64 = BASE;
const PARAMS: u64 = BASE + 0x100;
pub(crate) const SOURCE: u64 = BASE + 0x1000;

/// The first frame of guest memory, and its pages.
pub(crate) const FIRST: u64 = 0x10;
pub(crate) const PAGES: u64 = 16;

/// A machine, a process, and a VM of it.
pub(crate) struct Rig {
    pub(crate) machine: Arc<Machine>,
    pub(crate) process: Process,
    pub(crate) vm: Object,
    pub(crate) sev_fd: i32,
    pub(crate) gmem: FileId,
    pub(crate) gmem_fd: i32,
}

/// What an update wrote back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Updated {
    pub(crate) answer: Answer,
    pub(crate) error: u32,
    /// How many pages its parameters say were installed.
    pub(crate) pages: u64,
}

impl Rig {
    /// A VM with memory, where violations are recorded. Not yet a guest.
    pub(crate) fn new(mut script: Script) -> Self {
        script.violations = Violations::Record;
        let machine = Arc::new(Machine::new(script));
        let process = Process::new();
        let (sev_fd, sev) = process.open();
        machine.register(sev, Object::Sev);
        let fd = machine.ioctl(&process, Object::Kvm, CREATE_VM, 4).unwrap();
        let vm = machine.object(process.identify(fd).unwrap()).unwrap();
        let mut rig = Self {
            machine,
            process,
            vm,
            sev_fd,
            gmem: FileId { dev: 0, ino: 0 },
            gmem_fd: -1,
        };
        rig.put(ARGS, &[&words(&[PAGES * 4096, 0]), &[0; 48]]);
        rig.gmem_fd = rig.ioctl(CREATE_GUEST_MEMFD, ARGS).unwrap();
        rig.gmem = rig.process.identify(rig.gmem_fd).unwrap();
        let region = [0x4_0000_0000, FIRST * 4096, PAGES * 4096, 0x7000_0000, 0];
        let number = u64::from(rig.gmem_fd.unsigned_abs());
        rig.put(ARGS, &[&words(&region), &words(&[number]), &[0; 112]]);
        rig.ioctl(SET_REGION2, ARGS).unwrap();
        rig.put(ARGS, &[&words(&[FIRST * 4096, PAGES * 4096, 8, 0])]);
        rig.ioctl(SET_ATTRIBUTES, ARGS).unwrap();
        rig
    }

    /// The same, started with a policy that every kernel takes.
    pub(crate) fn started(script: Script) -> Self {
        let rig = Self::new(script);
        assert_eq!(rig.init2(0, 2), (Ok(0), 0));
        assert_eq!(rig.start(0x3_0000), (Ok(0), 0));
        rig
    }

    pub(crate) fn ioctl(&self, request: u64, arg: u64) -> Answer {
        self.machine.ioctl(&self.process, self.vm, request, arg)
    }

    pub(crate) fn put(&self, addr: u64, parts: &[&[u8]]) {
        self.process.write(addr, &parts.concat()).unwrap();
    }

    pub(crate) fn get<const N: usize>(&self, addr: u64) -> [u8; N] {
        stagepages_kernel_model::world::read_array(&self.process, addr).unwrap()
    }

    /// A command whose parameters are in place: the answer, and `error` as written back.
    pub(crate) fn command(&self, id: u32) -> (Answer, u32) {
        self.command_with(id, 0, 0)
    }

    pub(crate) fn command_with(&self, id: u32, pad: u32, error: u32) -> (Answer, u32) {
        let mut args = [id.to_le_bytes(), pad.to_le_bytes()].concat();
        args.extend(PARAMS.to_le_bytes());
        args.extend(error.to_le_bytes());
        args.extend(self.sev_fd.to_le_bytes());
        self.put(ARGS, &[&args]);
        let answer = self.ioctl(ENCRYPT_OP, ARGS);
        (answer, u32::from_le_bytes(self.get(ARGS + 16)))
    }

    pub(crate) fn init2(&self, features: u64, ghcb_version: u16) -> (Answer, u32) {
        let version = u64::from(ghcb_version) << 32;
        self.put(PARAMS, &[&words(&[features, version]), &[0; 32]]);
        self.command(22)
    }

    pub(crate) fn start(&self, policy: u64) -> (Answer, u32) {
        self.put(PARAMS, &[&words(&[policy]), &[0; 56]]);
        self.command(100)
    }

    /// Updates from [`SOURCE`], as it is now.
    pub(crate) fn update(&self, gfn: u64, page_type: u8, pages: u64) -> Updated {
        self.update_from(SOURCE, gfn, page_type, pages * 4096)
    }

    pub(crate) fn update_from(&self, uaddr: u64, gfn: u64, page_type: u8, bytes: u64) -> Updated {
        let fields = words(&[gfn, uaddr, bytes, page_type.into()]);
        self.put(PARAMS, &[&fields, &[0; 32]]);
        let (answer, error) = self.command(101);
        Updated {
            answer,
            error,
            pages: u64::from_le_bytes(self.get(PARAMS)) - gfn,
        }
    }

    pub(crate) fn create_vcpu(&self, index: u64) -> Object {
        let fd = self.ioctl(CREATE_VCPU, index).unwrap();
        self.machine
            .object(self.process.identify(fd).unwrap())
            .unwrap()
    }

    /// Finishes with no ID block, and host data of zeros.
    pub(crate) fn finish(&self) -> (Answer, u32) {
        self.put(PARAMS, &[&[0; 88]]);
        self.command(102)
    }

    /// What page `index` of the guest_memfd holds, if it is there.
    pub(crate) fn stored(&self, index: u64) -> Option<Vec<u8>> {
        let stored = self.process.stored.borrow();
        stored.get(&(self.gmem.ino, index * 4096)).cloned()
    }
}

pub(crate) fn words(values: &[u64]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}
