//! The modelled machine in one process: which descriptor is what, and one call after the other.
//!
//! Two locks. The registry's is held for a look-up only, so that a call on another VM, or a second command on the same, is seen while a
//! command takes its time under the model's.
//!
//! **Invariant:** nothing waits while it holds the registry.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::cx::{self, Cx};
use crate::memory::Punch;
use crate::script::Faults;
use crate::trace::{Note, What};
use crate::vm::{self, Made, Vm};
use crate::wire::Fields;
use crate::world::{FileId, World};
use crate::{Answer, Call, Errno, Script, VmType, system};

/// What a descriptor of the model stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// `/dev/kvm`.
    Kvm,
    /// `/dev/sev`.
    Sev,
    /// A VM.
    Vm(u64),
    /// A vCPU of a VM, by index.
    Vcpu(u64, u32),
    /// A guest_memfd of a VM, and its flags.
    GuestMemfd(u64, u64),
}

/// The machine, as one process has it.
#[derive(Debug)]
pub struct Machine {
    script: Script,
    registry: Mutex<Registry>,
    model: Mutex<Model>,
}

#[derive(Debug, Default)]
struct Registry {
    objects: HashMap<FileId, Object>,
    // Here too, because a command is named before the model is free.
    vm_types: HashMap<u64, VmType>,
    commanded: HashSet<u64>,
}

#[derive(Debug)]
struct Model {
    faults: Faults,
    vms: BTreeMap<u64, Vm>,
}

/// A VM has one command at a time; this is the mark of it.
struct Commanded<'a> {
    machine: &'a Machine,
    vm: u64,
}

impl Machine {
    /// A machine as the script describes it, with no VM.
    #[must_use]
    pub fn new(script: Script) -> Self {
        let faults = Faults::new(&script.faults);
        Self {
            script,
            registry: Mutex::default(),
            model: Mutex::new(Model {
                faults,
                vms: BTreeMap::new(),
            }),
        }
    }

    /// What the machine is like.
    #[must_use]
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// A file now stands for this.
    pub fn register(&self, file: FileId, object: Object) {
        lock(&self.registry).objects.insert(file, object);
    }

    /// What a file stands for, `None` if it is none of the model's.
    #[must_use]
    pub fn object(&self, file: FileId) -> Option<Object> {
        lock(&self.registry).objects.get(&file).copied()
    }

    /// An ioctl on a descriptor of the model.
    ///
    /// # Errors
    ///
    /// The kernel's; `ENOTTY` also for an ioctl that the model does not know, which is a violation.
    pub fn ioctl(&self, world: &dyn World, object: Object, request: u64, arg: u64) -> Answer {
        let Some(ioctl) = Call::from_request(request) else {
            let words = format!("ioctl {request:#x} is none that the model knows");
            cx::violation(world, &self.script, "ioctl", object.vm(), &words);
            return Err(Errno::ENOTTY);
        };
        let call = self.command(world, object, ioctl, arg).unwrap_or(ioctl);
        let mut note = Note::new(call.name());
        note.vm = object.vm();
        note.vcpu = object.vcpu();
        note.sigmask = Some(format!("{:016x}", world.blocked_signals()));
        let commanded = object.vm().filter(|_| ioctl == Call::MemoryEncryptOp);
        let commanded = commanded.map(|vm| {
            let mut begun = note.clone();
            begun.error = error_beforehand(world, call, arg);
            world.tell(What::Begin(begun));
            self.begin_command(world, call, vm)
        });
        let mut model = lock(&self.model);
        let Model { faults, vms } = &mut *model;
        let mut cx = Cx {
            world,
            machine: self,
            script: &self.script,
            faults,
            call,
            note,
        };
        let answer = self.run(&mut cx, vms, object, arg);
        let mut note = cx.note;
        note.ret = Some(answer.map_or(-1, i64::from));
        note.errno = answer.err().map(|errno| errno.0);
        drop(model);
        drop(commanded);
        world.tell(What::End(note));
        answer
    }

    /// The size of a guest_memfd.
    pub(crate) fn guest_memfd_size(&self, file: FileId) -> Option<u64> {
        let vm = self.object(file)?.vm()?;
        let model = lock(&self.model);
        Some(model.vms.get(&vm)?.common.memory.gmems.get(&file)?.bytes)
    }

    /// Punches a hole, in whatever VM has the file.
    pub(crate) fn punch(&self, hole: Punch) {
        for vm in lock(&self.model).vms.values_mut() {
            vm.common.memory.punch(hole);
        }
    }

    fn run(
        &self,
        cx: &mut Cx<'_>,
        vms: &mut BTreeMap<u64, Vm>,
        object: Object,
        arg: u64,
    ) -> Answer {
        match object {
            Object::Kvm if cx.call == Call::CreateVm => {
                if let Some(errno) = cx.strike_call().and_then(cx::errno_of) {
                    return Err(errno);
                }
                let id = vms.keys().next_back().map_or(0, |last| last + 1);
                let (fd, file, vm) = vm::create(cx, id, arg)?;
                cx.note.vm = Some(id);
                lock(&self.registry).vm_types.insert(id, vm.arch.vm_type());
                vms.insert(id, vm);
                self.register(file, Object::Vm(id));
                Ok(fd)
            }
            Object::Kvm => system::ioctl(cx, arg),
            Object::Sev | Object::GuestMemfd(..) => {
                cx.violation("an ioctl on a descriptor that launches need none of");
                Err(Errno::ENOTTY)
            }
            Object::Vm(id) => {
                let vm = vms.get_mut(&id).ok_or(Errno::EIO)?;
                let (answer, made) = vm::ioctl(cx, vm, arg);
                match made {
                    Some(Made::GuestMemfd(file, flags)) => {
                        self.register(file, Object::GuestMemfd(id, flags));
                    }
                    Some(Made::Vcpu(file, index)) => self.register(file, Object::Vcpu(id, index)),
                    None => {}
                }
                answer
            }
            Object::Vcpu(id, index) => {
                let vm = vms.get_mut(&id).ok_or(Errno::EIO)?;
                vm::vcpu_ioctl(cx, vm, index, arg)
            }
        }
    }

    /// Which command of `KVM_MEMORY_ENCRYPT_OP` this is, if it can be told.
    fn command(&self, world: &dyn World, object: Object, ioctl: Call, arg: u64) -> Option<Call> {
        if ioctl != Call::MemoryEncryptOp || arg == 0 {
            return None;
        }
        let id = u32::from_le_bytes(crate::world::read_array(world, arg).ok()?);
        let vm_type = lock(&self.registry).vm_types.get(&object.vm()?).copied();
        match vm_type? {
            VmType::Plain => None,
            VmType::Snp => Call::from_sev_id(id),
            VmType::Tdx => Call::from_tdx_id(id),
        }
    }

    fn begin_command(&self, world: &dyn World, call: Call, vm: u64) -> Commanded<'_> {
        let is_first = lock(&self.registry).commanded.insert(vm);
        if !is_first {
            let words = "another command of this VM has not returned yet";
            cx::violation(world, &self.script, call.name(), Some(vm), words);
        }
        Commanded { machine: self, vm }
    }
}

impl Drop for Commanded<'_> {
    fn drop(&mut self) {
        lock(&self.machine.registry).commanded.remove(&self.vm);
    }
}

impl Object {
    /// The VM that it belongs to.
    #[must_use]
    pub fn vm(self) -> Option<u64> {
        match self {
            Self::Kvm | Self::Sev => None,
            Self::Vm(id) | Self::Vcpu(id, _) | Self::GuestMemfd(id, _) => Some(id),
        }
    }

    fn vcpu(self) -> Option<u32> {
        if let Self::Vcpu(_, index) = self {
            Some(index)
        } else {
            None
        }
    }
}

/// What the caller left where KVM writes what firmware or the TDX module says, if that can be read.
fn error_beforehand(world: &dyn World, call: Call, arg: u64) -> Option<u64> {
    let args = Fields(crate::world::read_array::<24>(world, arg).ok()?);
    if call.is_sev() {
        Some(args.u32(16).into())
    } else if call.is_tdx() {
        Some(args.u64(16))
    } else {
        None
    }
}

/// A thread that panicked has left maps that are whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
