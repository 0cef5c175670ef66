//! A TDX launch on a modelled machine.

use stagepages_kernel_model::world::{FileId, World};
use stagepages_kernel_model::{Answer, Machine, Object, Profile, Script, Violations, What};

use crate::process::{BASE, Process};

pub(crate) const CREATE_VM: u64 = 0xae01;
pub(crate) const CREATE_VCPU: u64 = 0xae41;
const CREATE_GUEST_MEMFD: u64 = 0xc040_aed4;
const SET_REGION2: u64 = 0x40a0_ae49;
pub(crate) const SET_ATTRIBUTES: u64 = 0x4020_aed2;
const ENABLE_CAP: u64 = 0x4068_aea3;
const SET_CPUID2: u64 = 0x4008_ae90;
const ENCRYPT_OP: u64 = 0xc008_aeba;

pub(crate) const CAPABILITIES: u32 = 0;
pub(crate) const INIT_VM: u32 = 1;
pub(crate) const INIT_VCPU: u32 = 2;
pub(crate) const INIT_MEM_REGION: u32 = 3;
pub(crate) const FINALIZE_VM: u32 = 4;
pub(crate) const GET_CPUID: u32 = 5;

/// Where arguments and sources lie.
pub(crate) const ARGS: u64 = BASE;
pub(crate) const PARAMS: u64 = BASE + 0x100;
pub(crate) const SOURCE: u64 = BASE + 0x4000;

/// The pages of guest memory, which begins at GPA 0.
pub(crate) const PAGES: u64 = 16;
pub(crate) const PAGE: u64 = 4096;

/// The kernels that have TDX.
pub(crate) const KERNELS: [Profile; 3] = [Profile::V6_18, Profile::V6_19, Profile::V7_1];

/// A machine, a process, and a VM of it.
pub(crate) struct Rig {
    pub(crate) machine: Machine,
    pub(crate) process: Process,
    pub(crate) vm: Object,
    pub(crate) gmem: FileId,
    pub(crate) gmem_fd: i32,
}

/// A command as a caller writes it.
#[derive(Clone, Copy)]
pub(crate) struct Command {
    pub(crate) id: u32,
    pub(crate) flags: u32,
    pub(crate) data: u64,
    pub(crate) hw_error: u64,
}

/// `struct kvm_tdx_init_vm` with a table of CPUID; each entry its ten words.
#[derive(Clone)]
pub(crate) struct Init {
    pub(crate) attributes: u64,
    pub(crate) xfam: u64,
    pub(crate) reserved: u64,
    pub(crate) padding: u32,
    pub(crate) cpuid: Vec<[u32; 10]>,
}

/// What INIT_MEM_REGION answered, and what it says is left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Staged {
    pub(crate) answer: Answer,
    /// {source_addr, gpa, nr_pages}.
    pub(crate) left: [u64; 3],
}

impl Default for Init {
    fn default() -> Self {
        Self {
            attributes: 1 << 28,
            xfam: 3,
            reserved: 0,
            padding: 0,
            cpuid: vec![address_width(48)],
        }
    }
}

/// Leaf 0x80000008 with this width of guest physical addresses.
pub(crate) fn address_width(bits: u32) -> [u32; 10] {
    [0x8000_0008, 0, 0, bits << 16, 0, 0, 0, 0, 0, 0]
}

impl Rig {
    /// A VM with memory, where violations are recorded. Not yet a TD.
    pub(crate) fn new(mut script: Script) -> Self {
        script.violations = Violations::Record;
        let machine = Machine::new(script);
        let process = Process::new();
        let fd = machine.ioctl(&process, Object::Kvm, CREATE_VM, 5).unwrap();
        let vm = machine.object(process.identify(fd).unwrap()).unwrap();
        let mut rig = Self {
            machine,
            process,
            vm,
            gmem: FileId { dev: 0, ino: 0 },
            gmem_fd: -1,
        };
        rig.put(ARGS, &[&words(&[PAGES * PAGE, 0]), &[0; 48]]);
        rig.gmem_fd = rig.ioctl(CREATE_GUEST_MEMFD, ARGS).unwrap();
        rig.gmem = rig.process.identify(rig.gmem_fd).unwrap();
        let region = [4 << 32, 0, PAGES * PAGE, 0x7000_0000, 0];
        let number = u64::from(rig.gmem_fd.unsigned_abs());
        rig.put(ARGS, &[&words(&region), &words(&[number]), &[0; 112]]);
        rig.ioctl(SET_REGION2, ARGS).unwrap();
        rig.set_private(0, PAGES, true);
        rig
    }

    /// The same with `INIT_VM`, a split interrupt controller and one vCPU that the module knows.
    pub(crate) fn ready(script: Script) -> (Self, Object) {
        let rig = Self::new(script);
        assert_eq!(rig.init_vm(&Init::default()), (Ok(0), 0));
        assert_eq!(rig.split_irqchip(), Ok(0));
        let vcpu = rig.create_vcpu(0).unwrap();
        rig.set_features(vcpu, 1 << 21);
        assert_eq!(rig.init_vcpu(vcpu), Ok(0));
        (rig, vcpu)
    }

    pub(crate) fn ioctl(&self, request: u64, arg: u64) -> Answer {
        self.machine.ioctl(&self.process, self.vm, request, arg)
    }

    pub(crate) fn vcpu_ioctl(&self, vcpu: Object, request: u64, arg: u64) -> Answer {
        self.machine.ioctl(&self.process, vcpu, request, arg)
    }

    pub(crate) fn put(&self, addr: u64, parts: &[&[u8]]) {
        self.process.write(addr, &parts.concat()).unwrap();
    }

    pub(crate) fn get<const N: usize>(&self, addr: u64) -> [u8; N] {
        stagepages_kernel_model::world::read_array(&self.process, addr).unwrap()
    }

    pub(crate) fn word(&self, addr: u64) -> u64 {
        u64::from_le_bytes(self.get(addr))
    }

    /// A command on a descriptor: the answer, and `hw_error` as it then stands there.
    pub(crate) fn command(&self, object: Object, command: Command) -> (Answer, u64) {
        let Command {
            id,
            flags,
            data,
            hw_error,
        } = command;
        let head = [id.to_le_bytes(), flags.to_le_bytes()].concat();
        self.put(ARGS, &[&head, &words(&[data, hw_error])]);
        let answer = self.machine.ioctl(&self.process, object, ENCRYPT_OP, ARGS);
        (answer, self.word(ARGS + 16))
    }

    /// A command with its parameters at [`PARAMS`].
    pub(crate) fn plain(&self, object: Object, id: u32) -> (Answer, u64) {
        self.command(
            object,
            Command {
                id,
                flags: 0,
                data: PARAMS,
                hw_error: 0,
            },
        )
    }

    pub(crate) fn init_vm(&self, init: &Init) -> (Answer, u64) {
        let count = u32::try_from(init.cpuid.len()).unwrap();
        let entries = init
            .cpuid
            .iter()
            .flatten()
            .flat_map(|word| word.to_le_bytes());
        self.put(
            PARAMS,
            &[
                &words(&[init.attributes, init.xfam]),
                &[0x11; 48],
                &[0x22; 48],
                &[0x33; 48],
                &words(&[init.reserved]),
                &[0; 88],
                &count.to_le_bytes(),
                &init.padding.to_le_bytes(),
                &entries.collect::<Vec<_>>(),
            ],
        );
        self.plain(self.vm, INIT_VM)
    }

    pub(crate) fn split_irqchip(&self) -> Answer {
        self.put(ARGS, &[&words(&[121, 24]), &[0; 88]]);
        self.ioctl(ENABLE_CAP, ARGS)
    }

    pub(crate) fn create_vcpu(&self, index: u64) -> Answer<Object> {
        let fd = self.ioctl(CREATE_VCPU, index)?;
        let file = self.process.identify(fd).unwrap();
        Ok(self.machine.object(file).unwrap())
    }

    /// Gives a vCPU a CPUID of leaf 1 with this in ECX.
    pub(crate) fn set_features(&self, vcpu: Object, ecx: u32) {
        let entry = [1, 0, 0, 0, 0, ecx, 0, 0, 0, 0].map(u32::to_le_bytes);
        self.put(PARAMS, &[&words(&[1]), &entry.concat()]);
        assert_eq!(self.vcpu_ioctl(vcpu, SET_CPUID2, PARAMS), Ok(0));
    }

    pub(crate) fn init_vcpu(&self, vcpu: Object) -> Answer {
        self.plain(vcpu, INIT_VCPU).0
    }

    pub(crate) fn set_private(&self, gfn: u64, pages: u64, private: bool) {
        let attributes = if private { 8 } else { 0 };
        self.put(ARGS, &[&words(&[gfn * PAGE, pages * PAGE, attributes, 0])]);
        assert_eq!(self.ioctl(SET_ATTRIBUTES, ARGS), Ok(0));
    }

    /// Installs from [`SOURCE`], as it is now, with contents measured.
    pub(crate) fn stage(&self, vcpu: Object, gfn: u64, pages: u64) -> Staged {
        self.stage_with(vcpu, [SOURCE, gfn * PAGE, pages], 1)
    }

    pub(crate) fn stage_with(&self, vcpu: Object, region: [u64; 3], flags: u32) -> Staged {
        self.put(PARAMS, &[&words(&region)]);
        let command = Command {
            id: INIT_MEM_REGION,
            flags,
            data: PARAMS,
            hw_error: 0,
        };
        let (answer, hw_error) = self.command(vcpu, command);
        assert_eq!(hw_error, 0, "a vCPU's command writes no hw_error back");
        Staged {
            answer,
            left: [0, 8, 16].map(|at| self.word(PARAMS + at)),
        }
    }

    pub(crate) fn finalize(&self) -> (Answer, u64) {
        self.plain(self.vm, FINALIZE_VM)
    }

    /// The measurement that the trace was told.
    pub(crate) fn digest(&self) -> Option<String> {
        let told = self.process.told.borrow();
        told.iter().find_map(|what| {
            if let What::Digest { digest, .. } = what {
                Some(digest.clone())
            } else {
                None
            }
        })
    }

    /// What page `index` of the guest_memfd holds, if it is there.
    pub(crate) fn stored(&self, index: u64) -> Option<Vec<u8>> {
        let stored = self.process.stored.borrow();
        stored.get(&(self.gmem.ino, index * PAGE)).cloned()
    }
}

/// What is left of a region from [`SOURCE`] when so many of its pages were installed.
pub(crate) fn left(gfn: u64, pages: u64, done: u64) -> [u64; 3] {
    [SOURCE + done * PAGE, (gfn + done) * PAGE, pages - done]
}

pub(crate) fn words(values: &[u64]) -> Vec<u8> {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes());
    bytes.collect()
}
